#include "node/session/session_conn.h"

#include <stdlib.h>
#include <string.h>

#include "discovery/peer.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	CONTROL_BYTES_MAX = 1 << 20,
	/* A session packet around a DATAGRAM without the label. */
	DATAGRAM_OVERHEAD = SESSION_OVERHEAD - LABEL_BYTES,
	APP_ERROR_PROTOCOL = 1,
};

/* A session that has carried nothing for so long is put to sleep, if it has
 * nothing to do for a while. */
#define DOZE_NS (5 * NS_PER_S)
#define NAP_NS  (100 * NS_PER_MS)

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

/* Writes one DATAGRAM into the batch: false if it must wait. */
static bool write_now(struct session *s, const ngtcp2_vec *vec, size_t n)
{
	nsec now = loop_now(s->set->loop);
	bool accepted = false;

	if (s->batch == NULL)
		s->batch = udp_batch_get(s->set->udp);
	while (!accepted) {
		uint8_t ecn = 0;
		size_t len;

		len = quic_write_datagram(
			s->quic, &ecn, udp_batch_space(s->batch),
			UDP_PAYLOAD_MAX, vec, n, &accepted, now);
		if (len == 0)
			return accepted;
		s->n_bytes_out += len;
		s->ecn = ecn;
		udp_batch_add(s->set->udp, s->batch, &s->path, ecn, len);
	}
	return true;
}

enum way {
	NOT_NOW, /* it must wait */
	BY_QUIC,
	PAST_QUIC,
};

/* A packet of the session where that may be, which measures the link; else past
 * QUIC if both ends want it. */
static enum way send_now(struct session *s, const ngtcp2_vec *vec, size_t n)
{
	bool seals = session_seals(s);

	if ((!seals || session_sample_due(s)) && write_now(s, vec, n))
		return BY_QUIC;
	return seals && session_seal(s, vec, n) ? PAST_QUIC : NOT_NOW;
}

static size_t n_waiting(const struct session *s)
{
	return s->queue != NULL ? relay_queue_n(s->queue) : 0;
}

enum session_verdict session_send_packet(struct session *s,
					 const struct session_packet *p)
{
	const ngtcp2_vec vec[] = {
		{ (uint8_t *)(uintptr_t)p->header, p->header_len },
		{ (uint8_t *)(uintptr_t)p->payload, p->len },
	};
	enum way way;

	if (p->header_len + p->len + DATAGRAM_OVERHEAD >
	    quic_udp_payload(s->quic)) {
		s->set->counters.n_too_big++;
		return SESSION_TOO_BIG;
	}
	s->last_load = loop_now(s->set->loop);
	way = n_waiting(s) == 0 ? send_now(s, vec, 2) : NOT_NOW;
	if (way != PAST_QUIC)
		session_mark(s);
	if (way != NOT_NOW) {
		s->n_packets_out++;
		return SESSION_SENT;
	}
	if (s->queue == NULL)
		s->queue = relay_queue_new(s->set->pool);
	relay_queue_add(s->queue, p->label, p->is_own,
			(struct relay_bytes){ p->header, p->header_len },
			(struct relay_bytes){ p->payload, p->len },
			loop_now(s->set->loop));
	return SESSION_QUEUED;
}

static void drain_queue(struct session *s)
{
	nsec now = loop_now(s->set->loop);
	struct relay_bytes b;

	if (s->queue == NULL)
		return;
	while (relay_queue_next(s->queue, now, &b)) {
		const ngtcp2_vec vec = { (uint8_t *)(uintptr_t)b.data, b.len };

		if (send_now(s, &vec, 1) == NOT_NOW)
			break;
		s->n_packets_out++;
		relay_queue_sent(s->queue);
	}
	if (relay_queue_woke(s->queue))
		s->set->events->writable(s->set->ctx, s->no);
}

/* ---- flushing ---- */

static void write_rest(struct session *s)
{
	nsec now = loop_now(s->set->loop);

	for (;;) {
		struct udp_path path = s->path;
		ngtcp2_path_storage ps;
		uint8_t ecn = 0;
		size_t len;

		if (s->batch == NULL)
			s->batch = udp_batch_get(s->set->udp);
		ngtcp2_path_storage_zero(&ps);
		len = quic_write(s->quic, &ps.path, &ecn,
				 udp_batch_space(s->batch), UDP_PAYLOAD_MAX,
				 now);
		if (len == 0)
			return;
		if (ps.path.remote.addrlen > 0 &&
		    ps.path.remote.addrlen <= sizeof path.remote)
			memcpy(&path.remote, ps.path.remote.addr,
			       ps.path.remote.addrlen);
		s->n_bytes_out += len;
		s->ecn = ecn;
		udp_batch_add(s->set->udp, s->batch, &path, ecn, len);
	}
}

