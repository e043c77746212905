/* An attempt of ours to reach a node: stored routes first, then probes, until a
 * circuit is up or the node is known to be unreachable.  Probes are steered in
 * rounds (rounds.h); in small networks, and as a last resort, they are floods
 * in rings of growing size (ring.h).  protocol.md 5.9, 12.2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/record/request.h"
#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"
#include "proto/base/bucket.h"

struct circuit;
struct ring;
struct seek;
struct session;

struct seeks {
	struct seek *all;
	struct bucket floods; /* of ours, as a last resort */
	uint64_t n_started;
};

void seeks_init(struct router *r, nsec now);
void seeks_deinit(struct router *r);
size_t seeks_n(const struct router *r);

void seek_start(struct router *r, const struct node_id *target,
		const struct hop_list *avoid, nsec now);

/* Nothing carries any more to a target that a spare is looked for to: the
 * attempt wastes no time, and takes what it gets. */
void seek_hurry(struct router *r, const struct node_id *target, nsec now);

/* A ring got a reply that is not a route; a ring brought a route. */
void seek_replied(struct router *r, struct ring *g, nsec now);
void seek_answered(struct router *r, struct ring *g, nsec now);

/* The end of lookup_start(). */
void seek_looked_up(struct router *r, const struct node_id *id,
		    enum lookup_verdict verdict, nsec now);

/* The circuit of an attempt is up (returns what it took) or has failed. */
nsec seek_circuit_up(struct router *r, const struct circuit *c, nsec now);
void seek_circuit_failed(struct router *r, const struct node_id *target,
			 circuit_no c, nsec now);

/* What was unreachable may no longer be. */
void seeks_session_up(struct router *r);
void seek_timeout(struct router *r, struct timer *t, nsec now);
