#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "circuit/timer.h"
#include "proto/base/rng.h"

static void timers_fire_in_order_of_time(void **state)
{
	struct timers ts = { 0 };
	struct timer t[200] = { 0 };
	struct rng rng;
	nsec last = 0;
	size_t n = 0;

	(void)state;
	rng_init(&rng, 3);
	for (size_t i = 0; i < 200; i++)
		timers_set(&ts, &t[i], rng_below(&rng, 1000));
	for (size_t i = 0; i < 200; i += 2)
		timers_set(&ts, &t[i], rng_below(&rng, 1000));
	for (size_t i = 0; i < 200; i += 5)
		timers_cancel(&ts, &t[i]);
	assert_null(timers_pop(&ts, timers_deadline(&ts) - 1));
	for (struct timer *x; (x = timers_pop(&ts, 1000)) != NULL; n++) {
		assert_true(x->when >= last);
		assert_int_equal(x->slot, 0);
		assert_int_not_equal((x - t) % 5, 0);
		last = x->when;
	}
	assert_int_equal(n, 160);
	assert_true(timers_deadline(&ts) == TIME_NEVER);
	timers_deinit(&ts);
}

static void equal_times_fire_in_the_order_they_were_set(void **state)
{
	struct timers ts = { 0 };
	struct timer t[50] = { 0 };

	(void)state;
	for (size_t i = 0; i < 50; i++)
		timers_set(&ts, &t[i], 7);
	timers_set(&ts, &t[0], 7);
	for (size_t i = 1; i < 50; i++)
		assert_ptr_equal(timers_pop(&ts, 7), &t[i]);
	assert_ptr_equal(timers_pop(&ts, 7), &t[0]);
	timers_deinit(&ts);
}

static void never_cancels(void **state)
{
	struct timers ts = { 0 };
	struct timer t = { 0 };

	(void)state;
	timers_set(&ts, &t, 5);
	timers_set(&ts, &t, TIME_NEVER);
	assert_null(timers_pop(&ts, TIME_NEVER));
	timers_deinit(&ts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_of_time),
		cmocka_unit_test(equal_times_fire_in_the_order_they_were_set),
		cmocka_unit_test(never_cancels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
