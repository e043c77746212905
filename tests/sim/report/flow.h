/* Traffic as applications make it: a node holds a destination, sends a packet
 * now and then over the circuit that carries, and somebody counts what arrives.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/mesh.h"

struct lab;

/* A packet that finds no circuit waits so long, as packets for a destination
 * wait in a node. */
#define FLOW_WAIT_NS (1 * NS_PER_S)

struct flow {
	size_t from, to;
	nsec period;
	bool is_ping; /* what arrives is sent back, and counts when it is here
		       */
	nsec next_at;
	circuit_no carries; /* 0: none yet */
	circuit_no also;    /* copies go there; 0: none */
	uint64_t seen[2];   /* the last ping, and the last reply: copies of them
			       count as nothing */
	nsec waiting_since; /* a packet that waits for a circuit; 0: none */
	nsec started;
	nsec first_arrival; /* 0: none yet */
	nsec last_arrival;  /* of a packet sent at `last_sent` */
	nsec last_sent;
	/* Since flows_count_start(). */
	uint64_t n_offered, n_arrived;
	uint64_t n_unsent;               /* found no circuit in time */
	uint64_t n_lost[2][MESH_LOSSES]; /* on the way, and the replies to it */
};

/* Holds the destination from now on; returns its number. */
size_t flow_add(struct lab *l, size_t from, size_t to, nsec period);
/* Lets go of all destinations. */
void flows_end(struct lab *l);
void flows_free(struct lab *l);

/* Runs the network and the traffic for so long. */
void flows_run(struct lab *l, nsec time);
void flows_count_start(struct lab *l);

/* Whether a packet that was sent at or after `since` has arrived. */
bool flow_works(const struct flow *f, nsec since);

void flow_event(struct lab *l, size_t node, const struct router_event *ev);
void flow_lost(struct lab *l, uint64_t tag, enum mesh_loss why);
void flow_delivered(struct lab *l, const struct mesh_delivery *d);
