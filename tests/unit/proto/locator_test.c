#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/locator.h"
#include "tests/support/msgs.h"

static struct node_id id_of(char c)
{
	struct node_id id;

	memset(id.b, c, sizeof id.b);
	return id;
}

/* A letter for each node, its cost beside it. */
static struct coord path(const char *nodes, const uint16_t *costs)
{
	struct coord c = { .n = strlen(nodes) };

	for (size_t i = 0; i < c.n; i++)
		c.hop[i] = (struct coord_hop){ id_of(nodes[i]), costs[i] };
	return c;
}

static void distance_goes_up_to_the_last_common_node_and_down(void **state)
{
	static const struct {
		const char *why;
		const char *a, *b;
		uint16_t costs_a[4], costs_b[4];
		uint32_t distance, links;
	} cases[] = {
		{ "a node and itself",
		  "rab",
		  "rab",
		  { 0, 100, 250 },
		  { 0, 100, 250 },
		  0,
		  0 },
		{ "brothers",
		  "rab",
		  "rac",
		  { 0, 100, 250 },
		  { 0, 100, 400 },
		  450,
		  2 },
		{ "parent and child",
		  "ra",
		  "rab",
		  { 0, 100 },
		  { 0, 100, 250 },
		  150,
		  1 },
		{ "child and parent",
		  "rab",
		  "ra",
		  { 0, 100, 250 },
		  { 0, 100 },
		  150,
		  1 },
		{ "the root alone in common",
		  "rabc",
		  "rxyz",
		  { 0, 1, 2, 3 },
		  { 0, 10, 20, 30 },
		  33,
		  6 },
		{ "the root itself", "r", "rabc", { 0 }, { 0, 1, 2, 3 }, 3, 3 },
		{ "each end has its own costs of the common part",
		  "rab",
		  "rac",
		  { 0, 100, 150 },
		  { 0, 500, 570 },
		  120,
		  2 },
		{ "no paths meet again below where they part",
		  "rabz",
		  "rcbz",
		  { 0, 1, 2, 3 },
		  { 0, 1, 2, 3 },
		  6,
		  6 },
		{ "the costliest of all",
		  "ra",
		  "rb",
		  { 0, 65535 },
		  { 0, 65535 },
		  131070,
		  2 },
		{ "another root",
		  "rab",
		  "sab",
		  { 0, 1, 2 },
		  { 0, 1, 2 },
		  COORD_DISTANCE_NONE,
		  COORD_DISTANCE_NONE },
		{ "one is not in the tree",
		  "",
		  "ra",
		  { 0 },
		  { 0, 1 },
		  COORD_DISTANCE_NONE,
		  COORD_DISTANCE_NONE },
		{ "neither is in the tree",
		  "",
		  "",
		  { 0 },
		  { 0 },
		  COORD_DISTANCE_NONE,
		  COORD_DISTANCE_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct coord a = path(cases[i].a, cases[i].costs_a);
		struct coord b = path(cases[i].b, cases[i].costs_b);
		struct coord_ref x = coord_ref(&a), y = coord_ref(&b);

		if (coord_distance(x, y) != cases[i].distance ||
		    coord_distance(y, x) != cases[i].distance)
			fail_msg("distance: %s", cases[i].why);
		if (coord_links(x, y) != cases[i].links ||
		    coord_links(y, x) != cases[i].links)
			fail_msg("links: %s", cases[i].why);
	}
}

static void coordinates_are_equal_in_nodes_and_costs(void **state)
{
	const uint16_t costs[] = { 0, 5, 9 };
	const struct coord a = path("rab", costs);
	struct coord b = a;

	(void)state;
	assert_true(coord_equal(coord_ref(&a), coord_ref(&b)));
	b.hop[2].cost++;
	assert_false(coord_equal(coord_ref(&a), coord_ref(&b)));
	b = a;
	b.hop[1].id = id_of('x');
	assert_false(coord_equal(coord_ref(&a), coord_ref(&b)));
	b = a;
	b.n = 2;
	assert_false(coord_equal(coord_ref(&a), coord_ref(&b)));
	assert_false(coord_equal(coord_ref(&b), coord_ref(&a)));
	b.n = 0;
	assert_false(coord_equal(coord_ref(&a), coord_ref(&b)));
	assert_true(coord_equal(coord_ref(&b), coord_ref(&b)));
}

static void a_coordinate_has_the_nodes_of_its_path(void **state)
{
	const uint16_t costs[] = { 0, 5, 9 };
	const struct coord a = path("rab", costs);
	const struct node_id root = id_of('r'), leaf = id_of('b'),
			     none = id_of('c');

	(void)state;
	assert_true(coord_has(coord_ref(&a), &root));
	assert_true(coord_has(coord_ref(&a), &leaf));
	assert_false(coord_has(coord_ref(&a), &none));
	assert_false(coord_has((struct coord_ref){ 0, a.hop }, &root));
}

static void a_locator_has_these_bytes(void **state)
{
	const uint16_t costs[] = { 0, 0x0102 };
	struct locator l = { 0 };
	uint8_t out[LOCATOR_BYTES_MAX];
	char hex[2 * sizeof out + 1];
	struct buf b = buf_of(out, sizeof out);

	(void)state;
	l.tree[1] = path("ab", costs);
	l.tree[3] = path("c", costs);
	locator_write(&b, &l);
	text_hex(hex, out, b.len);
	assert_string_equal(hex, "00"
				 "02"
				 "61616161616161616161"
				 "0000"
				 "62626262626262626262"
				 "0102"
				 "00"
				 "01"
				 "63636363636363636363"
				 "0000");
	assert_int_equal(coord_bytes(&l.tree[0]), 1);
	assert_int_equal(coord_bytes(&l.tree[1]), 25);
}

static void paths_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *why;
		const char *nodes;
		uint16_t costs[4];
		size_t n_cut;
		bool is_good;
	} cases[] = {
		{ "a path", "rab", { 0, 5, 9 }, 0, true },
		{ "links that cost nothing", "rab", { 0, 0, 0 }, 0, true },
		{ "the highest cost", "rab", { 0, 65535, 65535 }, 0, true },
		{ "not in the tree", "", { 0 }, 0, true },
		{ "a root with a cost", "r", { 1 }, 0, false },
		{ "a cost that falls", "rab", { 0, 5, 4 }, 0, false },
		{ "a loop", "rabr", { 0, 1, 2, 3 }, 0, false },
		{ "a node after itself", "raab", { 0, 1, 2, 3 }, 0, false },
		{ "a byte is missing", "rab", { 0, 5, 9 }, 1, false },
		{ "a node is missing", "rab", { 0, 5, 9 }, 12, false },
		{ "nothing at all", "", { 0 }, 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct coord c = path(cases[i].nodes, cases[i].costs), got;
		uint8_t out[1 + 4 * 12];
		struct buf b = buf_of(out, sizeof out);
		struct view v;

		coord_write(&b, &c);
		assert_int_equal(b.len, coord_bytes(&c));
		v = view_of(out, b.len - cases[i].n_cut);
		if (coord_read(&got, &v) != cases[i].is_good)
			fail_msg("%s", cases[i].why);
		if (cases[i].is_good)
			assert_true(
				coord_equal(coord_ref(&c), coord_ref(&got)));
	}
}

