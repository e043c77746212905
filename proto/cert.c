#include "proto/cert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/file.h"
#include "proto/x509.h"

/* One more than may be in a path: the CA itself is tolerated. */
#define WIRE_CERTS_MAX (CHAIN_CERTS_MAX + 1)

/* The clock is the caller's, revocation is not in the chain, and MEDIUM asks
 * for 112 bits: SHA-2 and RSA of 2048 bits. */
#define VERIFY_FLAGS                                                           \
	(GNUTLS_VERIFY_DISABLE_TIME_CHECKS |                                   \
	 GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS |                           \
	 GNUTLS_VERIFY_DISABLE_CRL_CHECKS |                                    \
	 GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM))

const char *cert_verdict_text(enum cert_verdict v)
{
	static const char *const texts[CERT_VERDICTS] = {
		[CERT_OK] = "valid",
		[CERT_MALFORMED] = "malformed",
		[CERT_TOO_LONG] = "chain too long",
		[CERT_NOT_OURS] = "issued by another CA",
		[CERT_EXPIRED] = "expired",
		[CERT_NOT_YET_VALID] = "not yet valid",
		[CERT_KEY_TYPE] = "key is not Ed25519",
		[CERT_USAGE] = "not meant for this use",
		[CERT_WEAK] = "weak signature",
	};

	return texts[v];
}

static bool ca_key_is_accepted(const struct x509 *x)
{
	gnutls_ecc_curve_t curve;
	unsigned bits = 0;

	switch (gnutls_x509_crt_get_pk_algorithm(x->crt, &bits)) {
	case GNUTLS_PK_EDDSA_ED25519:
		return true;
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
		return bits >= 2048;
	case GNUTLS_PK_ECDSA:
		return gnutls_x509_crt_get_pk_ecc_raw(x->crt, &curve, NULL,
						      NULL) >= 0 &&
		       curve == GNUTLS_ECC_CURVE_SECP256R1;
	default:
		return false;
	}
}

/* Takes `ca` over. */
static int trust_of(struct trust **out, struct x509 *ca)
{
	struct trust *t;

	if (!x509_is_ca(ca) || !ca_key_is_accepted(ca)) {
		x509_deinit(ca);
		return -EKEYREJECTED;
	}
	t = mem_new(t);
	t->ca = *ca;
	t->hash = hash_of(ca->spki.data, ca->spki.size);
	if (gnutls_x509_trust_list_init(&t->list, 1) < 0 ||
	    gnutls_x509_trust_list_add_cas(t->list, &t->ca.crt, 1, 0) != 1) {
		trust_free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

int trust_from_pem(struct trust **out, const void *pem, size_t len)
{
	struct x509 ca;
	size_t n;
	int rv;

	rv = x509_parse_pem(&ca, 1, &n, pem, len);
	return rv < 0 ? rv : trust_of(out, &ca);
}

int trust_load(struct trust **out, const char *path)
{
	struct file_data f;
	int rv;

	rv = file_read(&f, path, false);
	if (rv < 0)
		return rv;
	rv = trust_from_pem(out, f.data, f.len);
	file_data_free(&f);
	return rv;
}

void trust_free(struct trust *t)
{
	if (t == NULL)
		return;
	/* The list does not own the certificate. */
	if (t->list != NULL)
		gnutls_x509_trust_list_deinit(t->list, 0);
	x509_deinit(&t->ca);
	free(t);
}

const struct node_hash *trust_hash(const struct trust *t)
{
	return &t->hash;
}

const uint8_t *trust_der(const struct trust *t, size_t *len)
{
	*len = t->ca.der.size;
	return t->ca.der.data;
}

static bool path_has(const struct x509_path *p, const struct x509 *x)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->at[i] == x)
			return true;
	}
	return false;
}

bool x509_path_find(struct x509_path *out, const struct x509 *leaf,
		    const struct x509 *all, size_t n, const struct trust *t)
{
	struct x509_path p = { .at = { leaf }, .n = 1 };

	while (!x509_names_issuer(p.at[p.n - 1], &t->ca)) {
		const struct x509 *above = NULL;

		for (size_t i = 0; i < n && above == NULL; i++) {
			if (!path_has(&p, &all[i]) &&
			    x509_names_issuer(p.at[p.n - 1], &all[i]))
				above = &all[i];
		}
		if (above == NULL) {
			*out = p;
			return true;
		}
		if (p.n == CHAIN_CERTS_MAX)
			return false;
		p.at[p.n++] = above;
	}
	p.is_complete = true;
	*out = p;
	return true;
}

