#include "node/quic.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic_table.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

enum {
	VECS_MAX = 16,
	STREAM_WINDOW = 256 << 10,
	CONN_WINDOW = 1 << 20,
	STREAM_WINDOW_MAX = 8 << 20,
	CONN_WINDOW_MAX = 24 << 20,
	UNI_STREAMS = 3,
	CRYPTO_LEVELS = 4,
};

#define SESSION_IDLE_NS (30 * NS_PER_S)
#define CHANNEL_IDLE_NS (120 * NS_PER_S)
#define CHANNEL_RTT_NS  (50 * NS_PER_MS)

struct quic {
	ngtcp2_conn *conn;
	ngtcp2_crypto_conn_ref ref;
	gnutls_session_t tls;
	struct quic_table *table;
	struct quic_config config;
	enum quic_state state;
	const char *end_text;
	ngtcp2_ccerr error;
	uint64_t app_error; /* set by an event callback's return value */
	struct quic_peer peer;
	bool has_expect, has_expect_hash;
	struct node_id expect;
	struct node_hash expect_hash;
	size_t n_crypto[CRYPTO_LEVELS];
	ngtcp2_cid first_dcid; /* a server's: the client's invention */
	bool has_first_dcid;
	uint16_t probes[4];
	size_t n_probes;
};

static ngtcp2_conn *ref_conn(ngtcp2_crypto_conn_ref *ref)
{
	struct quic *q = ref->user_data;

	return q->conn;
}

static void end(struct quic *q, enum quic_state state, const char *text)
{
	if (q->state >= QUIC_CLOSING && q->state >= state)
		return;
	q->state = state;
	if (q->end_text == NULL)
		q->end_text = text;
}

/* ---- certificates ---- */

static int check_chain(void *conn_ref, const uint8_t *chain, size_t len)
{
	ngtcp2_crypto_conn_ref *ref = conn_ref;
	struct quic *q = ref->user_data;
	const struct credentials *c =
		quic_tls_credentials(quic_table_tls(q->table));
	struct quic_peer *p = &q->peer;

	p->verdict = cert_check(c->trust, chain, len, (int64_t)q->config.wall_s,
				&p->who);
	if (p->verdict != CERT_OK) {
		q->end_text = cert_verdict_text(p->verdict);
		return -1;
	}
	if ((q->has_expect && !id_equal(&q->expect, &p->who.id)) ||
	    (q->has_expect_hash &&
	     !hash_equal(&q->expect_hash, &p->who.hash))) {
		q->end_text = "another node answers there";
		return -1;
	}
	if (hash_equal(&c->self.hash, &p->who.hash)) {
		q->end_text = "that is this node itself";
		return -1;
	}
	free(p->chain);
	p->chain = mem_calloc(len, 1);
	memcpy(p->chain, chain, len);
	p->chain_len = len;
	p->is_verified = true;
	return 0;
}

/* ---- callbacks of ngtcp2 ---- */

static void fill_random(uint8_t *out, size_t len, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	randombytes_buf(out, len);
}

static int get_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token,
		   size_t len, void *ctx)
{
	struct quic *q = ctx;

	(void)conn;
	quic_table_new_cid(q->table, cid, len, token);
	quic_table_add(q->table, cid, q);
	return 0;
}

static int drop_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *ctx)
{
	struct quic *q = ctx;

	(void)conn;
	quic_table_remove(q->table, cid);
	return 0;
}

static int crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level,
		       uint64_t offset, const uint8_t *data, size_t len,
		       void *ctx)
{
	struct quic *q = ctx;

	if ((size_t)level < CRYPTO_LEVELS) {
		q->n_crypto[level] += len;
		if (q->n_crypto[level] > CRYPTO_BYTES_MAX) {
			end(q, QUIC_HANDSHAKE, "too much handshake data");
			return NGTCP2_ERR_CALLBACK_FAILURE;
		}
	}
	return ngtcp2_crypto_recv_crypto_data_cb(conn, level, offset, data, len,
						 ctx);
}

