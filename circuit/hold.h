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
struct hold;
struct session;

struct holds {
	struct hold *all;
};

void holds_deinit(struct router *r);
void hold_start(struct router *r, const struct node_id *target, nsec now);
void hold_end(struct router *r, const struct node_id *target, nsec now);

/* From the other modules: a circuit of ours came up, ended, or could not be
 * had. */
void hold_circuit_up(struct router *r, struct circuit *c, nsec now);
void hold_circuit_down(struct router *r, struct circuit *c,
		       const struct node_id *blamed, nsec now);
void hold_unreachable(struct router *r, const struct node_id *target, nsec now);
void hold_handle_receipt(struct router *r, struct session *s,
			 const struct msg_receipt *m, nsec now);
void hold_timeout(struct router *r, struct timer *t, nsec now);
