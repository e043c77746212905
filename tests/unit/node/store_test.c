#include "node/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/loop.h"
#include "node/store_check.h"
#include "node/store_db.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"

#define NOBODY 65534

static char dir[64];
static char why[512];
static struct loop *loop;

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	strcpy(dir, "/tmp/qanat-store-XXXXXX");
	loop = loop_new();
	return mkdtemp(dir) != NULL && loop != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(loop);
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct store *open_store(void)
{
	struct store *s = NULL;

	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		fail_msg("%s", why);
	return s;
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;

	if (f == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	data = mem_calloc(*len, 1);
	assert_int_equal(fread(data, 1, *len, f), *len);
	fclose(f);
	return data;
}

static void write_file(const char *path, const uint8_t *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

/* ---- what is in it ---- */

#define N_SAMPLES 200

static size_t sample_len(uint32_t i)
{
	return i % 17 == 0 ? 6000 : i % 7 * 40;
}

static void sample_value(uint32_t i, uint8_t *out)
{
	struct rng r;

	rng_init(&r, i);
	rng_fill(&r, out, sample_len(i));
}

static void put_sample(struct store *s, enum store_db db, uint32_t i)
{
	uint8_t value[6000];

	sample_value(i, value);
	store_put(s, db, &i, sizeof i, value, sample_len(i));
}

struct found {
	size_t n, n_wrong;
	uint8_t is_there[4096];
};

static void find(void *ctx, const void *key, size_t key_len, const void *value,
		 size_t len)
{
	struct found *f = ctx;
	uint8_t want[6000];
	uint32_t i;

	f->n++;
	if (key_len != sizeof i) {
		f->n_wrong++;
		return;
	}
	memcpy(&i, key, sizeof i);
	sample_value(i, want);
	if (i >= sizeof f->is_there || len != sample_len(i) ||
	    memcmp(value, want, len) != 0)
		f->n_wrong++;
	else
		f->is_there[i] = 1;
}

static struct found look(struct store *s, enum store_db db)
{
	struct found f = { .n = 0 };
	size_t n = store_load(s, db, find, &f);

	assert_int_equal(n, f.n);
	return f;
}

static void fill(void)
{
	struct store *s = open_store();

	for (uint32_t i = 0; i < N_SAMPLES; i++)
		put_sample(s, i % 2 == 0 ? STORE_PEERS : STORE_ROUTES, i);
	store_flush(s);
	/* A second commit, so that there are free pages. */
	for (uint32_t i = 0; i < N_SAMPLES; i += 5)
		store_del(s, i % 2 == 0 ? STORE_PEERS : STORE_ROUTES, &i,
			  sizeof i);
	store_put_event(s, 1000, "an event");
	store_close(s);
}

/* The exit status of fn() in a process of its own: a signal must not end the
 * test, but fail it. */
static int in_child(int (*fn)(void *ctx), void *ctx)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		/* A loop does not survive a fork. */
		loop = loop_new();
		_exit(fn(ctx));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- well ---- */

static void what_was_put_is_there_after_a_restart(void **state)
{
	struct store *s;
	struct found f;

	(void)state;
	s = open_store();
	for (uint32_t i = 0; i < N_SAMPLES; i++)
		put_sample(s, STORE_PEERS, i);
	put_sample(s, STORE_ROUTES, 3);
	store_close(s);

	s = open_store();
	assert_int_equal(store_state(s), STORE_OK);
	assert_string_equal(store_state_text(s), "");
	f = look(s, STORE_PEERS);
	assert_int_equal(f.n, N_SAMPLES);
	assert_int_equal(f.n_wrong, 0);
	assert_int_equal(look(s, STORE_ROUTES).n, 1);
	assert_int_equal(look(s, STORE_NAMES).n, 0);
	store_close(s);
}

static void the_last_change_of_a_key_wins(void **state)
{
	uint32_t one = 1, two = 2;
	struct store *s = open_store();
	struct found f;

	(void)state;
	store_put(s, STORE_PEERS, &one, sizeof one, "old", 3);
	put_sample(s, STORE_PEERS, 1);
	put_sample(s, STORE_PEERS, 2);
	store_del(s, STORE_PEERS, &two, sizeof two);
	store_flush(s);
	store_del(s, STORE_PEERS, &two, sizeof two);
	store_close(s);
	s = open_store();
	f = look(s, STORE_PEERS);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.is_there[1], 1);
	store_close(s);
}

static bool is_done;

static void stop_when_committed(void *ctx)
{
	const struct store_counters *n = store_counters(ctx);

	if (n->n_committed == n->n_changes) {
		is_done = true;
		loop_stop(loop);
	}
}

static void changes_are_gathered_and_committed_within_a_second(void **state)
{
	struct store *s = open_store();
	nsec start = loop_now(loop);

	(void)state;
	is_done = false;
	loop_on_turn_end(loop, stop_when_committed, s);
	put_sample(s, STORE_PEERS, 1);
	put_sample(s, STORE_PEERS, 2);
	assert_int_equal(store_counters(s)->n_commits, 0);
	assert_int_equal(store_counters(s)->n_waiting, 2);
	loop_run(loop);
	assert_true(is_done);
	assert_true(loop_now(loop) - start < NS_PER_S);
	assert_int_equal(store_counters(s)->n_commits, 1);
	assert_int_equal(store_counters(s)->n_waiting, 0);
	assert_int_equal(look(s, STORE_PEERS).n, 2);
	store_close(s);
}

static void stop_at_once(void *ctx)
{
	struct timer *t = ctx;

	if (loop_now(loop) >= t->at)
		loop_stop(loop);
}

static void do_nothing(struct timer *t)
{
	(void)t;
}

static void closing_while_the_worker_runs_loses_nothing(void **state)
{
	struct timer at = { .fire = do_nothing };
	struct store *s = open_store();

	(void)state;
	for (uint32_t i = 0; i < N_SAMPLES; i++)
		put_sample(s, STORE_PEERS, i);
	loop_on_turn_end(loop, stop_at_once, &at);
	loop_timer_set(loop, &at, loop_now(loop) + STORE_LATE_NS);
	loop_run(loop);
	put_sample(s, STORE_ROUTES, 1);
	store_close(s);
	loop_free(loop);
	loop = loop_new();
	s = open_store();
	assert_int_equal(look(s, STORE_PEERS).n, N_SAMPLES);
	assert_int_equal(look(s, STORE_ROUTES).n, 1);
	store_close(s);
}

static void a_second_daemon_is_refused(void **state)
{
	struct store *s = open_store(), *other = NULL;
	char want[256];

	(void)state;
	assert_int_equal(store_open(&other, loop, dir, why, sizeof why),
			 -EBUSY);
	snprintf(want, sizeof want, "%s is in use by another qanatd (pid %ld)",
		 dir, (long)getpid());
	assert_string_equal(why, want);
	put_sample(s, STORE_PEERS, 1);
	store_close(s);
	s = open_store();
	assert_int_equal(look(s, STORE_PEERS).n, 1);
	store_close(s);
}

static void old_events_are_pruned(void **state)
{
	struct store *s = open_store();

	(void)state;
	for (uint64_t i = 0; i < STORE_EVENTS_MAX + 50; i++) {
		store_put_event(s, i, "something happened");
		if (i % 4000 == 0)
			store_flush(s);
	}
	store_flush(s);
	assert_int_equal(look(s, STORE_EVENTS).n, STORE_EVENTS_MAX);
	assert_int_equal(store_counters(s)->n_events_pruned, 50);
	store_close(s);
}

static void the_map_grows_before_it_is_full(void **state)
{
	struct store *s = open_store();
	uint8_t *value = mem_calloc(STORE_VALUE_MAX, 1);

	(void)state;
	for (uint32_t i = 0; i < 3000; i++) {
		store_put(s, STORE_NAMES, &i, sizeof i, value, STORE_VALUE_MAX);
		if (i % 500 == 0)
			store_flush(s);
	}
	store_flush(s);
	free(value);
	assert_int_equal(store_state(s), STORE_OK);
	assert_int_equal(store_counters(s)->n_dropped, 0);
	assert_true(store_counters(s)->used_bytes > UINT64_C(3000) * 16384);
	assert_true(store_counters(s)->map_bytes >
		    store_counters(s)->used_bytes);
	store_close(s);
}

static void keys_and_values_are_bounded(void **state)
{
	uint8_t *value = mem_calloc(STORE_VALUE_MAX + 1, 1);
	struct store *s = open_store();

	(void)state;
	store_put(s, STORE_NAMES, value, STORE_KEY_MAX, value, STORE_VALUE_MAX);
	assert_int_equal(store_counters(s)->n_dropped, 0);
	store_put(s, STORE_NAMES, value, STORE_KEY_MAX, value,
		  STORE_VALUE_MAX + 1);
	assert_int_equal(store_counters(s)->n_dropped, 1);
	store_put(s, STORE_NAMES, value, STORE_KEY_MAX + 1, value, 1);
	assert_int_equal(store_counters(s)->n_dropped, 2);
	store_put(s, STORE_NAMES, value, 0, value, 1);
	assert_int_equal(store_counters(s)->n_dropped, 3);
	store_flush(s);
	assert_int_equal(store_counters(s)->n_committed, 1);
	free(value);
	store_close(s);
}

/* ---- damaged ---- */

/* A child opens what is there, and uses it as a daemon would. */
static int use(void *ctx)
{
	struct store *s = NULL;
	struct found f;
	size_t n;

	(void)ctx;
	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 1;
	for (int db = 0; db < STORE_DBS; db++) {
		if (look(s, (enum store_db)db).n_wrong > 0 &&
		    db != STORE_EVENTS)
			return 2;
	}
	for (uint32_t i = 0; i < 60; i++) {
		put_sample(s, STORE_PEERS, 1000 + i);
		store_del(s, STORE_ROUTES, &i, sizeof i);
		if (i % 20 == 0)
			store_flush(s);
	}
	store_flush(s);
	if (store_state(s) != STORE_OK)
		return 3;
	n = store_counters(s)->n_set_aside;
	store_close(s);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 4;
	f = look(s, STORE_PEERS);
	store_close(s);
	for (uint32_t i = 0; i < 60; i++) {
		if (!f.is_there[1000 + i])
			return 5;
	}
	return n > 0 ? 100 : 0;
}

static void begin_again(const uint8_t *data, size_t len)
{
	assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(path_of("db"), 0700), 0);
	write_file(path_of("db/data.mdb"), data, len);
}

