/* Traffic between two nodes of a mesh as an end-to-end channel makes it: it
 * goes into the circuit that the router names (ROUTER_CARRIES), and the far end
 * answers over the one it was spoken to last. */
#pragma once

#include "tests/support/mesh.h"

struct flow {
	struct mesh *m;
	size_t from, to;
	nsec period;       /* of packets */
	unsigned n_echoes; /* for each packet that comes */
	circuit_no carries;
	uint64_t n_sent, n_came, n_came_back;
	nsec last_came, last_came_back; /* delivered at either end */
	nsec gap; /* the longest time that nothing came back */
	size_t n_events, n_deliveries; /* looked at so far */
	unsigned n_carries;
};

/* Holds the target. */
void flow_start(struct flow *f, struct mesh *m, size_t from, size_t to,
		nsec period, unsigned n_echoes);
void flow_run(struct flow *f, nsec time);
/* The same without a packet. */
void flow_rest(struct flow *f, nsec time);
/* Of both ends: counts anew from here on. */
void flow_reset(struct flow *f);
