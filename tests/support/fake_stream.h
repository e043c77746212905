/* node/channel/stream.h and node/channel/dest.h without a network, for tests of
 * what stands on them.  A program that refers to anything here gets these
 * definitions instead of the real ones (its archive comes first).
 *
 * A fake stream lives until fake_dests_free() or fake_stream_free(), so that a
 * test can look at it after its end.
 */
#pragma once

#include "node/channel/dest.h"
#include "node/channel/stream.h"

#define FAKE_STREAMS_MAX 1200
#define FAKE_PACKETS_MAX 256

struct stream {
	enum stream_kind kind;
	struct node_id peer;
	char host[256];
	uint16_t port;
	uint16_t source_port;
	struct dest_tag tag;
	bool has_expected;
	struct node_hash expected; /* of the far end's key */
	const struct stream_events *ev;
	void *ctx;

	/* What the user of the stream did. */
	uint8_t *sent; /* TCP: bytes; UDP: the last datagram */
	size_t n_sent;
	size_t n_datagrams;
	size_t room; /* left for stream_write(); start: 64 KiB */
	bool short_write;
	bool end_sent;
	size_t n_consumed;
	bool accepted;
	bool refused;
	bool closed_by_user;
	enum stream_error why;

	bool gone; /* closed by either side */
};

struct stream *fake_stream_new(enum stream_kind kind,
			       const struct node_id *peer, const char *host,
			       uint16_t port);
void fake_stream_free(struct stream *s);

/* What the far end does. */
void fake_stream_open(struct stream *s);
void fake_stream_feed(struct stream *s, const void *data, size_t len);
void fake_stream_end(struct stream *s);
void fake_stream_closed(struct stream *s, enum stream_error why);
/* Gives the writer more room, and tells it if it waits. */
void fake_stream_add_room(struct stream *s, size_t room);

struct dests {
	size_t n_streams;
	struct stream *streams[FAKE_STREAMS_MAX]; /* in order of asking */
	size_t n_packets;
	struct {
		struct node_id id;
		size_t len;
		uint8_t data[2048];
	} packets[FAKE_PACKETS_MAX];
	enum dest_packet_verdict verdict; /* what dest_packet() returns */
	size_t mtu;
	const struct node_id *blocked; /* this one has no room, in any case */
	const struct dest_packet_events *ev;
	void *ctx;
};

struct dests *fake_dests_new(void);
void fake_dests_free(struct dests *d);
