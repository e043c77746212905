/* Files that are truncated, damaged or of another version. */
#include "tests/unit/node/store_help.h"

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

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_truncated_file_is_set_aside_and_begun_anew),
		CASE(a_damaged_byte_anywhere_never_ends_the_process),
		CASE(garbage_is_set_aside_each_time),
		CASE(a_damaged_record_is_dropped_and_counted),
		CASE(a_newer_schema_is_refused_without_damage),
		CASE(what_lmdb_writes_passes_the_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
