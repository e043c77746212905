#include "node/quic/quic.h"

#include <string.h>

#include "node/quic/protect_ops.h"
#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"

enum {
	VECS_MAX = 16,
};

/* ---- sleep ---- */

ngtcp2_conn *quic_wake(struct quic *q)
{
	quic_mem_wake(&q->mem);
	return q->conn;
}

void quic_sleep(struct quic *q)
{
	/* What TLS holds is elsewhere. */
	if (q->state != QUIC_CONFIRMED || q->tls != NULL ||
	    quic_mem_is_asleep(&q->mem))
		return;
	quic_mem_sleep(&q->mem);
	protect_rest(&q->ref.keys);
}

/* ---- packets ---- */

/* What the peer's CONNECTION_CLOSE says: RFC 9001 4.8, alerts are 0x100 and
 * up. */
static enum quic_end end_by_peer(const struct quic *q)
{
	enum {
		ALERT_FIRST = 0x100,
		ALERT_LAST = 0x1ff
	};
	const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr(quic_conn(q));

	if (e->type == NGTCP2_CCERR_TYPE_TRANSPORT &&
	    e->error_code >= ALERT_FIRST && e->error_code <= ALERT_LAST)
		return QUIC_END_REJECTED;
	return QUIC_END_CLOSED;
}

static void handle_error(struct quic *q, int rv)
{
	switch (rv) {
	case NGTCP2_ERR_DRAINING:
		quic_set_end(q, QUIC_DRAINING, end_by_peer(q));
		return;
	case NGTCP2_ERR_CLOSING:
		quic_set_end(q, QUIC_CLOSING, QUIC_END_LOCAL);
		return;
	case NGTCP2_ERR_IDLE_CLOSE:
		quic_set_end(q, QUIC_DEAD, QUIC_END_SILENT);
		return;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		quic_set_end(q, QUIC_DEAD, QUIC_END_TIMEOUT);
		return;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		quic_set_end(q, QUIC_DEAD, QUIC_END_PROTOCOL);
		return;
	case NGTCP2_ERR_CRYPTO:
		ngtcp2_ccerr_set_tls_alert(
			&q->error, ngtcp2_conn_get_tls_alert(quic_conn(q)),
			NULL, 0);
		quic_set_end(q, QUIC_CLOSING, QUIC_END_PROTOCOL);
		return;
	default:
		if (q->app_error == 0)
			ngtcp2_ccerr_set_liberr(&q->error, rv, NULL, 0);
		quic_set_end(q, QUIC_CLOSING, QUIC_END_PROTOCOL);
		return;
	}
}

/* What TLS holds is a third of what a connection costs, and without tickets it
 * has nothing to do after the handshake.  Not in a callback: GnuTLS may be on
 * the stack. */
static void release_tls(struct quic *q)
{
	ngtcp2_conn_set_tls_native_handle(quic_conn(q), NULL);
	gnutls_deinit(q->tls);
	q->tls = NULL;
}

/* Whether the packet that was just read counts. */
static bool is_new(struct quic *q, const uint8_t *data)
{
	const uint8_t *mask = quic_opened_mask();

	return mask != NULL && !quic_is_long(data) &&
	       quic_seen_add(&q->seen, quic_seen_number(&q->seen, data, mask));
}

bool quic_read(struct quic *q, const ngtcp2_path *path, uint8_t ecn,
	       const uint8_t *data, size_t len, nsec now)
{
	const ngtcp2_pkt_info pi = { .ecn = ecn };
	int rv;

	if (q->state >= QUIC_CLOSING)
		return false;
	q->now = now;
	q->has_data = false;
	q->read_ecn = ecn;
	quic_opened_mask();
	rv = ngtcp2_conn_read_pkt(quic_conn(q), path, &pi, data, len, now);
	if (rv != 0)
		handle_error(q, rv);
	else if (q->state == QUIC_CONFIRMED && q->tls != NULL)
		release_tls(q);
	if (rv == 0)
		quic_headroom_look(q);
	if (q->has_data)
		ack_hold_came(&q->ack_hold, QUIC_ACK_EVERY, now);
	if (ecn == NGTCP2_ECN_CE)
		ack_hold_hurry(&q->ack_hold);
	return q->config.is_channel && is_new(q, data);
}

bool quic_is_marked(const struct quic *q)
{
	return q->read_ecn == NGTCP2_ECN_CE;
}

/* Where ngtcp2 says how a packet is to be marked.  A channel's are all taken to
 * be ECN-capable: ngtcp2, which was not asked, believes the peer's count of
 * marks as it is, and has no validation that could fail. */
