#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/probe/seen.h"
#include "circuit/probe/target.h"
#include "proto/limits.h"

/* A node for each letter; the target is 't'.  `cost` is that of the whole. */
static struct hop_list path(const char *letters, uint16_t cost)
{
	struct hop_list h = { .n = strlen(letters) };

	for (size_t i = 0; i < h.n; i++)
		h.hop[i] = (struct hop){ .id = { { (uint8_t)letters[i] } },
					 .cost_100us = LINK_COST_FLOOR_100US };
	h.hop[0].cost_100us =
		(uint16_t)(cost - (h.n - 1) * LINK_COST_FLOOR_100US);
	return h;
}

static void the_rule_of_answers(void **state)
{
	static const struct {
		const char *why;
		const char *answered;
		uint16_t answered_cost;
		const char *path;
		uint16_t cost;
		bool want;
	} cases[] = {
		{ "the same again", "abt", 1000, "abt", 1000, false },
		{ "5 % cheaper", "abt", 1000, "abt", 950, true },
		{ "not quite 5 % cheaper", "abt", 1000, "abt", 951, false },
		{ "apart, though dearer", "abt", 1000, "cdt", 9000, true },
		{ "half of it in common", "abt", 1000, "adt", 1000, true },
		{ "more than half in common", "abct", 1000, "abdt", 1000,
		  false },
		{ "apart but for the last relay", "abct", 1000, "dect", 1000,
		  false },
		{ "straight from the origin", "abt", 1000, "t", 2000, true },
		{ "straight from the origin again", "t", 1000, "t", 1000,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hop_list first =
			path(cases[i].answered, cases[i].answered_cost);
		struct hop_list next = path(cases[i].path, cases[i].cost);
		struct seen e = { .answered = &first,
				  .n_answered = 1,
				  .best_cost = cases[i].answered_cost };

		if (target_wants(&e, &next) != cases[i].want)
			fail_msg("%s", cases[i].why);
		e.n_answered = 0;
		assert_true(target_wants(&e, &next));
	}
}

static void so_many_answers_and_no_more(void **state)
{
	struct hop_list answered[PROBE_ANSWERS_MAX];
	struct hop_list next = path("xyt", 500);
	struct seen e = { .answered = answered, .best_cost = 1000 };

	(void)state;
	for (unsigned i = 0; i < PROBE_ANSWERS_MAX; i++)
		answered[i] =
			path((const char[]){ (char)('a' + i), 't', 0 }, 1000);
	e.n_answered = PROBE_ANSWERS_MAX - 1;
	assert_true(target_wants(&e, &next));
	e.n_answered = PROBE_ANSWERS_MAX;
	assert_false(target_wants(&e, &next));
}

/* Each a tenth cheaper than the one before. */
static void one_last_relay_gets_a_part_of_the_answers(void **state)
{
	struct hop_list answered[PROBE_ANSWERS_MAX];
	struct hop_list next = path("adt", 500), other = path("act", 500);
	struct seen e = { .answered = answered, .best_cost = 1000 };

	(void)state;
	for (unsigned i = 0; i < PROBE_ANSWERS_VIA_MAX; i++)
		answered[i] = path("abdt", (uint16_t)(1000 - 100 * i));
	e.n_answered = PROBE_ANSWERS_VIA_MAX - 1;
	assert_true(target_wants(&e, &next));
	e.n_answered = PROBE_ANSWERS_VIA_MAX;
	assert_false(target_wants(&e, &next));
	assert_true(target_wants(&e, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rule_of_answers),
		cmocka_unit_test(so_many_answers_and_no_more),
		cmocka_unit_test(one_last_relay_gets_a_part_of_the_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
