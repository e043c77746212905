/* Datagrams that come in: to their session, or to a new one.  protocol.md 2. */
#include <ngtcp2/ngtcp2_crypto.h>
#include <sodium.h>
#include <stdlib.h>

#include "node/quic/quic_table.h"
#include "node/session/session_conn.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	MTU_DEFAULT = 1500,
	PACKET_BYTES = 1200,
};

#define RETRY_TOKEN_NS (10 * NS_PER_S)

static void send_retry(struct sessions *set, const struct udp_path *path,
		       const ngtcp2_pkt_hd *hd)
{
	uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
	uint8_t packet[PACKET_BYTES];
	ngtcp2_cid scid;
	ngtcp2_ssize n;

	quic_table_new_cid(set->table, &scid, SESSION_CID_BYTES, NULL);
	n = ngtcp2_crypto_generate_retry_token2(
		token, set->token_key, sizeof set->token_key, hd->version,
		&path->remote.sa, endpoint_len(&path->remote), &scid, &hd->dcid,
		loop_now(set->loop));
	if (n < 0)
		return;
	n = ngtcp2_crypto_write_retry(packet, sizeof packet, hd->version,
				      &hd->scid, &scid, &hd->dcid, token,
				      (size_t)n);
	if (n < 0)
		return;
	set->counters.n_retry++;
	udp_send(set->udp, path, 0, packet, (size_t)n);
}

/* True if the handshake may go on; `*odcid` is set if a Retry was answered. */
static bool admit(struct sessions *set, const struct udp_path *path,
		  const ngtcp2_pkt_hd *hd, ngtcp2_cid *odcid, bool *has_odcid)
{
	*has_odcid = false;
	if (set->n_half_open >= HALF_OPEN_MAX) {
		set->counters.n_half_open_limit++;
		return false;
	}
	if (hd->tokenlen > 0 &&
	    hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2) {
		if (ngtcp2_crypto_verify_retry_token2(
			    odcid, hd->token, hd->tokenlen, set->token_key,
			    sizeof set->token_key, hd->version,
			    &path->remote.sa, endpoint_len(&path->remote),
			    &hd->dcid, RETRY_TOKEN_NS,
			    loop_now(set->loop)) != 0) {
			set->counters.n_token_invalid++;
			return false;
		}
		*has_odcid = true;
		return true;
	}
	if (set->n_half_open < HALF_OPEN_RETRY)
		return true;
	send_retry(set, path, hd);
	return false;
}

static struct session *accept_session(struct sessions *set,
				      const struct udp_path *path,
				      const ngtcp2_pkt_hd *hd)
{
	struct session *s;
	struct quic_config config;
	struct udp_path route;
	ngtcp2_path qpath;
	ngtcp2_cid odcid;
	bool has_odcid;
	unsigned mtu = MTU_DEFAULT;

	if (!admit(set, path, hd, &odcid, &has_odcid))
		return NULL;
	s = session_new(set, path);
	if (s == NULL) {
		set->counters.n_accept_failed++;
		return NULL;
	}
	udp_route(set->udp, &path->remote, &route, &mtu);
	s->udp_payload_max = session_payload_max(&path->remote, mtu);
	config = session_config(s);
	qpath = session_path(&s->path);
	s->quic = quic_accept(set->table, &qpath, hd, has_odcid ? &odcid : NULL,
			      &config, loop_now(set->loop));
	if (s->quic == NULL) {
		set->slots[s->no % SESSIONS_MAX] = NULL;
		session_free_buffers(s);
		free(s);
		set->counters.n_accept_failed++;
		return NULL;
	}
	set->n_half_open++;
	set->counters.n_accepted++;
	return s;
}

