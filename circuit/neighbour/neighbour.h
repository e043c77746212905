/* Neighbours and the sessions to them: claims about links, quotas.
 * protocol.md 5.1.
 *
 * A neighbour is a node; it may have several sessions, of which the cheapest
 * carries probes and new circuits.  Quotas belong to the neighbour, so that a
 * second session gives no second quota; a neighbour without sessions is kept
 * for as long as anything remembered is charged to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/neighbour/telling.h"
#include "proto/base/bucket.h"

struct circuit_side;

/* What one origin may ask of us through one neighbour.  Keyed by both: before
 * a signature is checked nobody can spend another's tokens, except those who
 * pass that other's messages on to us anyway. */
struct origin_quota {
	struct node_id origin;
	struct bucket probes;
	struct bucket floods;
	struct bucket opens;
	UT_hash_handle hh;
};

/* Whoever makes us check signatures has some for himself, and a share of those
 * that there are for all: neither one nor many together take what others need.
 */
struct verify_quota {
	struct bucket own;
	struct bucket share;
};
void verify_quota_init(struct verify_quota *v, nsec now);

struct neighbour {
	struct node_id id;
	struct session *sessions;
	struct session *best; /* NULL: none is up */
	struct bucket links;  /* its claims */
	struct bucket probes;
	struct bucket floods; /* as a last resort */
	struct bucket opens;
	struct verify_quota verify;
	struct bucket queries;
	struct bucket closes; /* sent for unknown labels */
	struct bucket stores;
	struct bucket lookups;
	struct tree_peer *trees; /* NULL while no session is up */
	struct bucket tests, receipts;
	struct bucket own_tests; /* which we begin ourselves */
	struct telling telling;
	struct origin_quota *origins;
	unsigned n_seen;     /* probes remembered that it brought first */
	unsigned n_requests; /* of it, that we have passed on */
	unsigned n_open_ids; /* likewise of OPENs */
	unsigned n_pending;  /* circuits asked for by it, not established */
	unsigned n_circuits; /* that cross it */
	unsigned n_parked;
	unsigned n_asked;
	uint16_t success; /* success.h */
	UT_hash_handle hh;
};

struct session {
	session_no no;
	struct neighbour *peer;
	struct msg_link ours;
	struct msg_link theirs;
	bool has_theirs;
	struct msg_link told; /* what the peer knows of our claim */
	struct circuit_side *circuits;
	struct session *prev, *next; /* of the same neighbour */
	UT_hash_handle hh;
};

struct neighbours {
	struct neighbour *all;
	struct session *sessions;
};

void neighbours_deinit(struct router *r);

struct session *session_find(struct router *r, session_no no);
struct neighbour *neighbour_find(struct router *r, const struct node_id *id);
/* Whether a session to anybody is up. */
bool neighbours_any_up(const struct router *r);
/* The best session to a node; NULL if it is not a neighbour. */
struct session *session_to(struct router *r, const struct node_id *id);

struct session *session_add(struct router *r, session_no no,
			    const struct node_id *peer,
			    const struct msg_link *ours, nsec now);
/* Out of every index, so that nothing new starts on it; then freed. */
void session_unlink(struct router *r, struct session *s);
void session_free(struct router *r, struct session *s);

void session_set_ours(struct router *r, struct session *s,
		      const struct msg_link *ours);
void session_set_theirs(struct session *s, const struct msg_link *theirs);

/* One way, in 100 µs: the larger of both claims, and the floor. */
uint16_t session_cost(const struct session *s);
/* Circuit payload: the smaller of both claims. */
uint16_t session_mtu(const struct session *s);
/* The claimed round trip, without the floor. */
nsec session_rtt(const struct session *s);

/* Whether a table that all neighbours fill, and that has `total` of `max`
 * entries, takes one more of somebody who has `mine`: the second half is in
 * equal shares, which nobody else can take. */
bool share_is_left(unsigned total, unsigned max, unsigned mine);

struct origin_quota *origin_quota_find(struct router *r, struct neighbour *n,
				       const struct node_id *origin, nsec now);

/* Frees a neighbour that has no sessions and nothing charged to it. */
void neighbour_release(struct router *r, struct neighbour *n);

#define NEIGHBOURS_EACH(r, n, tmp) HASH_ITER (hh, (r)->neighbours.all, n, tmp)
