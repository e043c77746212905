/* CoDel: which packets of a queue are dropped because they waited, or marked in
 * place of that (RFC 8289, RFC 8290 4.2).
 *
 * A queue is told from a burst by how long its packets wait at the least over
 * an interval.  One `struct codel` per queue; zeroed is its beginning.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"

struct codel_config {
	nsec target;   /* a wait that is allowed for ever */
	nsec interval; /* about the longest round trip; at most 4 s */
};

struct codel {
	nsec above_until; /* from then on it is a queue; 0: below target */
	nsec drop_next;
	uint32_t count,
		last_count; /* drops in this row and in the one before */
	bool is_dropping;
};

/* Whether the packet that has just been taken off the head, after `waited`, is
 * to be dropped.  `is_last`: not a full packet is left behind it.  The caller
 * goes on with the next one until it is told no, or has marked one instead. */
bool codel_drops(struct codel *c, const struct codel_config *config,
		 nsec waited, bool is_last, nsec now);