static int confirmed(struct quic *q)
{
	if (!q->peer.is_verified)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	if (q->state == QUIC_HANDSHAKE) {
		q->state = QUIC_CONFIRMED;
		q->config.events->confirmed(q->config.ctx);
	}
	return 0;
}

/* The client learns only here that the server has checked its certificate. */
static int handshake_confirmed(ngtcp2_conn *conn, void *ctx)
{
	(void)conn;
	return confirmed(ctx);
}

/* A server has seen the client's certificate and Finished by now. */
static int handshake_completed(ngtcp2_conn *conn, void *ctx)
{
	return ngtcp2_conn_is_server(conn) ? confirmed(ctx) : 0;
}

static int fail_if(struct quic *q, uint64_t error)
{
	if (error == 0)
		return 0;
	q->app_error = error;
	ngtcp2_ccerr_set_application_error(&q->error, error, NULL, 0);
	end(q, QUIC_CLOSING, "protocol violation by the peer");
	return NGTCP2_ERR_CALLBACK_FAILURE;
}

static int stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id,
		       uint64_t offset, const uint8_t *data, size_t len,
		       void *ctx, void *stream_ctx)
{
	struct quic *q = ctx;
	bool is_last = (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0;

	(void)conn;
	(void)offset;
	(void)stream_ctx;
	if (q->state != QUIC_CONFIRMED)
		return q->state == QUIC_HANDSHAKE ? NGTCP2_ERR_CALLBACK_FAILURE
						  : 0;
	return fail_if(q, q->config.events->stream_data(q->config.ctx, id, data,
							len, is_last));
}

static int stream_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset,
			uint64_t len, void *ctx, void *stream_ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)offset;
	(void)stream_ctx;
	q->config.events->stream_acked(q->config.ctx, id, (size_t)len);
	return 0;
}

static int stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id,
			uint64_t error, void *ctx, void *stream_ctx)
{
	struct quic *q = ctx;

	(void)stream_ctx;
	if ((flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) == 0)
		error = 0;
	q->config.events->stream_closed(q->config.ctx, id, error);
	if (!ngtcp2_conn_is_local_stream(conn, id)) {
		if (id & 2)
			ngtcp2_conn_extend_max_streams_uni(conn, 1);
		else
			ngtcp2_conn_extend_max_streams_bidi(conn, 1);
	}
	return 0;
}

static int stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size,
			uint64_t error, void *ctx, void *stream_ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)final_size;
	(void)stream_ctx;
	q->config.events->stream_reset(q->config.ctx, id, error);
	return 0;
}

static int stream_stop(ngtcp2_conn *conn, int64_t id, uint64_t error, void *ctx,
		       void *stream_ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)stream_ctx;
	q->config.events->stream_stopped(q->config.ctx, id, error);
	return 0;
}

static int stream_room(ngtcp2_conn *conn, int64_t id, uint64_t max, void *ctx,
		       void *stream_ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)max;
	(void)stream_ctx;
	q->config.events->stream_unblocked(q->config.ctx, id);
	return 0;
}

static int streams_allowed(ngtcp2_conn *conn, uint64_t max, void *ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)max;
	if (q->state == QUIC_CONFIRMED)
		q->config.events->streams_allowed(q->config.ctx);
	return 0;
}

static int datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data,
		    size_t len, void *ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)flags;
	if (q->state == QUIC_CONFIRMED)
		q->config.events->datagram(q->config.ctx, data, len);
	return 0;
}

