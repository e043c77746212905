#include "discovery/score.h"

#include "tests/unit/discovery/peer_help.h"

static void proved_lately_beats_unknown_beats_silent_lately(void **state)
{
	struct score good, unknown, bad;

	(void)state;
	score_init(&good, START);
	score_init(&unknown, START);
	score_init(&bad, START);
	score_update(&good, SCORE_ANSWERED, START);
	score_update(&bad, SCORE_SILENT, START);
	assert_true(score_at(&good, START) > score_at(&unknown, START));
	assert_true(score_at(&unknown, START) > score_at(&bad, START));
}

/* Seven tenths, then s += 0.3 (1 - s), s *= 0.6, s *= 0.98. */
static void the_steps_are_those_of_the_formula(void **state)
{
	static const struct {
		const char *why;
		enum score_outcome outcome;
		double want;
	} cases[] = {
		{ "an answer", SCORE_ANSWERED, 0.7 + 0.3 * 0.3 },
		{ "silence", SCORE_SILENT, 0.7 * 0.6 },
		{ "trouble", SCORE_TROUBLE, 0.7 * 0.98 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct score s;
		double got;

		score_init(&s, START);
		score_update(&s, cases[i].outcome, START);
		got = (double)score_at(&s, START) / SCORE_ONE;
		if (got < cases[i].want - 0.001 || got > cases[i].want + 0.001)
			fail_msg("%s: %f", cases[i].why, got);
	}
}

static void a_score_stays_within_its_range(void **state)
{
	struct score s;

	(void)state;
	score_init(&s, START);
	for (int i = 0; i < 1000; i++)
		score_update(&s, SCORE_ANSWERED, START);
	assert_in_range(score_at(&s, START), SCORE_ONE * 99 / 100, SCORE_ONE);
	for (int i = 0; i < 1000; i++)
		score_update(&s, SCORE_SILENT, START);
	assert_int_equal(score_at(&s, START), 0);
	score_restore(&s, UINT32_MAX, 0, START);
	assert_int_equal(score_at(&s, START), SCORE_ONE);
}

static void what_was_learnt_fades_to_neutral(void **state)
{
	struct score s;
	uint32_t before, half, last = 0;

	(void)state;
	score_init(&s, START);
	for (int i = 0; i < 5; i++)
		score_update(&s, SCORE_SILENT, START);
	before = SCORE_NEUTRAL - score_at(&s, START);
	half = SCORE_NEUTRAL - score_at(&s, START + SCORE_HALF_LIFE_NS);
	assert_in_range(half, before / 2 - 1, before / 2 + 1);
	for (nsec t = 0; t < 8 * SCORE_HALF_LIFE_NS; t += 7 * NS_PER_S) {
		uint32_t v = score_at(&s, START + t);

		assert_true(v >= last && v <= SCORE_NEUTRAL);
		last = v;
	}
	assert_int_equal(score_at(&s, START + 100 * SCORE_HALF_LIFE_NS),
			 SCORE_NEUTRAL);
}

static void a_restored_score_has_faded_meanwhile(void **state)
{
	struct score live, loaded;
	nsec later = START + 17 * 60 * NS_PER_S;

	(void)state;
	score_init(&live, START);
	score_update(&live, SCORE_ANSWERED, START);
	score_restore(&loaded, score_at(&live, START), later - START, later);
	assert_int_equal(score_at(&loaded, later), score_at(&live, later));
	score_restore(&loaded, 0, TIME_NEVER, later);
	assert_int_equal(score_at(&loaded, later), SCORE_NEUTRAL);
	/* Time before the score was made changes nothing. */
	assert_int_equal(score_at(&live, 0), live.value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			proved_lately_beats_unknown_beats_silent_lately),
		cmocka_unit_test(the_steps_are_those_of_the_formula),
		cmocka_unit_test(a_score_stays_within_its_range),
		cmocka_unit_test(what_was_learnt_fades_to_neutral),
		cmocka_unit_test(a_restored_score_has_faded_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
