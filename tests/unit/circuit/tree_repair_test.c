/* Trees that lose roots, links and nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/small_mesh.h"
#include "tests/support/tree_look.h"

#define MS(t) ((unsigned long long)((t) / NS_PER_MS))

static nsec settled(struct mesh *m, nsec most, const char *what)
{
	nsec took = look_settle(m, most);

	for (size_t i = 0; took == TIME_NEVER && i < mesh_n_nodes(m); i++)
		for (unsigned t = 0; mesh_is_alive(m, i) && t < TREES; t++)
			if (look_fault(m, i, t) != NULL)
				print_message("node %zu tree %u: %s\n", i, t,
					      look_fault(m, i, t));
	print_message("%s: %llu ms\n", what, MS(took));
	assert_int_not_equal(took, TIME_NEVER);
	assert_null(mesh_fault(m));
	return took;
}

static struct mesh *settled_mesh(struct mesh *m)
{
	settled(m, 10 * NS_PER_S, "cold start");
	small_pass(m, 120 * NS_PER_S);
	return m;
}

/* Makes sure that no other node's place is cut off by it. */
static void a_root_that_dies_is_replaced_within_seconds(void **state)
{
	struct mesh *m = settled_mesh(look_grid(7));
	size_t root = look_root(m, 0, 0);

	(void)state;
	mesh_kill(m, root);
	settled(m, 5 * NS_PER_S, "grid: a root dies");
	mesh_revive(m, root);
	settled(m, 5 * NS_PER_S, "grid: it comes back");
	assert_int_equal(look_root(m, 0, 0), root);
	mesh_free(m);
}

static void all_roots_may_die_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct mesh *m = settled_mesh(look_random(seed, 40, 60));
		size_t roots[TREES];

		for (unsigned t = 0; t < TREES; t++)
			roots[t] = look_root(m, 0, t);
		for (unsigned t = 0; t < TREES; t++)
			if (mesh_is_alive(m, roots[t]))
				mesh_kill(m, roots[t]);
		settled(m, 10 * NS_PER_S, "random: all four roots die");
		small_pass(m, 200 * NS_PER_S);
		assert_true(look_all_right(m));
		mesh_free(m);
	}
}

static void roots_die_one_after_the_other(void **state)
{
	struct mesh *m = settled_mesh(look_grid(6));

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		size_t any = 0;

		while (!mesh_is_alive(m, any))
			any++;
		mesh_kill(m, look_root(m, any, i % TREES));
		settled(m, 15 * NS_PER_S, "grid: another root dies");
		small_pass(m, 10 * NS_PER_S);
	}
	mesh_free(m);
}

static void halves_of_a_ring_part_and_join_again(void **state)
{
	struct mesh *m = settled_mesh(look_ring(20));

	(void)state;
	mesh_cut(m, 4);
	mesh_cut(m, 14);
	settled(m, 15 * NS_PER_S, "ring: cut in halves");
	assert_int_not_equal(look_root(m, 0, 0), look_root(m, 10, 0));
	small_pass(m, 300 * NS_PER_S);
	assert_true(look_all_right(m));
	mesh_heal(m, 4);
	settled(m, 5 * NS_PER_S, "ring: joined at one end");
	mesh_heal(m, 14);
	small_pass(m, 60 * NS_PER_S);
	assert_true(look_all_right(m));
	mesh_free(m);
}

static void a_node_that_moves_is_found_at_its_new_place(void **state)
{
	struct mesh *m = look_grid(5);
	size_t leaf = look_root(m, 0, 0) == 0 ? 24 : 0;
	size_t far = 24 - leaf;
	struct tree_info before, after;
	size_t link, a, b;

	(void)state;
	settled_mesh(m);
	before = look_tree(m, leaf, 0);
	for (link = 0; link < mesh_n_links(m); link++) {
		mesh_link_ends(m, link, &a, &b);
		if (a == leaf || b == leaf)
			mesh_cut(m, link);
	}
	mesh_add_link(m, leaf, far, &small_link);
	settled(m, 5 * NS_PER_S, "grid: a corner moves to the other");
	after = look_tree(m, leaf, 0);
	assert_int_equal(mesh_find(m, &after.parent), far);
	assert_false(id_equal(&before.parent, &after.parent));
	mesh_free(m);
}

/* A link between two nodes of which neither is the other's parent. */
static size_t unused_link(const struct mesh *m)
{
	for (size_t i = 0; i < mesh_n_links(m); i++) {
		size_t a, b;
		bool is_used = false;

		mesh_link_ends(m, i, &a, &b);
		for (unsigned t = 0; t < TREES; t++)
			is_used |= look_parent(m, a, t) == b ||
				   look_parent(m, b, t) == a;
		if (!is_used)
			return i;
	}
	return SIZE_MAX;
}

