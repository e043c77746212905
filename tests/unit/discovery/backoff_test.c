#include "discovery/backoff.h"

#include "tests/unit/discovery/peer_help.h"

static void the_wait_doubles_up_to_a_minute(void **state)
{
	static const struct {
		uint32_t n;
		nsec want;
	} cases[] = {
		{ 0, 0 },
		{ 1, 500 * NS_PER_MS },
		{ 2, 1 * NS_PER_S },
		{ 3, 2 * NS_PER_S },
		{ 7, 32 * NS_PER_S },
		{ 8, 60 * NS_PER_S },
		{ 9, 60 * NS_PER_S },
		{ UINT32_MAX, 60 * NS_PER_S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(backoff_nominal(cases[i].n), cases[i].want);
}

static void the_jitter_fills_a_fifth_to_both_sides(void **state)
{
	nsec low = TIME_NEVER, high = 0;
	struct rng rng;

	(void)state;
	rng_init(&rng, 3);
	for (int i = 0; i < 10000; i++) {
		nsec t = backoff_jitter(&rng, 10 * NS_PER_S);

		low = t < low ? t : low;
		high = t > high ? t : high;
	}
	assert_in_range(low, 8 * NS_PER_S, 8100 * NS_PER_MS);
	assert_in_range(high, 11900 * NS_PER_MS, 12 * NS_PER_S);
	assert_int_equal(backoff_jitter(&rng, 0), 0);
}

static void a_reset_forgets_the_failures(void **state)
{
	struct backoff b = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 3);
	for (uint32_t i = 1; i <= 20; i++) {
		backoff_failed(&b, &rng, START);
		assert_int_equal(b.n_failures, i);
		assert_in_range(b.retry_at, START + backoff_nominal(i) * 4 / 5,
				START + backoff_nominal(i) * 6 / 5);
	}
	backoff_reset(&b, START);
	assert_int_equal(b.retry_at, START);
	backoff_failed(&b, &rng, START);
	assert_true(b.retry_at <= START + 600 * NS_PER_MS);
}

static void the_count_of_failures_does_not_wrap(void **state)
{
	struct backoff b = { .n_failures = UINT32_MAX };
	struct rng rng;

	(void)state;
	rng_init(&rng, 3);
	backoff_failed(&b, &rng, START);
	assert_int_equal(b.n_failures, UINT32_MAX);
	assert_true(b.retry_at >= START + 48 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_up_to_a_minute),
		cmocka_unit_test(the_jitter_fills_a_fifth_to_both_sides),
		cmocka_unit_test(a_reset_forgets_the_failures),
		cmocka_unit_test(the_count_of_failures_does_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
