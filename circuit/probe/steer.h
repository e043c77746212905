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

/* What a relay keeps of a steered copy until upstream has been told. */
struct steered {
	unsigned round;
	uint16_t budget; /* transmissions left in our hands */
	uint16_t given;  /* at most so many went with a copy that is out */
	nsec silent_at;  /* another neighbour is tried besides */
	nsec patience;   /* upstream is told */
	struct locator to;
	size_t n_avoid;
	uint32_t avoid[AVOID_MAX];
	struct msg_nak blame; /* the first with blame, from further on */
};

/* Whether a relay wants one more copy of this probe. */
bool steer_wants(const struct seen *e, const struct hop_list *path);
/* What is said of a copy that is not wanted: one that was here before has
 * nowhere else to go, one on another tree is left to the others. */
enum nak_code steer_unwanted(const struct seen *e, unsigned tree);
/* Passes a probe on that was checked and is not for us. */
void steer_relay(struct router *r, struct session *s, struct seen *e,
		 const struct msg_probe *p, const struct hop_list *path,
		 nsec now);
/* Takes in what a NAK tells besides its code, before it is settled. */
void steer_nak(struct router *r, struct session *s, struct copy *c,
	       const struct msg_nak *n, nsec now);
/* A copy failed further on, or its neighbour is gone: another is tried. */
void steer_repair(struct router *r, struct copy *c, enum nak_code code,
		  nsec now);
/* Too long without a reply. */
void steer_timeout(struct router *r, struct copy *c, nsec now);

/* How good it is to go on over this neighbour, in 100 µs, less is better;
 * UINT32_MAX: it knows no way.  For the origin's first hop, too. */
uint32_t steer_score(struct router *r, const struct neighbour *n,
		     const struct steering *how, nsec now);
/* Fills in all that a flood does not have; the origin is already there. */
void steer_write(const struct router *r, struct msg_probe *p,
		 const struct steering *how, uint16_t budget);
