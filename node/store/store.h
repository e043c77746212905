/* What survives a restart: peers, routes, names and events, in LMDB under
 * <state>/db.
 *
 * Writes are gathered in memory (bounded) and committed on a worker thread, at
 * most a second late: the loop never waits for a disk.  Reads happen at the
 * start.  The store never stops the node: a read-only or full disk is said
 * once and tried again; a damaged file is set aside as <state>/db.bad-<n> and
 * begun anew; a damaged record is dropped and counted.
 *
 * A record is version(1) length(4) payload crc(4); the CRC covers the database,
 * the key, and all of the record before it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_MAX    64
#define STORE_VALUE_MAX  16384
#define STORE_EVENTS_MAX 10000 /* older ones are pruned */
#define STORE_LATE_NS    (500 * NS_PER_MS)

struct loop;
struct store;

enum store_db {
	STORE_PEERS,   /* key: node id */
	STORE_ROUTES,  /* key: digest of the proof */
	STORE_NAMES,   /* key: short name */
	STORE_EVENTS,  /* key: wall_ms(8) number(4); see store_put_event() */
	STORE_RECORDS, /* where nodes are; key: node id */
	STORE_SCORES,  /* of neighbours, 16 bits; key: node id */
	STORE_DBS,
};

enum store_state {
	STORE_OK,
	STORE_READ_ONLY, /* changes stay in memory */
	STORE_FULL,      /* so they do, until there is room */
	STORE_FAILED,    /* any other error of the disk */
};

/* `dir` is the state directory.  0 also if it can only be read, or not used at
 * all: look at store_state().  -EBUSY: another daemon uses it;
 * -EPROTONOSUPPORT: it was written by a newer version.  `why` says so. */
int store_open(struct store **out, struct loop *l, const char *dir, char *why,
	       size_t why_cap);
/* Commits what is gathered, waits for it, and closes.  NULL is allowed. */
void store_close(struct store *s);

/* Copied.  The last change of a key wins. */
void store_put(struct store *s, enum store_db db, const void *key,
	       size_t key_len, const void *value, size_t len);
void store_del(struct store *s, enum store_db db, const void *key,
	       size_t key_len);
void store_put_event(struct store *s, uint64_t wall_ms, const char *text);

/* Calls `fn` for each good record, in the order of the keys; returns how
 * many. Waits for a commit that runs; sees only what is committed. */
typedef void store_load_fn(void *ctx, const void *key, size_t key_len,
			   const void *value, size_t len);
size_t store_load(struct store *s, enum store_db db, store_load_fn *fn,
		  void *ctx);

/* Commits now, and waits: for the end of the process, and for tests. */
void store_flush(struct store *s);

enum store_state store_state(const struct store *s);
/* "ok", "read-only", "full", "failed" */
const char *store_state_word(enum store_state state);
/* What is wrong, for an operator; "" if nothing is. */
const char *store_state_text(const struct store *s);

struct store_counters {
	uint64_t n_changes;        /* asked for */
	uint64_t n_committed;      /* of these */
	uint64_t n_commits;        /* transactions */
	uint64_t n_commits_failed; /* their changes are tried again */
	uint64_t n_dropped;        /* changes: no room in memory, too long */
	uint64_t n_bad_records;
	uint64_t n_events_pruned;
	uint64_t n_set_aside; /* damaged files */
	uint64_t n_waiting;   /* changes, now */
	uint64_t map_bytes, used_bytes;
};
const struct store_counters *store_counters(const struct store *s);
