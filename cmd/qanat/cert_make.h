/* Making keys, requests and certificates.  All results are PEM texts which the
 * caller releases with gnutls_free(); false means that GnuTLS failed.
 */
#pragma once

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

/* A CA with its key, to sign with. */
struct issuer {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

struct span {
	int64_t not_before_s;
	int64_t not_after_s;
};

/* The clocks of nodes may be behind ours by so much. */
#define SPAN_BACK_S 300
struct span span_days(int64_t now_s, uint64_t days);

/* Ed25519, PKCS#8. */
bool make_key(gnutls_datum_t *pem);

bool make_ca(gnutls_datum_t *pem, const gnutls_datum_t *key, const char *name,
	     struct span span);

/* `names` without ".fuse". */
bool make_request(gnutls_datum_t *pem, const gnutls_datum_t *key,
		  const char *name);
bool make_leaf(gnutls_datum_t *pem, const struct issuer *ca,
	       const struct node_key *node, const char *const *names,
	       size_t n_names, struct span span);
