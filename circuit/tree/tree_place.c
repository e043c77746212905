/* Paths in beacons: kept, compared, verified. */
#include <stdlib.h>
#include <string.h>

#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"

/* A beacon that names the same nodes is news if a cost in it has changed by a
 * fifth, or if the root has renewed it. */
#define COST_HYSTERESIS 5
#define RENEWED_MS      (TREE_REFRESH_NS / NS_PER_MS / 2)

uint64_t tree_rank(unsigned tree, const struct node_id *id)
{
	uint8_t in[5 + ID_LEN] = { 'r', 'o', 'o', 't', (uint8_t)tree };
	struct node_hash h;
	struct view v;

	memcpy(in + 5, id->b, ID_LEN);
	h = hash_of(in, sizeof in);
	v = view_of(h.b, sizeof h.b);
	return view_be64(&v);
}

static struct place *place_alloc(size_t n, bool with_hops)
{
	struct place *p = mem_new(p);

	p->n = n;
	if (n > 0)
		p->coord = mem_calloc(n, sizeof *p->coord);
	if (with_hops && n > 0)
		p->hop = mem_calloc(n, sizeof *p->hop);
	return p;
}

static bool beacon_names(const struct msg_beacon *b, const struct node_id *id)
{
	for (size_t i = 0; i < b->n; i++)
		if (id_equal(&b->hop[i].id, id))
			return true;
	return false;
}

/* No link counts under the floor, whatever was signed: no node becomes
 * attractive by lying. */
static uint16_t floored(uint16_t cost)
{
	return cost > LINK_COST_FLOOR_100US ? cost : LINK_COST_FLOOR_100US;
}

static uint16_t add_cost(uint16_t sum, uint16_t cost)
{
	uint32_t all = (uint32_t)sum + floored(cost);

	return all < COORD_COST_MAX ? (uint16_t)all : COORD_COST_MAX;
}

struct place *place_new(const struct router *r, const struct msg_beacon *b)
{
	bool is_loop = beacon_names(b, &r->config.self.id);
	struct place *p = place_alloc(b->n, !is_loop);
	uint16_t sum = 0;

	p->root = b->root;
	p->rank = tree_rank(b->root.tree, &b->root.root);
	p->is_loop = is_loop;
	p->is_child = b->n >= 2 && core_is_self(r, &b->hop[b->n - 2].id);
	for (size_t i = 0; i < b->n; i++) {
		p->coord[i].id = b->hop[i].id;
		p->coord[i].cost = sum;
		sum = add_cost(sum, b->hop[i].cost);
	}
	p->cost = b->hop[b->n - 1].cost;
	if (!is_loop)
		memcpy(p->hop, b->hop, b->n * sizeof *p->hop);
	return p;
}

struct place *place_of_root(const struct tree_root *root, uint64_t rank)
{
	struct place *p = place_alloc(0, false);

	p->root = *root;
	p->rank = rank;
	p->state = PLACE_GOOD;
	tree_chain_first(p->chain, root);
	return p;
}

struct place *place_copy(const struct place *p)
{
	struct place *new = mem_new(new);

	*new = *p;
	new->beat = NULL;
	new->coord = mem_calloc(p->n, sizeof *p->coord);
	new->hop = mem_calloc(p->n, sizeof *p->hop);
	memcpy(new->coord, p->coord, p->n * sizeof *p->coord);
	memcpy(new->hop, p->hop, p->n * sizeof *p->hop);
	return new;
}

void place_free(struct place *p)
{
	if (p == NULL)
		return;
	free(p->beat);
	free(p->coord);
	free(p->hop);
	free(p);
}

void place_write(struct msg_beacon *out, const struct place *p)
{
	out->root = p->root;
	out->n = p->n;
	if (p->n > 0)
		memcpy(out->hop, p->hop, p->n * sizeof *p->hop);
}

uint32_t place_depth(const struct place *p)
{
	return p->n > 0 ? p->coord[p->n - 1].cost : 0;
}

