/* Where nodes find their places in the beacon trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/small_mesh.h"
#include "tests/support/tree_look.h"

#define MS(t) ((t) / NS_PER_MS)

static void assert_settles(struct mesh *m, nsec most, const char *what)
{
	nsec took = look_settle(m, most);

	for (size_t i = 0; took == TIME_NEVER && i < mesh_n_nodes(m); i++)
		for (unsigned t = 0; t < TREES; t++)
			if (look_fault(m, i, t) != NULL)
				print_message("node %zu tree %u: %s\n", i, t,
					      look_fault(m, i, t));
	assert_int_not_equal(took, TIME_NEVER);
	assert_null(mesh_fault(m));
	print_message("%s: settled in %llu ms\n", what,
		      (unsigned long long)MS(took));
}

/* Every node is as near to the root as its neighbours allow, but for the
 * hysteresis. */
static void assert_is_near(const struct mesh *m)
{
	for (size_t i = 0; i < mesh_n_links(m); i++) {
		size_t end[2];

		mesh_link_ends(m, i, &end[0], &end[1]);
		for (unsigned e = 0; e < 2; e++) {
			struct coord a = look_tree(m, end[e], 0).at;
			struct coord b = look_tree(m, end[!e], 0).at;
			nsec link = mesh_link_config(m, i)->delay /
				    (100 * NS_PER_US);
			nsec over = b.hop[b.n - 1].cost +
				    (link > LINK_COST_FLOOR_100US
					     ? link
					     : LINK_COST_FLOOR_100US);

			assert_true(4 * (nsec)a.hop[a.n - 1].cost <= 5 * over);
		}
	}
}

static void a_line_that_starts_at_once_is_in_all_trees_within_6_s(void **state)
{
	struct mesh *m = look_nodes(1, 50);

	(void)state;
	for (size_t i = 0; i + 1 < 50; i++)
		mesh_add_link(m, i, i + 1, &small_link);
	assert_settles(m, 6 * NS_PER_S, "line of 50");
	assert_is_near(m);
	mesh_free(m);
}

static void a_grid_that_starts_at_once_is_in_all_trees_within_6_s(void **state)
{
	struct mesh *m = look_grid(7);

	(void)state;
	assert_settles(m, 6 * NS_PER_S, "grid of 7 x 7");
	small_pass(m, 60 * NS_PER_S);
	assert_true(look_all_right(m));
	assert_is_near(m);
	mesh_free(m);
}

static void a_ring_settles(void **state)
{
	struct mesh *m = look_ring(20);

	(void)state;
	assert_settles(m, 6 * NS_PER_S, "ring of 20");
	mesh_free(m);
}

static void random_graphs_settle_and_stay_as_they_are(void **state)
{
	uint64_t n_changes;

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct mesh *m = look_random(seed, 40, 60);

		assert_settles(m, 10 * NS_PER_S, "random graph of 40");
		small_pass(m, 120 * NS_PER_S);
		assert_true(look_all_right(m));
		assert_is_near(m);
		n_changes = look_parent_changes(m);
		small_pass(m, 600 * NS_PER_S);
		assert_int_equal(look_parent_changes(m), n_changes);
		assert_true(look_all_right(m));
		mesh_free(m);
	}
}

static void neighbours_know_each_others_places(void **state)
{
	struct mesh *m = look_random(9, 30, 40);

	(void)state;
	assert_settles(m, 10 * NS_PER_S, "random graph of 30");
	small_pass(m, 120 * NS_PER_S);
	for (size_t i = 0; i < mesh_n_links(m); i++) {
		size_t a, b;
		struct router *r;

		mesh_link_ends(m, i, &a, &b);
		r = mesh_router(m, a);
		for (unsigned t = 0; t < TREES; t++) {
			struct coord c = look_tree(m, b, t).at;
			struct neighbour *n =
				neighbour_find(r, &mesh_identity(m, b)->id);

			assert_true(coord_equal(coord_ref(&c),
						tree_coord_of(r, n, t)));
		}
	}
	mesh_free(m);
}

/* A diamond with the root at one end: the far end hangs on both sides, if the
 * trees have one root. */
static void a_second_tree_prefers_another_parent(void **state)
{
	size_t n_apart = 0, n_all = 0;

	(void)state;
	for (uint64_t seed = 20; seed < 24; seed++) {
		struct mesh *m = look_random(seed, 30, 90);

		small_pass(m, 60 * NS_PER_S);
		for (size_t i = 0; i < 30; i++) {
			size_t first = look_parent(m, i, 0);
			size_t second = look_parent(m, i, 1);

			if (first == SIZE_MAX || second == SIZE_MAX)
				continue;
			n_all++;
			n_apart += first != second;
		}
		mesh_free(m);
	}
	print_message("second tree over another parent: %zu of %zu\n", n_apart,
		      n_all);
	assert_true(n_all > 100);
	assert_true(10 * n_apart > 8 * n_all);
}

static void roots_say_how_many_nodes_there_are(void **state)
{
	struct mesh *m = look_grid(3);

	(void)state;
	assert_int_equal(router_n_nodes(mesh_router(m, 4), mesh_now(m)), 0);
	small_pass(m, 60 * NS_PER_S);
	for (size_t i = 0; i < 9; i++)
		assert_true(router_n_nodes(mesh_router(m, i), mesh_now(m)) >=
			    3);
	mesh_free(m);
}

