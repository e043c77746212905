#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/channel/channel_conn.h"
#include "proto/addr.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/masque.h"
#include "proto/name.h"

enum {
	FIELDS_MAX = 64,
	FIELD_BYTES_MAX = 16384,
	H3_NO_ERROR = 0x100,
	H3_REQUEST_REJECTED = 0x10b,
	H3_MESSAGE_ERROR = 0x10e,
	H3_DATAGRAM_ERROR = 0x33,
	STATUS_OK = 200,
};

void h3_resume(struct stream *s)
{
	struct channel *c = s->channel;

	if (c == NULL || c->h3 == NULL || s->id < 0)
		return;
	if (s->is_resumable) {
		s->is_resumable = false;
		nghttp3_conn_resume_stream(c->h3, s->id);
	}
	channel_mark(c);
}

bool h3_next_round(struct channel *c)
{
	bool did_anything = c->yielded != NULL;

	while (c->yielded != NULL) {
		struct stream *s = c->yielded;

		c->yielded = s->next_yielded;
		s->has_yielded = false;
		s->n_round = 0;
		nghttp3_conn_resume_stream(c->h3, s->id);
	}
	return did_anything;
}

/* ---- bodies ---- */

/* Capsules on connect-udp and connect-ip streams: what is not a DATAGRAM is
 * informative here, as addresses follow from identities. */
static bool take_capsules(struct stream *s, const uint8_t *data, size_t len)
{
	while (len > 0) {
		struct capsule cap;
		size_t used, n = CAPSULE_BYTES_MAX - s->n_capsule;
		enum masque_verdict v;

		if (s->capsule == NULL)
			s->capsule = mem_calloc(1, CAPSULE_BYTES_MAX);
		if (n > len)
			n = len;
		memcpy(s->capsule + s->n_capsule, data, n);
		s->n_capsule += n;
		data += n;
		len -= n;
		while ((v = capsule_parse(&cap, s->capsule, s->n_capsule,
					  &used)) == MASQUE_OK) {
			s->n_capsule -= used;
			memmove(s->capsule, s->capsule + used, s->n_capsule);
		}
		if (v != MASQUE_MORE || s->n_capsule == CAPSULE_BYTES_MAX)
			return false;
	}
	return true;
}

static int recv_data(nghttp3_conn *h3, int64_t id, const uint8_t *data,
		     size_t len, void *ctx, void *stream_ctx)
{
	struct channel *c = ctx;
	struct stream *s = stream_ctx;

	(void)h3;
	c->last_used = loop_now(c->set->loop);
	if (s != NULL && s->kind == STREAM_TCP && !s->is_ip) {
		stream_received(s, data, len);
		return 0;
	}
	quic_stream_consumed(c->quic, id, len);
	if (s != NULL && !take_capsules(s, data, len)) {
		c->set->counters.n_capsule_bad++;
		quic_stream_shutdown(c->quic, id, H3_DATAGRAM_ERROR);
	}
	return 0;
}

static int end_stream(nghttp3_conn *h3, int64_t id, void *ctx, void *stream_ctx)
{
	struct stream *s = stream_ctx;

	(void)h3;
	(void)id;
	(void)ctx;
	if (s != NULL)
		stream_received_end(s);
	return 0;
}

static int deferred_consume(nghttp3_conn *h3, int64_t id, size_t len, void *ctx,
			    void *stream_ctx)
{
	struct channel *c = ctx;

	(void)h3;
	(void)stream_ctx;
	quic_stream_consumed(c->quic, id, len);
	return 0;
}

static int acked_data(nghttp3_conn *h3, int64_t id, uint64_t len, void *ctx,
		      void *stream_ctx)
{
	(void)h3;
	(void)id;
	(void)ctx;
	if (stream_ctx != NULL)
		stream_acked(stream_ctx, (size_t)len);
	return 0;
}

static int stream_close_cb(nghttp3_conn *h3, int64_t id, uint64_t error,
			   void *ctx, void *stream_ctx)
{
	struct stream *s = stream_ctx;
	bool is_clean = error == H3_NO_ERROR || error == 0;

	(void)ctx;
	if (s == NULL)
		return 0;
	nghttp3_conn_set_stream_user_data(h3, id, NULL);
	stream_finish(s, is_clean && s->state == STREAM_OPEN ? STREAM_OK
							     : STREAM_RESET);
	return 0;
}

static int stop_sending(nghttp3_conn *h3, int64_t id, uint64_t error, void *ctx,
			void *stream_ctx)
{
	struct channel *c = ctx;

	(void)h3;
	(void)stream_ctx;
	quic_stream_stop_reading(c->quic, id, error);
	return 0;
}

static int reset_stream(nghttp3_conn *h3, int64_t id, uint64_t error, void *ctx,
			void *stream_ctx)
{
	struct channel *c = ctx;

	(void)h3;
	(void)stream_ctx;
	quic_stream_shutdown(c->quic, id, error);
	return 0;
}