static void a_truncated_file_is_set_aside_and_begun_anew(void **state)
{
	uint8_t *good, *bad;
	size_t len, bad_len, n_aside = 0;

	(void)state;
	fill();
	good = read_file(path_of("db/data.mdb"), &len);
	for (size_t cut = 1; cut < len; cut += cut < 300 ? 37 : 1031) {
		int status;

		begin_again(good, cut);
		status = in_child(use, NULL);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 100)
			fail_msg("cut at %zu: status %x", cut, status);
		bad = read_file(path_of("db.bad-1/data.mdb"), &bad_len);
		assert_int_equal(bad_len, cut);
		assert_memory_equal(bad, good, cut);
		free(bad);
		n_aside++;
	}
	assert_true(n_aside > 50);
	/* An empty file is a new one. */
	begin_again(good, 0);
	assert_int_equal(in_child(use, NULL), 0);
	free(good);
}

static void a_damaged_byte_anywhere_never_ends_the_process(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	size_t len, n_caught = 0, n_passed = 0, n_run = 0;
	uint8_t *good;

	(void)state;
	fill();
	good = read_file(path_of("db/data.mdb"), &len);
	assert_null(store_check(good, len));
	for (size_t at = 0; at < len; at++) {
		uint8_t mask = masks[at % ARRAY_LEN(masks)];
		bool is_caught;

		good[at] ^= mask;
		is_caught = store_check(good, len) != NULL;
		*(is_caught ? &n_caught : &n_passed) += 1;
		if (n_caught % 100 == 1 ||
		    (!is_caught && n_passed % 500 == 1)) {
			int status;

			begin_again(good, len);
			status = in_child(use, NULL);
			n_run++;
			if (!WIFEXITED(status) ||
			    WEXITSTATUS(status) % 100 != 0)
				fail_msg("byte %zu ^ %02x: status %x", at, mask,
					 status);
			if (is_caught != (WEXITSTATUS(status) == 100) &&
			    is_caught)
				fail_msg("byte %zu: not set aside", at);
			n_caught += is_caught;
			n_passed += !is_caught;
		}
		good[at] ^= mask;
	}
	assert_true(n_caught > 1000);
	assert_true(n_run > 100);
	free(good);
}

