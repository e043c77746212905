#include "node/quic/quic_tls.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/protect_ops.h"
#include "node/quic/window.h"
#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/key.h"

/* AES-256 second; ChaCha20 is six times slower in GnuTLS and stays out. */
static const char priority[] =
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
	"-GROUP-ALL:+GROUP-X25519:-SIGN-ALL:+SIGN-EDDSA-ED25519:"
	"+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-RSA-PSS-RSAE-SHA256:"
	"+SIGN-RSA-SHA256:+SIGN-ECDSA-SHA256:%DISABLE_TLS13_COMPAT_MODE";

struct quic_tls {
	const struct credentials *credentials;
	const struct protect *protect;
	gnutls_certificate_credentials_t cred;
	quic_tls_check *check;
	struct window_pool windows;
};

static int import_chain(gnutls_pcert_st *out, unsigned *n,
			const struct credentials *c)
{
	struct view v = view_of(c->chain, c->chain_len);
	int rv;

	*n = 0;
	while (view_left(&v) > 0 && *n < CHAIN_CERTS_MAX) {
		size_t len = view_be16(&v);
		gnutls_datum_t der = { .size = (unsigned)len };

		der.data = (unsigned char *)(uintptr_t)view_bytes(&v, len);
		if (v.bad)
			return GNUTLS_E_PARSING_ERROR;
		rv = gnutls_pcert_import_x509_raw(&out[*n], &der,
						  GNUTLS_X509_FMT_DER, 0);
		if (rv < 0)
			return rv;
		++*n;
	}
	return *n > 0 ? 0 : GNUTLS_E_NO_CERTIFICATE_FOUND;
}

static int import_key(gnutls_privkey_t *out, const struct sign_key *k)
{
	const gnutls_datum_t x = { (unsigned char *)(uintptr_t)k->public.b,
				   KEY_LEN };
	const gnutls_datum_t seed = { (unsigned char *)(uintptr_t)k->seed,
				      sizeof k->seed };
	int rv = gnutls_privkey_init(out);

	if (rv < 0)
		return rv;
	rv = gnutls_privkey_import_ecc_raw(*out, GNUTLS_ECC_CURVE_ED25519, &x,
					   NULL, &seed);
	if (rv < 0)
		gnutls_privkey_deinit(*out);
	return rv;
}

static int verify_peer(gnutls_session_t session)
{
	ngtcp2_crypto_conn_ref *ref = gnutls_session_get_ptr(session);
	struct quic_tls *t =
		ref->user_data != NULL ? gnutls_db_get_ptr(session) : NULL;
	const gnutls_datum_t *certs;
	uint8_t chain[CHAIN_BYTES_MAX];
	struct buf b = buf_of(chain, sizeof chain);
	unsigned n = 0;

	certs = gnutls_certificate_get_peers(session, &n);
	/* Too many certificates or bytes leave the chain empty, which
	 * cert_check() refuses. */
	for (unsigned i = 0; certs != NULL && i < n; i++) {
		if (certs[i].size > UINT16_MAX)
			b.bad = true;
		buf_be16(&b, (uint16_t)certs[i].size);
		buf_bytes(&b, certs[i].data, certs[i].size);
	}
	if (t == NULL)
		return -1;
	return t->check(ref, chain, b.bad ? 0 : b.len);
}

/* The keys of the next level are there. */
static int install_keys(gnutls_session_t session,
			gnutls_record_encryption_level_t level, const void *rx,
			const void *tx, size_t len)
{
	struct quic_tls_ref *ref = gnutls_session_get_ptr(session);
	const struct quic_tls *t = gnutls_db_get_ptr(session);
	const struct protect *p = t->protect;
	ngtcp2_conn *conn = ref->conn.get_conn(&ref->conn);
	ngtcp2_encryption_level l =
		ngtcp2_crypto_gnutls_from_gnutls_record_encryption_level(level);

	if ((rx != NULL &&
	     !protect_install(p, &ref->keys, conn, l, true, rx, len)) ||
	    (tx != NULL &&
	     !protect_install(p, &ref->keys, conn, l, false, tx, len)))
		return -1;
	return 0;
}

struct quic_tls *quic_tls_new(const struct credentials *c,
			      const struct protect *protect)
{
	struct quic_tls *t = mem_new(t);
	gnutls_pcert_st *certs = mem_calloc(CHAIN_CERTS_MAX, sizeof *certs);
	gnutls_privkey_t key;
	unsigned n;

	t->credentials = c;
	t->protect = protect;
	t->windows.limit = WINDOW_POOL_BYTES;
	gnutls_certificate_allocate_credentials(&t->cred);
	if (import_chain(certs, &n, c) < 0 || import_key(&key, c->key) < 0) {
		free(certs);
		quic_tls_free(t);
		return NULL;
	}
	/* On success the credentials own the certificates and the key. */
	if (gnutls_certificate_set_key(t->cred, NULL, 0, certs, (int)n, key) <
	    0) {
		gnutls_privkey_deinit(key);
		free(certs);
		quic_tls_free(t);
		return NULL;
	}
	free(certs);
	gnutls_certificate_set_verify_function(t->cred, verify_peer);
	return t;
}

void quic_tls_free(struct quic_tls *t)
{
	if (t == NULL)
		return;
	gnutls_certificate_free_credentials(t->cred);
	free(t);
}

void quic_tls_set_check(struct quic_tls *t, quic_tls_check *check)
{
	t->check = check;
}

const struct credentials *quic_tls_credentials(const struct quic_tls *t)
{
	return t->credentials;
}

struct window_pool *quic_tls_windows(struct quic_tls *t)
{
	return &t->windows;
}

const struct protect *quic_tls_protect(const struct quic_tls *t)
{
	return t->protect;
}

int quic_tls_session(gnutls_session_t *out, const struct quic_tls *t,
		     bool is_server, const char *alpn, struct quic_tls_ref *ref)
{
	const gnutls_datum_t protocol = { (unsigned char *)(uintptr_t)alpn,
					  (unsigned)strlen(alpn) };
	gnutls_session_t s;
	unsigned flags = is_server ? GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET
				   : GNUTLS_CLIENT;
	int rv = gnutls_init(&s, flags | GNUTLS_NO_TICKETS);

	if (rv < 0)
		return rv;
	rv = gnutls_priority_set_direct(s, priority, NULL);
	if (rv >= 0)
		rv = is_server
			     ? ngtcp2_crypto_gnutls_configure_server_session(s)
			     : ngtcp2_crypto_gnutls_configure_client_session(s);
	if (rv >= 0)
		rv = gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->cred);
	if (rv >= 0)
		rv = gnutls_alpn_set_protocols(s, &protocol, 1,
					       GNUTLS_ALPN_MANDATORY);
	if (rv < 0) {
		gnutls_deinit(s);
		return rv;
	}
	if (is_server)
		gnutls_certificate_server_set_request(s, GNUTLS_CERT_REQUIRE);
	gnutls_handshake_set_secret_function(s, install_keys);
	gnutls_session_set_ptr(s, ref);
	/* The session cache is not used: its pointer carries ours. */
	gnutls_db_set_ptr(s, (void *)(uintptr_t)t);
	*out = s;
	return 0;
}