static const nghttp3_callbacks h3_callbacks = {
	.acked_stream_data = acked_data,
	.stream_close = stream_close_cb,
	.recv_data = recv_data,
	.deferred_consume = deferred_consume,
	.begin_headers = h3_begin_headers,
	.recv_header = h3_recv_header,
	.end_headers = h3_end_headers,
	.stop_sending = stop_sending,
	.end_stream = end_stream,
	.reset_stream = reset_stream,
};

/* ---- start and stop ---- */

bool h3_start(struct channel *c)
{
	nghttp3_settings settings;
	int64_t control, encoder, decoder;
	int rv;

	nghttp3_settings_default(&settings);
	settings.max_field_section_size = FIELD_BYTES_MAX;
	settings.enable_connect_protocol = 1;
	settings.h3_datagram = 1;
	rv = c->is_client
		     ? nghttp3_conn_client_new(&c->h3, &h3_callbacks, &settings,
					       nghttp3_mem_default(), c)
		     : nghttp3_conn_server_new(&c->h3, &h3_callbacks, &settings,
					       nghttp3_mem_default(), c);
	if (rv != 0)
		return false;
	control = quic_open_uni(c->quic);
	encoder = quic_open_uni(c->quic);
	decoder = quic_open_uni(c->quic);
	if (control < 0 || encoder < 0 || decoder < 0)
		return false;
	if (!c->is_client)
		nghttp3_conn_set_max_client_streams_bidi(
			c->h3, STREAMS_PER_CHANNEL_MAX);
	return nghttp3_conn_bind_control_stream(c->h3, control) == 0 &&
	       nghttp3_conn_bind_qpack_streams(c->h3, encoder, decoder) == 0;
}

void h3_stop(struct channel *c)
{
	nghttp3_conn_del(c->h3);
	c->h3 = NULL;
}

/* ---- events of QUIC ---- */

static void h3_failed(struct channel *c, const char *what, int rv)
{
	c->set->counters.n_h3_errors++;
	log_debug("HTTP/3 error on a channel: what=%s error=%s", what,
		  nghttp3_strerror(rv));
}

static void ask_for_packets(struct channel *c)
{
	c->ip = stream_new(&c->peer, STREAM_UDP, "", 0, NULL, NULL);
	c->ip->is_ip = true;
	if (h3_submit(c, c->ip))
		return;
	stream_fail(c->ip, STREAM_LIMIT);
	c->ip = NULL;
}

static void on_confirmed(void *ctx)
{
	struct channel *c = ctx;

	if (!h3_start(c)) {
		c->is_broken = true;
		channel_mark(c);
		return;
	}
	c->is_up = true;
	c->last_used = loop_now(c->set->loop);
	if (c->is_client) {
		if (dest_tag_is_zero(&c->tag))
			ask_for_packets(c);
		c->set->events->up(c->set->ctx, c);
	}
	channel_mark(c);
}

static uint64_t on_stream_data(void *ctx, int64_t id, const uint8_t *data,
			       size_t len, bool is_last)
{
	struct channel *c = ctx;
	nghttp3_ssize n;

	if (c->h3 == NULL)
		return H3_NO_ERROR;
	n = nghttp3_conn_read_stream(c->h3, id, data, len, is_last);
	if (n < 0) {
		h3_failed(c, "read", (int)n);
		return nghttp3_err_infer_quic_app_error_code((int)n);
	}
	quic_stream_consumed(c->quic, id, (size_t)n);
	return 0;
}

static void on_acked(void *ctx, int64_t id, size_t len)
{
	struct channel *c = ctx;

	if (c->h3 != NULL)
		nghttp3_conn_add_ack_offset(c->h3, id, len);
}

static struct stream *stream_by_id(struct channel *c, int64_t id)
{
	struct stream *s;

	HASH_FIND(hh, c->streams, &id, sizeof id, s);
	return s;
}

static void on_closed(void *ctx, int64_t id, uint64_t error)
{
	struct channel *c = ctx;
	struct stream *s;

	if (c->h3 == NULL)
		return;
	if (nghttp3_conn_close_stream(c->h3, id,
				      error != 0 ? error : H3_NO_ERROR) == 0)
		return;
	/* nghttp3 does not know it: a request that was never submitted. */
	s = stream_by_id(c, id);
	if (s != NULL)
		stream_finish(s, STREAM_RESET);
}

static void on_reset(void *ctx, int64_t id, uint64_t error)
{
	struct channel *c = ctx;
	struct stream *s;

	if (c->h3 == NULL)
		return;
	nghttp3_conn_shutdown_stream_read(c->h3, id);
	s = stream_by_id(c, id);
	/* A refusal on its way out has asked for this reset: it must arrive.
	 * Else the other direction has no reader any more. */
	if (s == NULL || !s->is_end_written || !s->is_silenced)
		quic_stream_shutdown(c->quic, id, error);
}

static void on_stopped(void *ctx, int64_t id, uint64_t error)
{
	struct channel *c = ctx;

	(void)error;
	if (c->h3 != NULL)
		nghttp3_conn_shutdown_stream_read(c->h3, id);
}