static void garbage_is_set_aside_each_time(void **state)
{
	uint8_t noise[20000];
	struct rng r;

	(void)state;
	rng_init(&r, 7);
	rng_fill(&r, noise, sizeof noise);
	assert_int_equal(mkdir(path_of("db"), 0700), 0);
	for (int i = 1; i <= 10; i++) {
		struct store *s;
		char name[32];

		write_file(path_of("db/data.mdb"), noise, sizeof noise);
		write_file(path_of("db/lock.mdb"), noise, 777);
		s = open_store();
		assert_int_equal(store_state(s), STORE_OK);
		assert_int_equal(store_counters(s)->n_set_aside, 1);
		/* The event survives. */
		store_flush(s);
		assert_int_equal(look(s, STORE_EVENTS).n, 1);
		store_close(s);
		snprintf(name, sizeof name, "db.bad-%d", i < 8 ? i : 8);
		assert_int_equal(access(path_of(name), F_OK), 0);
	}
	assert_int_equal(access(path_of("db.bad-9"), F_OK), -1);
}

/* Writes past the store, as a failing disk would. */
static void damage_record(const uint8_t *needle, size_t needle_len)
{
	size_t len;
	uint8_t *data = read_file(path_of("db/data.mdb"), &len);
	uint8_t *at = memmem(data, len, needle, needle_len);

	assert_non_null(at);
	while (at != NULL) {
		at[0] ^= 0x40;
		at = memmem(data, len, needle, needle_len);
	}
	write_file(path_of("db/data.mdb"), data, len);
	free(data);
}

