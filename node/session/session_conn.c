#include "node/session/session_conn.h"

#include <stdlib.h>
#include <string.h>

#include "discovery/peer.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	CONTROL_BYTES_MAX = 1 << 20,
	APP_ERROR_PROTOCOL = 1,
};

void session_mark_batch(struct session *s)
{
	if (s->is_dirty)
		return;
	s->is_dirty = true;
	s->next_dirty = s->set->dirty;
	s->set->dirty = s;
}

void session_mark(struct session *s)
{
	s->wants_quic = true;
	session_mark_batch(s);
}

/* ---- control stream ---- */

void session_send(struct session *s, const struct msg *m)
{
	uint8_t frame[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
	size_t len = msg_write(frame, sizeof frame, m);
	struct chunk *c;

	if (len == 0 || s->state == SESSION_ENDING)
		return;
	if (s->n_chunk_bytes + len > CONTROL_BYTES_MAX) {
		s->set->counters.n_control_overflow++;
		session_end(s, "the peer does not read its control stream",
			    PEER_ERROR_PROTOCOL);
		return;
	}
	c = mem_calloc(1, sizeof *c + len);
	c->len = len;
	memcpy(c->data, frame, len);
	*s->chunks_tail = c;
	s->chunks_tail = &c->next;
	s->n_chunk_bytes += len;
	if (s->unsent == NULL) {
		s->unsent = c;
		s->unsent_offset = 0;
	}
	session_mark(s);
}

static ngtcp2_ssize next_data(void *ctx, int64_t *id, int *is_last,
			      ngtcp2_vec *vec, size_t cap)
{
	struct session *s = ctx;
	size_t offset = s->unsent_offset;
	size_t n = 0;

	*is_last = 0;
	if (s->control < 0 || s->is_control_blocked || s->unsent == NULL)
		return 0;
	for (struct chunk *c = s->unsent; c != NULL && n < cap; c = c->next) {
		vec[n].base = c->data + offset;
		vec[n++].len = c->len - offset;
		offset = 0;
	}
	*id = s->control;
	return (ngtcp2_ssize)n;
}

static void wrote(void *ctx, int64_t id, size_t len)
{
	struct session *s = ctx;

	(void)id;
	while (len > 0 && s->unsent != NULL) {
		size_t left = s->unsent->len - s->unsent_offset;

		if (len < left) {
			s->unsent_offset += len;
			return;
		}
		len -= left;
		s->unsent = s->unsent->next;
		s->unsent_offset = 0;
	}
}

static void acked(void *ctx, int64_t id, size_t len)
{
	struct session *s = ctx;

	(void)id;
	s->acked_offset += len;
	while (s->chunks != NULL && s->chunks != s->unsent &&
	       s->acked_offset >= s->chunks->len) {
		struct chunk *c = s->chunks;

		s->acked_offset -= c->len;
		s->n_chunk_bytes -= c->len;
		s->chunks = c->next;
		if (s->chunks == NULL)
			s->chunks_tail = &s->chunks;
		free(c);
	}
}

static void blocked(void *ctx, int64_t id)
{
	struct session *s = ctx;

	(void)id;
	s->is_control_blocked = true;
}

static void unblocked(void *ctx, int64_t id)
{
	struct session *s = ctx;

	(void)id;
	s->is_control_blocked = false;
	session_mark(s);
}

static void send_hello(struct session *s)
{
	struct msg m = { .type = MSG_HELLO };

	if (s->is_hello_sent)
		return;
	s->is_hello_sent = true;
	m.hello.version = 1;
	memcpy(m.hello.name, s->set->display_name, sizeof m.hello.name);
	m.hello.transit = s->set->transit;
	m.hello.instance = s->set->instance;
	m.hello.port = s->set->port;
	m.hello.direct = s->set->direct;
	m.hello.sealed = s->set->seal != SEAL_OFF && s->can_seal ? s->no : 0;
	session_send(s, &m);
}

static void handle_ping(struct session *s, const struct msg *m)
{
	struct msg reply = *m;

	if (m->ping.is_reply) {
		session_seal_counted(s, m->ping.token, m->ping.n_sealed);
		return;
	}
	reply.ping.is_reply = true;
	reply.ping.n_sealed = s->n_sealed_in;
	session_send(s, &reply);
}

static enum msg_verdict handle_message(struct session *s, const struct msg *m)
{
	if (m->type == MSG_HELLO) {
		if (s->is_hello_received || m->hello.version != 1)
			return MSG_INVALID;
		s->is_hello_received = true;
		s->instance = m->hello.instance;
		s->peer_direct = m->hello.direct;
		s->peer_sealed = m->hello.sealed;
		memcpy(s->name, m->hello.name, sizeof s->name);
		return MSG_OK;
	}
	if (!s->is_hello_received)
		return MSG_INVALID;
	if (m->type == MSG_PING) {
		handle_ping(s, m);
		return MSG_OK;
	}
	/* The peer has settled before us: it counts on us already. */
	if (s->state == SESSION_CONFIRMED)
		session_up(s);
	return s->set->events->message(s->set->ctx, s->no, m);
}

/* Zero, or the application error to close with. */
static uint64_t read_frames(struct session *s)
{
	struct sessions *set = s->set;
	struct frame frame;
	enum frame_verdict fv;

	while ((fv = frame_reader_next(s->reader, &frame)) == FRAME_OK) {
		enum msg_verdict mv = msg_parse(set->scratch, frame.type,
						frame.body, frame.len);

		if (mv == MSG_OK)
			mv = handle_message(s, set->scratch);
		set->counters.n_msg[mv]++;
		if (mv == MSG_OK || mv == MSG_UNKNOWN)
			continue;
		log_warn("closing a session, its peer broke the protocol: "
			 "session=%u type=%s verdict=%s",
			 s->no, msg_type_text(frame.type),
			 msg_verdict_text(mv));
		return APP_ERROR_PROTOCOL;
	}
	if (fv == FRAME_TOO_LONG) {
		set->counters.n_frame_too_long++;
		return APP_ERROR_PROTOCOL;
	}
	return 0;
}

static uint64_t stream_data(void *ctx, int64_t id, const uint8_t *data,
			    size_t len, bool is_last)
{
	struct session *s = ctx;
	size_t all = len;

	if (s->control < 0 && id == 0 && quic_is_server(s->quic)) {
		s->control = 0;
		send_hello(s);
	}
	if (id != s->control) {
		s->set->counters.n_stream_unexpected++;
		return APP_ERROR_PROTOCOL;
	}
	while (len > 0 && s->state != SESSION_ENDING) {
		size_t n = frame_reader_feed(s->reader, data, len);
		uint64_t error;

		data += n;
		len -= n;
		error = read_frames(s);
		if (error != 0)
			return error;
	}
	quic_stream_consumed(s->quic, id, all);
	/* The control stream lives as long as the session. */
	return is_last ? APP_ERROR_PROTOCOL : 0;
}

static void stream_gone(void *ctx, int64_t id, uint64_t error)
{
	struct session *s = ctx;

	(void)error;
	if (id == s->control)
		session_end(s, "the peer ended its control stream",
			    PEER_ERROR_PROTOCOL);
}

static void stream_shut(void *ctx, int64_t id)
{
	stream_gone(ctx, id, 0);
}

static void streams_allowed(void *ctx)
{
	(void)ctx;
}

/* ---- circuit packets ---- */

void session_packet_came(struct session *s, const uint8_t *data, size_t len,
			 bool is_marked)
{
	struct packet p;

	if (packet_parse(&p, data, len) != PACKET_OK) {
		s->set->counters.n_packet_bad++;
		return;
	}
	if (is_marked && p.part == PACKET_WHOLE)
		p.is_marked = true;
	s->n_packets_in++;
	s->set->events->packet(s->set->ctx, s->no, &p, data, len);
}

static uint64_t datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct session *s = ctx;

	session_packet_came(s, data, len, quic_is_marked(s->quic));
	return 0;
}

/* ---- life ---- */

static void confirmed(void *ctx)
{
	struct session *s = ctx;

	session_seal_init(s);
	session_confirmed(s);
	if (s->state == SESSION_ENDING || quic_is_server(s->quic))
		return;
	s->control = quic_open_bidi(s->quic);
	send_hello(s);
}

void session_free_buffers(struct session *s)
{
	while (s->chunks != NULL) {
		struct chunk *c = s->chunks;

		s->chunks = c->next;
		free(c);
	}
	frame_reader_free(s->reader);
	relay_queue_free(s->queue);
}

const struct quic_events session_quic_events = {
	.confirmed = confirmed,
	.stream_data = stream_data,
	.stream_acked = acked,
	.stream_closed = stream_gone,
	.stream_reset = stream_gone,
	.stream_stopped = stream_gone,
	.stream_unblocked = unblocked,
	.streams_allowed = streams_allowed,
	.datagram = datagram,
	.next_data = next_data,
	.wrote = wrote,
	.blocked = blocked,
	.shut = stream_shut,
};