static void the_loss_of_a_link_that_is_in_no_tree_changes_nothing(void **state)
{
	struct mesh *m = settled_mesh(look_random(3, 40, 100));
	size_t link = unused_link(m);
	uint64_t n_sent = look_beacons_sent(m);
	uint64_t n_changes = look_parent_changes(m);

	(void)state;
	assert_int_not_equal(link, SIZE_MAX);
	mesh_cut(m, link);
	small_pass(m, 10 * NS_PER_S);
	assert_int_equal(look_beacons_sent(m), n_sent);
	assert_int_equal(look_parent_changes(m), n_changes);
	assert_true(look_all_right(m));
	mesh_free(m);
}

/* ---- roots that fall silent --------------------------------------------- */

struct silence {
	bool is_on;
	uint64_t n;
};

static bool drop_beats(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct silence *s = ctx;

	(void)from, (void)to;
	if (!s->is_on || m->type != MSG_BEAT)
		return true;
	s->n++;
	return false;
}

/* Its session stands, its beacons are there, but nothing new is heard of it. */
static void a_root_that_is_silent_is_dead_after_three_beats(void **state)
{
	struct mesh *m = settled_mesh(small_line(5));
	struct silence s = { .is_on = true };
	size_t root = look_root(m, 0, 0);
	nsec start = mesh_now(m);
	nsec first = TIME_NEVER;

	(void)state;
	mesh_set_filter(m, drop_beats, &s);
	while (mesh_now(m) - start < 200 * NS_PER_S) {
		small_pass(m, 100 * NS_PER_MS);
		for (size_t i = 0; i < 5 && first == TIME_NEVER; i++) {
			struct tree_info info = look_tree(m, i, 0);

			if (mesh_find(m, &info.root) != root)
				first = mesh_now(m) - start;
		}
	}
	print_message("silent root: left after %llu ms\n", MS(first));
	assert_true(s.n > 0);
	/* The last beat may have been 60 s old. */
	assert_true(first >= 115 * NS_PER_S && first <= 180 * NS_PER_S);
	s.is_on = false;
	settled(m, 65 * NS_PER_S, "its beats are heard again");
	mesh_free(m);
}

/* ---- cost --------------------------------------------------------------- */

/* With each change within the hold-down, at most one beacon and one word that
 * it is void. */
static void a_flapping_link_is_damped(void **state)
{
	struct mesh *m = settled_mesh(look_ring(8));
	size_t root = look_root(m, 0, 0);
	/* The link at the root over which half of the ring hangs. */
	size_t link = root, watched = (root + 3) % 8;
	uint64_t n = small_counters(m, watched)->n_sent[MSG_BEACON], n_sent;
	unsigned n_flaps = 0;

	(void)state;
	for (; n_flaps < 60; n_flaps++) {
		mesh_cut(m, link);
		small_pass(m, NS_PER_S);
		mesh_heal(m, link);
		small_pass(m, NS_PER_S);
	}
	n_sent = small_counters(m, watched)->n_sent[MSG_BEACON] - n;
	print_message("120 s of flaps, one a second: %llu beacons of a node "
		      "behind, to 2 neighbours in %d trees\n",
		      (unsigned long long)n_sent, TREES);
	/* 0.2 + 1 + 2 + 4 + 8 + 16 + 32 s, and then one a minute. */
	assert_true(n_sent <= 2 * 2 * TREES * 8);
	assert_true(n_sent > 0);
	settled(m, 61 * NS_PER_S, "after the flaps");
	mesh_free(m);
}

struct traffic {
	uint64_t n, n_bytes;
};

static bool count_traffic(void *ctx, size_t from, size_t to, struct msg *m)
{
	static uint8_t bytes[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
	struct traffic *t = ctx;

	(void)from, (void)to;
	t->n++;
	t->n_bytes += msg_write(bytes, sizeof bytes, m);
	return true;
}

static void idle_trees_cost_little(void **state)
{
	struct mesh *m = settled_mesh(look_random(7, 50, 75));
	struct traffic t = { 0 };
	const nsec time = 1800 * NS_PER_S;
	double per_s;

	(void)state;
	mesh_set_filter(m, count_traffic, &t);
	small_pass(m, time);
	per_s = (double)t.n_bytes / 50 / (double)(time / NS_PER_S);
	print_message("50 nodes, 124 links, idle: %.1f bytes/s and %.3f "
		      "messages/s sent by each\n",
		      per_s, (double)t.n / 50 / (double)(time / NS_PER_S));
	assert_true(t.n > 0);
	assert_true(per_s < 60);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_root_that_dies_is_replaced_within_seconds),
		cmocka_unit_test(all_roots_may_die_at_once),
		cmocka_unit_test(roots_die_one_after_the_other),
		cmocka_unit_test(halves_of_a_ring_part_and_join_again),
		cmocka_unit_test(a_node_that_moves_is_found_at_its_new_place),
		cmocka_unit_test(
			the_loss_of_a_link_that_is_in_no_tree_changes_nothing),
		cmocka_unit_test(
			a_root_that_is_silent_is_dead_after_three_beats),
		cmocka_unit_test(a_flapping_link_is_damped),
		cmocka_unit_test(idle_trees_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