static int reset_received(ngtcp2_conn *conn,
			  const ngtcp2_pkt_stateless_reset *r, void *ctx)
{
	(void)conn;
	(void)r;
	end(ctx, QUIC_DEAD, "the peer has restarted");
	return 0;
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = crypto_data,
	.handshake_completed = handshake_completed,
	.handshake_confirmed = handshake_confirmed,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_stream_data = stream_data,
	.acked_stream_data_offset = stream_acked,
	.stream_close = stream_close,
	.stream_reset = stream_reset,
	.stream_stop_sending = stream_stop,
	.extend_max_stream_data = stream_room,
	.extend_max_local_streams_bidi = streams_allowed,
	.recv_stateless_reset = reset_received,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.rand = fill_random,
	.get_new_connection_id = get_cid,
	.remove_connection_id = drop_cid,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.recv_datagram = datagram,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

/* ---- life ---- */

static void set_params(const struct quic *q, ngtcp2_transport_params *p)
{
	ngtcp2_transport_params_default(p);
	p->initial_max_stream_data_bidi_local = STREAM_WINDOW;
	p->initial_max_stream_data_bidi_remote = STREAM_WINDOW;
	p->initial_max_stream_data_uni = STREAM_WINDOW;
	p->initial_max_data = CONN_WINDOW;
	p->initial_max_streams_bidi =
		q->config.is_channel ? STREAMS_PER_CHANNEL_MAX : 1;
	p->initial_max_streams_uni = q->config.is_channel ? UNI_STREAMS : 0;
	p->max_idle_timeout =
		q->config.is_channel ? CHANNEL_IDLE_NS : SESSION_IDLE_NS;
	p->max_datagram_frame_size = 65535;
	p->active_connection_id_limit = 2;
	p->max_ack_delay = 5 * NGTCP2_MILLISECONDS;
	p->disable_active_migration = 1;
}

static void set_settings(const struct quic *q, ngtcp2_settings *s, nsec now)
{
	ngtcp2_settings_default(s);
	s->initial_ts = now;
	s->cc_algo = NGTCP2_CC_ALGO_BBR;
	s->max_tx_udp_payload_size = q->config.udp_payload_max;
	s->max_stream_window = STREAM_WINDOW_MAX;
	s->max_window = CONN_WINDOW_MAX;
	if (q->config.is_channel) {
		/* A circuit's size is fixed and known when it opens. */
		s->handshake_timeout = HANDSHAKE_INNER_NS;
		s->no_pmtud = 1;
		s->no_tx_udp_payload_size_shaping = 1;
		s->initial_rtt = CHANNEL_RTT_NS;
	} else {
		s->handshake_timeout = HANDSHAKE_OUTER_NS;
		s->pmtud_probes = q->probes;
		s->pmtud_probeslen = q->n_probes;
		s->initial_rtt = CHANNEL_RTT_NS;
	}
}

/* The sizes that path MTU discovery tries: the link's own first, so that one
 * round trip settles it in the common case. */
static void set_probes(struct quic *q)
{
	static const uint16_t common[] = { 1472, 1452, 1404 };
	size_t max = q->config.udp_payload_max;

	if (max <= NGTCP2_MAX_UDP_PAYLOAD_SIZE)
		return;
	q->probes[q->n_probes++] = (uint16_t)max;
	for (size_t i = 0; i < ARRAY_LEN(common); i++) {
		if (common[i] < max)
			q->probes[q->n_probes++] = common[i];
	}
}

static struct quic *quic_new(struct quic_table *table,
			     const struct quic_config *config)
{
	struct quic *q = mem_new(q);

	q->table = table;
	q->config = *config;
	q->ref.get_conn = ref_conn;
	q->ref.user_data = q;
	ngtcp2_ccerr_default(&q->error);
	if (config->expect != NULL) {
		q->has_expect = true;
		q->expect = *config->expect;
	}
	if (config->expect_hash != NULL) {
		q->has_expect_hash = true;
		q->expect_hash = *config->expect_hash;
	}
	quic_tls_set_check(quic_table_tls(table), check_chain);
	set_probes(q);
	return q;
}

static bool attach_tls(struct quic *q, bool is_server)
{
	const char *alpn = q->config.is_channel ? "h3" : "qanat/1";

	if (quic_tls_session(&q->tls, quic_table_tls(q->table), is_server, alpn,
			     &q->ref) < 0)
		return false;
	ngtcp2_conn_set_tls_native_handle(q->conn, q->tls);
	return true;
}

struct quic *quic_connect(struct quic_table *table, const ngtcp2_path *path,
			  const struct quic_config *config, nsec now)
{
	struct quic *q = quic_new(table, config);
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_cid scid, dcid;

	set_params(q, &params);
	set_settings(q, &settings, now);
	quic_table_new_cid(table, &scid, SESSION_CID_BYTES, NULL);
	dcid.datalen = NGTCP2_MIN_INITIAL_DCIDLEN;
	randombytes_buf(dcid.data, dcid.datalen);
	if (ngtcp2_conn_client_new(&q->conn, &dcid, &scid, path,
				   NGTCP2_PROTO_VER_V1, &callbacks, &settings,
				   &params, NULL, q) != 0 ||
	    !attach_tls(q, false)) {
		quic_free(q);
		return NULL;
	}
	quic_table_add(table, &scid, q);
	return q;
}

struct quic *quic_accept(struct quic_table *table, const ngtcp2_path *path,
			 const ngtcp2_pkt_hd *hd, const ngtcp2_cid *odcid,
			 const struct quic_config *config, nsec now)
{
	struct quic *q = quic_new(table, config);
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_cid scid;

	set_params(q, &params);
	set_settings(q, &settings, now);
	quic_table_new_cid(table, &scid, SESSION_CID_BYTES,
			   params.stateless_reset_token);
	params.stateless_reset_token_present = 1;
	params.original_dcid_present = 1;
	if (odcid != NULL) {
		params.original_dcid = *odcid;
		params.retry_scid = hd->dcid;
		params.retry_scid_present = 1;
		settings.token = hd->token;
		settings.tokenlen = hd->tokenlen;
		settings.token_type = NGTCP2_TOKEN_TYPE_RETRY;
	} else {
		params.original_dcid = hd->dcid;
	}
	if (ngtcp2_conn_server_new(&q->conn, &hd->scid, &scid, path,
				   hd->version, &callbacks, &settings, &params,
				   NULL, q) != 0 ||
	    !attach_tls(q, true)) {
		quic_free(q);
		return NULL;
	}
	quic_table_add(table, &scid, q);
	q->first_dcid = hd->dcid;
	q->has_first_dcid = true;
	quic_table_add(table, &hd->dcid, q);
	return q;
}

static void leave_table(struct quic *q)
{
	ngtcp2_cid *cids;
	size_t n;

	if (q->has_first_dcid)
		quic_table_remove(q->table, &q->first_dcid);
	if (q->conn == NULL)
		return;
	n = ngtcp2_conn_get_scid(q->conn, NULL);
	cids = mem_calloc(n, sizeof *cids);
	ngtcp2_conn_get_scid(q->conn, cids);
	for (size_t i = 0; i < n; i++)
		quic_table_remove(q->table, &cids[i]);
	free(cids);
}

void quic_free(struct quic *q)
{
	if (q == NULL)
		return;
	leave_table(q);
	ngtcp2_conn_del(q->conn);
	if (q->tls != NULL)
		gnutls_deinit(q->tls);
	free(q->peer.chain);
	free(q);
}

/* ---- packets ---- */

static void handle_error(struct quic *q, int rv)
{
	switch (rv) {
	case NGTCP2_ERR_DRAINING:
		end(q, QUIC_DRAINING, "closed by the peer");
		return;
	case NGTCP2_ERR_CLOSING:
		end(q, QUIC_CLOSING, "closing");
		return;
	case NGTCP2_ERR_IDLE_CLOSE:
		end(q, QUIC_DEAD, "silent for too long");
		return;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		end(q, QUIC_DEAD, "handshake timed out");
		return;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		end(q, QUIC_DEAD, "handshake refused");
		return;
	case NGTCP2_ERR_CRYPTO:
		ngtcp2_ccerr_set_tls_alert(
			&q->error, ngtcp2_conn_get_tls_alert(q->conn), NULL, 0);
		end(q, QUIC_CLOSING, "TLS handshake failed");
		return;
	default:
		if (q->app_error == 0)
			ngtcp2_ccerr_set_liberr(&q->error, rv, NULL, 0);
		end(q, QUIC_CLOSING, "QUIC protocol error");
		return;
	}
}

void quic_read(struct quic *q, const ngtcp2_path *path, uint8_t ecn,
	       const uint8_t *data, size_t len, nsec now)
{
	const ngtcp2_pkt_info pi = { .ecn = ecn };
	int rv;

	if (q->state >= QUIC_CLOSING)
		return;
	rv = ngtcp2_conn_read_pkt(q->conn, path, &pi, data, len, now);
	if (rv != 0)
		handle_error(q, rv);
}

size_t quic_write(struct quic *q, ngtcp2_path *path, uint8_t *ecn, uint8_t *out,
		  size_t cap, nsec now)
{
	const struct quic_events *ev = q->config.events;
	void *ctx = q->config.ctx;
	ngtcp2_pkt_info pi = { 0 };

	while (q->state < QUIC_CLOSING) {
		ngtcp2_vec vec[VECS_MAX];
		ngtcp2_ssize n = 0, n_data = -1, rv;
		int64_t id = -1;
		int is_last = 0;
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;

		if (q->state == QUIC_CONFIRMED)
			n = ev->next_data(ctx, &id, &is_last, vec, VECS_MAX);
		if (n < 0) {
			ngtcp2_ccerr_set_application_error(&q->error, 1, NULL,
							   0);
			end(q, QUIC_CLOSING, "HTTP/3 error");
			return 0;
		}
		if (is_last)
			flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		rv = ngtcp2_conn_writev_stream(q->conn, path, &pi, out, cap,
					       &n_data, flags, id, vec,
					       (size_t)n, now);
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
		*ecn = pi.ecn;
		return (size_t)rv;
	}
	return 0;
}

size_t quic_write_datagram(struct quic *q, uint8_t *ecn, uint8_t *out,
			   size_t cap, const ngtcp2_vec *vec, size_t n,
			   bool *accepted, nsec now)
{
	ngtcp2_pkt_info pi = { 0 };
	int taken = 0;
	ngtcp2_ssize rv;

	*accepted = false;
	if (q->state != QUIC_CONFIRMED)
		return 0;
	/* ngtcp2 aborts on an empty vector: none may pass. */
	for (size_t i = 0; i < n; i++) {
		if (vec[i].len == 0) {
			*accepted = true;
			return 0;
		}
	}
	rv = ngtcp2_conn_writev_datagram(q->conn, NULL, &pi, out, cap, &taken,
					 NGTCP2_WRITE_DATAGRAM_FLAG_NONE, 0,
					 vec, n, now);
	*accepted = taken != 0;
	if (rv == NGTCP2_ERR_INVALID_ARGUMENT) {
		/* Over what the peer takes: it can never be sent. */
		*accepted = true;
		return 0;
	}
	if (rv < 0) {
		handle_error(q, (int)rv);
		return 0;
	}
	*ecn = pi.ecn;
	return (size_t)rv;
}

size_t quic_send_quantum(const struct quic *q)
{
	return ngtcp2_conn_get_send_quantum(q->conn);
}

void quic_sent(struct quic *q, nsec now)
{
	ngtcp2_conn_update_pkt_tx_time(q->conn, now);
}

size_t quic_close(struct quic *q, uint64_t app_error, uint8_t *out, size_t cap,
		  nsec now)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;

	if (q->state >= QUIC_DRAINING ||
	    ngtcp2_conn_in_closing_period(q->conn) ||
	    ngtcp2_conn_in_draining_period(q->conn)) {
		end(q, QUIC_DEAD, "closed");
		return 0;
	}
	if (q->state < QUIC_CLOSING)
		ngtcp2_ccerr_set_application_error(&q->error, app_error, NULL,
						   0);
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(q->conn, &ps.path, &pi, out, cap,
					       &q->error, now);
	end(q, QUIC_DEAD, "closed by this node");
	return n > 0 ? (size_t)n : 0;
}

