#include "node/channel/stream.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "node/channel/channel_conn.h"
#include "node/channel/stream_self.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/masque.h"

enum {
	/* Bytes of a stream that wait to be sent; what is under way besides is
	 * as much as the path carries. */
	OUT_WAITING_MAX = 512 << 10,
	OUT_MAX = 8 << 20, /* all that it keeps until acknowledged */
	OUT_CHUNK = 16 << 10,
	/* In one go: nghttp3 itself would serve the oldest stream alone for as
	 * long as it has anything. */
	ROUND_BYTES = 32 << 10,
	H3_REQUEST_CANCELLED = 0x10c,
	H3_CONNECT_ERROR = 0x10f,
};

const char *stream_error_text(enum stream_error e)
{
	static const char *const text[STREAM_ERRORS] = {
		[STREAM_OK] = "ok",
		[STREAM_UNREACHABLE] = "unreachable",
		[STREAM_NOT_ALLOWED] = "not allowed",
		[STREAM_REFUSED] = "refused",
		[STREAM_TIMED_OUT] = "timed out",
		[STREAM_HOST_UNKNOWN] = "host unknown",
		[STREAM_NET_UNREACHABLE] = "network unreachable",
		[STREAM_RESET] = "reset",
		[STREAM_LIMIT] = "too many streams",
		[STREAM_UNSUPPORTED] = "not supported",
	};

	return e < STREAM_ERRORS && text[e] != NULL ? text[e] : "-";
}

/* ---- making ---- */

struct stream *stream_new(const struct node_id *peer, enum stream_kind kind,
			  const char *host, uint16_t port,
			  const struct stream_events *ev, void *ctx)
{
	struct stream *s = mem_new(s);

	s->id = -1;
	s->kind = kind;
	s->peer = *peer;
	s->port = port;
	s->ev = ev;
	s->ctx = ctx;
	s->out_tail = &s->out;
	text_copy(s->host, sizeof s->host, host);
	return s;
}

struct stream *stream_new_incoming(struct channel *c, int64_t id)
{
	struct stream *s = stream_new(&c->peer, STREAM_TCP, "", 0, NULL, NULL);

	s->id = id;
	s->is_server_side = true;
	s->state = STREAM_ASKED;
	s->fields = mem_new(s->fields);
	stream_attach(c, s);
	return s;
}

void stream_attach(struct channel *c, struct stream *s)
{
	s->channel = c;
	HASH_ADD(hh, c->streams, id, sizeof s->id, s);
	c->n_streams++;
}

void stream_free(void *p)
{
	struct stream *s = p;

	while (s->out != NULL) {
		struct chunk_out *k = s->out;

		s->out = k->next;
		chunk_out_free(k);
	}
	free(s->fields);
	free(s->capsule);
	free(s);
}

static void detach(struct stream *s)
{
	struct channel *c = s->channel;

	HASH_DEL(c->streams, s);
	c->n_streams--;
	if (s->has_yielded)
		LL_DELETE2(c->yielded, s, next_yielded);
	if (c->ip == s) {
		c->ip = NULL;
		c->is_ip_open = false;
	}
}

void stream_tell_closed(struct stream *s, enum stream_error why)
{
	bool was_silenced = s->is_silenced;

	s->is_silenced = true;
	s->state = STREAM_GONE;
	if (!was_silenced && s->ev != NULL)
		s->ev->closed(s->ctx, why);
}

void stream_finish(struct stream *s, enum stream_error why)
{
	struct loop *l = s->channel->set->loop;

	detach(s);
	stream_tell_closed(s, s->why != STREAM_OK ? s->why : why);
	loop_defer(l, stream_free, s);
}

void stream_blame(struct stream *s, enum stream_error why)
{
	s->why = why;
}

void stream_fail(struct stream *s, enum stream_error why)
{
	stream_tell_closed(s, s->why != STREAM_OK ? s->why : why);
	stream_free(s);
}

void stream_give_up(struct stream *s, enum stream_error why)
{
	s->is_end_written = true;
	quic_stream_shutdown(s->channel->quic, s->id, H3_REQUEST_CANCELLED);
	channel_mark(s->channel);
	stream_tell_closed(s, why);
}

bool stream_is_silenced(const struct stream *s)
{
	return s->is_silenced;
}

struct stream *stream_next_waiting(const struct stream *s)
{
	return s->next_waiting;
}

void stream_set_next_waiting(struct stream *s, struct stream *next)
{
	s->next_waiting = next;
}

struct stream **stream_waiting_link(struct stream *s)
{
	return &s->next_waiting;
}

void stream_set_events(struct stream *s, const struct stream_events *ev,
		       void *ctx)
{
	s->ev = ev;
	s->ctx = ctx;
}

void stream_expect(struct stream *s, const struct node_hash *key_hash)
{
	s->has_expected = true;
	s->expected = *key_hash;
}

