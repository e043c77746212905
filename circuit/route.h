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

/* The best one that attempt `serial` has not tried: fewest links shared with
 * `avoid` (NULL: none matters), then cheapest.  Its first hop is a neighbour.
 * `only_apart`: none that shares a link. */
struct route *route_best(struct router *r, const struct node_id *target,
			 uint64_t serial, const struct hop_list *avoid,
			 bool only_apart);

/* Checks the signatures of a route from the store before its first use; one
 * that fails is removed.  False if it cannot be used now. */
bool route_verify(struct router *r, struct route *route, nsec now);
