/* X.509 chains: from bytes or files to an identity.  protocol.md 1.2.
 *
 * The trust anchor is one CA certificate.  A chain is leaf first, then
 * intermediates, at most CHAIN_CERTS_MAX and CHAIN_BYTES_MAX.  On the wire it
 * is the DER certificates, each behind a 2-byte length.  Checked: signatures
 * up to the anchor, basic constraints, validity (± CERT_CLOCK_SKEW_S), key
 * usage, critical extensions, Ed25519 leaf, sizes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/addr.h"
#include "proto/id.h"

enum cert_verdict {
	CERT_OK,
	CERT_MALFORMED, /* not DER, empty, trailing bytes */
	CERT_TOO_LONG,  /* more certificates or bytes than allowed */
	CERT_NOT_OURS,  /* does not chain to this CA */
	CERT_EXPIRED,
	CERT_NOT_YET_VALID,
	CERT_KEY_TYPE, /* the leaf's key is not Ed25519 */
	CERT_USAGE,    /* key usage, CA flag or unknown critical extension */
	CERT_WEAK,     /* MD5, SHA-1 or RSA under 2048 bits in the chain */
	CERT_VERDICTS,
};

/* A short English phrase for logs and messages ("expired"). */
const char *cert_verdict_text(enum cert_verdict v);

/* A CA.  Opaque; borrowed by those who check chains. */
struct trust;

/* 0, -errno, -EINVAL (no certificate), -E2BIG (more than one) or -EKEYREJECTED
 * (no CA, or its key is not Ed25519, P-256 or RSA of 2048 bits or more). */
int trust_load(struct trust **out, const char *path);
int trust_from_pem(struct trust **out, const void *pem, size_t len);
void trust_free(struct trust *t); /* NULL is allowed */
const struct node_hash *trust_hash(const struct trust *t);
/* DER of the CA certificate; borrowed. */
const uint8_t *trust_der(const struct trust *t, size_t *len);

/* Checks a chain in wire form at wall time `now_s` (seconds since 1970). */
enum cert_verdict cert_check(const struct trust *t, const uint8_t *chain,
			     size_t len, int64_t now_s, struct identity *out);

/* Our own chain from PEM: picks the leaf by `key`, orders the intermediates,
 * leaves the CA out, and writes the wire form.  0, -errno, -EINVAL (no
 * certificate), -EKEYREJECTED (none matches the key), -E2BIG. */
int chain_load(uint8_t *out, size_t cap, size_t *len, const char *path,
	       const struct node_key *key, const struct trust *t);
int chain_from_pem(uint8_t *out, size_t cap, size_t *len, const void *pem,
		   size_t pem_len, const struct node_key *key,
		   const struct trust *t);

/* Everything a node needs, from `<dir>/ca.crt`, `cert.crt`, `key.pem`, with a
 * message fit for an operator on failure. */
struct sign_key;
struct credentials {
	struct trust *trust;
	struct sign_key *key;
	struct identity self;
	struct overlay_net net;
	size_t chain_len;
	uint8_t chain[CHAIN_BYTES_MAX];
};
int credentials_load(struct credentials *out, const char *dir, int64_t now_s,
		     char *why, size_t why_cap);
void credentials_deinit(struct credentials *c);