static enum cert_verdict verify_path(const struct trust *t,
				     const struct x509_path *p)
{
	gnutls_x509_crt_t list[CHAIN_CERTS_MAX];
	unsigned status = 0;

	for (size_t i = 0; i < p->n; i++)
		list[i] = p->at[i]->crt;
	if (gnutls_x509_trust_list_verify_crt(t->list, list, (unsigned)p->n,
					      VERIFY_FLAGS, &status, NULL) < 0)
		return CERT_MALFORMED;
	if (status == 0)
		return CERT_OK;
	if (status &
	    (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNATURE_FAILURE))
		return CERT_NOT_OURS;
	if (status & GNUTLS_CERT_INSECURE_ALGORITHM)
		return CERT_WEAK;
	if (status & (GNUTLS_CERT_SIGNER_NOT_CA |
		      GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE |
		      GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS))
		return CERT_USAGE;
	return CERT_NOT_OURS;
}

static void narrow(struct identity *id, const struct x509 *x)
{
	if (x->not_before_s > id->not_before_s)
		id->not_before_s = x->not_before_s;
	if (x->not_after_s < id->not_after_s)
		id->not_after_s = x->not_after_s;
}

static enum cert_verdict check_path(const struct trust *t,
				    const struct x509_path *p,
				    struct identity *out)
{
	const struct x509 *leaf = p->at[0];
	struct identity id = { .not_before_s = t->ca.not_before_s,
			       .not_after_s = t->ca.not_after_s };
	enum cert_verdict v;

	if (!p->is_complete)
		return CERT_NOT_OURS;
	v = verify_path(t, p);
	if (v != CERT_OK)
		return v;
	if (!spki_key(&id.key, leaf->spki.data, leaf->spki.size))
		return CERT_KEY_TYPE;
	if (!x509_may_be_leaf(leaf))
		return CERT_USAGE;
	for (size_t i = 0; i < p->n; i++)
		narrow(&id, p->at[i]);
	id.hash = hash_of_key(&id.key);
	id.id = id_of_hash(&id.hash);
	x509_names(&id, leaf);
	*out = id;
	return CERT_OK;
}

/* The wire form: each DER behind its 2-byte length.  On CERT_OK `n` are to be
 * released; a certificate equal to the CA is left out unless it is the first.
 */
static enum cert_verdict parse_wire(struct x509 *out, size_t *n,
				    const struct trust *t, const uint8_t *chain,
				    size_t len)
{
	struct view v = view_of(chain, len);
	size_t done = 0, seen = 0;
	enum cert_verdict verdict = CERT_OK;

	if (len > CHAIN_BYTES_MAX)
		return CERT_TOO_LONG;
	if (len == 0)
		return CERT_MALFORMED;
	while (verdict == CERT_OK && view_left(&v) > 0) {
		size_t size = view_be16(&v);
		const uint8_t *der = view_bytes(&v, size);

		if (der == NULL || size == 0)
			verdict = CERT_MALFORMED;
		else if (seen++ == WIRE_CERTS_MAX)
			verdict = CERT_TOO_LONG;
		else if (done > 0 && size == t->ca.der.size &&
			 memcmp(der, t->ca.der.data, size) == 0)
			continue;
		else if (done == CHAIN_CERTS_MAX)
			verdict = CERT_TOO_LONG;
		else if (!x509_parse(&out[done], der, size))
			verdict = CERT_MALFORMED;
		else
			done++;
	}
	*n = done;
	if (verdict == CERT_OK)
		return CERT_OK;
	while (done > 0)
		x509_deinit(&out[--done]);
	return verdict;
}

enum cert_verdict cert_check_timeless(const struct trust *t,
				      const uint8_t *chain, size_t len,
				      struct identity *out)
{
	struct x509 certs[CHAIN_CERTS_MAX];
	struct x509_path path;
	enum cert_verdict v;
	size_t n;

	v = parse_wire(certs, &n, t, chain, len);
	if (v != CERT_OK)
		return v;
	if (x509_path_find(&path, &certs[0], certs, n, t))
		v = check_path(t, &path, out);
	else
		v = CERT_TOO_LONG;
	while (n > 0)
		x509_deinit(&certs[--n]);
	return v;
}

enum cert_verdict cert_check_time(int64_t not_before_s, int64_t not_after_s,
				  int64_t now_s)
{
	if (now_s < not_before_s - CERT_CLOCK_SKEW_S)
		return CERT_NOT_YET_VALID;
	if (now_s > not_after_s + CERT_CLOCK_SKEW_S)
		return CERT_EXPIRED;
	return CERT_OK;
}

enum cert_verdict cert_check(const struct trust *t, const uint8_t *chain,
			     size_t len, int64_t now_s, struct identity *out)
{
	struct identity id;
	enum cert_verdict v;

	v = cert_check_timeless(t, chain, len, &id);
	if (v == CERT_OK)
		v = cert_check_time(id.not_before_s, id.not_after_s, now_s);
	if (v == CERT_OK)
		*out = id;
	return v;
}