static ngtcp2_pkt_info *info_for(const struct quic *q, ngtcp2_pkt_info *pi)
{
	return q->config.is_channel ? NULL : pi;
}

/* Pacing allows a burst, then wants a pause that is as long as it took. */
static void pause_if_due(struct quic *q, nsec now)
{
	if (q->burst == 0 ||
	    q->burst < ngtcp2_conn_get_send_quantum(quic_conn(q)))
		return;
	ngtcp2_conn_update_pkt_tx_time(quic_conn(q), now);
	q->burst = 0;
}

/* In a pause BBR is not told anything. */
static void wait(struct quic *q)
{
	q->is_waiting = true;
	headroom_paused(&q->headroom);
}

/* Something left at `now`, and an acknowledgement with it if it was due. */
static void left(struct quic *q)
{
	nsec until = q->ack_hold.until;

	if (until != 0 && ngtcp2_conn_get_expiry(quic_conn(q)) > until)
		ack_hold_left(&q->ack_hold);
}

/* Without data of streams, unless it `may` have some. */
static size_t write_packet(struct quic *q, bool may, ngtcp2_path *path,
			   uint8_t *ecn, uint8_t *out, size_t cap, nsec now)
{
	const struct quic_events *ev = q->config.events;
	void *ctx = q->config.ctx;
	ngtcp2_pkt_info pi = { 0 };
	bool has_begun = false;

	while (q->state < QUIC_CLOSING) {
		ngtcp2_vec vec[VECS_MAX];
		ngtcp2_ssize n = 0, n_data = -1, rv;
		int64_t id = -1;
		int is_last = 0;
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;

		if (q->state == QUIC_CONFIRMED && may)
			n = ev->next_data(ctx, &id, &is_last, vec, VECS_MAX);
		if (n < 0) {
			ngtcp2_ccerr_set_application_error(&q->error, 1, NULL,
							   0);
			quic_set_end(q, QUIC_CLOSING, QUIC_END_PROTOCOL);
			return 0;
		}
		if (n == 0 && !is_last && !has_begun && q->burst == 0 &&
		    ack_hold_holds(&q->ack_hold, now))
			return 0;
		has_begun = true;
		if (is_last)
			flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		rv = ngtcp2_conn_writev_stream(
			quic_conn(q), path, info_for(q, &pi), out, cap, &n_data,
			flags, id, vec, (size_t)n, now);
		if (rv == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
			ev->blocked(ctx, id);
			continue;
		}
		if (rv == NGTCP2_ERR_STREAM_SHUT_WR ||
		    rv == NGTCP2_ERR_STREAM_NOT_FOUND) {
			ev->shut(ctx, id);
			continue;
		}
		if (rv == NGTCP2_ERR_WRITE_MORE) {
			ev->wrote(ctx, id, (size_t)n_data);
			continue;
		}
		if (rv < 0) {
			handle_error(q, (int)rv);
			return 0;
		}
		if (n_data >= 0)
			ev->wrote(ctx, id, (size_t)n_data);
		if (rv == 0 && (n > 0 || is_last))
			wait(q);
		left(q);
		q->burst += (size_t)rv;
		*ecn = pi.ecn;
		return (size_t)rv;
	}
	return 0;
}

size_t quic_write(struct quic *q, ngtcp2_path *path, uint8_t *ecn, uint8_t *out,
		  size_t cap, nsec now)
{
	uint64_t before;
	size_t len;
	bool may;

	q->now = now;
	pause_if_due(q, now);
	/* What a session itself says is little. */
	may = !q->config.is_channel || quic_headroom_allows_streams(q);
	if (!q->headroom.is_long)
		return write_packet(q, may, path, ecn, out, cap, now);
	before = quic_in_flight(q);
	len = write_packet(q, may, path, ecn, out, cap, now);
	headroom_wrote(&q->headroom, before, quic_in_flight(q));
	return len;
}

/* ngtcp2 aborts on an empty vector: none may pass. */
static bool has_empty(const struct quic_datagram *d)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->vec[i].len == 0)
			return true;
	}
	return false;
}

/* Ends a packet that was to take more. */
static ngtcp2_ssize finish_packet(struct quic *q, ngtcp2_pkt_info *pi,
				  uint8_t *out, size_t cap, nsec now)
{
	return ngtcp2_conn_writev_stream(
		quic_conn(q), NULL, info_for(q, pi), out, cap, NULL,
		NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now);
}

