/* The relay's part of steered probes: each copy goes to the one neighbour that
 * is nearest to the target, is repaired here where it fails, and comes back as
 * one reply.  protocol.md 12.1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"

struct copy;
struct neighbour;
struct seen;
struct session;

/* What a probe says of its way, besides the path so far. */
struct steering {
	const struct node_id *target;
	const struct nonce *nonce;
	unsigned tree; /* or TREE_ANY */
	unsigned round;
	const struct locator *to;
	const uint32_t *avoid;
	size_t n_avoid;
};

/* Whether a relay or the target wants one more copy of this probe. */
bool steer_wants(const struct seen *e, const struct hop_list *path);
/* Passes a probe on that was checked and is not for us. */
void steer_relay(struct router *r, struct session *s, struct seen *e,
		 const struct msg_probe *p, const struct hop_list *path,
		 nsec now);
/* A copy failed further on, or its neighbour is gone: another is tried. */
void steer_repair(struct router *r, struct copy *c, enum nak_code code,
		  nsec now);

/* How good it is to go on over this neighbour, in 100 µs, less is better;
 * UINT32_MAX: it knows no way.  For the origin's first hop, too. */
uint32_t steer_score(struct router *r, const struct neighbour *n,
		     const struct steering *how, nsec now);
