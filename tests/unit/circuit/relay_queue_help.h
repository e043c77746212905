/* What the tests of relay queues share: packets that say which they are. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "circuit/relay/relay_queue.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/packet.h"

#define NOW   (9 * NS_PER_S)
#define LARGE 1400

static const uint8_t relay_key[RELAY_KEY_BYTES] = { 1, 2, 3 };

static inline struct relay_pool *pool_of(size_t n_circuit, size_t n_queue,
					 size_t n_pool)
{
	struct relay_limits limits = RELAY_LIMITS;

	limits.n_circuit_max = n_circuit;
	limits.n_queue_max = n_queue;
	limits.n_pool_max = n_pool;
	return relay_pool_new(&limits, relay_key);
}

static inline struct relay_pool *pool_of_default(void)
{
	return relay_pool_new(&RELAY_LIMITS, relay_key);
}

/* A packet says its circuit in its header, and its number behind it. */
static inline void put_part(struct relay_queue *q, enum packet_part part,
			    uint32_t label, bool is_own, uint32_t number,
			    size_t len, nsec now)
{
	uint8_t header[PACKET_HEADER_MAX];
	size_t n = packet_header_write(header, part, label, 0);
	uint8_t data[CIRCUIT_MTU_MAX + PACKET_HEADER_MAX] = { 0 };

	memcpy(data, &number, sizeof number);
	relay_queue_add(q, label, is_own, (struct relay_bytes){ header, n },
			(struct relay_bytes){ data, len - n }, now);
}

static inline void put(struct relay_queue *q, uint32_t label, bool is_own,
		       uint32_t number, size_t len, nsec now)
{
	put_part(q, PACKET_WHOLE, label, is_own, number, len, now);
}

struct got {
	uint32_t label, number;
	size_t len;
	enum packet_part part;
	bool is_marked;
};

static inline bool get(struct relay_queue *q, struct got *out, nsec now)
{
	struct relay_bytes b;
	struct packet p;

	if (!relay_queue_next(q, now, &b))
		return false;
	assert_int_equal(packet_parse(&p, b.data, b.len), PACKET_OK);
	*out = (struct got){ .label = p.label,
			     .len = b.len,
			     .part = p.part,
			     .is_marked = p.is_marked };
	memcpy(&out->number, p.payload, sizeof out->number);
	relay_queue_sent(q);
	return true;
}

static inline void stop(struct relay_queue *q, struct relay_pool *p)
{
	relay_queue_free(q);
	assert_int_equal(relay_pool_n(p), 0);
	relay_pool_free(p);
}