static void a_damaged_record_is_dropped_and_counted(void **state)
{
	struct store *s = open_store();
	uint8_t value[6000];
	struct found f;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		put_sample(s, STORE_PEERS, i);
	store_close(s);
	sample_value(6, value);
	damage_record(value, sample_len(6));

	s = open_store();
	f = look(s, STORE_PEERS);
	assert_int_equal(f.n, 19);
	assert_int_equal(f.n_wrong, 0);
	assert_int_equal(f.is_there[6], 0);
	assert_int_equal(store_counters(s)->n_bad_records, 1);
	assert_int_equal(store_counters(s)->n_set_aside, 0);
	store_close(s);
	s = open_store();
	assert_int_equal(look(s, STORE_PEERS).n, 19);
	assert_int_equal(store_counters(s)->n_bad_records, 0);
	store_close(s);
}

static void schema_write(uint32_t version)
{
	struct store_file f = { .env = NULL };
	struct store_result r;
	uint8_t payload[4] = { 0, 0, 0, (uint8_t)version };
	uint8_t record[4 + STORE_RECORD_EXTRA];
	MDB_val key = { 6, (void *)"schema" }, value = { 13, record };
	MDB_txn *txn;
	MDB_dbi dbi;

	strcpy(f.dir, dir);
	assert_true(store_file_open(&f, &r));
	store_record_write(record, "schema", 6, STORE_META_NUMBER, payload, 4);
	assert_int_equal(mdb_txn_begin(f.env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	store_file_close(&f);
}

static void a_newer_schema_is_refused_without_damage(void **state)
{
	struct store *s = NULL;
	uint8_t *before, *after;
	size_t before_len, after_len;

	(void)state;
	fill();
	schema_write(2);
	before = read_file(path_of("db/data.mdb"), &before_len);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_open(&s, loop, dir, why, sizeof why),
				 -EPROTONOSUPPORT);
		assert_non_null(strstr(why, "written by a newer version"));
	}
	after = read_file(path_of("db/data.mdb"), &after_len);
	assert_int_equal(before_len, after_len);
	assert_memory_equal(before, after, after_len);
	free(before);
	free(after);
}

static void what_lmdb_writes_passes_the_check(void **state)
{
	struct store *s = open_store();
	struct rng r;

	(void)state;
	rng_init(&r, 42);
	for (int round = 0; round < 200; round++) {
		size_t n = 1 + rng_below(&r, 120), len;
		bool is_shrinking = round % 40 >= 28;
		uint8_t *data;
		const char *bad;

		for (size_t i = 0; i < n; i++) {
			uint32_t key = (uint32_t)rng_below(&r, 900);
			enum store_db db =
				(enum store_db)rng_below(&r, STORE_DBS);

			if (rng_below(&r, 10) < (is_shrinking ? 9 : 3))
				store_del(s, db, &key, sizeof key);
			else
				put_sample(s, db, key);
		}
		store_flush(s);
		data = read_file(path_of("db/data.mdb"), &len);
		bad = store_check(data, len);
		free(data);
		if (bad != NULL)
			fail_msg("round %d: %s", round, bad);
	}
	store_close(s);
}

