/* Asks single hops of a circuit of ours, by hand, and tells what they sign:
 * ROUTER_HOP for each receipt.  protocol.md 13.2.
 */
#pragma once

#include <stdbool.h>

#include "circuit/router.h"

struct circuit;
struct trace_test;

struct traces {
	struct trace_test *tests; /* the oldest first */
	unsigned n;
};

void traces_deinit(struct router *r);
/* False if the receipt was not asked for here. */
bool trace_handle_receipt(struct router *r, const struct circuit *c,
			  const struct msg_receipt *m, nsec now);