void stream_set_source(struct stream *s, uint16_t port)
{
	s->source_port = port;
}

bool stream_expects(const struct stream *s, const struct node_hash *key_hash)
{
	return !s->has_expected || hash_equal(&s->expected, key_hash);
}

/* ---- what the channel tells ---- */

void stream_opened(struct stream *s)
{
	if (s->state != STREAM_ASKED)
		return;
	s->state = STREAM_OPEN;
	if (!s->is_silenced && s->ev != NULL && s->ev->opened != NULL)
		s->ev->opened(s->ctx);
}

void stream_received(struct stream *s, const uint8_t *data, size_t len)
{
	if (s->is_silenced || s->ev == NULL) {
		/* Nobody reads: do not hold the connection's window. */
		quic_stream_consumed(s->channel->quic, s->id, len);
		return;
	}
	s->ev->data(s->ctx, data, len);
}

void stream_received_end(struct stream *s)
{
	s->is_end_read = true;
	if (!s->is_silenced && s->ev != NULL && s->state == STREAM_OPEN)
		s->ev->ended(s->ctx);
}

void stream_received_datagram(struct stream *s, const uint8_t *data, size_t len)
{
	if (!s->is_silenced && s->ev != NULL && s->state == STREAM_OPEN)
		s->ev->data(s->ctx, data, len);
}

static size_t left(size_t max, size_t n)
{
	return n < max ? max - n : 0;
}

static size_t room_left(const struct stream *s)
{
	size_t waiting = left(OUT_WAITING_MAX, s->n_unhanded);
	/* Nothing is under way to ourselves. */
	size_t all =
		left(s->pair != NULL ? OUT_WAITING_MAX : OUT_MAX, s->n_out);

	return waiting < all ? waiting : all;
}

void stream_acked(struct stream *s, size_t len)
{
	while (len > 0 && s->out != NULL) {
		struct chunk_out *k = s->out;
		size_t n = k->handed - k->acked;

		if (n > len)
			n = len;
		k->acked += n;
		s->n_out -= n;
		len -= n;
		if (k->acked < k->len || k->handed < k->len)
			break;
		/* The last chunk may still be written to. */
		s->out = k->next;
		if (s->out == NULL)
			s->out_tail = &s->out;
		chunk_out_free(k);
	}
	if (s->wants_room && room_left(s) >= OUT_WAITING_MAX / 2) {
		s->wants_room = false;
		if (!s->is_silenced && s->ev != NULL && s->ev->writable != NULL)
			s->ev->writable(s->ctx);
	}
}

/* ---- what the user does ---- */

void stream_accept(struct stream *s)
{
	if (s->is_silenced || s->state != STREAM_ASKED)
		return;
	s->state = STREAM_OPEN;
	if (s->pair != NULL) {
		self_stream_mark(s);
		return;
	}
	s->channel->set->counters.n_streams_accepted++;
	h3_respond(s, 200);
}

void stream_refuse(struct stream *s, enum stream_error why)
{
	static const int status[STREAM_ERRORS] = {
		[STREAM_NOT_ALLOWED] = 403,     [STREAM_HOST_UNKNOWN] = 404,
		[STREAM_LIMIT] = 429,           [STREAM_REFUSED] = 502,
		[STREAM_NET_UNREACHABLE] = 503, [STREAM_TIMED_OUT] = 504,
		[STREAM_UNSUPPORTED] = 501,
	};

	if (s->is_silenced || s->state != STREAM_ASKED)
		return;
	s->is_silenced = true;
	s->is_end_written = true;
	if (s->pair != NULL) {
		self_stream_closed(s, why);
		return;
	}
	s->channel->set->counters.n_streams_refused++;
	h3_respond(s, status[why] != 0 ? status[why] : 500);
}

size_t stream_room(const struct stream *s)
{
	if (s->is_silenced || s->state == STREAM_GONE || s->is_end_written)
		return 0;
	return room_left(s);
}

void chunk_out_free(struct chunk_out *k)
{
	if (k->data != k->own)
		free(k->data);
	free(k);
}

static struct chunk_out *append(struct stream *s, size_t len, size_t n_own)
{
	struct chunk_out *k = malloc(sizeof *k + n_own);

	if (k == NULL)
		abort();
	*k = (struct chunk_out){ .len = len, .data = k->own };
	*s->out_tail = k;
	s->out_tail = &k->next;
	if (s->unhanded == NULL)
		s->unhanded = k;
	s->n_out += len;
	s->n_unhanded += len;
	return k;
}

void stream_append(struct stream *s, const uint8_t *data, size_t len)
{
	memcpy(append(s, len, len)->data, data, len);
}

/* There is more for the far end. */
static void resume(struct stream *s)
{
	if (s->pair != NULL)
		self_stream_mark(s);
	else
		h3_resume(s);
}

