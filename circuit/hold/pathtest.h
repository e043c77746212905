/* Path tests as a hop sees them: TEST goes along a circuit to the hop it names,
 * which signs what has come to it (RECEIPT).  protocol.md 13.2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"

struct circuit;
struct session;

void pathtest_handle_test(struct router *r, struct session *s,
			  const struct msg_test *m, nsec now);
/* Passes it on, or hands it to hold.h. */
void pathtest_handle_receipt(struct router *r, struct session *s,
			     const struct msg_receipt *m, nsec now);

/* From an end of a circuit to its `hop`-th node, the next one being 1.  False
 * if it has to wait, so that we stay below our neighbour's quota. */
bool pathtest_send(struct router *r, const struct circuit *c, unsigned hop,
		   uint64_t token, nsec now);
/* Whether a receipt is signed by the node that `hop` is. */
enum receipt_verdict {
	RECEIPT_GOOD,
	RECEIPT_BAD,
	RECEIPT_UNKNOWN, /* nothing can be said now */
};
enum receipt_verdict pathtest_check(struct router *r, const struct circuit *c,
				    const struct msg_receipt *m, nsec now);
