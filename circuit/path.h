/* Lists of hops: costs, membership, overlap.  Integers only: two nodes must
 * come to the same result.  protocol.md 5.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"
#include "proto/msg.h"

/* The sum of the costs.  No hop counts under LINK_COST_FLOOR_100US, whatever it
 * says: a relay must not be attractive by lying. */
uint32_t path_cost(const struct hop *hops, size_t n);
bool path_has(const struct hop *hops, size_t n, const struct node_id *id);
bool hop_equal(const struct hop *a, const struct hop *b);

/* No node twice, and the origin not among them. */
bool path_is_simple(const struct node_id *origin, const struct hop *hops,
		    size_t n);

/* The same nodes in the same order, whatever the links between them. */
bool path_equal(const struct hop *hops, size_t n, const struct hop_list *b);

/* At most half of `a`'s relays are relays of `b`; both end at one target. */
bool path_is_apart(const struct hop_list *a, const struct hop_list *b);

/* Links (in either direction) that two paths of one origin have in common. */
size_t path_n_shared(const struct node_id *origin, const struct hop_list *a,
		     const struct hop_list *b);
/* Whether the path goes from `x` to `y` or from `y` to `x`. */
bool path_crosses(const struct node_id *origin, const struct hop_list *h,
		  const struct node_id *x, const struct node_id *y);
