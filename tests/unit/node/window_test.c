/* Windows that grow with what is taken, out of one pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/quic/window.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"

enum {
	FLOOR = 1000,
	MAX = 16 * FLOOR,
};

#define RTT NS_PER_MS

/* Takes `n` bytes in steps of 10, one each `step` apart; what the peer is
 * given. */
static size_t take(struct window *w, size_t n, nsec *now, nsec step)
{
	size_t credit = 0;

	for (size_t i = 0; i < n; i += 10) {
		*now += step;
		credit += window_take(w, 10, MAX, *now, RTT);
	}
	return credit;
}

static void a_busy_window_doubles_to_its_greatest(void **state)
{
	struct window_pool pool = { .limit = 100 * FLOOR };
	struct window w;
	nsec now = 5;

	(void)state;
	window_init(&w, &pool, FLOOR, now);
	take(&w, FLOOR / 2 - 10, &now, 1);
	assert_int_equal(w.size, FLOOR);
	take(&w, 10, &now, 1);
	assert_int_equal(w.size, 2 * FLOOR);
	take(&w, FLOOR, &now, 1);
	assert_int_equal(w.size, 4 * FLOOR);
	take(&w, 100 * FLOOR, &now, 1);
	assert_int_equal(w.size, MAX);
	assert_int_equal(pool.used, MAX - FLOOR);
	window_deinit(&w);
	assert_int_equal(pool.used, 0);
}

static void a_window_grows_that_a_repair_would_exhaust(void **state)
{
	struct window_pool pool = { .limit = 100 * FLOOR };
	struct window w;
	nsec now = 5;

	(void)state;
	window_init(&w, &pool, FLOOR, now);
	/* Half of it takes three and a half round trips. */
	take(&w, FLOOR / 2, &now, 7 * RTT / 100);
	assert_int_equal(w.size, 2 * FLOOR);
}

static void a_window_that_is_large_enough_stays(void **state)
{
	struct window_pool pool = { .limit = 100 * FLOOR };
	struct window w;
	nsec now = 5;

	(void)state;
	window_init(&w, &pool, FLOOR, now);
	/* Half of it takes five round trips. */
	take(&w, 100 * FLOOR, &now, RTT / 10);
	assert_int_equal(w.size, FLOOR);
	assert_int_equal(pool.used, 0);
}

static void credit_is_what_was_taken_and_what_was_gained(void **state)
{
	struct window_pool pool = { .limit = 100 * FLOOR };
	struct window w;
	nsec now = 5;
	size_t credit = 0;

	(void)state;
	window_init(&w, &pool, FLOOR, now);
	for (size_t n = 10; n < 50 * FLOOR; n += 10) {
		credit += take(&w, 10, &now, 1);
		/* Little is held back. */
		assert_true(w.pending < w.size / 4);
		assert_int_equal(credit + w.pending, n + w.size - FLOOR);
	}
}

static void nothing_grows_when_the_pool_is_used_up(void **state)
{
	struct window_pool pool = { .limit = 18 * FLOOR };
	struct window w[4];
	nsec now = 5;
	size_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		window_init(&w[i], &pool, FLOOR, now);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		take(&w[i], 50 * FLOOR, &now, 1);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		sum += w[i].size;
	assert_int_equal(w[0].size, MAX);
	assert_int_equal(w[3].size, FLOOR);
	assert_int_equal(sum, pool.used + ARRAY_LEN(w) * FLOOR);
	assert_true(pool.used <= pool.limit);
	/* They still give back what is taken. */
	assert_in_range(take(&w[3], 10 * FLOOR, &now, 1), 9 * FLOOR,
			11 * FLOOR);
	/* One ends: another may grow. */
	window_deinit(&w[0]);
	take(&w[3], 50 * FLOOR, &now, 1);
	assert_true(w[3].size > FLOOR);
}

static void quiet_windows_shrink_when_the_pool_is_short(void **state)
{
	struct window_pool pool = { .limit = MAX - FLOOR };
	struct window busy, quiet;
	nsec now = 5;
	size_t before, credit;

	(void)state;
	window_init(&quiet, &pool, FLOOR, now);
	window_init(&busy, &pool, FLOOR, now);
	take(&quiet, 50 * FLOOR, &now, 1);
	assert_int_equal(quiet.size, MAX);
	take(&busy, 50 * FLOOR, &now, 1);
	assert_int_equal(busy.size, FLOOR);
	/* Withheld is what it loses, and no more. */
	before = MAX - quiet.pending;
	credit = take(&quiet, 200 * FLOOR, &now, RTT);
	assert_int_equal(credit + before,
			 200 * FLOOR + quiet.size - quiet.pending);
	assert_in_range(quiet.size, FLOOR, MAX / 2);
	assert_int_equal(pool.used, quiet.size - FLOOR);
	take(&busy, 50 * FLOOR, &now, 1);
	assert_true(busy.size > FLOOR);
}

static void quiet_windows_stay_while_there_is_room(void **state)
{
	struct window_pool pool = { .limit = 10 * MAX };
	struct window w;
	nsec now = 5;

	(void)state;
	window_init(&w, &pool, FLOOR, now);
	take(&w, 50 * FLOOR, &now, 1);
	take(&w, 200 * FLOOR, &now, RTT);
	assert_int_equal(w.size, MAX);
}

static void many_windows_keep_to_the_pool_whatever_they_do(void **state)
{
	struct window_pool pool = { .limit = 40 * FLOOR };
	struct window w[16];
	struct rng rng;
	nsec now = 5;

	(void)state;
	rng_init(&rng, 64);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		window_init(&w[i], &pool, FLOOR, now);
	for (int round = 0; round < 200000; round++) {
		struct window *x = &w[rng_below(&rng, ARRAY_LEN(w))];
		size_t sum = 0;

		now += rng_below(&rng, 20) == 0 ? 20 * RTT : 1;
		if (rng_below(&rng, 5000) == 0) {
			window_deinit(x);
			window_init(x, &pool, FLOOR, now);
		}
		window_take(x, rng_below(&rng, FLOOR), MAX, now, RTT);
		for (size_t i = 0; i < ARRAY_LEN(w); i++) {
			assert_in_range(w[i].size, FLOOR, MAX);
			sum += w[i].size - FLOOR;
		}
		assert_int_equal(sum, pool.used);
		assert_true(pool.used <= pool.limit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_busy_window_doubles_to_its_greatest),
		cmocka_unit_test(a_window_grows_that_a_repair_would_exhaust),
		cmocka_unit_test(a_window_that_is_large_enough_stays),
		cmocka_unit_test(credit_is_what_was_taken_and_what_was_gained),
		cmocka_unit_test(nothing_grows_when_the_pool_is_used_up),
		cmocka_unit_test(quiet_windows_shrink_when_the_pool_is_short),
		cmocka_unit_test(quiet_windows_stay_while_there_is_room),
		cmocka_unit_test(
			many_windows_keep_to_the_pool_whatever_they_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
