/* The LMDB side of the store: opening with checks, one transaction for a batch,
 * reading.  Blocking; used by the worker thread, and by the loop's thread while
 * no worker runs.  Private to store*.c.
 */
#pragma once

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/keyed_hash.h"
#include "node/store/store.h"

/* One gathered write. */
struct change {
	struct {
		uint8_t db;
		uint8_t len;
		uint8_t key[STORE_KEY_MAX];
	} id;
	bool is_del;
	size_t len;
	uint8_t *value; /* owned; the payload */
	UT_hash_handle hh;
};

struct store_file {
	MDB_env *env; /* NULL: closed */
	MDB_dbi dbi[STORE_DBS];
	bool is_read_only;
	char dir[256]; /* the state directory */
};

/* What became of an opening or a batch.  Zeroed: well. */
struct store_result {
	enum store_state state;
	int error;       /* of LMDB or the system */
	bool is_newer;   /* a schema that we do not know: hands off */
	bool is_damaged; /* LMDB cannot use the file any more */
	bool was_set_aside;
	char text[512];  /* what is wrong */
	char aside[768]; /* what was set aside, where and why */
	uint64_t n_pruned;
	uint64_t map_bytes, used_bytes;
};

/* Opens <dir>/db, sets a damaged one aside first.  False: nothing is open. */
bool store_file_open(struct store_file *f, struct store_result *r);
void store_file_close(struct store_file *f);

/* All of `batch` (a uthash list), or nothing. */
bool store_file_commit(struct store_file *f, struct change *batch,
		       struct store_result *r);

/* Good records to `fn`, damaged ones to `bad`; returns the number of the
 * good. */
size_t store_file_load(struct store_file *f, enum store_db db,
		       store_load_fn *fn, store_load_fn *bad, void *ctx,
		       struct store_result *r);

/* ---- records ---- */

/* What stands for the database of the schema in its CRC: fixed, so that new
 * databases do not make old files unreadable. */
#define STORE_META_NUMBER 4

#define STORE_RECORD_EXTRA 9 /* version, length, crc */

/* Into `out` of len + STORE_RECORD_EXTRA bytes. */
void store_record_write(uint8_t *out, const void *key, size_t key_len,
			uint8_t db, const void *payload, size_t len);
/* The payload, borrowed; NULL if the record is damaged. */
const uint8_t *store_record_parse(const uint8_t *data, size_t data_len,
				  const void *key, size_t key_len, uint8_t db,
				  size_t *len);
