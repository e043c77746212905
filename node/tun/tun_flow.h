/* The UDP flows that our own apps began: their answers may come in.
 *
 * A fixed table of TUN_FLOWS_MAX places in sets of four, found by a keyed
 * hash; a new flow takes the place of the oldest in its set.  The keys come
 * from our own apps' packets, the key of the hash from the system.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"
#include "proto/id.h"

#define TUN_FLOWS_MAX    4096
#define TUN_FLOW_IDLE_NS (120 * NS_PER_S)

struct tun_flow {
	struct node_id peer;
	uint8_t proto;
	uint16_t our_port;
	uint16_t their_port;
};

struct tun_flows;

struct tun_flows *tun_flows_new(const uint8_t hash_key[16]);
void tun_flows_free(struct tun_flows *t);

/* One of our apps has sent a packet. */
void tun_flows_note(struct tun_flows *t, const struct tun_flow *f, nsec now);
/* Whether it did within TUN_FLOW_IDLE_NS; that goes on while packets come. */
bool tun_flows_handle(struct tun_flows *t, const struct tun_flow *f, nsec now);
