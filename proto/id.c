#include "proto/id.h"

#include <sodium.h>
#include <string.h>

bool id_equal(const struct node_id *a, const struct node_id *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool hash_equal(const struct node_hash *a, const struct node_hash *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool id_is_zero(const struct node_id *a)
{
	static const struct node_id zero;

	return id_equal(a, &zero);
}

struct node_id id_of_hash(const struct node_hash *h)
{
	struct node_id id;

	memcpy(id.b, h->b, sizeof id.b);
	return id;
}

struct node_hash hash_of_key(const struct node_key *k)
{
	uint8_t spki[SPKI_ED25519_LEN];

	spki_of_key(spki, k);
	return hash_of(spki, sizeof spki);
}

/* SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes } */
static const uint8_t spki_prefix[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
				       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };

_Static_assert(sizeof spki_prefix + KEY_LEN == SPKI_ED25519_LEN,
	       "the length that RFC 8410 fixes");

void spki_of_key(uint8_t out[SPKI_ED25519_LEN], const struct node_key *k)
{
	memcpy(out, spki_prefix, sizeof spki_prefix);
	memcpy(out + sizeof spki_prefix, k->b, sizeof k->b);
}

bool spki_key(struct node_key *out, const uint8_t *spki, size_t len)
{
	if (len != SPKI_ED25519_LEN ||
	    memcmp(spki, spki_prefix, sizeof spki_prefix) != 0)
		return false;
	memcpy(out->b, spki + sizeof spki_prefix, sizeof out->b);
	return true;
}

struct node_hash hash_of(const void *data, size_t len)
{
	struct node_hash h;

	crypto_hash_sha256(h.b, data, len);
	return h;
}
