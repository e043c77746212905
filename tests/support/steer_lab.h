/* Meshes in which every probe is steered, with trees and records that stand,
 * and an eye on what is sent. */
#pragma once

#include "tests/support/small_mesh.h"

#define STEER_SEEN_MAX 512

/* What crossed a link, in order. */
struct steer_seen {
	nsec at;
	size_t from, to;
	struct msg msg;
};

struct steer_lab {
	struct mesh *m;
	/* PROBE, ANSWER, NAK and LOOKUP. */
	struct steer_seen *seen;
	size_t n_seen;
	/* This node passes on nothing of others: no probe, answer, NAK, name.
	 */
	bool is_silent[64];
	/* May change what is sent; after `seen` has it. */
	void (*alter)(struct steer_lab *l, size_t from, size_t to,
		      struct msg *m);
	struct msg kept; /* for `alter` */
	unsigned n;      /* likewise */
};

/* `width` × `height` nodes, links of small_link. */
struct steer_lab *steer_grid(size_t width, size_t height);
struct steer_lab *steer_line(size_t n);
/* 0 - 1, 1 - 2 and 1 - 3, 2 - 4 and 3 - 4, 4 - 5: two ways, that over 2 is the
 * cheaper one. */
struct steer_lab *steer_diamond(void);
void steer_lab_free(struct steer_lab *l);

/* From now on `seen` starts anew. */
void steer_forget(struct steer_lab *l);
/* How many of a type were sent by `from` (SIZE_MAX: by all); the last one. */
size_t steer_count(const struct steer_lab *l, size_t from, enum msg_type type,
		   const struct steer_seen **last);
const struct router_event *steer_event(const struct steer_lab *l, size_t node,
				       enum router_event_type type);

/* A fresh steered probe of `origin`, signed by it, pinned to a tree, with the
 * target's coordinates. */
struct msg steer_probe(const struct steer_lab *l, size_t origin, size_t target,
		       uint8_t tree, uint8_t number);
/* Hands it to node `to` as if `from` had sent it. */
void steer_inject(struct steer_lab *l, size_t from, size_t to,
		  const struct msg *x);
