/* A small random mesh whose trees stand, and who plays which part in a lookup.
 */
#pragma once

#include "tests/support/mesh.h"

struct record_lab {
	struct mesh *m;
	size_t target;
	size_t asker;
	size_t relay; /* the asker's parent in the first replica's tree */
	unsigned tree[RECORD_REPLICAS];
	size_t replica[RECORD_REPLICAS];
};

/* Replicas, target, asker and relay are different nodes, and the target is not
 * on the asker's way to the first replica, which has at least two links. */
struct record_lab record_lab_new(void);
/* The same, but so large a network that volunteers keep the records, and have
 * done so for long. */
struct record_lab record_lab_new_large(void);

/* As if the node wanted to know; whether it found the record in the end. */
bool record_lab_looks_up(struct record_lab *lab, size_t node,
			 const struct node_id *id);
/* A name that nobody has, and whose replicas are those of the lab's target. */
struct node_id record_lab_nobody(const struct record_lab *lab);

/* The node's place is another one than before. */
void record_lab_move(struct record_lab *lab, size_t node);
/* Its way to the root of the first tree costs that much now. */
void record_lab_cost(struct record_lab *lab, size_t node, uint16_t cost);
uint16_t record_lab_cost_now(const struct record_lab *lab, size_t node);

/* A record of `node` as it makes it itself: place, time, signature. */
struct record record_lab_record(const struct record_lab *lab, size_t node);
/* Seals and signs it anew after a change. */
void record_lab_sign(const struct record_lab *lab, size_t by,
		     struct record *rec);

const struct node_id *record_lab_id(const struct record_lab *lab, size_t node);
/* The asker looks for the target, as record_lab_looks_up(). */
bool record_lab_finds_target(struct record_lab *lab);
const struct router_counters *record_lab_asker_counts(struct record_lab *lab);
/* The link between two nodes, of which there must be one. */
size_t record_lab_link(struct mesh *m, size_t a, size_t b);
/* A filter for mesh_set_filter(): every message of the type at `ctx` is
 * lost. */
bool record_lab_loses(void *ctx, size_t from, size_t to, struct msg *m);
