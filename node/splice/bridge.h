/* Two byte pipes joined: a local TCP connection and a stream of the overlay.
 *
 * Back-pressure goes through in both directions: the socket is read only as
 * the stream takes it (a rest of at most BRIDGE_SLACK_BYTES is kept), and
 * what the app does not take counts as consumed up to BRIDGE_QUEUE_BYTES only:
 * then the stream's window closes, which bounds the queue.  Half-closes and
 * resets go through as well.  Used by SOCKS and by published services.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/channel/stream.h"
#include "node/io/tcp.h"

/* Read beyond the stream's room, so that the stream knows that we wait. */
#define BRIDGE_SLACK_BYTES 4096
/* Of the stream's bytes, queued for the socket, and yet consumed. */
#define BRIDGE_QUEUE_BYTES (256 << 10)
/* With one direction ended and nothing moving: given up (I10). */
#define BRIDGE_HALF_OPEN_NS (300 * NS_PER_S)

/* Kept by the owner, for all of its bridges; outlives them. */
struct bridge_set {
	nsec half_open_ns; /* 0: BRIDGE_HALF_OPEN_NS */
	uint64_t n_made;
	uint64_t n_open;
	uint64_t n_clean;
	uint64_t n_reset_near; /* by the local socket */
	uint64_t n_reset_far;  /* by the stream */
	uint64_t n_timed_out;
	uint64_t bytes_out; /* socket to stream */
	uint64_t bytes_in;
};

struct bridge;

/* The bridge has ended by itself, and is gone. */
typedef void bridge_done(void *ctx);

/* Owns both ends from here on.  `early` was read from the socket before, and
 * goes first; `ended` if the socket's other side has sent its end already. */
struct bridge *bridge_new(struct loop *l, struct tcp *tcp, struct stream *s,
			  const uint8_t *early, size_t n_early, bool ended,
			  struct bridge_set *set, bridge_done *done, void *ctx);
/* For a stream that was listened to before: what came, and whether its end
 * did. */
void bridge_handle_early(struct bridge *b, const uint8_t *data, size_t len,
			 bool ended);
/* Resets both ends; `done` is not called. */
void bridge_close(struct bridge *b);