static void a_path_may_have_64_nodes_and_no_more(void **state)
{
	(void)state;
	for (uint8_t n = TREE_PATH_MAX - 1; n <= TREE_PATH_MAX + 1; n++) {
		uint8_t data[1 + 65 * 12] = { n };
		struct view v = view_of(data, 1 + n * (size_t)12);
		struct coord got;

		for (uint8_t i = 0; i < n; i++)
			data[1 + i * 12] = i;
		assert_int_equal(coord_read(&got, &v), n <= TREE_PATH_MAX);
		if (n <= TREE_PATH_MAX)
			assert_int_equal(got.n, n);
	}
}

static void locators_survive_the_wire(void **state)
{
	const struct node_id leaf = id_of('x'), other = id_of('y');
	struct rng r;

	(void)state;
	rng_init(&r, 1);
	for (int i = 0; i < 200; i++) {
		static struct locator l, got;
		uint8_t out[LOCATOR_BYTES_MAX];
		struct buf b = buf_of(out, sizeof out);
		struct view v;

		locator_random(&l, &leaf, &r);
		l.tree[0].n += l.tree[0].n == 0;
		l.tree[0].hop[0].cost = 0;
		l.tree[0].hop[l.tree[0].n - 1].id = leaf;
		locator_write(&b, &l);
		assert_false(b.bad);
		v = view_of(out, b.len);
		assert_true(locator_read(&got, &v));
		assert_int_equal(view_left(&v), 0);
		assert_true(locator_equal(&l, &got));
		assert_true(locator_is_of(&got, &leaf));
		assert_false(locator_is_of(&got, &other));
		v = view_of(out, b.len - 1);
		assert_false(locator_read(&got, &v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			distance_goes_up_to_the_last_common_node_and_down),
		cmocka_unit_test(coordinates_are_equal_in_nodes_and_costs),
		cmocka_unit_test(a_coordinate_has_the_nodes_of_its_path),
		cmocka_unit_test(a_locator_has_these_bytes),
		cmocka_unit_test(paths_that_cannot_be_are_refused),
		cmocka_unit_test(a_path_may_have_64_nodes_and_no_more),
		cmocka_unit_test(locators_survive_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
