/* Between the files tests/support/mesh*.c only. */
#pragma once

#include <uthash.h>

#include "proto/frame.h"
#include "tests/support/mesh.h"

/* Sessions of both ends of one link, anew each time it comes up. */
struct wire {
	size_t end[2];
	struct mesh_link config;
	unsigned epoch;
	bool is_up;
	session_no session[2]; /* 0: that end has noticed */
	nsec last_arrival[2];  /* towards that end */
	nsec busy_until[2];
};

struct node {
	struct router *router; /* NULL: dead */
	struct sign_key key;
	struct identity self;
	bool transit;
	uint16_t claim; /* of cost; 0: the truth */
	size_t index;
	size_t *wires;
	size_t n_wires, cap_wires;
	struct session_at {
		size_t wire;
		unsigned end;
	} * sessions; /* by number - 1; not all of them are up */
	size_t n_sessions, cap_sessions;
	nsec wake_at;
	unsigned n_wakes; /* at the same time */
	nsec last_wake;
	struct mesh_event *events;
	size_t n_events, cap_events;
	struct route_proof *routes;
	size_t n_routes, cap_routes;
	struct node_id *known;
	size_t n_known, cap_known;
	UT_hash_handle hh; /* by self.id */
};

enum happening_type {
	HAPPENS_WAKE,
	HAPPENS_MESSAGE,
	HAPPENS_PACKET,
	HAPPENS_NOTICE,
};

struct happening {
	enum happening_type type;
	unsigned end; /* of the wire, which `to` is */
	unsigned epoch;
	unsigned n_hops;
	uint32_t label; /* of a packet */
	uint32_t len;
	size_t to; /* node */
	size_t wire;
	uint8_t *bytes; /* of a message */
	uint64_t tag;
};

/* What is to happen, in order of time, and of being planned: a heap of places
 * in a pool, so that sifting moves little. */
struct agenda {
	struct agenda_entry {
		nsec at;
		uint64_t order;
		size_t place;
	} * heap;
	size_t n, cap;
	struct happening *pool;
	size_t n_pool, cap_pool;
	size_t *free;
	size_t n_free, cap_free;
	uint64_t n_planned;
};

void agenda_deinit(struct agenda *a);
void agenda_add(struct agenda *a, nsec at, const struct happening *h);
/* TIME_NEVER: nothing. */
nsec agenda_next_at(const struct agenda *a);
/* There must be one; whoever takes it owns its bytes. */
struct happening agenda_take(struct agenda *a);

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
	struct node **nodes;
	size_t n_nodes, cap_nodes;
	size_t n_started;
	struct node *by_id;
	struct wire *wires;
	size_t n_wires, cap_wires;
	struct agenda agenda;
	struct mesh_delivery *deliveries;
	size_t n_deliveries, cap_deliveries;
	uint64_t n_messages;
	uint64_t n_dropped;
	uint64_t trace;
	mesh_filter *filter;
	void *filter_ctx;
	struct mesh_watch watch;
	const char *fault;
	struct msg scratch; /* being sent or handled */
	uint8_t frame[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
};

/* Room for one more of them. */
#define MESH_GROW(array, n, cap)                                               \
	do {                                                                   \
		if ((n) < (cap))                                               \
			break;                                                 \
		(cap) = (cap) == 0 ? 4 : 2 * (cap);                            \
		(array) = mem_realloc(array, cap, sizeof *(array));            \
	} while (0)

void mesh_trace_add(struct mesh *m, const void *data, size_t len);
void mesh_trace_u64(struct mesh *m, uint64_t x);

/* NULL if this end has no such session now. */
struct wire *mesh_wire(const struct mesh *m, size_t node, session_no s,
		       unsigned *end);

void mesh_start_router(struct mesh *m, size_t node);
void mesh_note_event(struct mesh *m, size_t node,
		     const struct router_event *ev);
void mesh_session_down(struct mesh *m, struct wire *w, unsigned end);
/* To the far end of a session of this node. */
void mesh_send_message(struct mesh *m, size_t from,
		       const struct router_send *out);
void mesh_pass_packet(struct mesh *m, size_t from, const struct relay_hop *hop,
		      size_t len, uint64_t tag, unsigned n_hops);
void mesh_arrive(struct mesh *m, const struct happening *h);
