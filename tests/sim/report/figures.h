/* The rows of the table, a group a file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/report/net.h"
#include "tests/sim/report/table.h"

struct plan {
	struct table table;
	uint64_t seed;
	bool is_quick; /* smaller sizes, fewer pairs */
	bool is_huge;  /* 10^5 nodes, which takes long and much memory */
	bool is_verbose;
	/* Of the networks that are set up those of this kind, or NET_KINDS, and
	 * size, or 0, only; so many pairs, or 0, instead of theirs. */
	enum net_kind kind;
	size_t n_nodes, n_pairs;
	uint32_t directory_from; /* nodes; 0: as in real networks */
};

typedef void figures(struct plan *p);

figures figures_setup;    /* new circuits in networks at rest, idle traffic */
figures figures_cold;     /* all nodes start at once */
figures figures_churn;    /* nodes die */
figures figures_mobility; /* nodes move */
figures figures_drop;     /* nodes that swallow what they should pass on */
figures figures_attack;   /* roots, directory, trees */
figures figures_flooded;  /* a member that sends far too many probes */
figures figures_speed;    /* of the simulator */
figures figures_smoke;    /* a little of the first, to be held to */

/* One size of one kind; what the others are made of. */
struct setup_figures {
	size_t n_asked, n_up, n_too_far;
	double messages;     /* per new circuit, mean */
	double with_queries; /* and those which ask for certificates */
	unsigned busiest;
	/* Medians of (time - 50 ms) / best round trip. */
	double first_path, first_circuit;
	double stretch;   /* median */
	double idle_kb_s; /* per node; 0: not asked for */
};
struct lab;
/* `is_told`: a line to stderr for each pair. */
void setup_measure(struct lab *l, size_t n_pairs, bool is_told,
		   struct setup_figures *out);
/* Control traffic per node, kB/s, over so many seconds. */
double idle_measure(struct lab *l, unsigned seconds);
double median(double *values, size_t n);