/* ---- disks ---- */

static int fill_the_disk(void *ctx)
{
	struct rlimit limit = { 40000, RLIM_INFINITY };
	struct store *s = NULL;
	uint8_t value[8000] = { 1 };
	uint32_t n = 0;

	(void)ctx;
	signal(SIGXFSZ, SIG_IGN);
	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 1;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 2;
	for (; n < 100 && store_state(s) == STORE_OK; n++) {
		store_put(s, STORE_PEERS, &n, sizeof n, value, sizeof value);
		store_flush(s);
	}
	if (store_state(s) == STORE_OK || *store_state_text(s) == '\0')
		return 3;
	/* Goes on from memory, and loses nothing when there is room again. */
	store_put(s, STORE_PEERS, &n, sizeof n, value, sizeof value);
	store_flush(s);
	if (store_counters(s)->n_waiting != 2)
		return 4;
	limit.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 5;
	store_flush(s);
	if (store_state(s) != STORE_OK || store_counters(s)->n_waiting != 0)
		return 6;
	store_close(s);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 7;
	if (look(s, STORE_PEERS).n != n + 1)
		return 8;
	store_close(s);
	return 0;
}

static void a_file_that_may_not_grow_keeps_changes_in_memory(void **state)
{
	(void)state;
	assert_int_equal(in_child(fill_the_disk, NULL), 0);
}

static int fill_a_tmpfs(void *ctx)
{
	struct store *s = NULL;
	uint8_t value[8000] = { 1 };
	uint32_t n = 0;

	(void)ctx;
	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 1;
	for (; n < 200 && store_state(s) == STORE_OK; n++) {
		store_put(s, STORE_PEERS, &n, sizeof n, value, sizeof value);
		store_flush(s);
	}
	if (store_state(s) != STORE_FULL)
		return 2;
	if (mount(NULL, dir, NULL, MS_REMOUNT, "size=4m") < 0)
		return 3;
	store_flush(s);
	if (store_state(s) != STORE_OK)
		return 4;
	store_close(s);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 5;
	if (look(s, STORE_PEERS).n != n)
		return 6;
	store_close(s);
	return 0;
}

static void a_full_disk_is_said_and_waited_out(void **state)
{
	int status;

	(void)state;
	if (mount("tmpfs", dir, "tmpfs", 0, "size=160k") < 0) {
		print_message("no tmpfs may be mounted here: ");
		skip();
	}
	status = in_child(fill_a_tmpfs, NULL);
	umount(dir);
	assert_int_equal(status, 0);
}

static void a_disk_that_is_full_from_the_start_is_survived(void **state)
{
	struct store *s;

	(void)state;
	if (mount("tmpfs", dir, "tmpfs", 0, "size=4k,nr_inodes=3") < 0) {
		print_message("no tmpfs may be mounted here: ");
		skip();
	}
	s = open_store();
	assert_int_equal(store_state(s), STORE_FULL);
	put_sample(s, STORE_PEERS, 1);
	store_flush(s);
	assert_int_equal(store_counters(s)->n_waiting, 1);
	assert_int_equal(look(s, STORE_PEERS).n, 0);
	store_close(s);
	umount(dir);
}

static int own_one(const char *path, const struct stat *st, int flag,
		   struct FTW *ftw)
{
	(void)flag;
	(void)ftw;
	if (geteuid() == 0 && lchown(path, NOBODY, NOBODY) < 0)
		return -1;
	return chmod(path, S_ISDIR(st->st_mode) ? 0555 : 0444);
}

static int use_read_only(void *ctx)
{
	const size_t *want = ctx;
	struct store *s = NULL;

	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		return 1;
	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 2;
	if (store_state(s) != STORE_READ_ONLY ||
	    strstr(store_state_text(s), "ermission denied") == NULL)
		return 3;
	if (look(s, STORE_PEERS).n != *want)
		return 4;
	put_sample(s, STORE_PEERS, 4000);
	store_flush(s);
	if (store_state(s) != STORE_READ_ONLY ||
	    store_counters(s)->n_waiting != 1 ||
	    store_counters(s)->n_commits_failed != 1)
		return 5;
	/* It may be written again, without a restart. */
	if (chmod(dir, 0755) < 0 || chmod(path_of("db"), 0755) < 0 ||
	    (*want > 0 && (chmod(path_of("db/data.mdb"), 0644) < 0 ||
			   chmod(path_of("db/lock.mdb"), 0644) < 0)))
		return *want > 0 ? 6 : 0;
	store_flush(s);
	if (store_state(s) != STORE_OK || store_counters(s)->n_waiting != 0)
		return 7;
	if (look(s, STORE_PEERS).n != *want + 1)
		return 8;
	store_close(s);
	return 0;
}

