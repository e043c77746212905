/* What a session sends: circuit packets at once or by their queue, and the rest
 * at the end of the turn. */
#include <string.h>

#include "discovery/peer.h"
#include "node/session/session_conn.h"

enum {
	/* A session packet around a DATAGRAM without the label. */
	DATAGRAM_OVERHEAD = SESSION_OVERHEAD - LABEL_BYTES,
};

/* A session that has carried nothing for so long is put to sleep, if it has
 * nothing to do for a while. */
#define DOZE_NS (5 * NS_PER_S)
#define NAP_NS  (100 * NS_PER_MS)

/* ---- circuit packets ---- */

uint8_t *session_space(struct session *s)
{
	if (s->batch == NULL)
		s->batch = udp_batch_get(s->set->udp);
	return udp_batch_space(s->batch);
}

/* Writes one DATAGRAM into the batch: false if it must wait. */
static bool write_now(struct session *s, const ngtcp2_vec *vec, size_t n)
{
	nsec now = loop_now(s->set->loop);
	bool accepted = false;

	while (!accepted) {
		uint8_t ecn = 0;
		size_t len;

		len = quic_write_datagram(s->quic, &ecn, session_space(s),
					  UDP_PAYLOAD_MAX, vec, n, &accepted,
					  now);
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

		ngtcp2_path_storage_zero(&ps);
		len = quic_write(s->quic, &ps.path, &ecn, session_space(s),
				 UDP_PAYLOAD_MAX, now);
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
