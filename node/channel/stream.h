/* One exchange over the overlay, as its users (SOCKS, services, API) see it: a
 * TCP-like byte stream (HTTP/3 CONNECT) or a UDP-like flow (connect-udp).
 *
 * Made by dest_stream() on the side that asks, or handed to the service module
 * on the side that is asked.  All callbacks come from the loop thread, never
 * from inside a call into the stream.  After `closed` the stream is gone;
 * stream_close() may be called at any time and silences it (no callback
 * follows).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

struct stream;

enum stream_kind {
	STREAM_TCP,
	STREAM_UDP,
};

/* Why a stream did not open, or ended early.  SOCKS maps it to a reply. */
enum stream_error {
	STREAM_OK,           /* both directions ended cleanly */
	STREAM_UNREACHABLE,  /* no path to the node (SOCKS 4) */
	STREAM_NOT_ALLOWED,  /* the node does not allow it: 403 (SOCKS 2) */
	STREAM_REFUSED,      /* its port refuses: 502 (SOCKS 5) */
	STREAM_TIMED_OUT,    /* the far connect timed out: 504 (SOCKS 4) */
	STREAM_HOST_UNKNOWN, /* the name means nothing there: 404 (SOCKS 4) */
	STREAM_NET_UNREACHABLE, /* the far host is unreachable: 503 (SOCKS 3) */
	STREAM_RESET,           /* ended after it was open */
	STREAM_LIMIT,           /* too many streams: 429 (SOCKS 1) */
	STREAM_UNSUPPORTED,     /* not what the node does: 501 (SOCKS 1) */
	STREAM_ERRORS,
};
const char *stream_error_text(enum stream_error e);

struct stream_events {
	/* Asking side: the far end has accepted; data may flow. */
	void (*opened)(void *ctx);
	/* Bytes in order (TCP), or one datagram (UDP).  Borrowed for the call.
	 * TCP: call stream_consumed() once they have gone on: the sender's
	 * window opens by that. */
	void (*data)(void *ctx, const uint8_t *data, size_t len);
	/* The far end will send no more (TCP half-close). */
	void (*ended)(void *ctx);
	/* stream_write() returned less than asked for and would take more. */
	void (*writable)(void *ctx);
	/* The last callback. */
	void (*closed)(void *ctx, enum stream_error why);
};

/* Sets (or, on the asked side, first sets) who listens. */
void stream_set_events(struct stream *s, const struct stream_events *ev,
		       void *ctx);

/* On the asking side, right after dest_stream(): the node's key must have this
 * hash.  If not it is not asked, and `closed` says STREAM_HOST_UNKNOWN. */
void stream_expect(struct stream *s, const struct node_hash *key_hash);

/* Likewise: asks for a TCP flow that is spliced, on behalf of the app at this
 * port of our overlay address (protocol.md 7.10); the host says nothing then.
 */
void stream_set_source(struct stream *s, uint16_t port);

/* The asked side answers once: accept, or refuse with the reason. */
void stream_accept(struct stream *s);
void stream_refuse(struct stream *s, enum stream_error why);

/* Takes up to `len` bytes (copied); fewer: wait for `writable`.  UDP: all or
 * nothing, and a datagram that cannot be sent now is dropped and counted by
 * the caller. */
size_t stream_write(struct stream *s, const uint8_t *data, size_t len);
/* The same without a copy, where there is room for all: frees `data` later. */
void stream_write_own(struct stream *s, uint8_t *data, size_t len);
/* The room there is right now for stream_write(). */
size_t stream_room(const struct stream *s);
/* No more writes: half-close towards the far end. */
void stream_end(struct stream *s);
void stream_consumed(struct stream *s, size_t len);
/* Ends it now.  `why` other than STREAM_OK is a reset for the far end. */
void stream_close(struct stream *s, enum stream_error why);

enum stream_kind stream_kind(const struct stream *s);
/* The authenticated node at the other end. */
const struct node_id *stream_peer(const struct stream *s);
/* On the asked side: the host and port that are asked for; borrowed. */
const char *stream_host(const struct stream *s);
uint16_t stream_port(const struct stream *s);
/* 0: it is not to be spliced. */
uint16_t stream_source(const struct stream *s);
/* The largest UDP payload that fits. */
size_t stream_datagram_max(const struct stream *s);
