/* Destinations: one per node that we talk to end to end.
 *
 * Finds a path (router), opens a circuit, runs the channel over it, keeps
 * streams and packets waiting meanwhile, and moves the channel when a circuit
 * dies.  Everything above (SOCKS, TUN, services, `qanat ping`) speaks to
 * nodes through here; nothing below knows of apps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/stream.h"
#include "proto/id.h"

struct dests;

/* Asks node `id` for `host`:`port`.  Never NULL: failures arrive as
 * `closed`. */
struct stream *dest_stream(struct dests *d, const struct node_id *id,
			   enum stream_kind kind, const char *host,
			   uint16_t port, const struct stream_events *ev,
			   void *ctx);

enum dest_packet_verdict {
	DEST_SENT,        /* sent, or waiting for the channel */
	DEST_BLOCKED,     /* no room: stop reading; `unblocked` follows */
	DEST_TOO_BIG,     /* over the path's MTU: `mtu` says which */
	DEST_UNREACHABLE, /* known to be so right now */
};

/* Sends one IPv6 packet to the node. */
enum dest_packet_verdict dest_packet(struct dests *d, const struct node_id *id,
				     const uint8_t *packet, size_t len,
				     size_t *mtu);

/* What the TUN listens to. */
struct dest_packet_events {
	/* A packet from `peer`, authenticated; nothing in it is checked. */
	void (*packet)(void *ctx, const struct node_id *peer,
		       const uint8_t *packet, size_t len);
	/* A packet that waited cannot be delivered: no path to its node. */
	void (*unreachable)(void *ctx, const uint8_t *packet, size_t len);
	/* After DEST_BLOCKED. */
	void (*unblocked)(void *ctx);
};
void dest_set_packet_events(struct dests *d,
			    const struct dest_packet_events *ev, void *ctx);
