#include "node/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <uv.h>

#include "node/io/loop.h"
#include "node/store/store_db.h"
#include "node/store/store_queue.h"
#include "proto/base/buf.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"

#define RETRY_MIN_NS (5 * NS_PER_S)
#define RETRY_MAX_NS (60 * NS_PER_S)

struct store {
	struct loop *loop;
	int lock_fd;
	struct timer timer;
	nsec retry_ns; /* 0 while all is well */
	struct store_queue queue;
	struct store_counters count;
	enum store_state state;
	char text[512];
	uint32_t n_events; /* the tail of an event's key */

	/* Owned by the worker while `is_busy`. */
	struct store_file file;
	struct change *batch;
	struct store_result result;
	bool is_done; /* a result waits to be looked at */

	uv_work_t work;
	bool has_work; /* uv has not given `work` back yet */
	bool is_closed;
	uv_mutex_t mutex; /* of the next one */
	uv_cond_t idle;
	bool is_busy;
};

static const char *const state_words[] = {
	[STORE_OK] = "ok",
	[STORE_READ_ONLY] = "read-only",
	[STORE_FULL] = "full",
	[STORE_FAILED] = "failed",
};

const char *store_state_word(enum store_state state)
{
	return state_words[state];
}

/* ---- results ---- */

/* Said when it begins and when it ends, not at each try. */
static void state_set(struct store *s, enum store_state state, const char *text)
{
	if (state == s->state)
		return;
	s->state = state;
	text_copy(s->text, sizeof s->text, text);
	if (state == STORE_OK)
		log_info("database is written again");
	else
		log_warn("database is not written, going on from memory: "
			 "state=%s why=\"%s\"",
			 state_words[state], text);
}

static void note_opening(struct store *s, const struct store_result *r)
{
	s->count.map_bytes = r->map_bytes;
	s->count.used_bytes = r->used_bytes;
	state_set(s, r->state, r->text);
	if (!r->was_set_aside)
		return;
	s->count.n_set_aside++;
	log_warn("database was damaged and is begun anew: %s", r->aside);
	store_put_event(s, loop_wall_ms(s->loop), r->aside);
}

static void schedule(struct store *s)
{
	nsec wait = s->retry_ns != 0 ? s->retry_ns : STORE_LATE_NS;

	if (s->queue.n == 0 || s->is_closed || s->has_work)
		return;
	if (s->timer.index == 0)
		loop_timer_set(s->loop, &s->timer, loop_now(s->loop) + wait);
}

/* Looks at what became of the batch. */
static void settle(struct store *s)
{
	const struct store_result *r = &s->result;

	if (!s->is_done)
		return;
	s->is_done = false;
	if (r->was_set_aside)
		note_opening(s, r);
	if (r->state == STORE_OK) {
		s->count.n_commits++;
		s->count.n_committed += HASH_COUNT(s->batch);
		s->count.n_events_pruned += r->n_pruned;
		s->count.map_bytes = r->map_bytes;
		s->count.used_bytes = r->used_bytes;
		s->retry_ns = 0;
		store_batch_free(s->batch);
	} else {
		s->count.n_commits_failed++;
		s->retry_ns = s->retry_ns == 0 ? RETRY_MIN_NS : 2 * s->retry_ns;
		if (s->retry_ns > RETRY_MAX_NS)
			s->retry_ns = RETRY_MAX_NS;
		store_queue_put_back(&s->queue, s->batch);
	}
	s->batch = NULL;
	state_set(s, r->state, r->text);
}

/* ---- the worker ---- */

/* After an error the file is opened afresh: it may be damaged, gone, or
 * writable again. */
static void batch_run(struct store *s)
{
	struct store_result opened = { .state = STORE_OK };

	if (s->file.env == NULL || s->retry_ns != 0) {
		store_file_close(&s->file);
		store_file_open(&s->file, &opened);
	}
	s->result = opened;
	if (s->file.env != NULL && opened.state == STORE_OK)
		store_file_commit(&s->file, s->batch, &s->result);
	s->result.was_set_aside = opened.was_set_aside;
	memcpy(s->result.aside, opened.aside, sizeof opened.aside);
}

static void work_run(uv_work_t *work)
{
	struct store *s = work->data;

	batch_run(s);
	uv_mutex_lock(&s->mutex);
	s->is_busy = false;
	uv_cond_signal(&s->idle);
	uv_mutex_unlock(&s->mutex);
}

static void store_free(struct store *s)
{
	store_batch_free(store_queue_take(&s->queue));
	uv_mutex_destroy(&s->mutex);
	uv_cond_destroy(&s->idle);
	free(s);
}

static void work_done(uv_work_t *work, int status)
{
	struct store *s = work->data;

	(void)status;
	s->has_work = false;
	if (s->is_closed) {
		store_free(s);
		return;
	}
	loop_turn(s->loop);
	settle(s);
	schedule(s);
}

static void timer_fired(struct timer *t)
{
	struct store *s = container_of(t, struct store, timer);

	if (s->has_work || s->queue.n == 0)
		return;
	s->batch = store_queue_take(&s->queue);
	s->has_work = s->is_busy = s->is_done = true;
	s->work.data = s;
	uv_queue_work(loop_uv(s->loop), &s->work, work_run, work_done);
}

static void wait_idle(struct store *s)
{
	uv_mutex_lock(&s->mutex);
	while (s->is_busy)
		uv_cond_wait(&s->idle, &s->mutex);
	uv_mutex_unlock(&s->mutex);
	settle(s);
}