static void send_version_negotiation(struct sessions *set,
				     const struct udp_path *path,
				     const ngtcp2_version_cid *vc)
{
	static const uint32_t versions[] = { NGTCP2_PROTO_VER_V1 };
	uint8_t packet[128];
	uint8_t noise;
	ngtcp2_ssize n;

	randombytes_buf(&noise, sizeof noise);
	n = ngtcp2_pkt_write_version_negotiation(
		packet, sizeof packet, noise, vc->scid, vc->scidlen, vc->dcid,
		vc->dcidlen, versions, ARRAY_LEN(versions));
	set->counters.n_version++;
	if (n > 0)
		udp_send(set->udp, path, 0, packet, (size_t)n);
}

/* Circuit packets and direct ones go where QUIC's own do. */
static void follow(struct session *s, const union endpoint *remote)
{
	char was[ENDPOINT_TEXT_MAX], is[ENDPOINT_TEXT_MAX];

	if (endpoint_equal(&s->path.remote, remote))
		return;
	endpoint_text(was, &s->path.remote);
	endpoint_text(is, remote);
	log_info("the peer of a session has another address: session=%u was=%s "
		 "is=%s",
		 s->no, was, is);
	s->path.remote = *remote;
	s->set->counters.n_moved++;
}

static void read_packet(struct session *s, const struct udp_path *path,
			uint8_t ecn, const uint8_t *data, size_t len)
{
	struct udp_path from = *path;
	union endpoint remote;
	ngtcp2_path qpath = session_path(&from);

	session_mark(s);
	quic_read(s->quic, &qpath, ecn, data, len, loop_now(s->set->loop));
	if (quic_moved(s->quic, &remote))
		follow(s, &remote);
}

/* A short packet whose id nobody has.  It may tell that a session or a channel
 * is gone at the far end, which only QUIC can say; else the far end believes in
 * one that is gone here, and learns so at once: if a session stands between us,
 * it was a channel. */
static void handle_stray(struct sessions *set, const struct udp_path *path,
			 const uint8_t *data, size_t len)
{
	uint8_t packet[64];
	size_t n = quic_table_write_reset(set->table, packet, sizeof packet,
					  data, len);

	set->counters.n_udp_unknown++;
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = set->slots[i];

		if (s == NULL || s->state == SESSION_ENDING ||
		    !endpoint_equal(&s->path.remote, &path->remote))
			continue;
		read_packet(s, path, 0, data, len);
		if (!sessions_is_direct(set, s->no))
			continue;
		session_direct_stray(s);
		n = set->events->stray(set->ctx, s->no, data, len, packet,
				       sizeof packet);
	}
	if (n == 0)
		return;
	set->counters.n_reset_sent++;
	udp_send(set->udp, path, 0, packet, n);
}

void session_received(void *ctx, const struct udp_path *path, uint8_t ecn,
		      const uint8_t *data, size_t len)
{
	struct sessions *set = ctx;
	ngtcp2_version_cid vc;
	ngtcp2_pkt_hd hd;
	struct quic *quic;
	struct session *s;

	if (seal_is(data, len)) {
		session_sealed_received(set, ecn, data, len);
		return;
	}
	switch (quic_table_find(set->table, data, len, &quic, &hd, &vc)) {
	case QUIC_FOUND:
		s = quic_ctx(quic);
		break;
	case QUIC_INITIAL:
		s = accept_session(set, path, &hd);
		if (s == NULL)
			return;
		break;
	case QUIC_VERSION:
		send_version_negotiation(set, path, &vc);
		return;
	case QUIC_BESIDE:
		set->events->direct(set->ctx, quic, path, data, len,
				    ecn == NGTCP2_ECN_CE);
		return;
	case QUIC_RESET:
		handle_stray(set, path, data, len);
		return;
	default:
		set->counters.n_udp_garbage++;
		return;
	}
	if (s->state == SESSION_ENDING)
		return;
	if (s->path.ifindex == 0)
		s->path.ifindex = path->ifindex;
	s->n_bytes_in += len;
	session_heard(s);
	read_packet(s, path, ecn, data, len);
}
