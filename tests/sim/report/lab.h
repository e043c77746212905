/* A large network that runs: its routers, what they send, and how much of it
 * one set-up takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/report/net.h"
#include "tests/support/mesh.h"

/* Around each control message: QUIC, UDP and IP headers.  Counted as if each
 * travelled alone. */
#define LAB_MESSAGE_OVERHEAD 60

/* Link costs in reference paths have the protocol's floor. */
#define LAB_COST_FLOOR_NS (LINK_COST_FLOOR_100US * 100 * NS_PER_US)

#define LAB_LOOKUPS_MAX 64

struct flow;

/* A circuit that was asked for. */
struct ask {
	size_t from, to;
	nsec at;
	nsec probed_at;        /* the first probe is sent; 0: not so far */
	nsec answered_at;      /* the first answer has come; likewise */
	nsec proved_at;        /* a whole signed path is there; 0: not so far */
	nsec up_at, failed_at; /* likewise */
	bool is_proved;        /* the failure */
	circuit_no circuit;
};

struct lab {
	struct net net;
	struct mesh *mesh;
	struct rng rng;
	uint64_t seed;
	/* Since lab_meter_start(). */
	uint64_t n_msgs[MSG_TYPES], n_bytes[MSG_TYPES];
	/* Of set-ups: messages that each node sent and got, and the nodes that
	 * have any. */
	unsigned *n_out, *n_in;
	size_t *touched;
	size_t n_touched;
	nsec metered_since;
	/* Of lookups since then: replies to stores do not count. */
	struct nonce lookups[LAB_LOOKUPS_MAX];
	size_t n_lookups;
	uint64_t n_setup;
	/* Circuits asked for. */
	struct ask *asks;
	size_t n_asks;
	/* Traffic, flow.h. */
	struct flow *flows;
	size_t n_flows;
	/* Nodes that let packets of others vanish; NULL: none. */
	const bool *swallows;
	bool *dead;      /* killed by lab_kill() */
	void *stopwatch; /* of whoever watches the handling of messages */
};

struct lab_options {
	uint32_t flood_below;
	uint32_t directory_from; /* 0: as in real networks */
	bool is_dear;            /* real signatures */
	nsec notice;             /* of cuts; 0: 300 ms */
	const bool *cost_liars;  /* claim the least cost for their links */
};

/* All nodes start at once. */
struct lab *lab_new(enum net_kind kind, size_t n, uint64_t seed,
		    const struct lab_options *options);
void lab_free(struct lab *l);
void lab_run(struct lab *l, nsec time);
size_t lab_pick(struct lab *l, size_t n);
/* Two different living nodes. */
void lab_pick_pair(struct lab *l, size_t *from, size_t *to);
struct mesh_link lab_link(const struct lab *l, nsec delay);

void lab_kill(struct lab *l, size_t node);
/* Called with the lab before and after a router is handed a message. */
void lab_watch_handling(struct lab *l,
			void (*handling)(void *ctx, size_t node, bool begins));

void lab_meter_start(struct lab *l);
/* Messages of PROBE, ANSWER, NAK, LOOKUP, FOUND, NO_RECORD, OPEN, OPENED since
 * then. */
uint64_t lab_n_setup(const struct lab *l);
uint64_t lab_n_all(const struct lab *l);
/* All control messages, with their overhead. */
uint64_t lab_n_bytes(const struct lab *l);
/* Most set-up messages that one node sent or got. */
unsigned lab_busiest(const struct lab *l);

/* Asks for a circuit; what comes of it is noted in lab->asks. */
void lab_ask(struct lab *l, size_t from, size_t to);
/* The same once more for those that failed. */
void lab_ask_again(struct lab *l);
/* Until every one is up or has failed, or the time is over. */
void lab_await(struct lab *l, nsec wait);
size_t lab_n_up(const struct lab *l);
void lab_asks_clear(struct lab *l);
/* The cost of a circuit's path with the floor; its end must be alive. */
nsec lab_circuit_cost(const struct lab *l, size_t from, circuit_no c);
/* Whether a node of this set is between the ends of the circuit. */
bool lab_circuit_crosses(const struct lab *l, size_t from, circuit_no c,
			 const bool *set);
/* Which node is the root of a tree, as this one sees it; SIZE_MAX: none. */
size_t lab_root(const struct lab *l, size_t seen_by, unsigned tree);

/* CPU seconds of this process. */
double lab_cpu(void);
/* Most memory that this process had, in MiB. */
double lab_memory_mib(void);
