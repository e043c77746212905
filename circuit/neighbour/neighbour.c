#include "circuit/neighbour/neighbour.h"

#include <stdlib.h>

#include <utlist.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

/* The peer is told of a new claim if it differs by a fifth. */
#define CLAIM_HYSTERESIS 5

static void neighbour_free(struct router *r, struct neighbour *n)
{
	struct origin_quota *q, *next;

	HASH_ITER (hh, n->origins, q, next) {
		HASH_DEL(n->origins, q);
		free(q);
	}
	success_keep(r, &n->id, n->success);
	HASH_DEL(r->neighbours.all, n);
	free(n);
}

void neighbours_deinit(struct router *r)
{
	struct session *s, *next;
	struct neighbour *n, *next_n;

	HASH_ITER (hh, r->neighbours.sessions, s, next) {
		HASH_DEL(r->neighbours.sessions, s);
		free(s);
	}
	NEIGHBOURS_EACH(r, n, next_n)
	neighbour_free(r, n);
}

struct session *session_find(struct router *r, session_no no)
{
	struct session *s;

	TABLE_FIND(&r->table_key, hh, r->neighbours.sessions, &no, sizeof no,
		   s);
	return s;
}

struct neighbour *neighbour_find(struct router *r, const struct node_id *id)
{
	struct neighbour *n;

	TABLE_FIND(&r->table_key, hh, r->neighbours.all, id, sizeof *id, n);
	return n;
}

bool neighbours_any_up(const struct router *r)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	if (n->best != NULL)
		return true;
	return false;
}

struct session *session_to(struct router *r, const struct node_id *id)
{
	struct neighbour *n = neighbour_find(r, id);

	return n != NULL ? n->best : NULL;
}

void verify_quota_init(struct verify_quota *v, nsec now)
{
	bucket_init(&v->own, VERIFY_PEER_RATE, VERIFY_PEER_BURST, now);
	bucket_init(&v->share, VERIFY_SHARE_RATE, VERIFY_SHARE_BURST, now);
}

static struct neighbour *neighbour_get(struct router *r,
				       const struct node_id *id, nsec now)
{
	struct neighbour *n = neighbour_find(r, id);

	if (n != NULL)
		return n;
	n = mem_new(n);
	n->id = *id;
	success_load(r, n);
	bucket_init(&n->links, LINK_PEER_RATE, LINK_PEER_BURST, now);
	bucket_init(&n->probes, PROBE_PEER_RATE, PROBE_PEER_BURST, now);
	bucket_init(&n->floods, FLOOD_PEER_RATE, FLOOD_PEER_BURST, now);
	bucket_init(&n->opens, OPEN_PEER_RATE, OPEN_PEER_BURST, now);
	verify_quota_init(&n->verify, now);
	bucket_init(&n->queries, PEER_QUERY_RATE, PEER_QUERY_BURST, now);
	bucket_init(&n->closes, CLOSE_UNKNOWN_RATE, CLOSE_UNKNOWN_BURST, now);
	bucket_init(&n->stores, STORE_PEER_RATE, STORE_PEER_BURST, now);
	bucket_init(&n->lookups, LOOKUP_PEER_RATE, LOOKUP_PEER_BURST, now);
	bucket_init(&n->tests, TEST_PEER_RATE, TEST_PEER_BURST, now);
	bucket_init(&n->receipts, TEST_PEER_RATE, TEST_PEER_BURST, now);
	bucket_init(&n->own_tests, TEST_OWN_RATE, TEST_OWN_BURST, now);
	TABLE_ADD(&r->table_key, hh, r->neighbours.all, id, sizeof n->id, n);
	return n;
}

/* The oldest of equally cheap ones, so that a choice does not flap. */
static void choose_best(struct neighbour *n)
{
	struct session *s;

	n->best = NULL;
	DL_FOREACH (n->sessions, s)
		if (n->best == NULL || session_cost(s) < session_cost(n->best))
			n->best = s;
}

static void tell(struct router *r, struct session *s)
{
	s->told = s->ours;
	core_send(r, s->no, MSG_LINK)->link = s->ours;
}

