#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/bucket.h"
#include "proto/base/mem.h"

static unsigned drain(struct bucket *b, nsec now)
{
	unsigned n = 0;

	while (n < 1000000 && bucket_take(b, now))
		n++;
	return n;
}

static void a_new_bucket_holds_its_burst(void **state)
{
	static const struct {
		uint32_t rate, burst;
	} cases[] = {
		{ 1, 1 },     { 10, 90 },        { 200, 400 },
		{ 3, 7 },     { 1000000000, 5 }, { 999999999, 100000 },
		{ 7, 65536 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bucket b;

		bucket_init(&b, cases[i].rate, cases[i].burst, 5 * NS_PER_S);
		assert_int_equal(drain(&b, 5 * NS_PER_S), cases[i].burst);
	}
}

static void tokens_come_back_at_the_rate(void **state)
{
	struct bucket b;
	nsec now = NS_PER_S;

	(void)state;
	bucket_init(&b, 10, 5, now);
	assert_int_equal(drain(&b, now), 5);
	assert_false(bucket_take(&b, now + 100 * NS_PER_MS - 1));
	assert_true(bucket_take(&b, now + 100 * NS_PER_MS));
	assert_false(bucket_take(&b, now + 100 * NS_PER_MS));
	assert_int_equal(drain(&b, now + 400 * NS_PER_MS), 3);
}

static void credit_stops_at_the_burst(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 10, 5, 0);
	assert_int_equal(drain(&b, 0), 5);
	assert_int_equal(drain(&b, 3600 * NS_PER_S), 5);
	assert_int_equal(drain(&b, UINT64_MAX), 5);
}

/* Asking often must not lose the fractions between. */
static void impatience_costs_nothing(void **state)
{
	struct bucket b;
	unsigned n = 0;

	(void)state;
	bucket_init(&b, 1000, 2, 0);
	for (nsec now = 0; now < NS_PER_S; now += 333333)
		n += bucket_take(&b, now);
	assert_in_range(n, 1000, 1002);
}

static void a_clock_that_stands_or_goes_back_gives_nothing(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 10, 2, 10 * NS_PER_S);
	assert_int_equal(drain(&b, 10 * NS_PER_S), 2);
	assert_false(bucket_take(&b, 0));
	/* And the time gone back over is not credited twice. */
	assert_false(bucket_take(&b, 10 * NS_PER_S));
	assert_true(bucket_take(&b, 10 * NS_PER_S + 100 * NS_PER_MS));
	assert_false(bucket_take(&b, 10 * NS_PER_S + 100 * NS_PER_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_bucket_holds_its_burst),
		cmocka_unit_test(tokens_come_back_at_the_rate),
		cmocka_unit_test(credit_stops_at_the_burst),
		cmocka_unit_test(impatience_costs_nothing),
		cmocka_unit_test(
			a_clock_that_stands_or_goes_back_gives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
