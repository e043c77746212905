/* What every packet between the TUN and the mesh is checked for.
 *
 * Out (app to mesh): IPv6 only, from exactly our own address, to another node
 * of our cluster, of the length it claims.  In (mesh to app): from exactly the
 * address of the node that sent it, to exactly ours, and closed by default:
 * echo and ICMPv6 errors, answers, and what is published.  TCP is judged by
 * its flags alone: a first SYN needs a published port, other segments pass
 * and meet the kernel's own state.  UDP needs a published port or a flow that
 * we began.  Of a packet in fragments the first is judged so.  No other
 * extension headers come in.
 *
 * No I/O: the caller reads, writes, and sends the answers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/tun/tun_flow.h"
#include "proto/addr.h"
#include "proto/base/bucket.h"
#include "proto/icmp6.h"

/* ICMPv6 errors a second, for each side. */
#define TUN_ANSWER_RATE  100
#define TUN_ANSWER_BURST 100

enum tun_verdict {
	TUN_PASS,
	TUN_SHORT,
	TUN_VERSION,
	TUN_LENGTH,
	TUN_HOP_LIMIT,
	TUN_SCOPE, /* multicast, link-local: usual chatter of a host */
	TUN_SOURCE,
	TUN_DESTINATION,
	TUN_EXTENSION, /* headers that we do not look behind */
	TUN_MALFORMED, /* no whole transport header */
	TUN_CLOSED,    /* the port is not published */
	TUN_PROTOCOL,  /* neither TCP, UDP nor an ICMPv6 that may pass */
	TUN_VERDICTS,
};

enum tun_side {
	TUN_OUT,
	TUN_IN,
	TUN_SIDES,
};

typedef bool tun_allow(void *ctx, const struct node_id *peer, uint8_t proto,
		       uint16_t port);

struct tun_ip {
	struct addr self;
	struct overlay_net net;
	struct tun_flows *flows;
	tun_allow *allow;
	void *ctx;
	struct bucket answers[TUN_SIDES];

	uint64_t n[TUN_SIDES][TUN_VERDICTS];
	uint64_t n_answers[TUN_SIDES];
	uint64_t n_answers_limited[TUN_SIDES];
};

void tun_ip_init(struct tun_ip *t, const struct overlay_net *net,
		 const struct node_id *self, const uint8_t hash_key[16],
		 tun_allow *allow, void *ctx, nsec now);
void tun_ip_deinit(struct tun_ip *t);

/* From an app.  TUN_PASS: `packet` has one hop less, and goes to `*peer`. */
enum tun_verdict tun_ip_out(struct tun_ip *t, uint8_t *packet, size_t len,
			    nsec now, struct node_id *peer);
/* From `peer`, which is authenticated. */
enum tun_verdict tun_ip_in(struct tun_ip *t, const struct node_id *peer,
			   const uint8_t *packet, size_t len, nsec now);

/* Which error a verdict is answered with; false: none. */
bool tun_ip_error_of(enum icmp6_error *error, enum tun_side side,
		     enum tun_verdict verdict);
/* The ICMPv6 error about `packet`, from us to its source: which must be `to`.
 * 0: none is due or too many have gone.  An MTU under 1280 counts as 1280. */
size_t tun_ip_answer(struct tun_ip *t, uint8_t out[ICMP6_ERROR_BYTES_MAX],
		     enum tun_side side, enum icmp6_error error, size_t mtu,
		     const struct addr *to, const uint8_t *packet, size_t len,
		     nsec now);
