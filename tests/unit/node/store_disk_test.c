/* Disks that are full or may not be written, and kills. */
#include "tests/unit/node/store_help.h"

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

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_file_that_may_not_grow_keeps_changes_in_memory),
		CASE(a_full_disk_is_said_and_waited_out),
		CASE(a_disk_that_is_full_from_the_start_is_survived),
		CASE(a_read_only_directory_is_read_and_said),
		CASE(an_empty_read_only_directory_is_survived),
		CASE(what_waits_in_memory_is_bounded),
		CASE(a_kill_loses_nothing_that_was_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
