/* One X.509 certificate, and the few questions that cert.c, cert_load.c and
 * credentials.c ask about it.  Private to these.
 */
#pragma once

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/cert.h"
#include "proto/id.h"

struct x509 {
	gnutls_x509_crt_t crt;
	gnutls_datum_t der;
	gnutls_datum_t spki; /* the DER SubjectPublicKeyInfo, within `der` */
	int64_t not_before_s;
	int64_t not_after_s;
};

/* False if the bytes are not exactly one certificate. */
bool x509_parse(struct x509 *out, const void *der, size_t len);
void x509_deinit(struct x509 *x);

/* All certificates of a PEM text.  At most `cap`: 0, -EINVAL, -E2BIG. */
int x509_parse_pem(struct x509 *out, size_t cap, size_t *n, const void *pem,
		   size_t len);

bool x509_equal(const struct x509 *a, const struct x509 *b);

/* By name and key identifiers; the signature is not looked at. */
bool x509_names_issuer(const struct x509 *x, const struct x509 *issuer);

bool x509_is_ca(const struct x509 *x);

/* Neither key usage nor extended key usage stands against TLS in both roles.
 */
bool x509_may_be_leaf(const struct x509 *x);

/* Short names that the certificate asserts. */
void x509_names(struct identity *out, const struct x509 *x);

struct trust {
	struct x509 ca;
	struct node_hash hash;
	gnutls_x509_trust_list_t list;
};

/* A leaf and those above it, without the CA; borrows its members. */
struct x509_path {
	const struct x509 *at[CHAIN_CERTS_MAX];
	size_t n;
	bool is_complete; /* the last one names the CA as its issuer */
};

/* From `leaf` upwards among `n` certificates in any order.  False if the path
 * would be longer than allowed. */
bool x509_path_find(struct x509_path *out, const struct x509 *leaf,
		    const struct x509 *all, size_t n, const struct trust *t);

/* cert_check() except for the time: the dates are in *out. */
enum cert_verdict cert_check_timeless(const struct trust *t,
				      const uint8_t *chain, size_t len,
				      struct identity *out);
enum cert_verdict cert_check_time(int64_t not_before_s, int64_t not_after_s,
				  int64_t now_s);
