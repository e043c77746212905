/* Random networks: which nodes there are and which share a link. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/rng.h"

#define GRAPH_NODES_MAX 64
#define GRAPH_EDGES_MAX 512

struct graph {
	const char *kind;
	size_t n;
	size_t n_edges;
	struct {
		size_t a, b;
	} edge[GRAPH_EDGES_MAX];
	bool transit[GRAPH_NODES_MAX];
};

/* 4 to `max` nodes: a tree with extra edges, a ring, a grid, preferential
 * attachment, or several components. */
void graph_random(struct graph *g, struct rng *r, size_t max);
bool graph_has_edge(const struct graph *g, size_t a, size_t b);
