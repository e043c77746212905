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

#include "node/channel/stream.h"
#include "proto/base/time.h"
#include "proto/id.h"

struct channel;
struct channels;
struct dests;
struct loop;
struct router;
struct router_event;

struct dests *dests_new(struct loop *l, struct router *r);
void dests_free(struct dests *d);
/* Before anything else: where channels are made. */
void dests_set_channels(struct dests *d, struct channels *channels);
/* Who answers the requests that peers make of us. */
typedef void dest_request(void *ctx, struct stream *s);
void dests_set_requests(struct dests *d, dest_request *request, void *ctx);

/* From the router: CIRCUIT_UP of ours, UNREACHABLE. */
void dests_handle_event(struct dests *d, const struct router_event *ev);
/* A session has come up: what was unreachable may not be any more. */
void dests_network_changed(struct dests *d);
/* At the end of a turn; true if anything was done. */
bool dests_flush(struct dests *d);
/* For channels_new(). */
struct channel_events;
extern const struct channel_events dest_channel_events;

/* Our own channel to the node, if it is up (for status and ping). */
struct channel *dest_channel(struct dests *d, const struct node_id *id);
/* Told once when a path and a channel to the node stand (or not). */
struct dest_report {
	bool is_up, is_proved; /* not up: every copy of the probe came back */
	nsec took;
};
typedef void dest_reported(void *ctx, const struct dest_report *report);
/* Brings the channel up if it is not; `reported` comes from the loop. */
void dest_connect(struct dests *d, const struct node_id *id,
		  dest_reported *reported, void *ctx);
/* No report will come for `ctx` any more. */
void dest_connect_cancel(struct dests *d, void *ctx);

struct dest_counters {
	uint64_t n_dests, n_tags_over, n_packets_waited, n_packets_dropped,
		n_packets_unreachable, n_streams_failed, n_evicted,
		n_second_tries, n_servers_silent;
};
const struct dest_counters *dest_counters(const struct dests *d);

/* Asks node `id` for `host`:`port`.  Never NULL: failures arrive as
 * `closed`. */
struct stream *dest_stream(struct dests *d, const struct node_id *id,
			   enum stream_kind kind, const char *host,
			   uint16_t port, const struct stream_events *ev,
			   void *ctx);

/* Whose requests may share a channel: those with equal tags.  All zeros is
 * everybody without one. */
struct dest_tag {
	uint8_t b[16];
};
bool dest_tag_is_zero(const struct dest_tag *tag);
/* With tags towards one node at a time: half of what it must allow, so that
 * channels which it does not know to be dead have room. */
#define DEST_TAGS_MAX (CHANNELS_PER_PEER_MAX / 2 - 1)

/* The same for the user behind `tag`.  If too many use the node, `closed` says
 * STREAM_LIMIT. */
struct stream *dest_stream_apart(struct dests *d, const struct dest_tag *tag,
				 const struct node_id *id,
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
	/* A packet from `peer`, authenticated; nothing in it is checked.  Is it
	 * marked, it met congestion on its way. */
	void (*packet)(void *ctx, const struct node_id *peer,
		       const uint8_t *packet, size_t len, bool is_marked);
	/* A packet that waited cannot be delivered: no path to its node. */
	void (*unreachable)(void *ctx, const uint8_t *packet, size_t len);
	/* A packet that waited is over the MTU of the path that was found. */
	void (*too_big)(void *ctx, const uint8_t *packet, size_t len,
			size_t mtu);
	/* After DEST_BLOCKED. */
	void (*unblocked)(void *ctx);
};
void dest_set_packet_events(struct dests *d,
			    const struct dest_packet_events *ev, void *ctx);
