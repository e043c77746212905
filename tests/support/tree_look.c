#include "tests/support/tree_look.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/support/small_mesh.h"

/* How closely a time is measured. */
#define STEP_NS (10 * NS_PER_MS)

/* ---- the graph --------------------------------------------------------- */

static void mark_reached(const struct mesh *m, size_t node, bool *is_reached)
{
	bool grows = true;

	memset(is_reached, 0, mesh_n_nodes(m) * sizeof *is_reached);
	is_reached[node] = true;
	while (grows) {
		grows = false;
		for (size_t i = 0; i < mesh_n_links(m); i++) {
			size_t a, b;

			mesh_link_ends(m, i, &a, &b);
			if (!mesh_link_is_up(m, i) ||
			    is_reached[a] == is_reached[b])
				continue;
			is_reached[a] = is_reached[b] = grows = true;
		}
	}
}

static struct node_hash hash_for_root(const struct mesh *m, size_t node,
				      unsigned tree)
{
	uint8_t in[5 + ID_LEN] = { 'r', 'o', 'o', 't', (uint8_t)tree };

	memcpy(in + 5, mesh_identity(m, node)->id.b, ID_LEN);
	return hash_of(in, sizeof in);
}

size_t look_root(const struct mesh *m, size_t node, unsigned tree)
{
	bool *is_reached = mem_calloc(mesh_n_nodes(m), sizeof *is_reached);
	struct node_hash best, h;
	size_t root = SIZE_MAX;

	mark_reached(m, node, is_reached);
	for (size_t i = 0; i < mesh_n_nodes(m); i++) {
		if (!is_reached[i])
			continue;
		h = hash_for_root(m, i, tree);
		if (root == SIZE_MAX || memcmp(&h, &best, sizeof h) < 0) {
			best = h;
			root = i;
		}
	}
	free(is_reached);
	return root;
}

static size_t live_link(const struct mesh *m, size_t x, size_t y)
{
	size_t a, b;

	for (size_t i = 0; i < mesh_n_links(m); i++) {
		mesh_link_ends(m, i, &a, &b);
		if (mesh_link_is_up(m, i) &&
		    ((a == x && b == y) || (a == y && b == x)))
			return i;
	}
	return SIZE_MAX;
}

static bool has_link(const struct mesh *m, size_t node)
{
	size_t a, b;

	for (size_t i = 0; i < mesh_n_links(m); i++) {
		mesh_link_ends(m, i, &a, &b);
		if (mesh_link_is_up(m, i) && (a == node || b == node))
			return true;
	}
	return false;
}

static unsigned true_cost(const struct mesh *m, size_t link)
{
	nsec cost = mesh_link_config(m, link)->delay / (100 * NS_PER_US);

	return cost > LINK_COST_FLOOR_100US ? (unsigned)cost
					    : LINK_COST_FLOOR_100US;
}

/* ---- what is believed -------------------------------------------------- */

struct tree_info look_tree(const struct mesh *m, size_t node, unsigned tree)
{
	struct tree_info info = { 0 };

	router_tree_get(mesh_router(m, node), tree, &info);
	return info;
}

size_t look_parent(const struct mesh *m, size_t node, unsigned tree)
{
	struct tree_info info = look_tree(m, node, tree);

	return info.has_parent ? mesh_find(m, &info.parent) : SIZE_MAX;
}

const char *look_fault(const struct mesh *m, size_t node, unsigned tree)
{
	struct tree_info info = look_tree(m, node, tree);
	const struct coord *c = &info.at;
	unsigned sum = 0;

	if (c->n == 0)
		return "it is nowhere";
	if (mesh_find(m, &c->hop[0].id) != look_root(m, node, tree))
		return "another root";
	if (mesh_find(m, &c->hop[c->n - 1].id) != node)
		return "its path does not end at it";
	if (info.is_root != (c->n == 1) || info.has_parent != (c->n > 1))
		return "its parent does not fit its path";
	for (size_t i = 0; i < c->n; i++) {
		size_t link;

		if (c->hop[i].cost != sum)
			return "wrong costs";
		if (i + 1 == c->n)
			return NULL;
		link = live_link(m, mesh_find(m, &c->hop[i].id),
				 mesh_find(m, &c->hop[i + 1].id));
		if (link == SIZE_MAX)
			return "its path has a link that is not there";
		sum += true_cost(m, link);
	}
	return NULL;
}

bool look_all_right(const struct mesh *m)
{
	for (size_t i = 0; i < mesh_n_nodes(m); i++) {
		if (!mesh_is_alive(m, i) || !has_link(m, i))
			continue;
		for (unsigned t = 0; t < TREES; t++)
			if (look_fault(m, i, t) != NULL)
				return false;
	}
	return true;
}

nsec look_settle(struct mesh *m, nsec most)
{
	nsec start = mesh_now(m);

	while (mesh_now(m) - start <= most) {
		if (look_all_right(m))
			return mesh_now(m) - start;
		small_pass(m, STEP_NS);
	}
	return TIME_NEVER;
}

uint64_t look_beacons_sent(const struct mesh *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < mesh_n_nodes(m); i++)
		if (mesh_is_alive(m, i))
			n += small_counters(m, i)->n_sent[MSG_BEACON];
	return n;
}

uint64_t look_parent_changes(const struct mesh *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < mesh_n_nodes(m); i++)
		if (mesh_is_alive(m, i))
			n += small_counters(m, i)->n_parent_changes;
	return n;
}

/* ---- graphs ------------------------------------------------------------ */

struct mesh *look_nodes(uint64_t seed, size_t n)
{
	const struct mesh_options options = {
		.flood_below = FLOOD_BELOW,
		.is_cheap = true,
	};
	struct mesh *m = mesh_new_with(seed, &options);

	for (size_t i = 0; i < n; i++)
		mesh_add_node(m, true);
	return m;
}

struct mesh *look_grid(size_t n)
{
	struct mesh *m = look_nodes(1, n * n);

	for (size_t i = 0; i < n * n; i++) {
		if (i % n + 1 < n)
			mesh_add_link(m, i, i + 1, &small_link);
		if (i + n < n * n)
			mesh_add_link(m, i, i + n, &small_link);
	}
	return m;
}

struct mesh *look_ring(size_t n)
{
	struct mesh *m = look_nodes(1, n);

	for (size_t i = 0; i < n; i++)
		mesh_add_link(m, i, (i + 1) % n, &small_link);
	return m;
}

static void add_random_link(struct mesh *m, struct rng *rng, size_t a, size_t b)
{
	struct mesh_link link = small_link;

	link.delay = NS_PER_MS * (1 + rng_below(rng, 40));
	mesh_add_link(m, a, b, &link);
}

struct mesh *look_random(uint64_t seed, size_t n, size_t n_more)
{
	struct mesh *m = look_nodes(seed, n);
	struct rng rng;

	rng_init(&rng, seed);
	for (size_t i = 1; i < n; i++)
		add_random_link(m, &rng, i, rng_below(&rng, i));
	while (n_more > 0) {
		size_t a = rng_below(&rng, n), b = rng_below(&rng, n);

		if (a == b || live_link(m, a, b) != SIZE_MAX)
			continue;
		add_random_link(m, &rng, a, b);
		n_more--;
	}
	return m;
}
