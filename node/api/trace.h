/* Measures the hops of one circuit of ours: asks each of them several times
 * over the circuit itself, and times their signed receipts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"
#include "proto/limits.h"

struct loop;
struct trace;

/* All that are under way. */
struct trace_set {
	struct trace *all;
};

struct trace_hop {
	nsec rtt; /* the least; TIME_NEVER: it is silent */
	/* As in ROUTER_HOP, of the last receipt. */
	uint64_t n_packets, n_missing;
};

struct trace_result {
	unsigned n_hops;
	struct trace_hop hop[HOPS_MAX];
};

/* Called once, from the loop; the trace is gone then. */
typedef void trace_done(void *ctx, const struct trace_result *r);

struct trace *trace_new(struct trace_set *set, struct loop *l, struct router *r,
			const struct circuit_info *c, trace_done *done,
			void *ctx);
/* No callback follows. */
void trace_cancel(struct trace *t);

void traces_handle_event(struct trace_set *set, const struct router_event *ev);
