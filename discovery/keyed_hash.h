/* uthash with SipHash, for tables whose keys a stranger can choose: include
 * this instead of <uthash.h>.  A function that looks up or adds has the table's
 * secret key at hand as `hash_key` (HASH_KEY_BYTES of it). */
#pragma once

#include <sodium/crypto_shorthash.h>
#include <stdint.h>

#define HASH_KEY_BYTES crypto_shorthash_KEYBYTES

#define HASH_FUNCTION(k, len, out)                                             \
	do {                                                                   \
		uint64_t h_;                                                   \
		crypto_shorthash((unsigned char *)&h_,                         \
				 (const unsigned char *)(k), (len), hash_key); \
		(out) = (unsigned)h_;                                          \
	} while (0)
#include <uthash.h>
