#include "node/store/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "node/store/store_check.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/base/view.h"

/* Only addresses are taken by the map, so it may be generous. */
#define MAP_BYTES_MIN  (UINT64_C(16) << 20)
#define MAP_BYTES_MAX  (UINT64_C(1) << 30)
#define SCHEMA         1
#define DISK_LOW_BYTES (UINT64_C(1) << 20)
/* Of LMDB with its default of 126 readers. */
#define LOCK_FILE_BYTES 8192
#define SET_ASIDE_MAX   8 /* then the last one is overwritten */

static const char *const db_names[STORE_DBS] = {
	[STORE_PEERS] = "peers",     [STORE_ROUTES] = "routes",
	[STORE_NAMES] = "names",     [STORE_EVENTS] = "events",
	[STORE_RECORDS] = "records", [STORE_SCORES] = "scores",
};
/* Beside those of enum store_db: what the file itself is. */
#define META_NAME "meta"
#define META_DB   STORE_META_NUMBER

/* ---- errors ---- */

static bool is_damage(int rv)
{
	switch (rv) {
	case MDB_PAGE_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_TXN:
	case MDB_BAD_VALSIZE:
	case MDB_BAD_DBI:
		return true;
	default:
		return false;
	}
}

static enum store_state state_of(int rv)
{
	switch (rv) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case MDB_MAP_FULL:
		return STORE_FULL;
	case EROFS:
	case EACCES:
	case EPERM:
		return STORE_READ_ONLY;
	default:
		return STORE_FAILED;
	}
}

static bool disk_is_full(const char *dir)
{
	struct statvfs v;

	return statvfs(dir, &v) == 0 &&
	       (uint64_t)v.f_bavail * v.f_frsize < DISK_LOW_BYTES;
}

static bool fail(const struct store_file *f, struct store_result *r, int rv)
{
	/* LMDB makes EIO of a write that came short. */
	if (rv == EIO && disk_is_full(f->dir))
		rv = ENOSPC;
	r->state = state_of(rv);
	r->error = rv;
	r->is_damaged = is_damage(rv);
	snprintf(r->text, sizeof r->text, "%s/db: %s", f->dir,
		 mdb_strerror(rv));
	return false;
}

static void measure(struct store_file *f, struct store_result *r)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(f->env, &info) != 0 ||
	    mdb_env_stat(f->env, &stat) != 0)
		return;
	r->map_bytes = info.me_mapsize;
	r->used_bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
}

/* ---- damaged files ---- */

/* "" if it is whole, or not there. */
static void check_file(const char *path, char *why, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *bad = NULL;
	struct stat st;
	void *map;

	*why = '\0';
	if (fd < 0)
		return;
	/* LMDB itself begins an empty file. */
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd,
			   0);
		if (map != MAP_FAILED) {
			bad = store_check(map, (size_t)st.st_size);
			munmap(map, (size_t)st.st_size);
		} else if (errno == ENODEV) {
			bad = "not a file";
		}
	}
	close(fd);
	if (bad != NULL)
		text_copy(why, cap, bad);
}