struct session *session_add(struct router *r, session_no no,
			    const struct node_id *peer,
			    const struct msg_link *ours, nsec now)
{
	struct session *s = mem_new(s);

	s->no = no;
	s->peer = neighbour_get(r, peer, now);
	s->ours = *ours;
	TABLE_ADD(&r->table_key, hh, r->neighbours.sessions, no, sizeof s->no,
		  s);
	DL_APPEND(s->peer->sessions, s);
	choose_best(s->peer);
	tell(r, s);
	return s;
}

void session_unlink(struct router *r, struct session *s)
{
	HASH_DEL(r->neighbours.sessions, s);
	DL_DELETE(s->peer->sessions, s);
	choose_best(s->peer);
}

void session_free(struct router *r, struct session *s)
{
	struct neighbour *n = s->peer;

	free(s);
	neighbour_release(r, n);
}

void neighbour_release(struct router *r, struct neighbour *n)
{
	if (n->sessions == NULL && n->n_seen == 0 && n->n_open_ids == 0)
		neighbour_free(r, n);
}

static bool claim_differs(const struct msg_link *a, const struct msg_link *b)
{
	int apart = abs(a->cost_100us - b->cost_100us);

	return a->mtu != b->mtu || apart * CLAIM_HYSTERESIS > a->cost_100us;
}

void session_set_ours(struct router *r, struct session *s,
		      const struct msg_link *ours)
{
	s->ours = *ours;
	if (claim_differs(&s->told, ours))
		tell(r, s);
	choose_best(s->peer);
}

void session_set_theirs(struct session *s, const struct msg_link *theirs)
{
	s->theirs = *theirs;
	s->has_theirs = true;
	choose_best(s->peer);
}

static uint16_t claimed_cost(const struct session *s)
{
	if (s->has_theirs && s->theirs.cost_100us > s->ours.cost_100us)
		return s->theirs.cost_100us;
	return s->ours.cost_100us;
}

uint16_t session_cost(const struct session *s)
{
	uint16_t cost = claimed_cost(s);

	return cost > LINK_COST_FLOOR_100US ? cost : LINK_COST_FLOOR_100US;
}

uint16_t session_mtu(const struct session *s)
{
	uint16_t mtu = s->ours.mtu;

	if (s->has_theirs && s->theirs.mtu < mtu)
		mtu = s->theirs.mtu;
	if (mtu > CIRCUIT_MTU_MAX)
		return CIRCUIT_MTU_MAX;
	return mtu > CIRCUIT_MTU_MIN ? mtu : CIRCUIT_MTU_MIN;
}

nsec session_rtt(const struct session *s)
{
	return 2 * (nsec)claimed_cost(s) * 100 * NS_PER_US;
}

bool share_is_left(unsigned total, unsigned max, unsigned mine)
{
	return total < max / 2 || (total < max && mine < max / 2 / PEERS_MAX);
}

struct origin_quota *origin_quota_find(struct router *r, struct neighbour *n,
				       const struct node_id *origin, nsec now)
{
	struct origin_quota *q, *oldest;

	TABLE_FIND(&r->table_key, hh, n->origins, origin, sizeof *origin, q);
	if (q != NULL)
		return q;
	if (HASH_COUNT(n->origins) >= ORIGINS_PER_PEER_MAX) {
		oldest = n->origins;
		HASH_DEL(n->origins, oldest);
		free(oldest);
		r->n.n_origins_evicted++;
	}
	q = mem_new(q);
	q->origin = *origin;
	bucket_init(&q->probes, PROBE_ORIGIN_RATE, PROBE_ORIGIN_BURST, now);
	bucket_init_slow(&q->floods, FLOOD_ORIGIN_NS, FLOOD_ORIGIN_BURST, now);
	bucket_init(&q->opens, OPEN_ORIGIN_RATE, OPEN_ORIGIN_BURST, now);
	TABLE_ADD(&r->table_key, hh, n->origins, origin, sizeof q->origin, q);
	return q;
}
