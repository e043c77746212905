/* Ed25519 signing with domain separation.  protocol.md 1.3.
 *
 * What is signed is "qanat/v1/<purpose>\0" ‖ H(ca) ‖ payload; the payload is
 * always the bytes as sent or received.  Pure: no randomness is drawn.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

enum sign_purpose {
	SIGN_PROBE_ORIGIN,
	SIGN_ANSWER_TARGET,
	SIGN_ANSWER_HOP,
	SIGN_OPEN_ORIGIN,
	SIGN_CLOSE,
	SIGN_NAK,
	SIGN_LAN_BEACON,
	SIGN_TREE_ROOT,
	SIGN_TREE_HOP,
	SIGN_RECORD,
	SIGN_NO_RECORD,
	SIGN_RECEIPT,
	SIGN_APPOINTMENT,
	SIGN_PURPOSES,
};

/* The secret half; wipe with sign_key_wipe(). */
struct sign_key {
	uint8_t seed[32];
	uint8_t secret[64]; /* libsodium's form: seed ‖ public */
	struct node_key public;
};

void sign_key_from_seed(struct sign_key *out, const uint8_t seed[32]);
void sign_key_wipe(struct sign_key *k);

/* Payloads are at most SIGN_PAYLOAD_MAX bytes. */
#define SIGN_PAYLOAD_MAX 8192

void key_sign(uint8_t sig[SIG_LEN], const struct sign_key *k,
	      enum sign_purpose purpose, const struct node_hash *ca,
	      const void *payload, size_t len);
bool key_verify(const uint8_t sig[SIG_LEN], const struct node_key *k,
		enum sign_purpose purpose, const struct node_hash *ca,
		const void *payload, size_t len);

/* A PKCS#8 PEM Ed25519 key from memory; false if it is none. */
bool sign_key_parse(struct sign_key *out, const char *pem, size_t len);

/* Reads a PKCS#8 PEM Ed25519 key.  The file must be a regular file which group
 * and others cannot read (O_NOFOLLOW).  Returns 0, -errno, -EPERM (mode too
 * open) or -EINVAL (not an Ed25519 key). */
int sign_key_load(struct sign_key *out, const char *path);