void session_sample(struct session *s)
{
	struct quic_measure m;

	quic_measure(s->quic, &m);
	link_meter_add(&s->meter,
		       &(struct link_sample){ .rtt = m.rtt,
					      .n_acked = m.n_acked,
					      .n_lost = m.n_lost,
					      .cwnd = m.cwnd,
					      .in_flight = m.in_flight },
		       loop_now(s->set->loop));
}

struct msg_link session_link(const struct session *s)
{
	size_t mtu = quic_udp_payload(s->quic) - SESSION_OVERHEAD;

	if (mtu > CIRCUIT_MTU_MAX)
		mtu = CIRCUIT_MTU_MAX;
	return link_meter_claim(&s->meter, (uint16_t)mtu,
				s->set->more_cost_100us);
}

/* Tells the router when the link has changed by a fifth, or its MTU has. */
static void tell_measures(struct session *s)
{
	nsec now = loop_now(s->set->loop);
	struct msg_link link;

	session_sample(s);
	link = session_link(s);
	if (!link_claim_differs(&s->told, &link, now - s->told_at))
		return;
	s->told = link;
	s->told_at = now;
	s->set->events->measured(s->set->ctx, s->no, &link);
}

/* What follows from what is known by now; when to look again. */
static nsec check_health(struct session *s)
{
	nsec now = loop_now(s->set->loop);
	nsec dead;

	if (s->state == SESSION_HALF_OPEN)
		return TIME_NEVER;
	dead = session_dead_at(s, now);
	if (dead <= now) {
		session_die(s);
		return TIME_NEVER;
	}
	if (s->state == SESSION_CONFIRMED && s->is_hello_received &&
	    (quic_udp_payload(s->quic) >= s->udp_payload_max ||
	     now >= s->confirmed + SESSION_SETTLE_NS))
		session_up(s);
	else if (s->state == SESSION_UP)
		tell_measures(s);
	return dead;
}

static peer_error session_error(const struct session *s)
{
	switch (quic_end(s->quic)) {
	case QUIC_END_CERTIFICATE:
		return (peer_error)(PEER_ERROR_CERTIFICATE +
				    quic_peer(s->quic)->verdict);
	case QUIC_END_TIMEOUT:
	case QUIC_END_SILENT:
		return PEER_ERROR_TIMEOUT;
	case QUIC_END_IDENTITY:
		return PEER_ERROR_IDENTITY;
	case QUIC_END_SELF:
		return PEER_ERROR_SELF;
	case QUIC_END_REJECTED:
		return PEER_ERROR_REJECTED;
	case QUIC_END_CLOSED:
	case QUIC_END_RESTARTED:
		return PEER_ERROR_CLOSED;
	case QUIC_END_PROTOCOL:
		return PEER_ERROR_PROTOCOL;
	default:
		return PEER_ERROR_NONE;
	}
}

static void put_batch(struct session *s)
{
	int rv;

	if (s->batch == NULL)
		return;
	rv = udp_batch_put(s->set->udp, s->batch);
	s->batch = NULL;
	if (rv < 0)
		session_send_failed(s, rv);
}

/* Where no circuit's packets pass, QUIC has a word to say every few seconds. */
static void doze(struct session *s, nsec rest, nsec now)
{
	uint64_t n = s->n_packets_in + s->n_packets_out;

	if (n != s->n_carried) {
		s->n_carried = n;
		s->carried = now;
	}
	if (s->state == SESSION_UP && now - s->carried >= DOZE_NS &&
	    rest >= now + NAP_NS)
		quic_sleep(s->quic);
}

void session_flush(struct session *s)
{
	nsec now = loop_now(s->set->loop);
	bool wants_quic = s->wants_quic;
	nsec rest, look_again;

	s->wants_quic = false;
	if (s->state != SESSION_ENDING && wants_quic)
		quic_handle_timeout(s->quic, now);
	if (s->state != SESSION_ENDING && wants_quic &&
	    quic_state(s->quic) < QUIC_CLOSING) {
		drain_queue(s);
		write_rest(s);
	}
	put_batch(s);
	if (s->state == SESSION_ENDING || !wants_quic)
		return;
	if (quic_state(s->quic) >= QUIC_CLOSING) {
		session_end(s, quic_end_text(s->quic), session_error(s));
		return;
	}
	rest = quic_rest(s->quic, now);
	look_again = check_health(s);
	if (s->state == SESSION_ENDING)
		return;
	loop_timer_set(s->set->loop, &s->timer, time_min(rest, look_again));
	doze(s, rest, now);
}

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
