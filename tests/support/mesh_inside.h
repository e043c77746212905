/* Between the files tests/support/mesh*.c only. */
#pragma once

#include <uthash.h>

#include "tests/support/mesh.h"

/* Sessions of both ends of one link, anew each time it comes up. */
struct wire {
	size_t end[2];
	struct mesh_link config;
	unsigned epoch;
	bool is_up;
	session_no session[2]; /* 0: that end has noticed */
	nsec last_arrival[2];  /* towards that end */
};

struct node {
	struct router *router; /* NULL: dead */
	struct sign_key key;
	struct identity self;
	bool transit;
	session_no n_sessions;
	struct session_at {
		size_t wire;
		unsigned end;
	} * sessions; /* by number - 1; not all of them are up */
	nsec wake_at;
	unsigned n_wakes; /* at the same time */
	nsec last_wake;
	struct mesh_event *events;
	size_t n_events;
	struct route_proof *routes;
	size_t n_routes;
	struct node_id *known;
	size_t n_known;
};

enum happening_type {
	HAPPENS_WAKE,
	HAPPENS_MESSAGE,
	HAPPENS_PACKET,
	HAPPENS_NOTICE,
};

struct happening {
	nsec at;
	uint64_t order;
	enum happening_type type;
	size_t to; /* node */
	size_t wire;
	unsigned end; /* of the wire, which `to` is */
	unsigned epoch;
	uint8_t *bytes; /* of a message */
	size_t len;
	uint32_t label; /* of a packet */
	uint64_t tag;
	unsigned n_hops;
};

/* A probe that went over a wire in one direction: invariant I4 wants to know
 * how often. */
struct crossing {
	struct crossing_key {
		uint32_t wire;
		uint16_t epoch;
		uint16_t end;
		struct node_id origin;
		struct nonce nonce;
		uint8_t zero[2];
	} key;
	unsigned n;
	UT_hash_handle hh;
};

struct mesh {
	struct mesh_options options;
	struct rng rng;
	struct crossing *crossings;
	nsec now;
	struct node_hash ca;
	struct node *nodes;
	size_t n_nodes;
	struct wire *wires;
	size_t n_wires;
	struct happening *heap;
	size_t n_heap, cap_heap;
	uint64_t n_happened;
	struct mesh_delivery *deliveries;
	size_t n_deliveries;
	uint64_t n_messages;
	uint64_t n_dropped;
	uint64_t trace;
	mesh_filter *filter;
	void *filter_ctx;
	const char *fault;
};

void happening_push(struct mesh *m, struct happening h);
struct happening happening_pop(struct mesh *m);

/* NULL if this end has no such session now. */
struct wire *mesh_wire(const struct mesh *m, size_t node, session_no s,
		       unsigned *end);