static size_t write_datagrams(struct quic *q, uint8_t *ecn, uint8_t *out,
			      size_t cap, const struct quic_datagram *list,
			      size_t n, size_t *n_taken, nsec now)
{
	ngtcp2_pkt_info pi = { 0 };
	ngtcp2_ssize rv;

	do {
		const struct quic_datagram *d = &list[*n_taken];
		bool is_last = *n_taken + 1 == n;
		int taken = 0;

		rv = NGTCP2_ERR_INVALID_ARGUMENT;
		if (!has_empty(d))
			rv = ngtcp2_conn_writev_datagram(
				quic_conn(q), NULL, info_for(q, &pi), out, cap,
				&taken,
				is_last ? NGTCP2_WRITE_DATAGRAM_FLAG_NONE
					: NGTCP2_WRITE_DATAGRAM_FLAG_MORE,
				0, d->vec, d->n, now);
		if (rv == NGTCP2_ERR_INVALID_ARGUMENT) {
			/* Or over what the peer takes: it can never be sent. */
			rv = *n_taken > 0 ? finish_packet(q, &pi, out, cap, now)
					  : 0;
			taken = 1;
		}
		*n_taken += taken != 0;
	} while (rv == NGTCP2_ERR_WRITE_MORE);
	if (rv < 0) {
		handle_error(q, (int)rv);
		return 0;
	}
	if (rv == 0 && *n_taken == 0)
		wait(q);
	left(q);
	q->burst += (size_t)rv;
	*ecn = pi.ecn;
	return (size_t)rv;
}

size_t quic_write_datagrams(struct quic *q, uint8_t *ecn, uint8_t *out,
			    size_t cap, const struct quic_datagram *list,
			    size_t n, size_t *n_taken, nsec now)
{
	uint64_t before;
	size_t len;

	*n_taken = 0;
	if (q->state != QUIC_CONFIRMED)
		return 0;
	q->now = now;
	pause_if_due(q, now);
	if (!q->headroom.is_long)
		return write_datagrams(q, ecn, out, cap, list, n, n_taken, now);
	if (!quic_headroom_allows(q))
		return 0;
	before = quic_in_flight(q);
	len = write_datagrams(q, ecn, out, cap, list, n, n_taken, now);
	headroom_wrote(&q->headroom, before, quic_in_flight(q));
	return len;
}

size_t quic_write_datagram(struct quic *q, uint8_t *ecn, uint8_t *out,
			   size_t cap, const ngtcp2_vec *vec, size_t n,
			   bool *accepted, nsec now)
{
	const struct quic_datagram one = { vec, n };
	size_t n_taken, len;

	len = quic_write_datagrams(q, ecn, out, cap, &one, 1, &n_taken, now);
	*accepted = n_taken > 0;
	return len;
}

nsec quic_rest(struct quic *q, nsec now)
{
	/* For a pause to end, and not for the window. */
	bool is_waiting =
		q->is_waiting &&
		ngtcp2_conn_get_cwnd_left(quic_conn(q)) >= quic_udp_payload(q);
	nsec quiet;

	q->is_waiting = false;
	if (q->state >= QUIC_CLOSING)
		return TIME_NEVER;
	quiet = ngtcp2_conn_get_expiry(quic_conn(q));
	if (ack_hold_holds(&q->ack_hold, now) && quiet < q->ack_hold.until)
		quiet = q->ack_hold.until;
	if (q->burst == 0)
		return quiet;
	ngtcp2_conn_update_pkt_tx_time(quic_conn(q), now);
	q->burst = 0;
	/* Nobody waits for the end of the pause: had ngtcp2 itself something
	 * to repeat, it would have gone out in this turn. */
	return is_waiting ? ngtcp2_conn_get_expiry(quic_conn(q)) : quiet;
}

size_t quic_close(struct quic *q, uint64_t app_error, uint8_t *out, size_t cap,
		  nsec now)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;

	if (q->state >= QUIC_DRAINING ||
	    ngtcp2_conn_in_closing_period(quic_conn(q)) ||
	    ngtcp2_conn_in_draining_period(quic_conn(q))) {
		quic_set_end(q, QUIC_DEAD, QUIC_END_NONE);
		return 0;
	}
	if (q->state < QUIC_CLOSING)
		ngtcp2_ccerr_set_application_error(&q->error, app_error, NULL,
						   0);
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(quic_conn(q), &ps.path, &pi, out,
					       cap, &q->error, now);
	quic_set_end(q, QUIC_DEAD, QUIC_END_NONE);
	return n > 0 ? (size_t)n : 0;
}

