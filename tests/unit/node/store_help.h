/* A store in a folder of its own, and what is put into it. */
#pragma once

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

#include "node/io/loop.h"
#include "node/store/store.h"
#include "node/store/store_check.h"
#include "node/store/store_db.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"

#define NOBODY 65534

static char dir[64];
static char why[512];
static struct loop *loop;

static inline int remove_one(const char *path, const struct stat *st, int flag,
			     struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	strcpy(dir, "/tmp/qanat-store-XXXXXX");
	loop = loop_new();
	return mkdtemp(dir) != NULL && loop != NULL ? 0 : -1;
}

static inline int tear_down(void **state)
{
	(void)state;
	loop_free(loop);
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct store *open_store(void)
{
	struct store *s = NULL;

	loop_turn(loop);
	if (store_open(&s, loop, dir, why, sizeof why) != 0)
		fail_msg("%s", why);
	return s;
}

static inline const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static inline uint8_t *read_file(const char *path, size_t *len)
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

static inline void write_file(const char *path, const uint8_t *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

/* ---- what is in it ---- */

#define N_SAMPLES 200

static inline size_t sample_len(uint32_t i)
{
	return i % 17 == 0 ? 6000 : i % 7 * 40;
}

static inline void sample_value(uint32_t i, uint8_t *out)
{
	struct rng r;

	rng_init(&r, i);
	rng_fill(&r, out, sample_len(i));
}

static inline void put_sample(struct store *s, enum store_db db, uint32_t i)
{
	uint8_t value[6000];

	sample_value(i, value);
	store_put(s, db, &i, sizeof i, value, sample_len(i));
}

struct found {
	size_t n, n_wrong;
	uint8_t is_there[4096];
};

static inline void find(void *ctx, const void *key, size_t key_len,
			const void *value, size_t len)
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

static inline struct found look(struct store *s, enum store_db db)
{
	struct found f = { .n = 0 };
	size_t n = store_load(s, db, find, &f);

	assert_int_equal(n, f.n);
	return f;
}

static inline void fill(void)
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
static inline int in_child(int (*fn)(void *ctx), void *ctx)
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