void store_flush(struct store *s)
{
	wait_idle(s);
	if (s->queue.n == 0)
		return;
	loop_timer_set(s->loop, &s->timer, TIME_NEVER);
	s->batch = store_queue_take(&s->queue);
	s->is_done = true;
	batch_run(s);
	settle(s);
	schedule(s);
}

/* ---- opening ---- */

/* The lock lives as long as its descriptor; the number in it is for people. */
static int lock_take(struct store *s, char *why, size_t cap)
{
	char path[300], pid[24] = "";
	ssize_t n;

	snprintf(path, sizeof path, "%s/lock", s->file.dir);
	s->lock_fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		s->lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s->lock_fd < 0)
		return 0; /* nothing can be written: nothing to protect */
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		n = read(s->lock_fd, pid, sizeof pid - 1);
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		snprintf(why, cap, "%s is in use by another qanatd (pid %s)",
			 s->file.dir, *pid != '\0' ? pid : "unknown");
		close(s->lock_fd);
		return -EBUSY;
	}
	snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(s->lock_fd, 0) < 0 ||
	    pwrite(s->lock_fd, pid, strlen(pid), 0) < 0)
		log_debug("pid not written to the lock: path=%s", path);
	return 0;
}

int store_open(struct store **out, struct loop *l, const char *dir, char *why,
	       size_t why_cap)
{
	struct store *s = mem_new(s);
	struct store_result r;
	int rv;

	store_queue_init(&s->queue);
	s->loop = l;
	s->timer.fire = timer_fired;
	rv = text_copy(s->file.dir, sizeof s->file.dir, dir) ? 0
							     : -ENAMETOOLONG;
	if (rv == 0)
		rv = lock_take(s, why, why_cap);
	else
		snprintf(why, why_cap, "%s: %s", dir, strerror(-rv));
	if (rv < 0) {
		free(s);
		return rv;
	}
	store_file_open(&s->file, &r);
	if (r.is_newer) {
		text_copy(why, why_cap, r.text);
		if (s->lock_fd >= 0)
			close(s->lock_fd);
		free(s);
		return -EPROTONOSUPPORT;
	}
	uv_mutex_init(&s->mutex);
	uv_cond_init(&s->idle);
	if (r.state != STORE_OK)
		s->retry_ns = RETRY_MIN_NS;
	note_opening(s, &r);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	store_flush(s);
	loop_timer_set(s->loop, &s->timer, TIME_NEVER);
	store_file_close(&s->file);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->is_closed = true;
	if (!s->has_work)
		store_free(s);
}

/* ---- changes ---- */

static void change(struct store *s, enum store_db db, const void *key,
		   size_t key_len, uint8_t *value, size_t len)
{
	s->count.n_changes++;
	if (!store_queue_put(&s->queue, db, key, key_len, value, len))
		s->count.n_dropped++;
	schedule(s);
}

void store_put(struct store *s, enum store_db db, const void *key,
	       size_t key_len, const void *value, size_t len)
{
	uint8_t *copy;

	if (key_len == 0 || key_len > STORE_KEY_MAX || len > STORE_VALUE_MAX) {
		s->count.n_changes++;
		s->count.n_dropped++;
		return;
	}
	copy = mem_calloc(len, 1);
	if (len > 0)
		memcpy(copy, value, len);
	change(s, db, key, key_len, copy, len);
}

void store_del(struct store *s, enum store_db db, const void *key,
	       size_t key_len)
{
	if (key_len > 0 && key_len <= STORE_KEY_MAX)
		change(s, db, key, key_len, NULL, 0);
}

void store_put_event(struct store *s, uint64_t wall_ms, const char *text)
{
	uint8_t key[12];
	struct buf b = buf_of(key, sizeof key);

	buf_be64(&b, wall_ms);
	buf_be32(&b, s->n_events++);
	store_put(s, STORE_EVENTS, key, b.len, text, strlen(text));
}

/* ---- reading ---- */

struct load {
	struct store *s;
	enum store_db db;
	store_load_fn *fn;
	void *ctx;
	uint64_t n_bad;
};

static void load_good(void *ctx, const void *key, size_t key_len,
		      const void *value, size_t len)
{
	struct load *l = ctx;

	l->fn(l->ctx, key, key_len, value, len);
}

static void load_bad(void *ctx, const void *key, size_t key_len,
		     const void *value, size_t len)
{
	struct load *l = ctx;

	(void)value;
	(void)len;
	l->n_bad++;
	store_del(l->s, l->db, key, key_len);
}

size_t store_load(struct store *s, enum store_db db, store_load_fn *fn,
		  void *ctx)
{
	struct load load = { .s = s, .db = db, .fn = fn, .ctx = ctx };
	struct store_result r = { .state = STORE_OK };
	size_t n;

	wait_idle(s);
	if (s->file.env == NULL)
		return 0;
	n = store_file_load(&s->file, db, load_good, load_bad, &load, &r);
	s->count.n_bad_records += load.n_bad;
	if (load.n_bad > 0)
		log_warn("damaged records in the database dropped: db=%d "
			 "n=%" PRIu64,
			 (int)db, load.n_bad);
	if (r.state != STORE_OK)
		state_set(s, r.state, r.text);
	return n;
}

/* ---- looking in ---- */

enum store_state store_state(const struct store *s)
{
	return s->state;
}

const char *store_state_text(const struct store *s)
{
	return s->state == STORE_OK ? "" : s->text;
}

const struct store_counters *store_counters(const struct store *s)
{
	struct store *counted = (struct store *)s;

	counted->count.n_waiting = s->queue.n + HASH_COUNT(s->batch);
	return &s->count;
}