void quic_handle_timeout(struct quic *q, nsec now)
{
	int rv;

	if (q->state >= QUIC_CLOSING || ack_hold_holds(&q->ack_hold, now) ||
	    ngtcp2_conn_get_expiry(quic_conn(q)) > now)
		return;
	q->now = now;
	rv = ngtcp2_conn_handle_expiry(quic_conn(q), now);
	if (rv != 0)
		handle_error(q, rv);
}

void quic_set_keep_alive(struct quic *q, nsec period)
{
	ngtcp2_conn_set_keep_alive_timeout(quic_conn(q), period);
}

/* ---- streams ---- */

int64_t quic_open_bidi(struct quic *q)
{
	int64_t id;

	if (q->state != QUIC_CONFIRMED ||
	    ngtcp2_conn_open_bidi_stream(quic_conn(q), &id, NULL) != 0)
		return -1;
	quic_window_open(q, id);
	return id;
}

int64_t quic_open_uni(struct quic *q)
{
	int64_t id;

	if (q->state != QUIC_CONFIRMED ||
	    ngtcp2_conn_open_uni_stream(quic_conn(q), &id, NULL) != 0)
		return -1;
	quic_window_open(q, id);
	return id;
}

void quic_stream_shutdown(struct quic *q, int64_t id, uint64_t error)
{
	if (q->state < QUIC_CLOSING)
		ngtcp2_conn_shutdown_stream(quic_conn(q), 0, id, error);
}

void quic_stream_stop_reading(struct quic *q, int64_t id, uint64_t error)
{
	if (q->state < QUIC_CLOSING)
		ngtcp2_conn_shutdown_stream_read(quic_conn(q), 0, id, error);
}

/* ---- what is known ---- */

bool quic_moved(struct quic *q, union endpoint *remote)
{
	const ngtcp2_path *path;

	if (!q->has_moved)
		return false;
	q->has_moved = false;
	path = ngtcp2_conn_get_path(quic_conn(q));
	if (path->remote.addrlen > sizeof *remote)
		return false;
	memset(remote, 0, sizeof *remote);
	memcpy(remote, path->remote.addr, path->remote.addrlen);
	return true;
}

enum quic_state quic_state(const struct quic *q)
{
	return q->state;
}

enum quic_end quic_end(const struct quic *q)
{
	return q->end;
}

const char *quic_end_text(const struct quic *q)
{
	static const char *const text[QUIC_ENDS] = {
		[QUIC_END_NONE] = "closed by this node",
		[QUIC_END_TIMEOUT] = "no answer",
		[QUIC_END_SILENT] = "silent for too long",
		[QUIC_END_IDENTITY] = "another node answers there",
		[QUIC_END_SELF] = "that is this node itself",
		[QUIC_END_REJECTED] = "our certificate is not accepted there",
		[QUIC_END_CLOSED] = "closed by the peer",
		[QUIC_END_RESTARTED] = "the peer has restarted",
		[QUIC_END_PROTOCOL] = "protocol error",
		[QUIC_END_LOCAL] = "local error",
	};

	if (q->end == QUIC_END_CERTIFICATE)
		return cert_verdict_text(q->peer.verdict);
	return text[q->end];
}

const struct quic_peer *quic_peer(const struct quic *q)
{
	return &q->peer;
}

bool quic_is_server(const struct quic *q)
{
	return ngtcp2_conn_is_server(quic_conn(q));
}

void *quic_ctx(const struct quic *q)
{
	return q->config.ctx;
}

const uint8_t *quic_exported(const struct quic *q)
{
	return q->exported;
}

size_t quic_udp_payload(const struct quic *q)
{
	return ngtcp2_conn_get_path_max_tx_udp_payload_size(quic_conn(q));
}

bool quic_sends(struct quic *q, const uint8_t *packet, size_t len)
{
	const ngtcp2_cid *id = ngtcp2_conn_get_dcid(quic_conn(q));

	/* RFC 9000 17.3: a short header. */
	return len >= 1 + id->datalen && id->datalen > 0 &&
	       (packet[0] & 0xc0) == 0x40 &&
	       memcmp(packet + 1, id->data, id->datalen) == 0;
}

void quic_measure(const struct quic *q, struct quic_measure *out)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info(quic_conn(q), &info);
	*out = (struct quic_measure){
		.rtt = info.smoothed_rtt,
		.rtt_min = info.min_rtt == UINT64_MAX ? 0 : info.min_rtt,
		.rttvar = info.rttvar,
		.pto = ngtcp2_conn_get_pto(quic_conn(q)),
		.cwnd = info.cwnd,
		.in_flight = info.bytes_in_flight,
		.n_acked = q->n_datagrams_acked,
		.n_lost = q->n_datagrams_lost,
	};
}
