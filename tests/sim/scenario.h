/* The life of one random network: pairs connect, packets flow, links and nodes
 * fail and come back, everything grows quiet.  In some networks some nodes
 * misbehave.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scenario_result {
	const char *fault; /* NULL: every property held */
	char detail[160];
	const char *kind;
	bool is_hostile;
	bool is_steered;
	size_t n_nodes, n_links;
	size_t n_up, n_unreachable, n_proved;
	size_t n_reused;  /* circuits opened without a probe */
	size_t n_broken;  /* by events */
	size_t n_second;  /* second circuits where another way exists */
	size_t n_apart;   /* of these: over no link of the first */
	size_t n_offered; /* routes found by a probe that was offered again */
	size_t n_altered; /* messages of hostile nodes */
	uint64_t n_messages;
	uint64_t n_verify;
	uint64_t took_max_ns; /* the slowest circuit */
	uint64_t trace;
};

void scenario_run(struct scenario_result *out, uint64_t seed, size_t nodes_max,
		  bool verbose);