static void who_does_not_relay_is_a_leaf(void **state)
{
	struct mesh *m = mesh_new(5);
	struct tree_info info;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		mesh_add_node(m, i != 2);
	for (size_t i = 0; i < 6; i++)
		mesh_add_link(m, i, (i + 1) % 6, &small_link);
	small_pass(m, 30 * NS_PER_S);
	for (unsigned t = 0; t < TREES; t++) {
		info = look_tree(m, 2, t);
		assert_true(info.has_parent);
		for (size_t i = 0; i < 6; i++) {
			info = look_tree(m, i, t);
			assert_int_not_equal(look_parent(m, i, t), 2);
			assert_true(info.at.n > 0);
			assert_true(i == 2 ||
				    !coord_has(coord_ref(&info.at),
					       &mesh_identity(m, 2)->id));
		}
	}
	mesh_free(m);
}

/* A node that stops relaying leaves its children and its roots to others. */
static void who_stops_relaying_is_left(void **state)
{
	struct mesh *m = look_ring(6);
	size_t root;

	(void)state;
	small_pass(m, 30 * NS_PER_S);
	root = look_root(m, 0, 0);
	router_set_transit(mesh_router(m, root), false);
	small_pass(m, NS_PER_S);
	mesh_close(m, root, 0); /* takes out what it has to say */
	small_pass(m, 10 * NS_PER_S);
	for (size_t i = 0; i < 6; i++)
		for (unsigned t = 0; t < TREES; t++) {
			struct tree_info info = look_tree(m, i, t);

			assert_true(info.at.n > 0);
			assert_true(i == root ||
				    !coord_has(coord_ref(&info.at),
					       &mesh_identity(m, root)->id));
		}
	mesh_free(m);
}

/* ---- many neighbours ---------------------------------------------------- */

static bool take_any_chain(void *ctx, const uint8_t *chain, size_t len,
			   struct identity *out)
{
	(void)ctx, (void)chain, (void)len, (void)out;
	return true;
}

static struct identity identity_of_number(unsigned i)
{
	struct identity who = { .not_after_s = INT64_MAX / 2 };

	memcpy(who.key.b, &i, sizeof i);
	who.hash = hash_of_key(&who.key);
	who.id = id_of_hash(&who.hash);
	return who;
}

/* A signature for each neighbour and tree: other work gets its turn between
 * them. */
static void many_neighbours_are_told_one_by_one(void **state)
{
	enum {
		N = 1000
	};
	const struct msg_link link = { .cost_100us = 100, .mtu = 1440 };
	struct router_config config = { .check = take_any_chain,
					.crypto = &mesh_cheap_crypto,
					.self = identity_of_number(1),
					.transit = true };
	static const struct sign_key key;
	struct router *r;
	struct router_send out;
	size_t n_beacons = 0, n_once, n_most = 0;
	nsec now = NS_PER_S;

	(void)state;
	config.key = &key;
	config.chain = key.public.b;
	config.chain_len = KEY_LEN;
	r = router_new(&config, now);
	for (unsigned i = 0; i < N; i++) {
		struct identity who = identity_of_number(2 + i);

		router_session_up(r, i + 1, &who, who.key.b, KEY_LEN, &link,
				  now);
	}
	while (router_next_send(r, &out))
		;
	while (now < 3 * NS_PER_S) {
		now = router_deadline(r);
		router_handle_timeout(r, now);
		for (n_once = 0; router_next_send(r, &out);)
			n_once += out.msg->type == MSG_BEACON;
		n_beacons += n_once;
		if (n_once > n_most)
			n_most = n_once;
	}
	assert_int_equal(n_beacons, N * TREES);
	assert_in_range(n_most, 1, TREES);
	router_free(r);
}

/* In tree 0 of a ring of four the node opposite of the root has two ways of 20
 * ms.  That of its parent gets dearer: from a fourth more on the other way
 * costs less than four fifths of it. */
static void a_parent_is_left_for_one_that_is_cheaper_by_a_fifth(void **state)
{
	static const struct {
		uint16_t cost_100us; /* between the parent and the root */
		bool is_left;
	} cases[] = {
		{ 130, false }, { 148, false }, { 150, false },
		{ 151, true },  { 190, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mesh *m = look_ring(4);
		const struct msg_link dear = {
			.cost_100us = cases[i].cost_100us,
			.mtu = 1440,
		};
		size_t root, far, parent, link = 0, end[2];

		assert_settles(m, 6 * NS_PER_S, "ring of 4");
		small_pass(m, 60 * NS_PER_S);
		root = look_root(m, 0, 0);
		far = (root + 2) % 4;
		parent = look_parent(m, far, 0);
		for (size_t k = 0; k < mesh_n_links(m); k++) {
			mesh_link_ends(m, k, &end[0], &end[1]);
			if ((end[0] == root && end[1] == parent) ||
			    (end[0] == parent && end[1] == root))
				link = k;
		}
		router_session_measured(mesh_router(m, parent),
					mesh_session(m, parent, link), &dear,
					mesh_now(m));
		mesh_pump(m, parent);
		small_pass(m, 30 * NS_PER_S);
		assert_int_equal(look_parent(m, far, 0) != parent,
				 cases[i].is_left);
		mesh_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_line_that_starts_at_once_is_in_all_trees_within_6_s),
		cmocka_unit_test(
			a_grid_that_starts_at_once_is_in_all_trees_within_6_s),
		cmocka_unit_test(a_ring_settles),
		cmocka_unit_test(random_graphs_settle_and_stay_as_they_are),
		cmocka_unit_test(neighbours_know_each_others_places),
		cmocka_unit_test(a_second_tree_prefers_another_parent),
		cmocka_unit_test(roots_say_how_many_nodes_there_are),
		cmocka_unit_test(
			a_parent_is_left_for_one_that_is_cheaper_by_a_fifth),
		cmocka_unit_test(who_does_not_relay_is_a_leaf),
		cmocka_unit_test(who_stops_relaying_is_left),
		cmocka_unit_test(many_neighbours_are_told_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
