/* Lookups of our own: replica after replica.  protocol.md 11.5 */
#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

/* So many replicas have to say that there is none. */
#define ABSENT_ENOUGH 2
/* So often all of them are asked, each time over other neighbours. */
#define PASSES 3

struct lookup {
	struct node_id id;
	unsigned tried; /* a bit for each replica, in this pass */
	unsigned pass;
	struct nonce nonce; /* of the last try */
	uint64_t newer_than_ms;
	unsigned n_absent;
	struct node_id absent[RECORD_REPLICAS]; /* who said so */
	UT_hash_handle hh;
};

static void lookup_free(struct router *r, struct lookup *l)
{
	HASH_DEL(r->requests.lookups, l);
	free(l);
}

void lookups_deinit(struct router *r)
{
	struct lookup *l, *next;

	HASH_ITER (hh, r->requests.lookups, l, next)
		lookup_free(r, l);
}

static struct lookup *lookup_find(struct router *r, const struct node_id *id)
{
	struct lookup *l;

	TABLE_FIND(&r->table_key, hh, r->requests.lookups, id, sizeof *id, l);
	return l;
}

static void end(struct router *r, struct lookup *l, enum lookup_verdict v,
		nsec now)
{
	struct node_id id = l->id;

	r->n.n_lookups_absent += v == LOOKUP_ABSENT;
	r->n.n_lookups_failed += v == LOOKUP_FAILED;
	lookup_free(r, l);
	seek_looked_up(r, &id, v, now);
}

/* ---- tries ------------------------------------------------------------- */

static bool has_said(const struct lookup *l, const struct node_id *replica)
{
	for (unsigned i = 0; i < l->n_absent; i++)
		if (id_equal(&l->absent[i], replica))
			return true;
	return false;
}

static void note_absent(struct lookup *l, const struct node_id *replica)
{
	if (!has_said(l, replica))
		l->absent[l->n_absent++] = *replica;
}

static bool send(struct router *r, struct lookup *l, unsigned tree, nsec now)
{
	struct msg_lookup *out;
	struct request_way w;
	struct request *q;

	if (l->pass > 0 ? !request_way_around(r, tree, l->pass, &w)
			: !request_way(r, &l->id, tree, NULL, NULL, &w, now))
		return false;
	q = request_own(r, MSG_LOOKUP, &l->id, tree, &w, now);
	q->newer_than_ms = l->newer_than_ms;
	l->nonce = q->key.nonce;
	out = &core_send(r, w.to->no, MSG_LOOKUP)->lookup;
	out->nonce = l->nonce;
	out->tree = (uint8_t)tree;
	out->hops_left = REQUEST_HOPS_MAX;
	out->id = l->id;
	out->newer_than_ms = q->newer_than_ms;
	out->has_appointment = w.is_over;
	if (w.is_over)
		out->appointment = w.appointment;
	return true;
}

/* True if a reply is to be waited for.  A replica that has said so already in
 * another tree would say the same; we ourselves have looked. */
static bool try_tree(struct router *r, struct lookup *l, unsigned tree,
		     nsec now)
{
	const struct node_id *root = tree_root(r, tree);

	if (root == NULL || has_said(l, root))
		return false;
	if (!request_ends_here(r, &l->id, tree, now))
		return send(r, l, tree, now);
	if (records_are_settled(r, tree, now))
		note_absent(l, root);
	return false;
}

static uint32_t way_up(const struct router *r, unsigned tree)
{
	const struct coord *at = &trees_locator(r)->tree[tree];

	return at->n > 0 ? at->hop[at->n - 1].cost : UINT32_MAX;
}

/* The nearest one that was not tried; RECORD_REPLICAS: none. */
static unsigned next_replica(const struct router *r, const struct lookup *l)
{
	unsigned best = RECORD_REPLICAS;
	uint32_t least = 0, cost;

	for (unsigned k = 0; k < RECORD_REPLICAS; k++) {
		if ((l->tried & 1u << k) != 0)
			continue;
		cost = way_up(r, record_tree(&l->id, k));
		if (best < RECORD_REPLICAS && cost >= least)
			continue;
		best = k;
		least = cost;
	}
	return best;
}

