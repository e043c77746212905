/* The life of one random network: pairs connect, packets flow, links and nodes
 * fail and come back, everything grows quiet. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scenario_result {
	const char *fault; /* NULL: every property held */
	char detail[160];
	const char *kind;
	size_t n_nodes, n_links, n_pairs;
	size_t n_up, n_unreachable, n_proved;
	size_t n_reused; /* circuits opened without a probe */
	size_t n_broken;
	uint64_t n_messages;
	uint64_t n_verify;
	uint64_t took_max_ns; /* the slowest circuit */
	uint64_t trace;
};

void scenario_run(struct scenario_result *out, uint64_t seed, size_t nodes_max,
		  bool verbose);
