/* Circuit packets that wait for a session.  protocol.md 2.7.
 *
 * Each circuit has a queue of its own.  They take turns by bytes (deficit round
 * robin; a circuit which begins to wait goes first, as in RFC 8290), so one
 * that sends much delays itself and nobody else.  Of circuits in transit CoDel
 * marks what makes the others behind it wait, and drops it if it is a part of a
 * packet, which cannot be marked; circuits of our own are left alone but asked
 * to wait, see relay_queue_has_room().
 *
 * Three limits hold: on one circuit, on one queue, on all queues of a pool.
 * What goes over one is dropped from the head of the longest queue, which is
 * never that of a circuit below its equal part of what waits.
 *
 * Memory is in slots of one size, which the pool keeps a few of: no allocation
 * per packet once it is warm, and none at all while nothing waits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/relay/codel.h"
#include "proto/limits.h"

struct relay_pool;
struct relay_queue;

struct relay_limits {
	struct codel_config codel;
	size_t n_circuit_max; /* packets; 2..RELAY_QUEUE_MAX */
	size_t n_queue_max;   /* at least 2 */
	size_t n_pool_max;    /* likewise */
};

#define RELAY_LIMITS                                                           \
	((struct relay_limits){                                                \
		.codel = { RELAY_TARGET_NS, RELAY_INTERVAL_NS },               \
		.n_circuit_max = RELAY_QUEUE_MAX,                              \
		.n_queue_max = RELAY_SESSION_MAX,                              \
		.n_pool_max = RELAY_ALL_MAX,                                   \
	})

struct relay_counters {
	uint64_t n_marked; /* by CoDel */
	uint64_t n_late;   /* dropped by CoDel */
	uint64_t n_full;   /* dropped by a limit */
};

#define RELAY_KEY_BYTES 16

/* `key` is secret: neighbours choose the labels. */
struct relay_pool *relay_pool_new(const struct relay_limits *limits,
				  const uint8_t key[RELAY_KEY_BYTES]);
void relay_pool_free(struct relay_pool *p); /* after its queues */
/* Packets that wait, in all queues. */
size_t relay_pool_n(const struct relay_pool *p);
/* Of all queues, also of those which are gone. */
const struct relay_counters *relay_pool_counters(const struct relay_pool *p);

/* The pool is borrowed. */
struct relay_queue *relay_queue_new(struct relay_pool *p);
void relay_queue_free(struct relay_queue *q); /* NULL is allowed */

struct relay_bytes {
	const uint8_t *data;
	size_t len;
};

/* Adds a copy of a packet in two pieces, the header with the outgoing label and
 * what follows: at most CIRCUIT_MTU_MAX + PACKET_HEADER_MAX bytes together. */
void relay_queue_add(struct relay_queue *q, uint32_t label, bool is_own,
		     struct relay_bytes header, struct relay_bytes payload,
		     nsec now);

/* The packet to send next, borrowed until relay_queue_sent(); false if there is
 * none.  It stays the same until then. */
bool relay_queue_next(struct relay_queue *q, nsec now, struct relay_bytes *out);
void relay_queue_sent(struct relay_queue *q);

/* Packets that wait, the one which next() has given included. */
size_t relay_queue_n(const struct relay_queue *q);

/* Whether a circuit of our own may send: its queue is not half full, nor at
 * half of its equal part.  If not, relay_queue_woke() tells when to ask again.
 */
bool relay_queue_has_room(struct relay_queue *q, uint32_t label);
/* Whether someone who had no room has it now; tells it once. */
bool relay_queue_woke(struct relay_queue *q);

const struct relay_counters *relay_queue_counters(const struct relay_queue *q);
