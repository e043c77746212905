#include "circuit/record/record_part.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

struct part_key {
	uint8_t tree, part;
};

struct known_part {
	struct part_key key;
	uint8_t body[APPOINTMENT_BODY_BYTES];
	uint8_t sig[SIG_LEN];
	struct node_id root, member;
	uint64_t issued_ms;
	UT_hash_handle hh;
	size_t n;
	struct coord_hop hop[];
};

struct our_part {
	struct part_key key;
	uint8_t body[APPOINTMENT_BODY_BYTES]; /* the last one */
	uint8_t sig[SIG_LEN];
	nsec since, last;
	UT_hash_handle hh;
};

uint8_t record_part(const struct node_id *id)
{
	_Static_assert(RECORD_PARTS == 256, "a part is a byte of the hash");
	return hash_of(id->b, ID_LEN).b[1];
}

static struct known_part *known_find(struct router *r, struct part_key key)
{
	struct known_part *k;

	TABLE_FIND(&r->table_key, hh, r->records.parts.known, &key, sizeof key,
		   k);
	return k;
}

static struct our_part *ours_find(struct router *r, struct part_key key)
{
	struct our_part *p;

	TABLE_FIND(&r->table_key, hh, r->records.parts.ours, &key, sizeof key,
		   p);
	return p;
}

static void known_remove(struct router *r, struct known_part *k)
{
	HASH_DEL(r->records.parts.known, k);
	free(k);
}

static void ours_remove(struct router *r, struct our_part *p)
{
	HASH_DEL(r->records.parts.ours, p);
	free(p);
}

void parts_deinit(struct router *r)
{
	struct known_part *k, *next_known;
	struct our_part *p, *next;

	HASH_ITER (hh, r->records.parts.known, k, next_known)
		known_remove(r, k);
	HASH_ITER (hh, r->records.parts.ours, p, next)
		ours_remove(r, p);
}

/* ---- check ------------------------------------------------------------- */

static bool is_lately(const struct router *r, uint64_t issued_ms, nsec now)
{
	uint64_t wall = core_wall(r, now);

	return issued_ms < wall + CLOCK_SKEW_MS &&
	       wall < issued_ms + APPOINTMENT_LIFE_MS;
}

static bool is_root(const struct router *r, unsigned tree,
		    const struct node_id *id)
{
	const struct node_id *root = tree_root(r, tree);

	return root != NULL && id_equal(root, id);
}

void parts_sweep(struct router *r, nsec now)
{
	struct known_part *k, *next_known;
	struct our_part *p, *next;

	HASH_ITER (hh, r->records.parts.known, k, next_known)
		if (!is_lately(r, k->issued_ms, now))
			known_remove(r, k);
	HASH_ITER (hh, r->records.parts.ours, p, next)
		if (now - p->last > PART_GAP_NS)
			ours_remove(r, p);
}

/* The bytes that were checked before. */
static bool is_checked(struct router *r, const struct appointment *a)
{
	struct part_key key = { a->tree, a->part };
	const struct known_part *k = known_find(r, key);
	const struct our_part *p = ours_find(r, key);

	return (k != NULL && memcmp(k->body, a->body, sizeof a->body) == 0 &&
		memcmp(k->sig, a->sig, SIG_LEN) == 0) ||
	       (p != NULL && memcmp(p->body, a->body, sizeof a->body) == 0 &&
		memcmp(p->sig, a->sig, SIG_LEN) == 0);
}

enum part_verdict part_check(struct router *r, const struct node_id *id,
			     unsigned tree, const struct appointment *a,
			     nsec now)
{
	if (a->tree != tree || a->part != record_part(id) ||
	    !record_is_of_tree(id, tree) || !is_root(r, tree, &a->root) ||
	    !is_lately(r, a->issued_ms, now))
		return PART_BAD;
	if (is_checked(r, a))
		return PART_GOOD;
	switch (core_verify(r, a->sig, &a->root, SIGN_APPOINTMENT, a->body,
			    sizeof a->body, now)) {
	case SIGNED_OK:
		return PART_GOOD;
	case SIGNED_RATE:
		return PART_RATE;
	default:
		r->n.n_appointment_bad++;
		return PART_BAD;
	}
}

/* ---- of others --------------------------------------------------------- */

static void known_read(const struct known_part *k, struct appointment *out)
{
	memcpy(out->body, k->body, sizeof k->body);
	memcpy(out->sig, k->sig, sizeof k->sig);
	out->tree = k->key.tree;
	out->part = k->key.part;
	out->root = k->root;
	out->member = k->member;
	out->issued_ms = k->issued_ms;
	out->at.n = k->n;
	memcpy(out->at.hop, k->hop, k->n * sizeof *k->hop);
}

bool part_find(struct router *r, const struct node_id *id, unsigned tree,
	       struct appointment *out, nsec now)
{
	struct part_key key = { (uint8_t)tree, record_part(id) };
	struct known_part *k;

	if (!record_is_of_tree(id, tree))
		return false;
	if (tree_is_root(r, tree))
		return office_find(r, tree, key.part, out, now);
	k = known_find(r, key);
	if (k == NULL || core_is_self(r, &k->member))
		return false;
	if (!is_root(r, tree, &k->root) || !is_lately(r, k->issued_ms, now)) {
		known_remove(r, k);
		return false;
	}
	known_read(k, out);
	return true;
}

void part_learn(struct router *r, const struct node_id *id, unsigned tree,
		const struct appointment *a, nsec now)
{
	struct part_key key = { (uint8_t)tree, record_part(id) };
	struct known_part *k = known_find(r, key);

	if ((k != NULL && k->issued_ms > a->issued_ms) ||
	    tree_is_root(r, tree) ||
	    part_check(r, id, tree, a, now) != PART_GOOD)
		return;
	if (k != NULL)
		known_remove(r, k);
	k = mem_calloc(1, sizeof *k + a->at.n * sizeof *a->at.hop);
	k->key = key;
	memcpy(k->body, a->body, sizeof k->body);
	memcpy(k->sig, a->sig, sizeof k->sig);
	k->root = a->root;
	k->member = a->member;
	k->issued_ms = a->issued_ms;
	k->n = a->at.n;
	memcpy(k->hop, a->at.hop, k->n * sizeof *k->hop);
	TABLE_ADD(&r->table_key, hh, r->records.parts.known, key, sizeof k->key,
		  k);
}

void part_failed(struct router *r, const struct node_id *id, unsigned tree,
		 nsec now)
{
	struct part_key key = { (uint8_t)tree, record_part(id) };
	struct known_part *k = known_find(r, key);

	if (k != NULL)
		known_remove(r, k);
	if (tree_is_root(r, tree))
		office_failed(r, tree, key.part, now);
}

/* ---- ours -------------------------------------------------------------- */

bool part_serve(struct router *r, const struct appointment *a, nsec now)
{
	struct part_key key = { a->tree, a->part };
	struct our_part *p = ours_find(r, key);

	if (p == NULL) {
		p = mem_new(p);
		p->key = key;
		p->since = now;
		TABLE_ADD(&r->table_key, hh, r->records.parts.ours, key,
			  sizeof p->key, p);
	} else if (now - p->last > PART_GAP_NS) {
		p->since = now;
	}
	p->last = now;
	memcpy(p->body, a->body, sizeof p->body);
	memcpy(p->sig, a->sig, sizeof p->sig);
	return now - p->since >= PART_SETTLE_NS;
}
