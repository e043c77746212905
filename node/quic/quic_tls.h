/* TLS 1.3 for QUIC: mutual certificates of one cluster.  protocol.md 2.1.
 *
 * X25519, AES-128-GCM first, no tickets, no 0-RTT, no identity in SNI.  The
 * peer's chain is checked by cert_check() in both directions.
 */
#pragma once

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/quic/protect.h"
#include "proto/cert.h"
#include "proto/id.h"

struct window_pool;
struct quic_tls; /* what all connections share: our chain, key and trust */

/* Both are borrowed for the life of the result.  NULL: GnuTLS refused the key
 * or the chain. */
struct quic_tls *quic_tls_new(const struct credentials *c,
			      const struct protect *protect);
void quic_tls_free(struct quic_tls *t);

/* What a connection keeps of its peer. */
struct quic_peer {
	enum cert_verdict verdict; /* why the peer was refused */
	bool is_verified;
	struct identity who;
	size_t chain_len;
	uint8_t *chain; /* owned */
};

/* What TLS knows of its connection. */
struct quic_tls_ref {
	ngtcp2_crypto_conn_ref conn; /* first: ngtcp2 looks for it there */
	struct protect_keys keys;
};

/* A TLS session whose pointer is `ref`.
 * `alpn` is required of the peer.  When the peer's certificate comes,
 * `checked` is called with the chain in wire form and the verdict is its
 * return value: non-zero ends the handshake. */
typedef int quic_tls_check(void *conn_ref, const uint8_t *chain, size_t len);

int quic_tls_session(gnutls_session_t *out, const struct quic_tls *t,
		     bool is_server, const char *alpn,
		     struct quic_tls_ref *ref);
/* Set once per process: which function checks (see quic.c). */
void quic_tls_set_check(struct quic_tls *t, quic_tls_check *check);
const struct credentials *quic_tls_credentials(const struct quic_tls *t);
/* What the windows of all connections may grow by, together. */
struct window_pool *quic_tls_windows(struct quic_tls *t);
const struct protect *quic_tls_protect(const struct quic_tls *t);
