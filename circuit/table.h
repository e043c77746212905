/* uthash tables whose hash is keyed: a peer that chooses the keys cannot make
 * them collide.  Iteration is in the order of insertion.
 *
 * uthash has no way to pass a key to its hash function, so the hash is
 * computed here and handed in.  Keys are byte arrays without padding.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define uthash_fatal(msg) abort()
#include <uthash.h>

#define TABLE_KEY_BYTES 16

struct table_key {
	uint8_t b[TABLE_KEY_BYTES];
};

unsigned table_hash(const struct table_key *k, const void *data, size_t len);

/* `hh` is the handle's name within the element. */
#define TABLE_FIND(key, hh, head, data, len, out)                              \
	do {                                                                   \
		unsigned hashed_ = table_hash(key, data, len);                 \
		HASH_FIND_BYHASHVALUE(hh, head, data, len, hashed_, out);      \
	} while (0)

#define TABLE_ADD(key, hh, head, field, len, add)                              \
	do {                                                                   \
		unsigned hashed_ = table_hash(key, &(add)->field, len);        \
		HASH_ADD_BYHASHVALUE(hh, head, field, len, hashed_, add);      \
	} while (0)
