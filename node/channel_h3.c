#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/channel_conn.h"
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

static void make_nv(nghttp3_nv *nv, const char *name, const char *value)
{
	*nv = (nghttp3_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.value = (uint8_t *)(uintptr_t)value,
		.namelen = strlen(name),
		.valuelen = strlen(value),
	};
}

static nghttp3_ssize read_data(nghttp3_conn *h3, int64_t id, nghttp3_vec *vec,
			       size_t cap, uint32_t *flags, void *ctx,
			       void *stream_ctx)
{
	struct stream *s = stream_ctx;

	(void)h3;
	(void)id;
	(void)ctx;
	if (s == NULL) {
		*flags |= NGHTTP3_DATA_FLAG_EOF;
		return 0;
	}
	return stream_give(s, vec, cap, flags);
}

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

/* ---- requests and responses ---- */

static size_t request_fields(struct channel *c, struct stream *s,
			     nghttp3_nv nv[6], char *authority, char *path)
{
	char host[NAME_ID_TEXT_MAX];
	size_t n = 0;

	make_nv(&nv[n++], ":method", "CONNECT");
	if (s->kind == STREAM_TCP && !s->is_ip) {
		snprintf(authority, 300,
			 strchr(s->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
			 s->host, s->port);
		make_nv(&nv[n++], ":authority", authority);
		return n;
	}
	name_of_id(host, &c->peer);
	snprintf(authority, 300, "%s", host);
	make_nv(&nv[n++], ":protocol", s->is_ip ? "connect-ip" : "connect-udp");
	make_nv(&nv[n++], ":scheme", "https");
	make_nv(&nv[n++], ":authority", authority);
	if (s->is_ip)
		text_copy(path, 1024, MASQUE_IP_PATH);
	else
		masque_udp_path_write(path, 1024, s->host, s->port);
	make_nv(&nv[n++], ":path", path);
	make_nv(&nv[n++], "capsule-protocol", "?1");
	return n;
}

/* Opens the QUIC stream and asks; false if there is no credit now. */
bool h3_submit(struct channel *c, struct stream *s)
{
	const nghttp3_data_reader reader = { .read_data = read_data };
	char authority[300], path[1024];
	nghttp3_nv nv[6];
	size_t n;

	s->id = quic_open_bidi(c->quic);
	if (s->id < 0)
		return false;
	stream_attach(c, s);
	s->state = STREAM_ASKED;
	n = request_fields(c, s, nv, authority, path);
	if (nghttp3_conn_submit_request(c->h3, s->id, nv, n, &reader, s) != 0) {
		quic_stream_shutdown(c->quic, s->id, H3_REQUEST_REJECTED);
		return true; /* stream_closed follows */
	}
	c->set->counters.n_streams_opened++;
	channel_mark(c);
	return true;
}

void h3_respond(struct stream *s, int status)
{
	const nghttp3_data_reader reader = { .read_data = read_data };
	struct channel *c = s->channel;
	nghttp3_nv nv[2];
	char text[8];
	size_t n = 1;

	snprintf(text, sizeof text, "%d", status);
	make_nv(&nv[0], ":status", text);
	if (status == STATUS_OK && (s->kind == STREAM_UDP || s->is_ip))
		make_nv(&nv[n++], "capsule-protocol", "?1");
	if (nghttp3_conn_submit_response(c->h3, s->id, nv, n,
					 status == STATUS_OK ? &reader
							     : NULL) != 0)
		quic_stream_shutdown(c->quic, s->id, H3_REQUEST_REJECTED);
	else if (status != STATUS_OK)
		quic_stream_stop_reading(c->quic, s->id, H3_NO_ERROR);
	channel_mark(c);
}

static enum stream_error error_of_status(int status)
{
	switch (status) {
	case 403:
		return STREAM_NOT_ALLOWED;
	case 404:
		return STREAM_HOST_UNKNOWN;
	case 429:
		return STREAM_LIMIT;
	case 502:
		return STREAM_REFUSED;
	case 503:
		return STREAM_NET_UNREACHABLE;
	case 504:
		return STREAM_TIMED_OUT;
	default:
		return STREAM_RESET;
	}
}

/* ---- header fields ---- */

static int begin_headers(nghttp3_conn *h3, int64_t id, void *ctx,
			 void *stream_ctx)
{
	struct channel *c = ctx;
	struct stream *s = stream_ctx;

	if (s != NULL) {
		if (s->fields == NULL)
			s->fields = mem_new(s->fields);
		return 0;
	}
	s = stream_new_incoming(c, id);
	nghttp3_conn_set_stream_user_data(h3, id, s);
	return 0;
}

static void keep(char *out, size_t cap, const nghttp3_vec *v)
{
	if (v->len >= cap || memchr(v->base, '\0', v->len) != NULL)
		return; /* stays empty: refused when judged */
	memcpy(out, v->base, v->len);
	out[v->len] = '\0';
}

static int recv_header(nghttp3_conn *h3, int64_t id, int32_t token,
		       nghttp3_rcbuf *name, nghttp3_rcbuf *value, uint8_t flags,
		       void *ctx, void *stream_ctx)
{
	struct channel *c = ctx;
	struct stream *s = stream_ctx;
	nghttp3_vec n = nghttp3_rcbuf_get_buf(name);
	nghttp3_vec v = nghttp3_rcbuf_get_buf(value);
	struct field_buf *f;

	(void)h3;
	(void)id;
	(void)flags;
	if (s == NULL || s->fields == NULL)
		return 0;
	f = s->fields;
	f->n_bytes += n.len + v.len;
	if (++f->n_fields > FIELDS_MAX || f->n_bytes > FIELD_BYTES_MAX) {
		c->set->counters.n_fields_over++;
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	}
	switch (token) {
	case NGHTTP3_QPACK_TOKEN__METHOD:
		f->is_connect = v.len == 7 && memcmp(v.base, "CONNECT", 7) == 0;
		break;
	case NGHTTP3_QPACK_TOKEN__AUTHORITY:
		keep(f->authority, sizeof f->authority, &v);
		break;
	case NGHTTP3_QPACK_TOKEN__PATH:
		keep(f->path, sizeof f->path, &v);
		break;
	case NGHTTP3_QPACK_TOKEN__PROTOCOL:
		keep(f->protocol, sizeof f->protocol, &v);
		break;
	case NGHTTP3_QPACK_TOKEN__STATUS:
		f->status = v.len == 3 ? (v.base[0] - '0') * 100 +
						 (v.base[1] - '0') * 10 +
						 (v.base[2] - '0')
				       : 0;
		break;
	default:
		break;
	}
	return 0;
}

/* What the two ends of connect-ip are to each other: RFC 9484 4.7. */
static void assign_addresses(struct stream *s)
{
	const struct credentials *cred =
		quic_tls_credentials(s->channel->set->tls);
	struct capsule_address a = { .prefix_len = 128 };
	struct capsule_route r = { .protocol = 0 };
	uint8_t out[128];
	size_t n;

	a.addr = addr_of(&cred->net, &s->peer);
	n = capsule_address_assign_write(out, sizeof out, &a);
	stream_put(s, out, n);
	r.start = r.end = addr_of(&cred->net, &cred->self.id);
	n = capsule_route_write(out, sizeof out, &r);
	stream_put(s, out, n);
}

static void accept_ip(struct channel *c, struct stream *s)
{
	if (c->ip != NULL) {
		/* One at a time: the newer one counts. */
		c->ip->is_silenced = true;
		quic_stream_shutdown(c->quic, c->ip->id, H3_NO_ERROR);
	}
	s->is_ip = true;
	s->kind = STREAM_UDP;
	s->state = STREAM_OPEN;
	c->ip = s;
	c->is_ip_open = true;
	h3_respond(s, STATUS_OK);
	assign_addresses(s);
	c->set->events->reachable(c->set->ctx, c);
}

static void refuse_bad(struct stream *s, int status)
{
	s->channel->set->counters.n_request_bad++;
	s->is_silenced = true;
	s->is_end_written = true;
	h3_respond(s, status);
}

static void judge_request(struct channel *c, struct stream *s)
{
	const struct field_buf *f = s->fields;

	if (!f->is_connect) {
		refuse_bad(s, 405);
		return;
	}
	if (f->protocol[0] == '\0') {
		if (!authority_parse(s->host, &s->port, f->authority,
				     strlen(f->authority))) {
			refuse_bad(s, 400);
			return;
		}
	} else if (strcmp(f->protocol, "connect-udp") == 0) {
		s->kind = STREAM_UDP;
		if (!masque_udp_path_parse(s->host, &s->port, f->path,
					   strlen(f->path))) {
			refuse_bad(s, 400);
			return;
		}
	} else if (strcmp(f->protocol, "connect-ip") == 0) {
		if (strcmp(f->path, MASQUE_IP_PATH) != 0)
			refuse_bad(s, 404);
		else
			accept_ip(c, s);
		return;
	} else {
		refuse_bad(s, 501);
		return;
	}
	c->set->events->stream(c->set->ctx, s);
}

static void judge_response(struct channel *c, struct stream *s)
{
	int status = s->fields->status;

	if (status >= 100 && status < 200)
		return; /* the final response follows */
	if (status < 200 || status > 299) {
		s->why = error_of_status(status);
		quic_stream_shutdown(c->quic, s->id, H3_NO_ERROR);
		return;
	}
	if (s->is_ip) {
		s->state = STREAM_OPEN;
		c->is_ip_open = true;
		c->set->events->reachable(c->set->ctx, c);
		return;
	}
	stream_opened(s);
}

static int end_headers(nghttp3_conn *h3, int64_t id, int is_last, void *ctx,
		       void *stream_ctx)
{
	struct channel *c = ctx;
	struct stream *s = stream_ctx;

	(void)h3;
	(void)id;
	(void)is_last;
	if (s == NULL || s->fields == NULL)
		return 0;
	if (s->is_server_side)
		judge_request(c, s);
	else
		judge_response(c, s);
	free(s->fields);
	s->fields = NULL;
	return 0;
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
	.begin_headers = begin_headers,
	.recv_header = recv_header,
	.end_headers = end_headers,
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

static void on_confirmed(void *ctx)
{
	struct channel *c = ctx;

	if (!h3_start(c)) {
		channel_mark(c);
		return; /* without HTTP/3 it is closed at the turn's end */
	}
	c->is_up = true;
	c->last_used = loop_now(c->set->loop);
	if (c->is_client) {
		c->ip = stream_new(&c->peer, STREAM_UDP, "", 0, NULL, NULL);
		c->ip->is_ip = true;
		if (!h3_submit(c, c->ip)) {
			stream_fail(c->ip, STREAM_LIMIT);
			c->ip = NULL;
		}
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

static void on_closed(void *ctx, int64_t id, uint64_t error)
{
	struct channel *c = ctx;

	if (c->h3 == NULL)
		return;
	if (nghttp3_conn_close_stream(c->h3, id,
				      error != 0 ? error : H3_NO_ERROR) == 0)
		return;
	/* nghttp3 does not know it: a request that was never submitted. */
	for (struct stream *s = c->streams; s != NULL; s = s->next) {
		if (s->id == id) {
			stream_finish(s, STREAM_RESET);
			return;
		}
	}
}

static void on_reset(void *ctx, int64_t id, uint64_t error)
{
	struct channel *c = ctx;

	(void)error;
	if (c->h3 == NULL)
		return;
	nghttp3_conn_shutdown_stream_read(c->h3, id);
	/* The other direction has no reader any more. */
	quic_stream_shutdown(c->quic, id, error);
}

static void on_stopped(void *ctx, int64_t id, uint64_t error)
{
	struct channel *c = ctx;

	(void)error;
	if (c->h3 != NULL)
		nghttp3_conn_shutdown_stream_write(c->h3, id);
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

static struct stream *stream_by_id(struct channel *c, int64_t id)
{
	for (struct stream *s = c->streams; s != NULL; s = s->next) {
		if (s->id == id)
			return s;
	}
	return NULL;
}

static void on_datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct channel *c = ctx;
	struct http_datagram d;
	struct stream *s;

	if (http_datagram_parse(&d, data, len) != MASQUE_OK || d.context != 0) {
		c->set->counters.n_datagram_bad++;
		return;
	}
	c->last_used = loop_now(c->set->loop);
	if (c->ip != NULL && c->ip->id == d.stream_id && c->is_ip_open) {
		c->set->events->packet(c->set->ctx, c, &c->peer, d.payload,
				       d.len);
		return;
	}
	s = stream_by_id(c, d.stream_id);
	if (s == NULL || s->kind != STREAM_UDP || s->is_ip) {
		c->set->counters.n_datagram_unknown++;
		return;
	}
	stream_received_datagram(s, d.payload, d.len);
}

static ngtcp2_ssize on_next_data(void *ctx, int64_t *id, int *is_last,
				 ngtcp2_vec *vec, size_t cap)
{
	struct channel *c = ctx;
	nghttp3_ssize n;

	if (c->h3 == NULL)
		return 0;
	/* nghttp3_vec and ngtcp2_vec have the same shape. */
	n = nghttp3_conn_writev_stream(c->h3, id, is_last, (nghttp3_vec *)vec,
				       cap);
	if (n < 0)
		h3_failed(c, "write", (int)n);
	return n;
}

static void on_wrote(void *ctx, int64_t id, size_t len)
{
	struct channel *c = ctx;

	if (c->h3 != NULL && id >= 0)
		nghttp3_conn_add_write_offset(c->h3, id, len);
}

static void on_blocked(void *ctx, int64_t id)
{
	struct channel *c = ctx;

	if (c->h3 != NULL)
		nghttp3_conn_block_stream(c->h3, id);
}

static void on_shut(void *ctx, int64_t id)
{
	struct channel *c = ctx;

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
