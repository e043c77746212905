/* Where a node is in the beacon trees: its path from each root, with the cost
 * of the way so far at each node.  Advice, never a proof.  protocol.md 10.1.
 *
 * Costs are in units of 100 µs and saturate at COORD_COST_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"
#include "proto/id.h"
#include "proto/limits.h"

struct coord_hop {
	struct node_id id;
	uint16_t cost; /* from the root to here */
};

/* hop[0] is the root (cost 0), the last one the node itself; n == 0: the node
 * is not in this tree. */
struct coord {
	size_t n;
	struct coord_hop hop[TREE_PATH_MAX];
};

struct locator {
	struct coord tree[TREES];
};

#define COORD_BYTES_MAX   (1 + TREE_PATH_MAX * 12)
#define LOCATOR_BYTES_MAX (TREES * COORD_BYTES_MAX)

#define COORD_COST_MAX      65535
#define COORD_DISTANCE_NONE UINT32_MAX

/* The same, borrowed from wherever it is kept. */
struct coord_ref {
	size_t n;
	const struct coord_hop *hop;
};

static inline struct coord_ref coord_ref(const struct coord *c)
{
	return (struct coord_ref){ c->n, c->hop };
}

/* Cost of the way in the tree from `a` up to the last node that both paths
 * have in common and down to `b`; COORD_DISTANCE_NONE if one is not in the tree
 * or the roots differ. */
uint32_t coord_distance(struct coord_ref a, struct coord_ref b);
/* The same in links. */
uint32_t coord_links(struct coord_ref a, struct coord_ref b);
bool coord_equal(struct coord_ref a, struct coord_ref b);
bool coord_has(struct coord_ref c, const struct node_id *id);

/* n(8) n × ( id(80) cost(16) ); a path that names a node twice, does not begin
 * at cost 0, or whose costs fall is no coordinate. */
bool coord_read(struct coord *out, struct view *v);
void coord_write(struct buf *out, const struct coord *c);
size_t coord_bytes(const struct coord *c);
/* All trees in order, without gaps. */
bool locator_read(struct locator *out, struct view *v);
void locator_write(struct buf *out, const struct locator *l);
/* Whether every path of it that there is ends at this node. */
bool locator_is_of(const struct locator *l, const struct node_id *id);
