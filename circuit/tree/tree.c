#include "circuit/tree/tree.h"

#include <stdlib.h>

#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"

/* ---- life -------------------------------------------------------------- */

void trees_init(struct router *r, nsec now)
{
	(void)now;
	for (unsigned i = 0; i < TREES; i++) {
		struct tree *t = mem_new(t);

		t->no = i;
		t->timer.kind = TIMER_TREE;
		t->own_rank = tree_rank(i, &r->config.self.id);
		t->wait = t->beat = t->refresh = t->retry = TIME_NEVER;
		r->trees.tree[i] = t;
	}
}

static void peer_free(struct router *r, struct neighbour *n)
{
	if (n->trees == NULL)
		return;
	timers_cancel(&r->timers, &n->trees->timer);
	for (unsigned i = 0; i < TREES; i++)
		place_free(n->trees->branch[i].place);
	free(n->trees);
	n->trees = NULL;
}

void trees_deinit(struct router *r)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	peer_free(r, n);
	for (unsigned i = 0; i < TREES; i++) {
		place_free(r->trees.tree[i]->at);
		free(r->trees.tree[i]);
	}
}

/* ---- neighbours -------------------------------------------------------- */

void trees_neighbour_up(struct router *r, struct neighbour *n, nsec now)
{
	struct tree_peer *p = mem_new(p);

	p->n = n;
	p->timer.kind = TIMER_TREE_PEER;
	bucket_init(&p->beacons, BEACON_TREE_RATE, BEACON_TREE_BURST, now);
	n->trees = p;
	for (unsigned i = 0; i < TREES; i++) {
		struct tree *t = r->trees.tree[i];

		p->branch[i].due = p->branch[i].beat_due = TIME_NEVER;
		if (t->at == NULL && t->wait == TIME_NEVER)
			tree_await_root(r, t, now);
		tree_announce_to(r, t, n, now);
	}
}

static bool is_alone(const struct router *r)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	if (n->trees != NULL)
		return false;
	return true;
}

void trees_neighbour_down(struct router *r, struct neighbour *n, nsec now)
{
	peer_free(r, n);
	for (unsigned i = 0; i < TREES; i++) {
		if (is_alone(r))
			tree_leave(r, r->trees.tree[i], now);
		else if (r->trees.tree[i]->parent == n)
			tree_choose(r, r->trees.tree[i], now);
	}
}

/* The best session to it is another one now, or costs something else. */
void trees_cost_changed(struct router *r, struct neighbour *n, nsec now)
{
	if (n->trees == NULL)
		return;
	for (unsigned i = 0; i < TREES; i++) {
		struct tree *t = r->trees.tree[i];
		const struct place *p = n->trees->branch[i].place;

		if (p != NULL && tree_matters(r, t, n, p))
			tree_choose(r, t, now);
		tree_announce_to(r, t, n, now);
	}
}

/* By timers that fire at once: there the time is known. */
void trees_transit_changed(struct router *r)
{
	for (unsigned i = 0; i < TREES && !is_alone(r); i++)
		timers_set(&r->timers, &r->trees.tree[i]->timer, 0);
}

/* ---- asked by the other modules ---------------------------------------- */

const struct locator *trees_locator(const struct router *r)
{
	return &r->trees.at;
}

const struct node_id *tree_root(const struct router *r, unsigned tree)
{
	const struct tree *t = r->trees.tree[tree];

	return t->at != NULL ? &t->at->root.root : NULL;
}

bool tree_is_root(const struct router *r, unsigned tree)
{
	const struct tree *t = r->trees.tree[tree];

	return t->at != NULL && t->parent == NULL;
}

struct neighbour *tree_parent(const struct router *r, unsigned tree)
{
	return r->trees.tree[tree]->parent;
}

struct coord_ref tree_coord_of(const struct router *r,
			       const struct neighbour *n, unsigned tree)
{
	const struct node_id *root = tree_root(r, tree);
	const struct place *p =
		n->trees != NULL ? n->trees->branch[tree].place : NULL;

	if (root == NULL || p == NULL || !id_equal(root, &p->root.root))
		return (struct coord_ref){ 0 };
	return (struct coord_ref){ p->n, p->coord };
}

/* The middle one of what the roots say: a single liar does not move it far. */
uint32_t trees_n_nodes(const struct router *r, nsec now)
{
	uint32_t said[TREES], x;
	size_t n = 0, k;

	for (unsigned i = 0; i < TREES; i++) {
		const struct tree *t = r->trees.tree[i];

		if (t->at == NULL ||
		    !tree_is_alive(r, t->newest.issued_ms, now))
			continue;
		x = t->newest.n_nodes;
		for (k = n++; k > 0 && said[k - 1] > x; k--)
			said[k] = said[k - 1];
		said[k] = x;
	}
	return n > 0 ? said[n / 2] : 0;
}

uint32_t router_n_nodes(const struct router *r, nsec now)
{
	return trees_n_nodes(r, now);
}

bool router_tree_get(const struct router *r, unsigned tree,
		     struct tree_info *out)
{
	const struct tree *t = tree < TREES ? r->trees.tree[tree] : NULL;

	if (t == NULL || t->at == NULL)
		return false;
	*out = (struct tree_info){
		.root = t->at->root.root,
		.is_root = t->parent == NULL,
		.has_parent = t->parent != NULL,
		.at = r->trees.at.tree[tree],
		.root_issued_ms = t->newest.issued_ms,
		.n_nodes = t->newest.n_nodes,
	};
	if (t->parent != NULL)
		out->parent = t->parent->id;
	return true;
}