nsec quic_deadline(const struct quic *q)
{
	return q->state >= QUIC_CLOSING ? TIME_NEVER
					: ngtcp2_conn_get_expiry(q->conn);
}

void quic_handle_timeout(struct quic *q, nsec now)
{
	int rv;

	if (q->state >= QUIC_CLOSING || ngtcp2_conn_get_expiry(q->conn) > now)
		return;
	rv = ngtcp2_conn_handle_expiry(q->conn, now);
	if (rv != 0)
		handle_error(q, rv);
}

void quic_set_keep_alive(struct quic *q, nsec period)
{
	ngtcp2_conn_set_keep_alive_timeout(q->conn, period);
}

/* ---- streams ---- */

int64_t quic_open_bidi(struct quic *q)
{
	int64_t id;

	if (q->state != QUIC_CONFIRMED ||
	    ngtcp2_conn_open_bidi_stream(q->conn, &id, NULL) != 0)
		return -1;
	return id;
}

int64_t quic_open_uni(struct quic *q)
{
	int64_t id;

	if (q->state != QUIC_CONFIRMED ||
	    ngtcp2_conn_open_uni_stream(q->conn, &id, NULL) != 0)
		return -1;
	return id;
}

void quic_stream_consumed(struct quic *q, int64_t id, size_t len)
{
	if (q->state >= QUIC_CLOSING || len == 0)
		return;
	ngtcp2_conn_extend_max_stream_offset(q->conn, id, len);
	ngtcp2_conn_extend_max_offset(q->conn, len);
}