/* Appends to the bytes to send, whatever the room. */
void stream_put(struct stream *s, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = len < OUT_CHUNK ? len : OUT_CHUNK;

		stream_append(s, data, n);
		data += n;
		len -= n;
	}
	resume(s);
}

static size_t write_datagram(struct stream *s, const uint8_t *data, size_t len)
{
	uint8_t header[HTTP_DATAGRAM_HEADER_MAX];
	ngtcp2_vec vec[2] = { { header, 0 },
			      { (uint8_t *)(uintptr_t)data, len } };

	if (s->state != STREAM_OPEN || len > stream_datagram_max(s))
		return 0;
	if (s->pair != NULL)
		return self_stream_write_datagram(s, data, len) ? len : 0;
	vec[0].len = http_datagram_header_write(header, s->id, 0);
	return channel_write_datagram(s->channel, vec, len > 0 ? 2 : 1) ? len
									: 0;
}

size_t stream_write(struct stream *s, const uint8_t *data, size_t len)
{
	size_t room;

	if (s->is_silenced || s->state == STREAM_GONE || s->is_end_written)
		return 0;
	if (s->kind == STREAM_UDP)
		return write_datagram(s, data, len);
	room = stream_room(s);
	if (len > room) {
		len = room;
		s->wants_room = true;
	}
	stream_put(s, data, len);
	return len;
}

void stream_write_own(struct stream *s, uint8_t *data, size_t len)
{
	append(s, len, 0)->data = data;
	resume(s);
}

void stream_end(struct stream *s)
{
	if (s->is_silenced || s->is_end_written)
		return;
	s->is_end_written = true;
	resume(s);
}

void stream_consumed(struct stream *s, size_t len)
{
	if (s->state == STREAM_GONE || s->kind != STREAM_TCP)
		return;
	if (s->pair != NULL)
		self_stream_consumed(s, len);
	if (s->channel == NULL)
		return;
	quic_stream_consumed(s->channel->quic, s->id, len);
	/* The far end may be waiting for the window and nothing else. */
	channel_mark(s->channel);
}

void stream_close(struct stream *s, enum stream_error why)
{
	bool is_clean = s->is_end_written && s->is_end_read && why == STREAM_OK;

	if (s->is_silenced)
		return;
	s->is_silenced = true;
	if (s->pair != NULL)
		self_stream_closed(s, is_clean ? STREAM_OK : STREAM_RESET);
	if (s->channel == NULL || s->id < 0)
		return; /* whoever holds it in a queue frees it */
	s->is_end_written = true;
	if (!is_clean)
		quic_stream_shutdown(s->channel->quic, s->id,
				     why == STREAM_OK ? H3_REQUEST_CANCELLED
						      : H3_CONNECT_ERROR);
	channel_mark(s->channel);
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

uint16_t stream_source(const struct stream *s)
{
	return s->source_port;
}

size_t stream_datagram_max(const struct stream *s)
{
	uint8_t header[HTTP_DATAGRAM_HEADER_MAX];
	size_t overhead;

	if (s->pair != NULL)
		return SELF_DATAGRAM_MAX;
	if (s->channel == NULL || s->id < 0)
		return CIRCUIT_MTU_MIN - CHANNEL_OVERHEAD -
		       HTTP_DATAGRAM_HEADER_MAX;
	/* CHANNEL_OVERHEAD counts a header of two bytes. */
	overhead = CHANNEL_OVERHEAD - 2 +
		   http_datagram_header_write(header, s->id, 0);
	return channel_packet_max(s->channel) - overhead;
}

static void yield(struct stream *s)
{
	s->has_yielded = true;
	LL_PREPEND2(s->channel->yielded, s, next_yielded);
}

/* nghttp3 asks for data to send. */
nghttp3_ssize stream_give(struct stream *s, nghttp3_vec *vec, size_t cap,
			  uint32_t *flags)
{
	size_t n = 0;

	if (s->unhanded != NULL && s->n_round >= ROUND_BYTES) {
		yield(s);
		return NGHTTP3_ERR_WOULDBLOCK;
	}
	for (; s->unhanded != NULL && n < cap && s->n_round < ROUND_BYTES;
	     s->unhanded = s->unhanded->next) {
		struct chunk_out *k = s->unhanded;

		vec[n].base = k->data;
		vec[n++].len = k->len;
		k->handed = k->len;
		s->n_unhanded -= k->len;
		s->n_round += k->len;
	}
	if (s->unhanded == NULL && s->is_end_written) {
		*flags |= NGHTTP3_DATA_FLAG_EOF;
		return (nghttp3_ssize)n;
	}
	if (n == 0) {
		s->is_resumable = true;
		s->n_round = 0;
		return NGHTTP3_ERR_WOULDBLOCK;
	}
	return (nghttp3_ssize)n;
}
