/* Beacon trees: where we are in each of them, and where our neighbours are.
 * protocol.md 10.
 *
 * The root of tree i is the living node with the lowest SHA-256("root" ‖ i ‖
 * id).  A beacon is a path from the root which every node on it has signed,
 * together with the node it handed it to; our place in a tree is the path of
 * our parent and ourselves.  A root lives for as long as something that it has
 * signed lately is heard (BEAT); ghosts of a dead one die by the clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/timer.h"

enum arrival;
struct neighbour;
struct session;
struct tree;      /* one of them: tree_inside.h */
struct tree_peer; /* a neighbour in all of them */

struct trees {
	struct tree *tree[TREES];
	struct locator at; /* ours */
	uint64_t version;  /* grows whenever it changes */
};

void trees_init(struct router *r, nsec now);
void trees_deinit(struct router *r);

void tree_handle_beacon(struct router *r, struct session *s,
			const struct msg *m, enum arrival how, nsec now);
/* An identity of its chain did not come. */
void tree_give_up(struct router *r, struct session *s,
		  const struct msg_beacon *b, nsec now);
void tree_handle_beat(struct router *r, struct session *s,
		      const struct msg_beat *b, nsec now);

/* A new neighbour is told all our places; one without sessions is forgotten. */
void trees_neighbour_up(struct router *r, struct neighbour *n, nsec now);
void trees_neighbour_down(struct router *r, struct neighbour *n, nsec now);
void trees_cost_changed(struct router *r, struct neighbour *n, nsec now);
/* Whether we relay has changed: who does not is nobody's parent or root. */
void trees_transit_changed(struct router *r);
void tree_timeout(struct router *r, struct timer *t, nsec now);
void tree_peer_timeout(struct router *r, struct timer *t, nsec now);

/* ---- asked by the other modules --------------------------------------- */

/* Ours in all trees; borrowed until the next change. */
const struct locator *trees_locator(const struct router *r);
/* NULL: not known. */
const struct node_id *tree_root(const struct router *r, unsigned tree);
bool tree_is_root(const struct router *r, unsigned tree);
/* The neighbour that is next on the way to the root; NULL: we are it, or there
 * is none. */
struct neighbour *tree_parent(const struct router *r, unsigned tree);
/* A neighbour's place; n == 0: not known, or under another root than ours. */
struct coord_ref tree_coord_of(const struct router *r,
			       const struct neighbour *n, unsigned tree);
/* Nodes of the network as the roots estimate it; 0: no root has said so. */
uint32_t trees_n_nodes(const struct router *r, nsec now);
