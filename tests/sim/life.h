/* One random network and its pairs: what all scenarios do with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/graph.h"
#include "tests/sim/scenario.h"
#include "tests/support/mesh.h"

#define PAIRS_MAX 8

struct pair {
	size_t from, to;
	circuit_no circuit; /* 0: none */
	circuit_no far;
	circuit_no lost; /* the one before, if it broke */
	nsec asked;
};

struct life {
	struct scenario_result *out;
	struct rng rng;
	struct graph g;
	struct mesh *m;
	bool is_lossy;
	bool is_steered; /* probes; else they flood */
	bool verbose;
	struct pair pairs[PAIRS_MAX];
	size_t n_pairs;
	uint64_t n_tags;
};

/* Notes the fault; false, to be returned. */
bool life_fail(struct life *l, const char *fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
size_t life_pick(struct life *l, size_t n);
void life_say(const struct life *l, const char *what, size_t a, size_t b);
void life_run(struct life *l, nsec time);

void life_build(struct life *l);
struct mesh_link life_random_link(struct life *l);
void life_choose_pairs(struct life *l);

/* Asks for a circuit for each pair that has none, and waits until each attempt
 * has ended one way or the other, or should have. */
void life_connect(struct life *l);
/* The same, and judges: what can be reached was, and is whole; what cannot is
 * known to be so. */
bool life_connect_all(struct life *l);
/* Whether a pair's circuit is still there. */
bool life_has_circuit(const struct life *l, const struct pair *p,
		      struct circuit_info *info);
/* A packet each way over each circuit. */
bool life_exchange_packets(struct life *l);