void quic_stream_shutdown(struct quic *q, int64_t id, uint64_t error)
{
	if (q->state < QUIC_CLOSING)
		ngtcp2_conn_shutdown_stream(q->conn, 0, id, error);
}

void quic_stream_stop_reading(struct quic *q, int64_t id, uint64_t error)
{
	if (q->state < QUIC_CLOSING)
		ngtcp2_conn_shutdown_stream_read(q->conn, 0, id, error);
}

/* ---- what is known ---- */

enum quic_state quic_state(const struct quic *q)
{
	return q->state;
}

const char *quic_end_text(const struct quic *q)
{
	return q->end_text != NULL ? q->end_text : "-";
}

const struct quic_peer *quic_peer(const struct quic *q)
{
	return &q->peer;
}

bool quic_is_server(const struct quic *q)
{
	return ngtcp2_conn_is_server(q->conn);
}

void *quic_ctx(const struct quic *q)
{
	return q->config.ctx;
}

bool quic_export(struct quic *q, uint8_t out[32])
{
	static const char label[] = "EXPORTER-qanat-duplicate";

	return gnutls_prf_rfc5705(q->tls, sizeof label - 1, label, 0, NULL, 32,
				  (char *)out) == 0;
}

size_t quic_udp_payload(const struct quic *q)
{
	return ngtcp2_conn_get_path_max_tx_udp_payload_size(q->conn);
}

void quic_measure(const struct quic *q, struct quic_measure *out)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info(q->conn, &info);
	*out = (struct quic_measure){
		.rtt = info.smoothed_rtt,
		.rtt_min = info.min_rtt == UINT64_MAX ? 0 : info.min_rtt,
		.rttvar = info.rttvar,
		.pto = ngtcp2_conn_get_pto(q->conn),
		.cwnd = info.cwnd,
		.in_flight = info.bytes_in_flight,
	};
}
