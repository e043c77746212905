#include "cmd/qanat/cert_make.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#include "cmd/qanat/cert_read.h"
#include "proto/limits.h"
#include "proto/name.h"

#define DAY_S         INT64_C(86400)
#define SERIAL_BYTES  16
#define NAME_TEXT_MAX (NAME_BYTES_MAX + sizeof ".fuse")

struct span span_days(int64_t now_s, uint64_t days)
{
	return (struct span){ now_s - SPAN_BACK_S,
			      now_s + (int64_t)days * DAY_S };
}

bool make_key(gnutls_datum_t *pem)
{
	gnutls_x509_privkey_t key;
	bool ok;

	if (gnutls_x509_privkey_init(&key) < 0)
		return false;
	/* The plain export writes a form of Ed25519 that nobody can read. */
	ok = gnutls_x509_privkey_generate(
		     key, GNUTLS_PK_EDDSA_ED25519,
		     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519), 0) == 0 &&
	     gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
					       GNUTLS_PKCS_PLAIN, pem) == 0;
	gnutls_x509_privkey_deinit(key);
	return ok;
}

static bool set_serial(gnutls_x509_crt_t crt)
{
	uint8_t serial[SERIAL_BYTES];

	if (gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial) < 0)
		return false;
	/* Positive, and not shortened by leading zeros. */
	serial[0] = (serial[0] & 0x7f) | 0x40;
	return gnutls_x509_crt_set_serial(crt, serial, sizeof serial) == 0;
}

static bool set_common(gnutls_x509_crt_t crt, const char *cn, struct span span)
{
	return gnutls_x509_crt_set_version(crt, 3) == 0 && set_serial(crt) &&
	       gnutls_x509_crt_set_activation_time(crt, span.not_before_s) ==
		       0 &&
	       gnutls_x509_crt_set_expiration_time(crt, span.not_after_s) ==
		       0 &&
	       gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME,
					     0, cn, (unsigned)strlen(cn)) == 0;
}

static bool set_subject_key_id(gnutls_x509_crt_t crt)
{
	uint8_t id[64];
	size_t size = sizeof id;

	return gnutls_x509_crt_get_key_id(crt, 0, id, &size) == 0 &&
	       gnutls_x509_crt_set_subject_key_id(crt, id, size) == 0;
}

static bool set_authority_key_id(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca)
{
	uint8_t id[64];
	size_t size = sizeof id;
	int rv = gnutls_x509_crt_get_subject_key_id(ca, id, &size, NULL);

	if (rv == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return true;
	return rv == 0 &&
	       gnutls_x509_crt_set_authority_key_id(crt, id, size) == 0;
}

static bool sign_export(gnutls_datum_t *pem, gnutls_x509_crt_t crt,
			const struct issuer *ca)
{
	int kind = gnutls_x509_privkey_get_pk_algorithm(ca->key);
	/* Ed25519 has its hash built in. */
	gnutls_digest_algorithm_t digest = kind == GNUTLS_PK_EDDSA_ED25519
						   ? GNUTLS_DIG_UNKNOWN
						   : GNUTLS_DIG_SHA256;

	return gnutls_x509_crt_sign2(crt, ca->crt, ca->key, digest, 0) == 0 &&
	       gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, pem) == 0;
}

static bool key_import(gnutls_x509_privkey_t *out, const gnutls_datum_t *pem)
{
	gnutls_x509_privkey_t key;

	if (gnutls_x509_privkey_init(&key) < 0)
		return false;
	if (gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, NULL,
					GNUTLS_PKCS_PLAIN) < 0) {
		gnutls_x509_privkey_deinit(key);
		return false;
	}
	*out = key;
	return true;
}

bool make_ca(gnutls_datum_t *pem, const gnutls_datum_t *key, const char *name,
	     struct span span)
{
	struct issuer self = { 0 };
	bool ok;

	ok = key_import(&self.key, key) &&
	     gnutls_x509_crt_init(&self.crt) == 0 &&
	     set_common(self.crt, name, span) &&
	     gnutls_x509_crt_set_key(self.crt, self.key) == 0 &&
	     /* One intermediate at most: CHAIN_CERTS_MAX. */
	     gnutls_x509_crt_set_basic_constraints(self.crt, 1,
						   CHAIN_CERTS_MAX - 1) == 0 &&
	     gnutls_x509_crt_set_key_usage(self.crt,
					   GNUTLS_KEY_KEY_CERT_SIGN |
						   GNUTLS_KEY_CRL_SIGN) == 0 &&
	     set_subject_key_id(self.crt) && sign_export(pem, self.crt, &self);
	issuer_deinit(&self);
	return ok;
}

