/* Streams from a node to itself: an app that asks our SOCKS port for our own
 * name is served as a peer's would be, without a channel.  Each request is two
 * streams (stream.h) joined in memory: what one end writes the other end gets
 * when the turn ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/channel/dest.h"

struct loop;

struct self_streams {
	struct loop *loop;
	struct self_pair *all;
	struct self_pair *marked; /* something has happened to them */
};

struct stream *self_stream_new(struct self_streams *set,
			       const struct identity *self,
			       enum stream_kind kind, const char *host,
			       uint16_t port, const struct stream_events *ev,
			       void *ctx);
/* At the end of a turn: `request` answers what was asked meanwhile.  True if
 * anything was done. */
bool self_streams_flush(struct self_streams *set, dest_request *request,
			void *ctx);
/* Ends and frees them all. */
void self_streams_free(struct self_streams *set);

/* ---- for stream.c: what its user does to one end ---- */

struct self_pair;

/* UDP's own limit; what is longer cannot have come in. */
#define SELF_DATAGRAM_MAX 65507

/* Bytes, an end or an answer are there for the other end. */
void self_stream_mark(struct stream *s);
void self_stream_consumed(struct stream *s, size_t len);
/* The other end is told of it; `s` is silent already. */
void self_stream_closed(struct stream *s, enum stream_error why);
bool self_stream_write_datagram(struct stream *s, const uint8_t *data,
				size_t len);
