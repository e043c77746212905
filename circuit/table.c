#include "circuit/table.h"

#include <sodium.h>
#include <string.h>

unsigned table_hash(const struct table_key *k, const void *data, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	unsigned h;

	_Static_assert(crypto_shorthash_KEYBYTES == TABLE_KEY_BYTES,
		       "SipHash takes a key of 16 bytes");
	crypto_shorthash(out, data, len, k->b);
	memcpy(&h, out, sizeof h);
	return h;
}
