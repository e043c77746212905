/* Certificates told before anybody asks: those of the nodes on the path of an
 * ANSWER go to the neighbour before it, which otherwise would ask for them as
 * soon as it had come.  protocol.md 5.2.
 *
 * Advice as to what the neighbour does not know yet: the node next to us, and
 * whom we have come to know ourselves just now.  Told too little, it asks; told
 * too much, it has paid for a message.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"
#include "proto/id.h"

struct hop_list;
struct neighbour;
struct router;
struct session;

/* Ids that come and go: the oldest is overwritten. */
struct id_ring {
	struct node_id id[TELL_REMEMBER_MAX];
	unsigned n;
};

/* Of one neighbour. */
struct telling {
	struct id_ring told; /* by us, lately */
	unsigned credit;     /* so many it may tell us */
};

/* An identity is new to us. */
void telling_learnt(struct router *r, const struct node_id *id);
/* The neighbour knows it from us. */
void telling_note_told(struct neighbour *n, const struct node_id *id);

/* The neighbour was sent a steered probe, and may tell us whom its answer
 * names. */
void telling_note_probe(struct neighbour *n);
/* Whether one that comes unasked is looked at; costs a token. */
bool telling_accepts(struct router *r, struct neighbour *n, nsec now);

/* Before an ANSWER with this path, in which we are hop `own`. */
void telling_send(struct router *r, struct session *to,
		  const struct hop_list *path, size_t own);
