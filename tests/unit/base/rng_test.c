#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/rng.h"

/* xoshiro256** with the state 1, 2, 3, 4, worked out from its definition. */
static void the_stream_is_that_of_the_definition(void **state)
{
	static const uint64_t words[4] = { 1, 2, 3, 4 };
	static const uint64_t want[] = {
		UINT64_C(11520),
		UINT64_C(0),
		UINT64_C(1509978240),
		UINT64_C(1215971899390074240),
	};
	uint8_t seed[32];
	struct rng r;

	(void)state;
	memcpy(seed, words, sizeof seed);
	rng_init_bytes(&r, seed);
	for (size_t i = 0; i < 4; i++)
		assert_true(rng_u64(&r) == want[i]);
}

/* splitmix64 from 0: the seed's expansion. */
static void a_seed_is_expanded_by_splitmix64(void **state)
{
	struct rng r;

	(void)state;
	rng_init(&r, 0);
	assert_true(r.s[0] == UINT64_C(0xe220a8397b1dcdaf));
	assert_true(r.s[1] == UINT64_C(0x6e789e6aa1b965f4));
	assert_true(r.s[2] == UINT64_C(0x06c45d188009454f));
	assert_true(r.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void the_same_seed_repeats_the_run(void **state)
{
	struct rng a, b, c;
	unsigned same = 0;

	(void)state;
	rng_init(&a, 42);
	rng_init(&b, 42);
	rng_init(&c, 43);
	for (int i = 0; i < 1000; i++) {
		uint64_t x = rng_u64(&a);

		assert_true(x == rng_u64(&b));
		same += x == rng_u64(&c);
	}
	assert_int_equal(same, 0);
}

static void a_state_of_zeros_is_avoided(void **state)
{
	static const uint8_t zero[32];
	struct rng r;

	(void)state;
	rng_init_bytes(&r, zero);
	assert_true((rng_u64(&r) | rng_u64(&r)) != 0);
}

static void a_bound_is_never_reached(void **state)
{
	static const uint64_t bounds[] = { 1,
					   2,
					   3,
					   7,
					   1000,
					   UINT64_C(1) << 63,
					   (UINT64_C(1) << 63) + 1,
					   UINT64_MAX };
	struct rng r;

	(void)state;
	rng_init(&r, 1);
	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
		for (int n = 0; n < 1000; n++)
			assert_true(rng_below(&r, bounds[i]) < bounds[i]);
	}
	assert_true(rng_below(&r, 0) == 0);
}

static void values_below_a_bound_are_equally_likely(void **state)
{
	unsigned counts[7] = { 0 };
	struct rng r;

	(void)state;
	rng_init(&r, 7);
	for (int i = 0; i < 70000; i++)
		counts[rng_below(&r, 7)]++;
	/* Five standard deviations of 93. */
	for (int i = 0; i < 7; i++)
		assert_in_range(counts[i], 10000 - 465, 10000 + 465);
}

static void filling_takes_whole_words_and_the_rest(void **state)
{
	for (size_t len = 0; len <= 24; len++) {
		uint8_t out[25], want[32];
		struct rng a, b;

		memset(out, 0xaa, sizeof out);
		rng_init(&a, 9);
		b = a;
		for (size_t i = 0; i < 4; i++) {
			uint64_t x = rng_u64(&b);

			memcpy(want + 8 * i, &x, 8);
		}
		rng_fill(&a, out, len);
		if (len > 0)
			assert_memory_equal(out, want, len);
		assert_int_equal(out[len], 0xaa);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_stream_is_that_of_the_definition),
		cmocka_unit_test(a_seed_is_expanded_by_splitmix64),
		cmocka_unit_test(the_same_seed_repeats_the_run),
		cmocka_unit_test(a_state_of_zeros_is_avoided),
		cmocka_unit_test(a_bound_is_never_reached),
		cmocka_unit_test(values_below_a_bound_are_equally_likely),
		cmocka_unit_test(filling_takes_whole_words_and_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
