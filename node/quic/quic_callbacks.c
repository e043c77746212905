#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/protect_ops.h"
#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

ngtcp2_conn *quic_ref_conn(ngtcp2_crypto_conn_ref *ref)
{
	struct quic *q = ref->user_data;

	return quic_conn(q);
}

void quic_set_end(struct quic *q, enum quic_state state, enum quic_end why)
{
	if (q->state >= QUIC_CLOSING && q->state >= state)
		return;
	q->state = state;
	if (q->end == QUIC_END_NONE)
		q->end = why;
}

/* ---- certificates ---- */

int quic_check_chain(void *conn_ref, const uint8_t *chain, size_t len)
{
	ngtcp2_crypto_conn_ref *ref = conn_ref;
	struct quic *q = ref->user_data;
	const struct credentials *c =
		quic_tls_credentials(quic_table_tls(q->table));
	struct quic_peer *p = &q->peer;

	p->verdict = cert_check(c->trust, chain, len, (int64_t)q->config.wall_s,
				&p->who);
	if (p->verdict != CERT_OK) {
		q->end = QUIC_END_CERTIFICATE;
		return -1;
	}
	if ((q->has_expect && !id_equal(&q->expect, &p->who.id)) ||
	    (q->has_expect_hash &&
	     !hash_equal(&q->expect_hash, &p->who.hash))) {
		q->end = QUIC_END_IDENTITY;
		return -1;
	}
	if (hash_equal(&c->self.hash, &p->who.hash)) {
		q->end = QUIC_END_SELF;
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

/* ngtcp2 does not tell whether it took a packet, and these callbacks do not
 * know whose packet it is: what they did last is looked at when a read is
 * over. */
static uint8_t last_mask[QUIC_MASK_BYTES], opened_mask[QUIC_MASK_BYTES];
static bool is_opened;

const uint8_t *quic_opened_mask(void)
{
	bool was = is_opened;

	is_opened = false;
	return was ? opened_mask : NULL;
}

static int hp_mask(uint8_t *out, const ngtcp2_crypto_cipher *cipher,
		   const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
	int rv = protect_hp_mask(out, cipher, ctx, sample);

	if (rv == 0)
		memcpy(last_mask, out, sizeof last_mask);
	return rv;
}

static int decrypt(uint8_t *out, const ngtcp2_crypto_aead *aead,
		   const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *in,
		   size_t in_len, const uint8_t *nonce, size_t nonce_len,
		   const uint8_t *ad, size_t ad_len)
{
	int rv = protect_decrypt(out, aead, ctx, in, in_len, nonce, nonce_len,
				 ad, ad_len);

	if (rv == 0) {
		memcpy(opened_mask, last_mask, sizeof opened_mask);
		is_opened = true;
	}
	return rv;
}

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
	quic_table_remove(q->table, cid, q);
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
			quic_set_end(q, QUIC_HANDSHAKE, QUIC_END_PROTOCOL);
			return NGTCP2_ERR_CALLBACK_FAILURE;
		}
	}
	/* There is nothing to be said after the handshake: no tickets. */
	if (q->tls == NULL)
		return 0;
	return ngtcp2_crypto_recv_crypto_data_cb(conn, level, offset, data, len,
						 ctx);
}

static int update_key(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
		      ngtcp2_crypto_aead_ctx *rx, uint8_t *rx_iv,
		      ngtcp2_crypto_aead_ctx *tx, uint8_t *tx_iv,
		      const uint8_t *rx_secret_now,
		      const uint8_t *tx_secret_now, size_t len, void *ctx)
{
	struct quic *q = ctx;

	return protect_update_key(quic_tls_protect(quic_table_tls(q->table)),
				  &q->ref.keys, conn, rx_secret, tx_secret, rx,
				  rx_iv, tx, tx_iv, rx_secret_now,
				  tx_secret_now, len);
}

bool quic_export(struct quic *q, const char *label, uint8_t *out, size_t len)
{
	return gnutls_prf_rfc5705(q->tls, strlen(label), label, 0, NULL, len,
				  (char *)out) == 0;
}

static int confirmed(struct quic *q)
{
	if (!q->peer.is_verified ||
	    !quic_export(q, "EXPORTER-qanat-duplicate", q->exported,
			 sizeof q->exported))
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
	quic_set_end(q, QUIC_CLOSING, QUIC_END_PROTOCOL);
	return NGTCP2_ERR_CALLBACK_FAILURE;
}

static int stream_open(ngtcp2_conn *conn, int64_t id, void *ctx)
{
	(void)conn;
	quic_window_open(ctx, id);
	return 0;
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
	q->has_data = true;
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
	quic_window_close(q, id);
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
	if (q->state != QUIC_CONFIRMED)
		return 0;
	q->has_data = true;
	return fail_if(q, q->config.events->datagram(q->config.ctx, data, len));
}

static int datagram_acked(ngtcp2_conn *conn, uint64_t id, void *ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)id;
	q->n_datagrams_acked++;
	return 0;
}

static int datagram_lost(ngtcp2_conn *conn, uint64_t id, void *ctx)
{
	struct quic *q = ctx;

	(void)conn;
	(void)id;
	q->n_datagrams_lost++;
	return 0;
}

static int reset_received(ngtcp2_conn *conn,
			  const ngtcp2_pkt_stateless_reset *r, void *ctx)
{
	(void)conn;
	(void)r;
	quic_set_end(ctx, QUIC_DEAD, QUIC_END_RESTARTED);
	return 0;
}

static int path_validated(ngtcp2_conn *conn, uint32_t flags,
			  const ngtcp2_path *path, const ngtcp2_path *old,
			  ngtcp2_path_validation_result result, void *ctx)
{
	struct quic *q = ctx;

	(void)flags;
	(void)path;
	(void)old;
	if (result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS &&
	    ngtcp2_conn_is_server(conn))
		q->has_moved = true;
	return 0;
}

const ngtcp2_callbacks quic_callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = crypto_data,
	.handshake_completed = handshake_completed,
	.handshake_confirmed = handshake_confirmed,
	.encrypt = protect_encrypt,
	.decrypt = decrypt,
	.hp_mask = hp_mask,
	.stream_open = stream_open,
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
	.update_key = update_key,
	.delete_crypto_aead_ctx = protect_delete_aead,
	.delete_crypto_cipher_ctx = protect_delete_cipher,
	.recv_datagram = datagram,
	.ack_datagram = datagram_acked,
	.lost_datagram = datagram_lost,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.path_validation = path_validated,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};
