/* How often a neighbour's copies of probes come back answered, and which nodes
 * have let us down: local advice for choosing the next path, never told to
 * anybody.  protocol.md 12.4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
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
#define SUCCESS_FULL ROUTER_SCORE_FULL
void success_note(struct neighbour *n, enum outcome what);
/* Applies the penalty of a low score to a routing score in 100 µs. */
uint32_t success_weigh(const struct neighbour *n, uint32_t cost);

/* Scores of nodes that are no neighbours now: the one kept first goes first. */
#define SCORES_KEPT_MAX 4096
struct kept_score;
struct scores {
	struct kept_score *kept;
};
void scores_deinit(struct router *r);
/* A neighbour comes with the score that it left with. */
void success_load(struct router *r, struct neighbour *n);
void success_keep(struct router *r, const struct node_id *id, uint16_t score);

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
/* Those blamed last come first; how many there are, at most `max`. */
size_t blames_list(const struct router *r, struct node_id *out, size_t max,
		   nsec now);
/* A routing score through an avoided or blamed node. */
uint32_t blame_weigh(uint32_t cost);
