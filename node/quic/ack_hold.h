/* Whether an acknowledgement may wait for a packet that it can ride on.
 *
 * ngtcp2 acknowledges a lone packet after an eighth of the round trip: on a
 * fast wire that is some microseconds, before anybody could answer.  Then each
 * packet of a question and its answer costs a packet back, and at both ends a
 * wake-up, on the very processors that the question needs.
 *
 * Pure: the owner says what came and what left. */
#pragma once

#include <stdbool.h>

#include "proto/base/time.h"

/* An answer of a program nearby comes within it; and what waits alone is not
 * missed for as long. */
#define ACK_HOLD_NS (1 * NS_PER_MS)

struct ack_hold {
	nsec until;     /* 0: nothing is held */
	unsigned n;     /* packets since */
	unsigned n_all; /* times that something might have been */
};

/* A packet came that wants an acknowledgement; `at_most` is how many may come
 * before it goes out in any case. */
void ack_hold_came(struct ack_hold *h, unsigned at_most, nsec now);
/* It may not wait. */
void ack_hold_hurry(struct ack_hold *h);
/* A packet left that took it along. */
void ack_hold_left(struct ack_hold *h);
/* While true, and with nothing else to say, stay silent. */
bool ack_hold_holds(const struct ack_hold *h, nsec now);