static void remove_files(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb" };
	char path[512];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

/* Nothing is thrown away: an operator may want to look. */
static bool set_aside(struct store_file *f, const char *why,
		      struct store_result *r)
{
	char from[300], to[320];

	snprintf(from, sizeof from, "%s/db", f->dir);
	for (int i = 1; i <= SET_ASIDE_MAX; i++) {
		snprintf(to, sizeof to, "%s/db.bad-%d", f->dir, i);
		if (i == SET_ASIDE_MAX)
			remove_files(to);
		else if (access(to, F_OK) == 0)
			continue;
		if (rename(from, to) < 0)
			return fail(f, r, errno);
		break;
	}
	r->was_set_aside = true;
	snprintf(r->aside, sizeof r->aside, "%s: %s; set aside as %s", from,
		 why, to);
	return true;
}

/* ---- opening ---- */

/* LMDB maps what is there at once; room to grow comes on top. */
static uint64_t map_bytes_for(const char *path)
{
	uint64_t want = MAP_BYTES_MIN;
	struct stat st;

	if (stat(path, &st) < 0)
		return want;
	while (want < 2 * (uint64_t)st.st_size)
		want *= 2;
	return want;
}

/* LMDB maps its lock file with holes in it: where the disk is full the first
 * touch of one would be a SIGBUS. */
static int lock_reserve(const char *dir)
{
	char path[320];
	int fd, rv;

	snprintf(path, sizeof path, "%s/lock.mdb", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	rv = posix_fallocate(fd, 0, LOCK_FILE_BYTES);
	close(fd);
	return rv;
}

static int env_open(struct store_file *f, const char *dir, unsigned flags)
{
	char path[320];
	int rv;

	snprintf(path, sizeof path, "%s/data.mdb", dir);
	rv = mdb_env_create(&f->env);
	if (rv != 0)
		return rv;
	rv = mdb_env_set_maxdbs(f->env, STORE_DBS + 1);
	if (rv == 0)
		rv = mdb_env_set_mapsize(f->env, map_bytes_for(path));
	if (rv == 0 && (flags & MDB_NOLOCK) == 0)
		rv = lock_reserve(dir);
	if (rv == 0)
		rv = mdb_env_open(f->env, dir, flags, 0600);
	if (rv != 0)
		store_file_close(f);
	return rv;
}

/* 0, an error, or -1: the schema is newer. */
static int schema_check(MDB_txn *txn, bool may_write)
{
	static const char name[] = "schema";
	uint8_t payload[4] = { 0, 0, 0, SCHEMA };
	uint8_t record[sizeof payload + STORE_RECORD_EXTRA];
	MDB_val key = { .mv_size = strlen(name), .mv_data = (void *)name };
	MDB_val value;
	const uint8_t *p;
	struct view v;
	MDB_dbi dbi;
	size_t len;
	int rv = mdb_dbi_open(txn, META_NAME, may_write ? MDB_CREATE : 0, &dbi);

	if (rv != 0)
		return rv;
	rv = mdb_get(txn, dbi, &key, &value);
	if (rv == MDB_NOTFOUND && may_write) {
		store_record_write(record, name, strlen(name), META_DB, payload,
				   sizeof payload);
		value = (MDB_val){ .mv_size = sizeof record,
				   .mv_data = record };
		return mdb_put(txn, dbi, &key, &value, 0);
	}
	if (rv != 0)
		return rv;
	p = store_record_parse(value.mv_data, value.mv_size, name, strlen(name),
			       META_DB, &len);
	if (p == NULL || len != 4)
		return MDB_CORRUPTED;
	v = view_of(p, len);
	return view_be32(&v) > SCHEMA ? -1 : 0;
}

static int dbs_open(struct store_file *f)
{
	unsigned flags = f->is_read_only ? MDB_RDONLY : 0;
	MDB_txn *txn;
	int rv = mdb_txn_begin(f->env, NULL, flags, &txn);

	if (rv != 0)
		return rv;
	rv = schema_check(txn, !f->is_read_only);
	for (size_t i = 0; rv == 0 && i < STORE_DBS; i++)
		rv = mdb_dbi_open(txn, db_names[i],
				  f->is_read_only ? 0 : MDB_CREATE, &f->dbi[i]);
	if (rv == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rv;
}

static int try_open(struct store_file *f, const char *dir, bool read_only)
{
	/* Where nothing can be written there is no lock file either; the
	 * state directory's own lock keeps others out. */
	int rv = env_open(f, dir, read_only ? MDB_RDONLY | MDB_NOLOCK : 0);

	if (rv != 0)
		return rv;
	f->is_read_only = read_only;
	rv = dbs_open(f);
	if (rv != 0)
		store_file_close(f);
	return rv;
}

static bool open_once(struct store_file *f, const char *dir,
		      struct store_result *r)
{
	int rv = try_open(f, dir, false);

	if (rv == -1) {
		r->is_newer = true;
		snprintf(r->text, sizeof r->text,
			 "%s: written by a newer version of qanatd", dir);
		return false;
	}
	if (rv == 0) {
		measure(f, r);
		return true;
	}
	fail(f, r, rv);
	/* What is there can be read even so. */
	if (!r->is_damaged && try_open(f, dir, true) == 0) {
		measure(f, r);
		return true;
	}
	return false;
}

static bool begin_anew(struct store_file *f, const char *dir, const char *why,
		       struct store_result *r)
{
	if (!set_aside(f, why, r))
		return false;
	return mkdir(dir, 0700) == 0 || fail(f, r, errno);
}

bool store_file_open(struct store_file *f, struct store_result *r)
{
	char dir[300], data[320], why[128];

	*r = (struct store_result){ .state = STORE_OK };
	snprintf(dir, sizeof dir, "%s/db", f->dir);
	snprintf(data, sizeof data, "%s/data.mdb", dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail(f, r, errno);
	check_file(data, why, sizeof why);
	if (*why != '\0' && !begin_anew(f, dir, why, r))
		return false;
	if (open_once(f, dir, r))
		return true;
	if (!r->is_damaged)
		return false;
	/* Whole, and yet LMDB does not like it. */
	snprintf(why, sizeof why, "%.100s", mdb_strerror(r->error));
	r->state = STORE_OK;
	return begin_anew(f, dir, why, r) && open_once(f, dir, r);
}

void store_file_close(struct store_file *f)
{
	if (f->env != NULL)
		mdb_env_close(f->env);
	f->env = NULL;
}

/* ---- writing ---- */

static int change_apply(struct store_file *f, MDB_txn *txn,
			const struct change *c)
{
	MDB_dbi dbi = f->dbi[c->id.db];
	MDB_val key = { .mv_size = c->id.len, .mv_data = (void *)c->id.key };
	MDB_val value = { .mv_size = c->len + STORE_RECORD_EXTRA };
	int rv;

	if (c->is_del) {
		rv = mdb_del(txn, dbi, &key, NULL);
		return rv == MDB_NOTFOUND ? 0 : rv;
	}
	rv = mdb_put(txn, dbi, &key, &value, MDB_RESERVE);
	if (rv == 0)
		store_record_write(value.mv_data, c->id.key, c->id.len,
				   c->id.db, c->value, c->len);
	return rv;
}

/* The oldest events have the smallest keys. */
static int events_prune(struct store_file *f, MDB_txn *txn, uint64_t *n_pruned)
{
	MDB_dbi dbi = f->dbi[STORE_EVENTS];
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_stat stat;
	int rv = mdb_stat(txn, dbi, &stat);

	if (rv != 0 || stat.ms_entries <= STORE_EVENTS_MAX)
		return rv;
	rv = mdb_cursor_open(txn, dbi, &cursor);
	if (rv != 0)
		return rv;
	for (size_t i = STORE_EVENTS_MAX; rv == 0 && i < stat.ms_entries; i++) {
		rv = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
		if (rv == 0)
			rv = mdb_cursor_del(cursor, 0);
		*n_pruned += rv == 0;
	}
	mdb_cursor_close(cursor);
	return rv;
}

static int batch_write(struct store_file *f, struct change *batch,
		       uint64_t *n_pruned)
{
	struct change *c, *next;
	MDB_txn *txn;
	int rv = mdb_txn_begin(f->env, NULL, 0, &txn);

	if (rv != 0)
		return rv;
	HASH_ITER (hh, batch, c, next) {
		rv = change_apply(f, txn, c);
		if (rv != 0)
			break;
	}
	*n_pruned = 0;
	if (rv == 0)
		rv = events_prune(f, txn, n_pruned);
	if (rv == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rv;
}

static int map_grow(struct store_file *f)
{
	MDB_envinfo info;

	if (mdb_env_info(f->env, &info) != 0 ||
	    info.me_mapsize >= MAP_BYTES_MAX)
		return MDB_MAP_FULL;
	return mdb_env_set_mapsize(f->env, 2 * info.me_mapsize);
}

bool store_file_commit(struct store_file *f, struct change *batch,
		       struct store_result *r)
{
	int rv, n_dead;

	*r = (struct store_result){ .state = STORE_OK };
	if (f->is_read_only)
		return fail(f, r, EROFS);
	/* A reader that was killed would keep pages from being used again. */
	mdb_reader_check(f->env, &n_dead);
	measure(f, r);
	if (r->used_bytes > r->map_bytes / 5 * 4)
		map_grow(f);
	rv = batch_write(f, batch, &r->n_pruned);
	while (rv == MDB_MAP_FULL && map_grow(f) == 0)
		rv = batch_write(f, batch, &r->n_pruned);
	measure(f, r);
	return rv == 0 || fail(f, r, rv);
}

/* ---- reading ---- */

static void record_load(enum store_db db, const MDB_val *key,
			const MDB_val *value, store_load_fn *fn,
			store_load_fn *bad, void *ctx, size_t *n_good)
{
	size_t len;
	const uint8_t *p =
		store_record_parse(value->mv_data, value->mv_size, key->mv_data,
				   key->mv_size, (uint8_t)db, &len);

	if (p == NULL) {
		bad(ctx, key->mv_data, key->mv_size, NULL, 0);
		return;
	}
	fn(ctx, key->mv_data, key->mv_size, p, len);
	*n_good += 1;
}

size_t store_file_load(struct store_file *f, enum store_db db,
		       store_load_fn *fn, store_load_fn *bad, void *ctx,
		       struct store_result *r)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	size_t n = 0;
	int rv = mdb_txn_begin(f->env, NULL, MDB_RDONLY, &txn);

	if (rv == 0) {
		rv = mdb_cursor_open(txn, f->dbi[db], &cursor);
		if (rv != 0)
			mdb_txn_abort(txn);
	}
	if (rv != 0) {
		fail(f, r, rv);
		return 0;
	}
	while ((rv = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		record_load(db, &key, &value, fn, bad, ctx, &n);
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	if (rv != MDB_NOTFOUND)
		fail(f, r, rv);
	return n;
}
