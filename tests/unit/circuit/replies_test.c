#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "circuit/probe/replies.h"

static const struct msg_link told = { .cost_100us = 300, .mtu = 1400 };

static void one_code_stands_for_all(void **state)
{
	static const struct {
		const char *why;
		enum nak_code codes[3];
		enum nak_code want;
		bool is_flawed;
	} cases[] = {
		{ "only duplicates",
		  { NAK_DUPLICATE, NAK_DUPLICATE, NAK_DUPLICATE },
		  NAK_DUPLICATE,
		  false },
		{ "a duplicate says nothing beside a dead end",
		  { NAK_DUPLICATE, NAK_DEAD_END, NAK_DUPLICATE },
		  NAK_DEAD_END,
		  false },
		{ "a larger ring may help",
		  { NAK_TTL, NAK_DEAD_END, NAK_DUPLICATE },
		  NAK_TTL,
		  false },
		{ "a quota hides all else",
		  { NAK_TTL, NAK_DEAD_END, NAK_RATE },
		  NAK_RATE,
		  true },
		{ "silence hides all else",
		  { NAK_TIMEOUT, NAK_DEAD_END, NAK_TTL },
		  NAK_TIMEOUT,
		  true },
		{ "a link that went down hides all else",
		  { NAK_DEAD_END, NAK_TTL, NAK_LINK },
		  NAK_LINK,
		  true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct replies rs = { 0 };

		for (session_no s = 1; s <= 3; s++)
			replies_expect(&rs, s, &told);
		for (session_no s = 1; s <= 3; s++) {
			assert_int_equal(rs.n_owed, 4 - s);
			assert_true(replies_nak(&rs, s, cases[i].codes[s - 1]));
		}
		if (replies_sum(&rs) != cases[i].want ||
		    replies_are_flawed(&rs) != cases[i].is_flawed)
			fail_msg("%s", cases[i].why);
		replies_deinit(&rs);
	}
}

static void each_session_replies_once(void **state)
{
	struct replies rs = { 0 };

	(void)state;
	replies_expect(&rs, 1, &told);
	replies_expect(&rs, 2, &told);
	assert_false(replies_nak(&rs, 3, NAK_DEAD_END));
	assert_true(replies_nak(&rs, 1, NAK_DEAD_END));
	assert_false(replies_nak(&rs, 1, NAK_TTL));
	assert_false(replies_have(&rs, NAK_TTL));
	replies_answer(&rs, 2);
	assert_int_equal(rs.n_owed, 0);
	assert_true(rs.has_answer);
	assert_false(replies_nak(&rs, 2, NAK_DEAD_END));
	assert_true(replies_was_sent(&rs, 2));
	assert_false(replies_is_owed(&rs, 2));
	assert_false(replies_was_sent(&rs, 3));
	replies_deinit(&rs);
}

static void nobody_makes_a_link_better_than_we_claim(void **state)
{
	static const struct {
		const char *why;
		struct hop hop;
		bool want;
	} cases[] = {
		{ "as claimed", { .cost_100us = 300, .mtu = 1400 }, true },
		{ "worse", { .cost_100us = 900, .mtu = 1200 }, true },
		{ "cheaper", { .cost_100us = 299, .mtu = 1400 }, false },
		{ "wider", { .cost_100us = 300, .mtu = 1401 }, false },
	};
	struct replies rs = { 0 };

	(void)state;
	replies_expect(&rs, 1, &told);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (replies_allow(&rs, 1, &cases[i].hop) != cases[i].want)
			fail_msg("%s", cases[i].why);
	assert_false(replies_allow(&rs, 2, &cases[0].hop));
	replies_deinit(&rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_code_stands_for_all),
		cmocka_unit_test(each_session_replies_once),
		cmocka_unit_test(nobody_makes_a_link_better_than_we_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
