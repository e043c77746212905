/* Requests and responses of a channel: CONNECT, connect-udp, connect-ip.
 * protocol.md 7, RFC 9114 4.4, RFC 9298, RFC 9484. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/channel/channel_conn.h"
#include "proto/addr.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/masque.h"
#include "proto/name.h"

enum {
	FIELDS_MAX = 64,
	FIELD_BYTES_MAX = 16384,
	H3_NO_ERROR = 0x100,
	H3_REQUEST_REJECTED = 0x10b,
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

/* ---- requests and responses ---- */

static const char *protocol_of(const struct stream *s)
{
	if (s->is_ip)
		return "connect-ip";
	return s->source_port != 0 ? SPLICE_PROTOCOL : "connect-udp";
}

static size_t request_fields(struct channel *c, struct stream *s,
			     nghttp3_nv nv[6], char *authority, char *path)
{
	char host[NAME_ID_TEXT_MAX];
	size_t n = 0;

	make_nv(&nv[n++], ":method", "CONNECT");
	if (s->kind == STREAM_TCP && !s->is_ip && s->source_port == 0) {
		snprintf(authority, 300,
			 strchr(s->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
			 s->host, s->port);
		make_nv(&nv[n++], ":authority", authority);
		return n;
	}
	name_of_id(host, &c->peer);
	snprintf(authority, 300, "%s", host);
	make_nv(&nv[n++], ":protocol", protocol_of(s));
	make_nv(&nv[n++], ":scheme", "https");
	make_nv(&nv[n++], ":authority", authority);
	if (s->is_ip)
		text_copy(path, 1024, MASQUE_IP_PATH);
	else if (s->source_port != 0)
		splice_path_write(path, 1024, s->port, s->source_port);
	else
		masque_udp_path_write(path, 1024, s->host, s->port);
	make_nv(&nv[n++], ":path", path);
	if (s->source_port == 0)
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
	case 501:
		return STREAM_UNSUPPORTED;
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

int h3_begin_headers(nghttp3_conn *h3, int64_t id, void *ctx, void *stream_ctx)
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

int h3_recv_header(nghttp3_conn *h3, int64_t id, int32_t token,
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
	} else if (strcmp(f->protocol, SPLICE_PROTOCOL) == 0) {
		if (!splice_path_parse(&s->port, &s->source_port, f->path,
				       strlen(f->path))) {
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

int h3_end_headers(nghttp3_conn *h3, int64_t id, int is_last, void *ctx,
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
