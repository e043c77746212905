/* What we claim about a link, from what its session measures.  protocol.md 2.3.
 *
 * cost = RTT/2 / (1 - loss) + the time of METER_PACKET_BYTES at the link's
 * rate, and never under the floor.  All three are smoothed, and slow to follow
 * a load that comes and goes: a path must not become unattractive by being
 * used.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"
#include "proto/msg.h"

#define METER_PACKET_BYTES 1250
/* Samples closer together than this are put together. */
#define METER_PERIOD_NS (250 * NS_PER_MS)
/* A new claim waits this long after the last one, unless the MTU has changed.
 */
#define METER_CLAIM_NS (1 * NS_PER_S)

/* Totals since the session began, but for the RTT and what is in flight. */
struct link_sample {
	nsec rtt; /* smoothed by QUIC */
	uint64_t n_acked, n_lost;
	uint64_t cwnd, in_flight; /* bytes */
};

struct link_meter {
	bool has_rtt;
	nsec sampled; /* when a sample was taken in last */
	nsec rtt;
	uint32_t loss; /* 1/65536 */
	uint64_t rate; /* bytes a second; 0: never full, so not known */
	uint64_t n_acked, n_lost; /* at the last reckoning of the loss */
};

void link_meter_add(struct link_meter *m, const struct link_sample *s,
		    nsec now);
/* `more_100us`: what the operator adds to the cost. */
struct msg_link link_meter_claim(const struct link_meter *m, uint16_t mtu,
				 uint16_t more_100us);

/* Whether the peer should be told: the MTU is another, or (not within
 * METER_CLAIM_NS of the last time) the cost differs by more than a fifth. */
bool link_claim_differs(const struct msg_link *told, const struct msg_link *is,
			nsec since_told);
