#include "tests/support/fake_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"

enum {
	ROOM_BYTES = 65536,
	DATAGRAM_MAX = 1200
};

const char *stream_error_text(enum stream_error e)
{
	(void)e;
	return "fake";
}

void stream_set_events(struct stream *s, const struct stream_events *ev,
		       void *ctx)
{
	assert(!s->gone);
	s->ev = ev;
	s->ctx = ctx;
}

void stream_expect(struct stream *s, const struct node_hash *key_hash)
{
	assert(!s->gone && s->n_sent == 0);
	s->has_expected = true;
	s->expected = *key_hash;
}

void stream_accept(struct stream *s)
{
	assert(!s->gone && !s->accepted);
	s->accepted = true;
}

void stream_refuse(struct stream *s, enum stream_error why)
{
	assert(!s->gone && !s->accepted);
	s->refused = true;
	s->why = why;
	s->gone = true;
}

size_t stream_write(struct stream *s, const uint8_t *data, size_t len)
{
	size_t n = len < s->room ? len : s->room;

	assert(!s->gone && !s->end_sent);
	if (s->kind == STREAM_UDP) {
		if (n < len)
			return 0;
		s->n_sent = 0;
		s->n_datagrams++;
	} else {
		s->room -= n;
	}
	s->short_write = n < len;
	s->sent = mem_realloc(s->sent, s->n_sent + n + 1, 1);
	memcpy(s->sent + s->n_sent, data, n);
	s->n_sent += n;
	return n;
}

void stream_write_own(struct stream *s, uint8_t *data, size_t len)
{
	assert(len <= s->room);
	stream_write(s, data, len);
	free(data);
}

size_t stream_room(const struct stream *s)
{
	assert(!s->gone);
	return s->room;
}

void stream_end(struct stream *s)
{
	assert(!s->gone && !s->end_sent);
	s->end_sent = true;
}

void stream_consumed(struct stream *s, size_t len)
{
	assert(!s->gone);
	s->n_consumed += len;
}

void stream_close(struct stream *s, enum stream_error why)
{
	assert(!s->gone);
	s->closed_by_user = true;
	s->why = why;
	s->gone = true;
}

enum stream_kind stream_kind(const struct stream *s)
{
	return s->kind;
}

const struct node_id *stream_peer(const struct stream *s)
{
	return &s->peer;
}

const char *stream_host(const struct stream *s)
{
	return s->host;
}

uint16_t stream_port(const struct stream *s)
{
	return s->port;
}

void stream_set_source(struct stream *s, uint16_t port)
{
	s->source_port = port;
}

uint16_t stream_source(const struct stream *s)
{
	return s->source_port;
}

size_t stream_datagram_max(const struct stream *s)
{
	(void)s;
	return DATAGRAM_MAX;
}

/* ---- the far end ---- */

struct stream *fake_stream_new(enum stream_kind kind,
			       const struct node_id *peer, const char *host,
			       uint16_t port)
{
	struct stream *s = mem_new(s);

	s->kind = kind;
	s->peer = *peer;
	text_copy(s->host, sizeof s->host, host);
	s->port = port;
	s->room = ROOM_BYTES;
	return s;
}

void fake_stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	free(s->sent);
	free(s);
}

void fake_stream_open(struct stream *s)
{
	assert(!s->gone);
	s->ev->opened(s->ctx);
}

void fake_stream_feed(struct stream *s, const void *data, size_t len)
{
	assert(!s->gone);
	s->ev->data(s->ctx, data, len);
}

void fake_stream_end(struct stream *s)
{
	assert(!s->gone);
	s->ev->ended(s->ctx);
}

void fake_stream_closed(struct stream *s, enum stream_error why)
{
	assert(!s->gone);
	s->gone = true;
	s->why = why;
	s->ev->closed(s->ctx, why);
}

void fake_stream_add_room(struct stream *s, size_t room)
{
	bool tell = s->short_write;

	s->room += room;
	s->short_write = false;
	if (tell && !s->gone)
		s->ev->writable(s->ctx);
}

/* ---- destinations ---- */

struct dests *fake_dests_new(void)
{
	struct dests *d = mem_new(d);

	d->verdict = DEST_SENT;
	return d;
}

void fake_dests_free(struct dests *d)
{
	for (size_t i = 0; i < d->n_streams; i++)
		fake_stream_free(d->streams[i]);
	free(d);
}

struct stream *dest_stream(struct dests *d, const struct node_id *id,
			   enum stream_kind kind, const char *host,
			   uint16_t port, const struct stream_events *ev,
			   void *ctx)
{
	static const struct dest_tag none;

	return dest_stream_apart(d, &none, id, kind, host, port, ev, ctx);
}

struct stream *dest_stream_apart(struct dests *d, const struct dest_tag *tag,
				 const struct node_id *id,
				 enum stream_kind kind, const char *host,
				 uint16_t port, const struct stream_events *ev,
				 void *ctx)
{
	struct stream *s = fake_stream_new(kind, id, host, port);

	assert(d->n_streams < FAKE_STREAMS_MAX);
	s->tag = *tag;
	s->ev = ev;
	s->ctx = ctx;
	d->streams[d->n_streams++] = s;
	return s;
}

enum dest_packet_verdict dest_packet(struct dests *d, const struct node_id *id,
				     const uint8_t *packet, size_t len,
				     size_t *mtu)
{
	if (d->blocked != NULL && id_equal(d->blocked, id))
		return DEST_BLOCKED;
	if (d->verdict == DEST_TOO_BIG)
		*mtu = d->mtu;
	if (d->verdict != DEST_SENT)
		return d->verdict;
	assert(d->n_packets < FAKE_PACKETS_MAX);
	assert(len <= sizeof d->packets[0].data);
	d->packets[d->n_packets].id = *id;
	d->packets[d->n_packets].len = len;
	memcpy(d->packets[d->n_packets].data, packet, len);
	d->n_packets++;
	return DEST_SENT;
}

void dest_set_packet_events(struct dests *d,
			    const struct dest_packet_events *ev, void *ctx)
{
	d->ev = ev;
	d->ctx = ctx;
}
