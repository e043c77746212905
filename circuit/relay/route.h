/* Proven paths that we may open again.  protocol.md 5.8.
 *
 * At most ROUTES_PER_TARGET_MAX to a target, cheapest first, one per list of
 * nodes; each goes when its proof expires, or when opening it failed in a way
 * that will not mend.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

struct route {
	struct route_proof proof;
	uint8_t digest[HASH_LEN];
	uint32_t cost;
	bool is_verified;
	uint64_t tried_by; /* the attempt that used it last */
	struct timer timer;
	struct route *prev, *next; /* of one target, by cost */
};

struct route_set {
	struct node_id target;
	struct route *routes;
	unsigned n;
	UT_hash_handle hh;
};

struct routes {
	struct route_set *sets;
	size_t n;
};

void routes_deinit(struct router *r);

/* NULL if it is no better than those there are.  A route over the same nodes
 * is replaced. */
struct route *route_add(struct router *r, const struct route_proof *p,
			bool is_verified, nsec now);
struct route *route_find(struct router *r, const struct node_id *target,
			 const uint8_t digest[HASH_LEN]);
void route_remove(struct router *r, struct route *route);
void route_timeout(struct router *r, struct timer *t, nsec now);

/* How much of a path is to be avoided: in this order. */
struct overlap {
	unsigned n_blamed; /* how often its nodes were blamed */
	unsigned n_links;  /* shared with the other path */
	unsigned n_nodes;  /* likewise */
};
struct overlap route_overlap(const struct router *r,
			     const struct hop_list *path,
			     const struct hop_list *avoid, nsec now);
bool overlap_is_less(const struct overlap *a, const struct overlap *b);

/* The best one that attempt `serial` has not tried: of least overlap with
 * `avoid` (NULL: none matters), then cheapest.  Its first hop is a neighbour,
 * no circuit that is held goes over the same nodes, and it crosses none that
 * is avoided by hand.  `only_apart`: none that shares a link, or is blamed. */
struct route *route_best(struct router *r, const struct node_id *target,
			 uint64_t serial, const struct hop_list *avoid,
			 bool only_apart, nsec now);
/* Those that use this link are of no use any more. */
void routes_drop_link(struct router *r, const struct node_id *target,
		      const struct node_id *a, const struct node_id *b);

/* Checks the signatures of a route from the store before its first use; one
 * that fails is removed.  False if it cannot be used now. */
bool route_verify(struct router *r, struct route *route, nsec now);
