/* Destinations that carry traffic: a circuit that carries, a spare that shares
 * no link with it, path tests, and the switch from one to the other.
 * protocol.md 13.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/timer.h"

struct circuit;
struct hold; /* inside hold_inside.h */

struct holds {
	struct hold *all;
	/* Nodes that are avoided by hand. */
	struct node_id *avoided;
	size_t n_avoided;
};

void holds_deinit(struct router *r);

/* From the other modules: a circuit of ours came up, ended, or could not be
 * had. */
void hold_circuit_up(struct router *r, struct circuit *c, nsec now);
void hold_circuit_down(struct router *r, struct circuit *c, nsec now);
/* Circuits to it break often, lately. */
bool hold_breaks_often(struct router *r, const struct node_id *target,
		       nsec now);
/* router_connect() was called: what comes of it is for the node, too. */
void hold_asked(struct router *r, const struct node_id *target);
/* True if only a spare was missed, which nobody else wants to know. */
bool hold_unreachable(struct router *r, const struct node_id *target, nsec now);
/* A new link may give what was not there. */
void holds_session_up(struct router *r, nsec now);
/* The first packet of a circuit that was quiet (circuit->wakes_hold). */
void hold_traffic(struct router *r, struct circuit *c, nsec now);
/* For the end of `c` that we are; not checked yet. */
void hold_handle_receipt(struct router *r, struct circuit *c,
			 const struct msg_receipt *m, nsec now);
void hold_timeout(struct router *r, struct timer *t, nsec now);

/* A path of ours crosses a node that is avoided by hand. */
bool hold_forbids(const struct router *r, const struct hop_list *path);
/* A circuit that is held goes over just these nodes. */
bool hold_uses(struct router *r, const struct node_id *target,
	       const struct hop_list *path);
