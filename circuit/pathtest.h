/* Path tests as a hop sees them: TEST goes along a circuit to the hop it names,
 * which signs what has come to it (RECEIPT).  protocol.md 13.2.
 */
#pragma once

#include "circuit/router.h"

struct circuit;
struct session;

void pathtest_handle_test(struct router *r, struct session *s,
			  const struct msg_test *m, nsec now);
/* Passes it on, or hands it to hold.h. */
void pathtest_handle_receipt(struct router *r, struct session *s,
			     const struct msg_receipt *m, nsec now);
/* From an end of a circuit; its answer comes to hold_handle_receipt(). */
bool pathtest_send(struct router *r, struct circuit *c, unsigned hop,
		   uint64_t token, nsec now);
