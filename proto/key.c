#include "proto/key.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sodium.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/file.h"

/* protocol.md 1.3 */
static const char *const purposes[SIGN_PURPOSES] = {
	[SIGN_PROBE_ORIGIN] = "qanat/v1/probe-origin",
	[SIGN_ANSWER_TARGET] = "qanat/v1/answer-target",
	[SIGN_ANSWER_HOP] = "qanat/v1/answer-hop",
	[SIGN_OPEN_ORIGIN] = "qanat/v1/open-origin",
	[SIGN_CLOSE] = "qanat/v1/close",
	[SIGN_NAK] = "qanat/v1/nak",
	[SIGN_LAN_BEACON] = "qanat/v1/lan-beacon",
	[SIGN_TREE_ROOT] = "qanat/v1/tree-root",
	[SIGN_TREE_HOP] = "qanat/v1/tree-hop",
	[SIGN_RECORD] = "qanat/v1/record",
	[SIGN_NO_RECORD] = "qanat/v1/no-record",
	[SIGN_RECEIPT] = "qanat/v1/receipt",
	[SIGN_APPOINTMENT] = "qanat/v1/appointment",
};

#define SIGN_INPUT_MAX (32 + HASH_LEN + SIGN_PAYLOAD_MAX)

void sign_key_from_seed(struct sign_key *out, const uint8_t seed[32])
{
	memmove(out->seed, seed, sizeof out->seed);
	crypto_sign_ed25519_seed_keypair(out->public.b, out->secret, out->seed);
}

void sign_key_wipe(struct sign_key *k)
{
	sodium_memzero(k, sizeof *k);
}

/* What the signature covers; 0 if the payload is too long. */
static size_t sign_input(uint8_t out[SIGN_INPUT_MAX], enum sign_purpose purpose,
			 const struct node_hash *ca, const void *payload,
			 size_t len)
{
	struct buf b = buf_of(out, SIGN_INPUT_MAX);

	if (len > SIGN_PAYLOAD_MAX)
		return 0;
	buf_bytes(&b, purposes[purpose], strlen(purposes[purpose]) + 1);
	buf_bytes(&b, ca->b, sizeof ca->b);
	buf_bytes(&b, payload, len);
	assert(!b.bad);
	return b.len;
}

void key_sign(uint8_t sig[SIG_LEN], const struct sign_key *k,
	      enum sign_purpose purpose, const struct node_hash *ca,
	      const void *payload, size_t len)
{
	uint8_t input[SIGN_INPUT_MAX];
	size_t n = sign_input(input, purpose, ca, payload, len);

	assert(n != 0);
	crypto_sign_ed25519_detached(sig, NULL, input, n, k->secret);
}

bool key_verify(const uint8_t sig[SIG_LEN], const struct node_key *k,
		enum sign_purpose purpose, const struct node_hash *ca,
		const void *payload, size_t len)
{
	uint8_t input[SIGN_INPUT_MAX];
	size_t n = sign_input(input, purpose, ca, payload, len);

	return n != 0 &&
	       crypto_sign_ed25519_verify_detached(sig, input, n, k->b) == 0;
}

/* The 32 bytes of an Ed25519 key in GnuTLS's hands. */
static bool seed_of_privkey(uint8_t seed[32], gnutls_x509_privkey_t key)
{
	gnutls_datum_t x = { 0 }, k = { 0 };
	gnutls_ecc_curve_t curve;
	bool ok;

	if (gnutls_x509_privkey_get_pk_algorithm(key) !=
	    GNUTLS_PK_EDDSA_ED25519)
		return false;
	if (gnutls_x509_privkey_export_ecc_raw(key, &curve, &x, NULL, &k) < 0)
		return false;
	ok = k.size == 32;
	if (ok)
		memcpy(seed, k.data, 32);
	gnutls_memset(k.data, 0, k.size);
	gnutls_free(k.data);
	gnutls_free(x.data);
	return ok;
}

bool sign_key_parse(struct sign_key *out, const char *pem, size_t len)
{
	const gnutls_datum_t text = { .data = (unsigned char *)pem,
				      .size = (unsigned)len };
	gnutls_x509_privkey_t key;
	uint8_t seed[32];
	bool ok;

	if (len > FILE_BYTES_MAX || gnutls_x509_privkey_init(&key) < 0)
		return false;
	ok = gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, NULL,
					 GNUTLS_PKCS_PLAIN) == 0 &&
	     seed_of_privkey(seed, key);
	gnutls_x509_privkey_deinit(key);
	if (ok)
		sign_key_from_seed(out, seed);
	sodium_memzero(seed, sizeof seed);
	return ok;
}

int sign_key_load(struct sign_key *out, const char *path)
{
	struct file_data f;
	bool ok;
	int rv;

	rv = file_read(&f, path, true);
	if (rv < 0)
		return rv;
	ok = sign_key_parse(out, f.data, f.len);
	file_data_free(&f);
	return ok ? 0 : -EINVAL;
}
