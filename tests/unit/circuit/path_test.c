#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/path.h"
#include "proto/limits.h"

/* A node for each letter. */
static struct node_id node(char c)
{
	struct node_id id = { { (uint8_t)c } };

	return id;
}

static struct hop_list path(const char *letters)
{
	struct hop_list h = { .n = strlen(letters) };

	for (size_t i = 0; i < h.n; i++)
		h.hop[i] = (struct hop){ .id = node(letters[i]),
					 .cost_100us = (uint16_t)(100 + i),
					 .mtu = (uint16_t)(1440 - i) };
	return h;
}

static void simple_paths_have_no_node_twice(void **state)
{
	static const struct {
		const char *why;
		const char *path;
		bool want;
	} cases[] = {
		{ "one link", "t", true },
		{ "all different", "abct", true },
		{ "a relay twice", "abat", false },
		{ "the target as a relay", "tabt", false },
		{ "the origin as a relay", "aot", false },
	};
	struct node_id origin = node('o');

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hop_list h = path(cases[i].path);

		if (path_is_simple(&origin, h.hop, h.n) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void half_of_the_relays_may_be_in_common(void **state)
{
	static const struct {
		const char *why;
		const char *a, *b;
		bool want;
	} cases[] = {
		{ "nothing in common", "abt", "cdt", true },
		{ "one of two", "abt", "act", true },
		{ "two of three", "abct", "abt", false },
		{ "no relay at all", "t", "abt", true },
		{ "the same", "at", "at", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hop_list a = path(cases[i].a), b = path(cases[i].b);

		if (path_is_apart(&a, &b) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void shared_links_are_counted_in_either_direction(void **state)
{
	static const struct {
		const char *why;
		const char *a, *b;
		size_t want;
	} cases[] = {
		{ "apart", "abt", "cdt", 0 },
		{ "the first link", "abt", "act", 1 },
		{ "the last link", "abt", "cbt", 1 },
		{ "the same nodes, other links", "abt", "bat", 1 },
		{ "the same path", "abct", "abct", 4 },
		{ "a direct link and a detour", "t", "at", 0 },
	};
	struct node_id origin = node('o');

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hop_list a = path(cases[i].a), b = path(cases[i].b);

		if (path_n_shared(&origin, &a, &b) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void the_cost_of_a_path_is_that_of_its_links(void **state)
{
	struct hop_list h = path("abct");

	(void)state;
	assert_int_equal(path_cost(h.hop, h.n), 100 + 101 + 102 + 103);
	assert_int_equal(path_cost(h.hop, 0), 0);
	/* Who claims to cost nothing costs the floor. */
	h.hop[0].cost_100us = 0;
	assert_int_equal(path_cost(h.hop, 1), LINK_COST_FLOOR_100US);
	h.hop[0].cost_100us = 100;
	h.n = HOPS_MAX;
	for (size_t i = 0; i < h.n; i++)
		h.hop[i].cost_100us = UINT16_MAX;
	assert_int_equal(path_cost(h.hop, h.n), HOPS_MAX * 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(simple_paths_have_no_node_twice),
		cmocka_unit_test(half_of_the_relays_may_be_in_common),
		cmocka_unit_test(shared_links_are_counted_in_either_direction),
		cmocka_unit_test(the_cost_of_a_path_is_that_of_its_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