static void a_read_only_directory_is_read_and_said(void **state)
{
	size_t n;
	struct store *s;

	(void)state;
	fill();
	s = open_store();
	n = look(s, STORE_PEERS).n;
	store_close(s);
	assert_true(n > 10);
	assert_int_equal(nftw(dir, own_one, 16, FTW_PHYS), 0);
	assert_int_equal(in_child(use_read_only, &n), 0);
}

static void an_empty_read_only_directory_is_survived(void **state)
{
	size_t none = 0;

	(void)state;
	assert_int_equal(nftw(dir, own_one, 16, FTW_PHYS), 0);
	assert_int_equal(in_child(use_read_only, &none), 0);
}

static int fill_memory(void *ctx)
{
	const uint64_t max = 8192;
	struct store *s = NULL;

	(void)ctx;
	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		return 1;
	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 2;
	for (uint64_t i = 0; i < max + 10; i++)
		store_put(s, STORE_NAMES, &i, sizeof i, "x", 1);
	return store_counters(s)->n_waiting == max &&
			       store_counters(s)->n_dropped == 10
		       ? 0
		       : 3;
}

static void what_waits_in_memory_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(nftw(dir, own_one, 16, FTW_PHYS), 0);
	assert_int_equal(in_child(fill_memory, NULL), 0);
}

/* Commits one after the other, and tells the number of each. */
static int write_for_ever(void *ctx)
{
	const int *fd = ctx;
	struct store *s = NULL;

	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		return 1;
	for (uint32_t i = 0; i < 4096; i++) {
		put_sample(s, STORE_PEERS, i);
		store_flush(s);
		if (write(*fd, &i, sizeof i) != sizeof i)
			return 2;
	}
	return 0;
}

static void a_kill_loses_nothing_that_was_committed(void **state)
{
	struct rng r;

	(void)state;
	rng_init(&r, 99);
	for (int round = 0; round < 8; round++) {
		uint32_t last = 0, until = (uint32_t)rng_below(&r, 60) + 5;
		struct found f;
		struct store *s;
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fds[0]);
			loop = loop_new();
			_exit(write_for_ever(&fds[1]));
		}
		close(fds[1]);
		while (last < until &&
		       read(fds[0], &last, sizeof last) == sizeof last)
			;
		usleep((useconds_t)rng_below(&r, 3000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &last, sizeof last) == sizeof last)
			;
		close(fds[0]);

		s = open_store();
		assert_int_equal(store_counters(s)->n_set_aside, 0);
		f = look(s, STORE_PEERS);
		store_close(s);
		assert_int_equal(f.n_wrong, 0);
		for (uint32_t i = 0; i <= last; i++)
			assert_int_equal(f.is_there[i], 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_put_is_there_after_a_restart),
		TEST(the_last_change_of_a_key_wins),
		TEST(changes_are_gathered_and_committed_within_a_second),
		TEST(closing_while_the_worker_runs_loses_nothing),
		TEST(a_second_daemon_is_refused),
		TEST(old_events_are_pruned),
		TEST(the_map_grows_before_it_is_full),
		TEST(keys_and_values_are_bounded),
		TEST(a_truncated_file_is_set_aside_and_begun_anew),
		TEST(a_damaged_byte_anywhere_never_ends_the_process),
		TEST(garbage_is_set_aside_each_time),
		TEST(a_damaged_record_is_dropped_and_counted),
		TEST(a_newer_schema_is_refused_without_damage),
		TEST(what_lmdb_writes_passes_the_check),
		TEST(a_file_that_may_not_grow_keeps_changes_in_memory),
		TEST(a_full_disk_is_said_and_waited_out),
		TEST(a_disk_that_is_full_from_the_start_is_survived),
		TEST(a_read_only_directory_is_read_and_said),
		TEST(an_empty_read_only_directory_is_survived),
		TEST(what_waits_in_memory_is_bounded),
		TEST(a_kill_loses_nothing_that_was_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
