/* A connection's settings, its beginning and its end. */
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

enum {
	UNI_STREAMS = 3,
};

#define SESSION_IDLE_NS (30 * NS_PER_S)
#define CHANNEL_IDLE_NS (120 * NS_PER_S)
#define CHANNEL_RTT_NS  (50 * NS_PER_MS)

static void set_params(const struct quic *q, ngtcp2_transport_params *p)
{
	ngtcp2_transport_params_default(p);
	p->initial_max_stream_data_bidi_local = QUIC_STREAM_WINDOW;
	p->initial_max_stream_data_bidi_remote = QUIC_STREAM_WINDOW;
	p->initial_max_stream_data_uni = QUIC_STREAM_WINDOW;
	p->initial_max_data = QUIC_CONN_WINDOW;
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
	s->ack_thresh = QUIC_ACK_EVERY;
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
 * round trip settles it in the common case.  ngtcp2 gives each about five probe
 * timeouts, and never tries again what failed: with few sizes a peer that was
 * stopped for a tenth of a second would keep the least for good. */
static void set_probes(struct quic *q)
{
	static const uint16_t common[] = {
		1472, 1452,       /* Ethernet */
		1404, 1392, 1372, /* tunnels, such as WireGuard's 1420 */
		1342,       /* an inner packet of TUN_MTU_MIN in one part */
		1252, 1232, /* the 1280 of IPv6 */
	};
	size_t max = q->config.udp_payload_max;

	_Static_assert(ARRAY_LEN(common) < QUIC_PROBES_MAX, "and `max`");

	if (max <= NGTCP2_MAX_UDP_PAYLOAD_SIZE)
		return;
	q->probes[q->n_probes++] = (uint16_t)max;
	for (size_t i = 0; i < ARRAY_LEN(common); i++) {
		if (common[i] < max)
			q->probes[q->n_probes++] = common[i];
	}
}

static struct quic *quic_new(struct quic_table *table,
			     const struct quic_config *config, nsec now)
{
	struct quic *q = mem_new(q);

	q->crowd_bytes = UINT64_MAX;
	quic_mem_init(&q->mem);
	q->table = table;
	q->config = *config;
	q->ref.conn.get_conn = quic_ref_conn;
	q->ref.conn.user_data = q;
	ngtcp2_ccerr_default(&q->error);
	if (config->expect != NULL) {
		q->has_expect = true;
		q->expect = *config->expect;
	}
	if (config->expect_hash != NULL) {
		q->has_expect_hash = true;
		q->expect_hash = *config->expect_hash;
	}
	quic_tls_set_check(quic_table_tls(table), quic_check_chain);
	set_probes(q);
	q->now = now;
	randombytes_buf(q->hash_key, sizeof q->hash_key);
	window_init(&q->window, quic_tls_windows(quic_table_tls(table)),
		    QUIC_CONN_WINDOW, now);
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
	struct quic *q = quic_new(table, config, now);
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_cid scid, dcid;

	set_params(q, &params);
	set_settings(q, &settings, now);
	quic_table_new_cid(table, &scid, SESSION_CID_BYTES, NULL);
	dcid.datalen = NGTCP2_MIN_INITIAL_DCIDLEN;
	randombytes_buf(dcid.data, dcid.datalen);
	if (ngtcp2_conn_client_new(&q->conn, &dcid, &scid, path,
				   NGTCP2_PROTO_VER_V1, &quic_callbacks,
				   &settings, &params, &q->mem.mem, q) != 0 ||
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
	struct quic *q = quic_new(table, config, now);
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
				   hd->version, &quic_callbacks, &settings,
				   &params, &q->mem.mem, q) != 0 ||
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
		quic_table_remove(q->table, &q->first_dcid, q);
	if (q->conn == NULL)
		return;
	n = ngtcp2_conn_get_scid(quic_conn(q), NULL);
	cids = mem_calloc(n, sizeof *cids);
	ngtcp2_conn_get_scid(quic_conn(q), cids);
	for (size_t i = 0; i < n; i++)
		quic_table_remove(q->table, &cids[i], q);
	free(cids);
}

void quic_free(struct quic *q)
{
	if (q == NULL)
		return;
	leave_table(q);
	if (q->conn != NULL)
		ngtcp2_conn_del(quic_conn(q));
	quic_mem_deinit(&q->mem);
	quic_windows_free(q);
	if (q->tls != NULL)
		gnutls_deinit(q->tls);
	free(q->peer.chain);
	free(q);
}
