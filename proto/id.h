/* Who a node is: hashes and ids.  protocol.md 1.
 *
 * H(k) is the SHA-256 of the DER SubjectPublicKeyInfo of key k.  An id is its
 * first 10 bytes: a locator, never a proof.  Compare full hashes where it
 * matters.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

struct node_id {
	uint8_t b[ID_LEN];
};

struct node_hash {
	uint8_t b[HASH_LEN];
};

/* An Ed25519 public key. */
struct node_key {
	uint8_t b[KEY_LEN];
};

struct nonce {
	uint8_t b[NONCE_LEN];
};

bool id_equal(const struct node_id *a, const struct node_id *b);
bool hash_equal(const struct node_hash *a, const struct node_hash *b);
bool id_is_zero(const struct node_id *a);

struct node_id id_of_hash(const struct node_hash *h);

/* H(k) of an Ed25519 key. */
struct node_hash hash_of_key(const struct node_key *k);

/* The SubjectPublicKeyInfo of an Ed25519 key: RFC 8410 fixes the 12 bytes
 * before the key.  spki_key() takes exactly that form and no other. */
#define SPKI_ED25519_LEN 44
void spki_of_key(uint8_t out[SPKI_ED25519_LEN], const struct node_key *k);
bool spki_key(struct node_key *out, const uint8_t *spki, size_t len);

/* SHA-256 of arbitrary bytes. */
struct node_hash hash_of(const void *data, size_t len);

/* A node as its verified certificate tells it.  Plain value. */
struct identity {
	struct node_hash hash;
	struct node_id id;
	struct node_key key;
	int64_t not_before_s; /* of the narrowest certificate in the chain */
	int64_t not_after_s;
	size_t n_names;
	char names[CERT_NAMES_MAX][NAME_BYTES_MAX + 1]; /* SAN "x.fuse" → "x" */
};
