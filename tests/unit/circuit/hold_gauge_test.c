/* What is made of path tests: verdicts, loss, waiting, ranking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/hold/hold_gauge.h"
#include "proto/base/mem.h"

#define READINGS 5

/* Sums since the circuit opened: sent, received, n_forth, n_back. */
static void readings_are_judged_against_the_last_good_one(void **state)
{
	static const struct {
		const char *why;
		struct gauge_reading r[READINGS];
		size_t n;
		enum gauge_verdict want; /* of the last one */
	} cases[] = {
		{ "nothing sent", { { 0, 0, 0, 0 } }, 1, GAUGE_GOOD },
		{ "all arrived", { { 100, 90, 100, 90 } }, 1, GAUGE_GOOD },
		{ "a few are under way", { { 100, 0, 60, 0 } }, 1, GAUGE_GOOD },
		{ "31 of 31 are lost", { { 31, 0, 0, 0 } }, 1, GAUGE_DOUBTFUL },
		{ "32 of 32 are lost",
		  { { 32, 0, 0, 0 } },
		  1,
		  GAUGE_FAILS_FORTH },
		{ "32 of 32 do not come back",
		  { { 0, 0, 0, 32 } },
		  1,
		  GAUGE_FAILS_BACK },
		{ "5 of 5, twice",
		  { { 4, 0, 0, 0 }, { 5, 0, 0, 0 } },
		  2,
		  GAUGE_DOUBTFUL },
		{ "6 of 6, twice",
		  { { 5, 0, 0, 0 }, { 6, 0, 0, 0 } },
		  2,
		  GAUGE_FAILS_FORTH },
		{ "half of 31, twice",
		  { { 20, 0, 10, 0 }, { 31, 0, 15, 0 } },
		  2,
		  GAUGE_DOUBTFUL },
		{ "half of 32, twice",
		  { { 20, 0, 10, 0 }, { 32, 0, 16, 0 } },
		  2,
		  GAUGE_FAILS_FORTH },
		{ "half of 1000, once",
		  { { 1000, 0, 500, 0 } },
		  1,
		  GAUGE_DOUBTFUL },
		{ "less than half of 1000, often",
		  { { 1000, 0, 501, 0 }, { 2000, 0, 1002, 0 } },
		  2,
		  GAUGE_GOOD },
		{ "they came later",
		  { { 20, 0, 0, 0 }, { 40, 0, 40, 0 }, { 60, 0, 45, 0 } },
		  3,
		  GAUGE_DOUBTFUL },
		{ "lost long ago",
		  { { 1000, 0, 600, 0 }, { 2000, 0, 1600, 0 } },
		  2,
		  GAUGE_GOOD },
		{ "doubtful, and nothing more was sent",
		  { { 5, 0, 0, 0 }, { 5, 0, 0, 0 } },
		  2,
		  GAUGE_GOOD },
		{ "3 of 3, twice, after a quarter was lost",
		  { { 900, 0, 900, 0 },
		    { 1900, 0, 1643, 0 },
		    { 1903, 0, 1643, 0 },
		    { 1903, 0, 1643, 0 } },
		  4,
		  GAUGE_FAILS_FORTH },
		{ "3 of 3, twice, where a quarter is always lost",
		  { { 100, 0, 75, 0 },
		    { 200, 0, 150, 0 },
		    { 300, 0, 225, 0 },
		    { 303, 0, 225, 0 },
		    { 303, 0, 225, 0 } },
		  5,
		  GAUGE_GOOD },
		{ "2 of 2, twice, with nothing lost before",
		  { { 100, 0, 100, 0 },
		    { 102, 0, 100, 0 },
		    { 102, 0, 100, 0 } },
		  3,
		  GAUGE_GOOD },
		{ "half of 1000, and nothing more was sent",
		  { { 1000, 0, 500, 0 }, { 1000, 0, 500, 0 } },
		  2,
		  GAUGE_GOOD },
		{ "they had overtaken the test before",
		  { { 0, 142, 0, 100 }, { 0, 143, 0, 143 } },
		  2,
		  GAUGE_GOOD },
		{ "some had, the others are lost",
		  { { 0, 142, 0, 100 }, { 0, 142, 0, 200 } },
		  2,
		  GAUGE_FAILS_BACK },
		{ "so many cannot have overtaken it",
		  { { 100, 0, 9999999, 0 }, { 1100, 0, 9999999, 0 } },
		  2,
		  GAUGE_FAILS_FORTH },
		{ "a count that falls is no gain",
		  { { 100, 0, 100, 0 }, { 200, 0, 50, 0 } },
		  2,
		  GAUGE_FAILS_FORTH },
		{ "a count beyond what was sent is no more than all",
		  { { 100, 0, 9999999, 0 } },
		  1,
		  GAUGE_GOOD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct gauge g = { 0 };
		enum gauge_verdict v = GAUGE_GOOD;

		print_message("%s\n", cases[i].why);
		for (size_t k = 0; k < cases[i].n; k++)
			v = gauge_read(&g, &cases[i].r[k]);
		assert_int_equal(v, cases[i].want);
	}
}

/* The search has found nothing: the same counts say nothing new. */
static void what_is_forgiven_is_not_held_against_it_again(void **state)
{
	const struct gauge_reading r = { 43, 0, 1, 0 }, more = { 90, 0, 1, 0 };
	struct gauge g = { 0 };

	(void)state;
	assert_int_equal(gauge_read(&g, &r), GAUGE_DOUBTFUL);
	assert_int_equal(gauge_read(&g, &(struct gauge_reading){ 76, 0, 1, 0 }),
			 GAUGE_FAILS_FORTH);
	gauge_forgive(&g);
	assert_int_equal(gauge_read(&g, &(struct gauge_reading){ 76, 0, 1, 0 }),
			 GAUGE_GOOD);
	assert_int_equal(gauge_read(&g, &more), GAUGE_DOUBTFUL);
}

static void loss_is_smoothed_and_forgotten(void **state)
{
	struct gauge g = { 0 };
	struct gauge_reading r = { 0 };

	(void)state;
	for (int i = 0; i < 40; i++) {
		r.sent += 100;
		r.n_forth += 90;
		assert_int_equal(gauge_read(&g, &r), GAUGE_GOOD);
	}
	assert_in_range(g.loss, 25, 26);
	/* Too few to say. */
	r.sent += 63;
	gauge_read(&g, &r);
	assert_in_range(g.loss, 25, 26);
	r.n_forth += 63;
	for (int i = 0; i < 40; i++) {
		r.sent += 100;
		r.n_forth += 100;
		gauge_read(&g, &r);
	}
	assert_int_equal(g.loss, 0);
}

static void a_receipt_is_awaited_as_long_as_the_way_is(void **state)
{
	struct gauge g = { 0 };

	(void)state;
	/* Not measured: what the path promises, twice. */
	assert_int_equal(gauge_wait(&g, 100 * NS_PER_MS), 300 * NS_PER_MS);
	assert_int_equal(gauge_wait(&g, NS_PER_MS), 150 * NS_PER_MS);
	assert_int_equal(gauge_wait(&g, 100 * NS_PER_S), 3 * NS_PER_S);
	for (int i = 0; i < 100; i++)
		gauge_rtt(&g, 80 * NS_PER_MS);
	assert_int_equal(g.rtt, 80 * NS_PER_MS);
	assert_in_range(gauge_wait(&g, 0), 180 * NS_PER_MS, 181 * NS_PER_MS);
	g.n_silent = 1;
	assert_in_range(gauge_wait(&g, 0), 720 * NS_PER_MS, 724 * NS_PER_MS);
	gauge_rtt(&g, 400 * NS_PER_MS);
	assert_int_equal(g.n_silent, 0);
	/* One that is late makes the next wait longer. */
	assert_true(gauge_wait(&g, 0) > 400 * NS_PER_MS);
}

static void loss_makes_a_circuit_worse_than_a_longer_way(void **state)
{
	struct gauge clean = { .rtt = 20 * NS_PER_MS };
	struct gauge lossy = { .rtt = 10 * NS_PER_MS, .loss = 26 };
	const nsec ms = NS_PER_MS;

	(void)state;
	assert_true(gauge_metric(&lossy, 0) > gauge_metric(&clean, 0));
	lossy.loss = 2;
	assert_true(gauge_metric(&lossy, 0) < gauge_metric(&clean, 0));
	/* By a fifth and a millisecond. */
	assert_false(gauge_is_better(100 * ms, 121 * ms));
	assert_true(gauge_is_better(100 * ms, 121 * ms + 1));
	assert_false(gauge_is_better(0, ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readings_are_judged_against_the_last_good_one),
		cmocka_unit_test(what_is_forgiven_is_not_held_against_it_again),
		cmocka_unit_test(loss_is_smoothed_and_forgotten),
		cmocka_unit_test(a_receipt_is_awaited_as_long_as_the_way_is),
		cmocka_unit_test(loss_makes_a_circuit_worse_than_a_longer_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