/* True if a reply is to be waited for. */
static bool try_all(struct router *r, struct lookup *l, nsec now)
{
	unsigned k;

	while (l->n_absent < ABSENT_ENOUGH &&
	       (k = next_replica(r, l)) < RECORD_REPLICAS) {
		l->tried |= 1u << k;
		if (try_tree(r, l, record_tree(&l->id, k), now))
			return true;
	}
	return false;
}

static void go_on(struct router *r, struct lookup *l, nsec now)
{
	for (; l->pass < PASSES; l->pass++, l->tried = 0) {
		if (l->pass > 0 && record_cached(r, &l->id, now) != NULL) {
			end(r, l, LOOKUP_FOUND, now);
			return;
		}
		if (try_all(r, l, now))
			return;
	}
	end(r, l, l->n_absent >= ABSENT_ENOUGH ? LOOKUP_ABSENT : LOOKUP_FAILED,
	    now);
}

/* Where members keep the records nobody knows which one is nearest: two are
 * asked at once.  If the first one asked fails that is not noticed; the second
 * one leads on. */
static void ask_another(struct router *r, const struct node_id *id, nsec now)
{
	struct lookup *l = lookup_find(r, id);

	if (l != NULL && trees_n_nodes(r, now) >= r->config.directory_from)
		try_all(r, l, now);
}

void lookup_start(struct router *r, const struct node_id *id, nsec now)
{
	struct lookup *l;

	if (lookup_find(r, id) != NULL)
		return;
	r->n.n_lookups++;
	if (record_cached(r, id, now) != NULL) {
		r->n.n_lookups_cached++;
		seek_looked_up(r, id, LOOKUP_FOUND, now);
		return;
	}
	l = mem_new(l);
	l->id = *id;
	l->newer_than_ms = record_forgotten(r, id);
	TABLE_ADD(&r->table_key, hh, r->requests.lookups, id, sizeof l->id, l);
	go_on(r, l, now);
	ask_another(r, id, now);
}

/* ---- what came of them ------------------------------------------------- */

static bool is_last_try(const struct lookup *l, const struct request *q)
{
	return memcmp(&l->nonce, &q->key.nonce, sizeof l->nonce) == 0;
}

void lookup_failed(struct router *r, const struct request *q, nsec now)
{
	struct lookup *l = lookup_find(r, &q->id);

	if (l != NULL && is_last_try(l, q))
		go_on(r, l, now);
}

/* Whether the owner was in a tree that we are in: else nothing can be steered
 * by it. */
static bool shares_a_root(const struct router *r, const struct record *rec)
{
	for (unsigned t = 0; t < TREES; t++) {
		const struct coord *at = &rec->at.tree[t];
		const struct node_id *root = tree_root(r, t);

		if (root != NULL && at->n > 0 && id_equal(&at->hop[0].id, root))
			return true;
	}
	return false;
}

/* What is older than the one that led nowhere helps no more than nothing.  One
 * from before the roots have changed is better than none, but another replica
 * may have a newer one. */
void lookup_found(struct router *r, const struct request *q, nsec now)
{
	struct lookup *l = lookup_find(r, &q->id);
	const struct record *rec;

	if (l == NULL)
		return;
	rec = record_cached(r, &q->id, now);
	if (rec != NULL && (l->pass > 0 || shares_a_root(r, rec))) {
		end(r, l, LOOKUP_FOUND, now);
		return;
	}
	if (rec != NULL)
		l->newer_than_ms = rec->issued_ms;
	lookup_failed(r, q, now);
}

void lookup_absent(struct router *r, const struct request *q,
		   const struct node_id *replica, nsec now)
{
	struct lookup *l = lookup_find(r, &q->id);

	if (l == NULL)
		return;
	note_absent(l, replica);
	if (l->n_absent >= ABSENT_ENOUGH || is_last_try(l, q))
		go_on(r, l, now);
}
