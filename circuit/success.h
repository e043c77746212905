/* How often a neighbour's copies of probes come back answered, and which nodes
 * have let us down: local advice for choosing the next path, never told to
 * anybody.  protocol.md 12.4.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"

struct neighbour;

enum outcome {
	OUTCOME_ANSWERED,
	OUTCOME_SILENT, /* the neighbour itself did not reply */
	OUTCOME_BEYOND, /* a failure further on */
};

/* Scores are 16-bit fractions, 65535 = 1, and start there. */
#define SUCCESS_FULL 65535
void success_note(struct neighbour *n, enum outcome what);
/* Applies the penalty of a low score to a routing score in 100 µs. */
uint32_t success_weigh(const struct neighbour *n, uint32_t cost);

/* Blamed nodes: ends of links that signed NAKs or path tests have named.  It
 * fades: half is forgotten every BLAME_HALF_NS. */
#define BLAME_HALF_NS (300 * NS_PER_S)
#define BLAMED_MAX    1024
struct blamed;
struct blames {
	struct blamed *all;
};
void blames_deinit(struct router *r);
void blame_add(struct router *r, const struct node_id *id, nsec now);
/* 0: none; rises with each blame. */
unsigned blame_of(const struct router *r, const struct node_id *id, nsec now);
/* It has carried what it should: forgiven by half. */
void blame_relieve(struct router *r, const struct node_id *id, nsec now);