static bool set_node_key(gnutls_x509_crt_t crt, const struct node_key *node)
{
	uint8_t spki[SPKI_ED25519_LEN];
	const gnutls_datum_t der = { spki, sizeof spki };
	gnutls_pubkey_t key;
	bool ok;

	spki_of_key(spki, node);
	if (gnutls_pubkey_init(&key) < 0)
		return false;
	ok = gnutls_pubkey_import(key, &der, GNUTLS_X509_FMT_DER) == 0 &&
	     gnutls_x509_crt_set_pubkey(crt, key) == 0;
	gnutls_pubkey_deinit(key);
	return ok;
}

static bool set_names(gnutls_x509_crt_t crt, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char full[NAME_TEXT_MAX];

		snprintf(full, sizeof full, "%s.fuse", names[i]);
		if (gnutls_x509_crt_set_subject_alt_name(
			    crt, GNUTLS_SAN_DNSNAME, full,
			    (unsigned)strlen(full), GNUTLS_FSAN_APPEND) < 0)
			return false;
	}
	return true;
}

static bool set_leaf_use(gnutls_x509_crt_t crt)
{
	return gnutls_x509_crt_set_basic_constraints(crt, 0, -1) == 0 &&
	       gnutls_x509_crt_set_key_usage(
		       crt, GNUTLS_KEY_DIGITAL_SIGNATURE) == 0 &&
	       gnutls_x509_crt_set_key_purpose_oid(
		       crt, GNUTLS_KP_TLS_WWW_SERVER, 0) == 0 &&
	       gnutls_x509_crt_set_key_purpose_oid(
		       crt, GNUTLS_KP_TLS_WWW_CLIENT, 0) == 0;
}

bool make_leaf(gnutls_datum_t *pem, const struct issuer *ca,
	       const struct node_key *node, const char *const *names,
	       size_t n_names, struct span span)
{
	const struct node_hash hash = hash_of_key(node);
	const struct node_id id = id_of_hash(&hash);
	char cn[NAME_ID_TEXT_MAX];
	gnutls_x509_crt_t crt;
	bool ok;

	name_of_id(cn, &id);
	if (gnutls_x509_crt_init(&crt) < 0)
		return false;
	ok = set_common(crt, n_names > 0 ? names[0] : cn, span) &&
	     set_node_key(crt, node) && set_leaf_use(crt) &&
	     set_names(crt, names, n_names) && set_subject_key_id(crt) &&
	     set_authority_key_id(crt, ca->crt) && sign_export(pem, crt, ca);
	gnutls_x509_crt_deinit(crt);
	return ok;
}

static bool fill_request(gnutls_x509_crq_t crq, gnutls_x509_privkey_t key,
			 const char *name)
{
	char full[NAME_TEXT_MAX];

	snprintf(full, sizeof full, "%s.fuse", name != NULL ? name : "");
	return gnutls_x509_crq_set_version(crq, 1) == 0 &&
	       gnutls_x509_crq_set_key(crq, key) == 0 &&
	       (name == NULL ||
		(gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME,
					       0, name,
					       (unsigned)strlen(name)) == 0 &&
		 gnutls_x509_crq_set_subject_alt_name(
			 crq, GNUTLS_SAN_DNSNAME, full, (unsigned)strlen(full),
			 GNUTLS_FSAN_SET) == 0)) &&
	       gnutls_x509_crq_sign2(crq, key, GNUTLS_DIG_UNKNOWN, 0) == 0;
}

bool make_request(gnutls_datum_t *pem, const gnutls_datum_t *key,
		  const char *name)
{
	gnutls_x509_privkey_t k;
	gnutls_x509_crq_t crq;
	bool ok;

	if (!key_import(&k, key))
		return false;
	ok = gnutls_x509_crq_init(&crq) == 0;
	if (ok) {
		ok = fill_request(crq, k, name) &&
		     gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, pem) ==
			     0;
		gnutls_x509_crq_deinit(crq);
	}
	gnutls_x509_privkey_deinit(k);
	return ok;
}