uint16_t place_end(const struct place *p)
{
	return p->n > 0 ? add_cost(p->coord[p->n - 1].cost, p->cost) : 0;
}

uint32_t place_cost(const struct place *p, const struct neighbour *n)
{
	uint16_t link = session_cost(n->best);

	return place_depth(p) + (link > p->cost ? link : p->cost);
}

static bool is_near(uint32_t old, uint32_t new)
{
	uint32_t apart = old > new ? old - new : new - old;

	return apart * COST_HYSTERESIS <= old;
}

bool place_is_alike(const struct place *old, const struct place *new)
{
	if (old->n != new->n ||
	    new->root.issued_ms >= old->root.issued_ms + RENEWED_MS)
		return false;
	for (size_t i = 0; i < old->n; i++)
		if (!id_equal(&old->coord[i].id, &new->coord[i].id))
			return false;
	return is_near(place_depth(old), place_depth(new)) &&
	       is_near(old->cost, new->cost);
}

uint64_t place_issued_ms(const struct place *p)
{
	if (p->beat != NULL && p->beat->issued_ms > p->root.issued_ms)
		return p->beat->issued_ms;
	return p->root.issued_ms;
}

bool place_awaits(const struct place *p, const struct msg_beacon *b)
{
	return p != NULL && p->state == PLACE_CHECKING && p->n == b->n &&
	       memcmp(p->hop[p->n - 1].sig, b->hop[b->n - 1].sig, SIG_LEN) == 0;
}

void place_missing(struct router *r, const struct place *p,
		   struct id_list *missing, nsec now)
{
	for (size_t i = 0; i < p->n; i++)
		asking_miss(r, missing, &p->coord[i].id, now);
}

/* ---- signatures -------------------------------------------------------- */

static enum signed_verdict verify_hop(struct router *r, const struct place *p,
				      size_t i, const uint8_t chain[HASH_LEN],
				      nsec now)
{
	const struct tree_hop *h = &p->hop[i];
	uint8_t payload[TREE_HOP_PAYLOAD_BYTES];

	tree_hop_payload(payload, chain,
			 i + 1 < p->n ? &h[1].id : &r->config.self.id, h->cost);
	return core_verify(r, h->sig, &h->id, SIGN_TREE_HOP, payload,
			   sizeof payload, now);
}

static enum signed_verdict verify_root(struct router *r,
				       const struct tree_root *root, nsec now)
{
	return core_verify(r, root->sig, &root->root, SIGN_TREE_ROOT,
			   root->body, sizeof root->body, now);
}

/* A wrong beat is left out; the path may be right all the same. */
static enum signed_verdict verify_beat(struct router *r, struct place *p,
				       nsec now)
{
	enum signed_verdict v;

	if (p->beat == NULL)
		return SIGNED_OK;
	v = verify_root(r, p->beat, now);
	if (v != SIGNED_BAD)
		return v;
	r->n.n_beat_bad_signature++;
	free(p->beat);
	p->beat = NULL;
	return SIGNED_OK;
}

/* From the last node to the first: whoever alters a path of others is found out
 * soonest. */
enum signed_verdict place_verify(struct router *r, struct place *p, nsec now)
{
	uint8_t chain[TREE_PATH_MAX + 1][HASH_LEN];
	enum signed_verdict v = SIGNED_OK;

	tree_chain_first(chain[0], &p->root);
	for (size_t i = 0; i < p->n; i++) {
		memcpy(chain[i + 1], chain[i], HASH_LEN);
		tree_chain_next(chain[i + 1], &p->hop[i]);
	}
	for (size_t i = p->n; v == SIGNED_OK && i > 0; i--)
		v = verify_hop(r, p, i - 1, chain[i - 1], now);
	if (v == SIGNED_OK)
		v = verify_root(r, &p->root, now);
	if (v == SIGNED_OK)
		v = verify_beat(r, p, now);
	if (v == SIGNED_OK)
		memcpy(p->chain, chain[p->n], HASH_LEN);
	return v;
}
