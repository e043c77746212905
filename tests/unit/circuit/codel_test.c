#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "circuit/relay/codel.h"
#include "proto/base/mem.h"

static const struct codel_config config = { 5 * NS_PER_MS, 100 * NS_PER_MS };

/* Long enough to be in a queue. */
#define LATE  (20 * NS_PER_MS)
#define START (7 * NS_PER_S)

static bool drops(struct codel *c, nsec waited, nsec now)
{
	return codel_drops(c, &config, waited, false, now);
}

/* When the next packet is dropped, with one looked at each millisecond. */
static nsec next_drop(struct codel *c, nsec waited, nsec from)
{
	for (nsec now = from; now < from + 10 * NS_PER_S; now += NS_PER_MS) {
		if (drops(c, waited, now))
			return now;
	}
	return TIME_NEVER;
}

static void a_wait_below_the_target_is_allowed_for_ever(void **state)
{
	static const struct {
		nsec waited;
		nsec dropped_at;
	} cases[] = {
		{ 0, TIME_NEVER },
		{ 5 * NS_PER_MS - 1, TIME_NEVER },
		{ 5 * NS_PER_MS, START + 100 * NS_PER_MS },
		{ 5 * NS_PER_MS + 1, START + 100 * NS_PER_MS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct codel c = { 0 };

		assert_true(next_drop(&c, cases[i].waited, START) ==
			    cases[i].dropped_at);
	}
}

static void a_burst_shorter_than_an_interval_is_let_through(void **state)
{
	static const struct {
		nsec lasts;
		bool is_dropped;
	} cases[] = {
		{ 100 * NS_PER_MS - 1, false },
		{ 100 * NS_PER_MS, true },
		{ 100 * NS_PER_MS + 1, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct codel c = { 0 };

		assert_false(drops(&c, LATE, START));
		assert_false(drops(&c, LATE, START + 50 * NS_PER_MS));
		assert_int_equal(drops(&c, LATE, START + cases[i].lasts),
				 cases[i].is_dropped);
	}
}

static void one_short_wait_begins_the_interval_anew(void **state)
{
	struct codel c = { 0 };
	const nsec again = START + 90 * NS_PER_MS;

	(void)state;
	assert_false(drops(&c, LATE, START));
	assert_false(drops(&c, 0, START + 80 * NS_PER_MS));
	assert_true(next_drop(&c, LATE, again) == again + 100 * NS_PER_MS);
}

static void a_queue_without_a_full_packet_behind_is_left_alone(void **state)
{
	struct codel c = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_false(codel_drops(&c, &config, LATE, true,
					 START + (nsec)i * NS_PER_MS));
}

static void drops_come_faster_while_the_queue_stays(void **state)
{
	/* 100 ms over the root of 1, 2, 3 …, seen each millisecond. */
	static const unsigned gaps_ms[] = { 100, 71, 58, 50, 45, 40, 38, 36 };
	struct codel c = { 0 };
	nsec at = next_drop(&c, LATE, START);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(gaps_ms); i++) {
		nsec next = next_drop(&c, LATE, at + NS_PER_MS);

		assert_in_range((next - at) / NS_PER_MS, gaps_ms[i] - 1,
				gaps_ms[i] + 1);
		at = next;
	}
	assert_true(at - START <= 540 * NS_PER_MS);
}

static void a_drop_that_comes_late_is_made_up_for(void **state)
{
	struct codel c = { 0 };
	nsec now = START + 400 * NS_PER_MS;
	int n = 0;

	(void)state;
	assert_false(drops(&c, LATE, START));
	assert_true(drops(&c, LATE, START + 100 * NS_PER_MS));
	/* Due at 200, 271, 329, 379 ms after the start, and at 423. */
	while (drops(&c, LATE, now))
		n++;
	assert_int_equal(n, 4);
}

/* How long after its first drop a second row makes its second one, if it
 * begins `pause` after the first row ended. */
static nsec second_row(nsec pause)
{
	struct codel c = { 0 };
	nsec at = START;

	for (int i = 0; i < 10; i++)
		at = next_drop(&c, LATE, at + NS_PER_MS);
	assert_false(drops(&c, 0, at + NS_PER_MS));
	at = next_drop(&c, LATE, at + pause);
	return next_drop(&c, LATE, at + NS_PER_MS) - at;
}

static void a_queue_that_comes_back_soon_is_met_with_the_last_rate(void **state)
{
	(void)state;
	/* Nine more drops than the first: 100 ms over three. */
	assert_in_range(second_row(2 * NS_PER_MS), 33 * NS_PER_MS,
			35 * NS_PER_MS);
	assert_in_range(second_row(NS_PER_S), 33 * NS_PER_MS, 35 * NS_PER_MS);
	assert_in_range(second_row(2 * NS_PER_S), 100 * NS_PER_MS,
			101 * NS_PER_MS);
}

static void times_and_counts_at_the_ends_of_their_ranges_are_borne(void **state)
{
	const struct codel_config longest = { 0, 4 * NS_PER_S };
	struct codel c = { 0 };
	nsec now = START;
	size_t n = 0;

	(void)state;
	/* The gap is an interval over the root of the count: 10^5 drops in
	 * about 2 * 4 s * sqrt(10^5). */
	while (n < 100000) {
		if (codel_drops(&c, &longest, 0, false, now))
			n++;
		else
			now += NS_PER_MS;
	}
	assert_in_range((now - START) / NS_PER_S, 2500, 2560);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_below_the_target_is_allowed_for_ever),
		cmocka_unit_test(
			a_burst_shorter_than_an_interval_is_let_through),
		cmocka_unit_test(one_short_wait_begins_the_interval_anew),
		cmocka_unit_test(
			a_queue_without_a_full_packet_behind_is_left_alone),
		cmocka_unit_test(drops_come_faster_while_the_queue_stays),
		cmocka_unit_test(a_drop_that_comes_late_is_made_up_for),
		cmocka_unit_test(
			a_queue_that_comes_back_soon_is_met_with_the_last_rate),
		cmocka_unit_test(
			times_and_counts_at_the_ends_of_their_ranges_are_borne),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