static void on_unblocked(void *ctx, int64_t id)
{
	struct channel *c = ctx;

	if (c->h3 != NULL)
		nghttp3_conn_unblock_stream(c->h3, id);
	channel_mark(c);
}

static void on_streams_allowed(void *ctx)
{
	struct channel *c = ctx;

	channel_mark(c);
}

/* A relay that marks all it passes on is to cost an app one packet of so many,
 * no more.  protocol.md 7.8. */
#define MARKS_APART 16

static bool is_told_of_mark(struct channel *c)
{
	c->n_unmarked++;
	if (!quic_is_marked(c->quic) || c->n_unmarked < MARKS_APART)
		return false;
	c->n_unmarked = 0;
	return true;
}

static uint64_t on_datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct channel *c = ctx;
	struct http_datagram d;
	struct stream *s;

	/* RFC 9297 2.1: malformed is an error of the connection; RFC 9298 4: a
	 * context that nobody knows is dropped. */
	if (http_datagram_parse(&d, data, len) != MASQUE_OK) {
		c->set->counters.n_datagram_bad++;
		return H3_DATAGRAM_ERROR;
	}
	if (d.context != 0) {
		c->set->counters.n_datagram_unknown++;
		return 0;
	}
	c->last_used = loop_now(c->set->loop);
	if (c->ip != NULL && c->ip->id == d.stream_id && c->is_ip_open) {
		c->set->events->packet(c->set->ctx, c, &c->peer, d.payload,
				       d.len, is_told_of_mark(c));
		return 0;
	}
	s = stream_by_id(c, d.stream_id);
	if (s == NULL || s->kind != STREAM_UDP || s->is_ip) {
		c->set->counters.n_datagram_unknown++;
		return 0;
	}
	stream_received_datagram(s, d.payload, d.len);
	return 0;
}

void h3_written(struct channel *c)
{
	struct h3_ready *r = &c->ready;

	if (r->is_any && c->h3 != NULL)
		nghttp3_conn_add_write_offset(c->h3, r->id, r->n_written);
	r->is_any = false;
}

static nghttp3_ssize ask(struct channel *c)
{
	struct h3_ready *r = &c->ready;
	nghttp3_ssize n;

	/* nghttp3_vec and ngtcp2_vec have the same shape. */
	do
		n = nghttp3_conn_writev_stream(c->h3, &r->id, &r->is_last,
					       (nghttp3_vec *)r->vec,
					       H3_READY_VECS);
	while (n == 0 && r->id < 0 && h3_next_round(c));
	if (n < 0)
		h3_failed(c, "write", (int)n);
	r->is_any = n >= 0 && r->id >= 0;
	r->first = 0;
	r->n = n > 0 ? (size_t)n : 0;
	r->n_written = 0;
	return n;
}

static ngtcp2_ssize on_next_data(void *ctx, int64_t *id, int *is_last,
				 ngtcp2_vec *vec, size_t cap)
{
	struct channel *c = ctx;
	struct h3_ready *r = &c->ready;
	size_t n;

	if (c->h3 == NULL)
		return 0;
	if (!r->is_any) {
		nghttp3_ssize rv = ask(c);

		if (!r->is_any)
			return rv;
	}
	n = r->n - r->first < cap ? r->n - r->first : cap;
	memcpy(vec, r->vec + r->first, n * sizeof *vec);
	*id = r->id;
	*is_last = r->is_last && n == r->n - r->first;
	return (ngtcp2_ssize)n;
}

static void on_wrote(void *ctx, int64_t id, size_t len)
{
	struct channel *c = ctx;
	struct h3_ready *r = &c->ready;

	if (c->h3 == NULL || id < 0)
		return;
	r->n_written += len;
	while (len > 0) {
		ngtcp2_vec *v = &r->vec[r->first];
		size_t n = len < v->len ? len : v->len;

		v->base += n;
		v->len -= n;
		len -= n;
		if (v->len == 0)
			r->first++;
	}
	if (r->first == r->n)
		h3_written(c);
}

static void on_blocked(void *ctx, int64_t id)
{
	struct channel *c = ctx;

	h3_written(c);
	if (c->h3 != NULL)
		nghttp3_conn_block_stream(c->h3, id);
}

static void on_shut(void *ctx, int64_t id)
{
	struct channel *c = ctx;

	h3_written(c);
	if (c->h3 != NULL)
		nghttp3_conn_shutdown_stream_write(c->h3, id);
}

const struct quic_events channel_quic_events = {
	.confirmed = on_confirmed,
	.stream_data = on_stream_data,
	.stream_acked = on_acked,
	.stream_closed = on_closed,
	.stream_reset = on_reset,
	.stream_stopped = on_stopped,
	.stream_unblocked = on_unblocked,
	.streams_allowed = on_streams_allowed,
	.datagram = on_datagram,
	.next_data = on_next_data,
	.wrote = on_wrote,
	.blocked = on_blocked,
	.shut = on_shut,
};
