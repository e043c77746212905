#include "node/io/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/mem.h"

enum {
	HOOKS_MAX = 8,
	CLOSE_ROUNDS_MAX = 1000
};

struct deferred {
	loop_hook *fn;
	void *p;
};

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	nsec now;

	struct {
		loop_hook *fn;
		void *ctx;
	} hooks[HOOKS_MAX];
	size_t n_hooks;

	struct deferred *deferred;
	size_t n_deferred, cap_deferred;

	/* Binary heap by `at`, 1-based.  uv's timers count milliseconds, which
	 * is too coarse for pacing: one timerfd stands for all. */
	struct timer **heap;
	size_t n_heap, cap_heap;
	int timer_fd;
	nsec armed; /* or earlier than any timer */
	uint64_t n_armed;
	uv_poll_t timer_poll;

	uint8_t *scratch;

	/* While `idle` is started, libuv looks at the descriptors and does not
	 * wait for them. */
	uv_idle_t idle;
	nsec spin, spin_until;
	bool has_run; /* a callback, since the last turn's end */

	bool is_waiting;     /* for the kernel to wake us */
	nsec waiting, woken; /* since when, and when it last did */
	bool reads_first, has_read;
	nsec held_up;
};

/* Shorter ones are the ordinary run of things. */
#define HELD_UP_NS (20 * NS_PER_MS)

static nsec clock_mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (nsec)ts.tv_sec * NS_PER_S + (nsec)ts.tv_nsec;
}

static uint64_t clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NS_PER_MS;
}

/* We should have run since `since`, and did not look at what came. */
static void note_held_up(struct loop *l, nsec since)
{
	if (l->now < since + HELD_UP_NS)
		return;
	l->held_up += l->now - since;
	l->reads_first = true;
}

static void woke(struct loop *l)
{
	nsec due = l->n_heap > 0 ? l->heap[1]->at : TIME_NEVER;

	l->is_waiting = false;
	l->woken = l->now;
	if (due <= l->now)
		note_held_up(l, due > l->waiting ? due : l->waiting);
}

static void read_clock(struct loop *l)
{
	nsec now = clock_mono();

	if (now > l->now)
		l->now = now;
}

/* A turn begins, for whatever reason. */
static void begin(struct loop *l)
{
	read_clock(l);
	if (l->is_waiting)
		woke(l);
}

void loop_turn(struct loop *l)
{
	begin(l);
	l->has_run = true;
}

nsec loop_held_up(const struct loop *l)
{
	return l->held_up;
}

nsec loop_now(const struct loop *l)
{
	return l->now;
}

uint64_t loop_wall_ms(const struct loop *l)
{
	(void)l;
	return clock_wall_ms();
}

uv_loop_t *loop_uv(struct loop *l)
{
	return &l->uv;
}

/* ---- timers ---- */

static void heap_put(struct loop *l, size_t i, struct timer *t)
{
	l->heap[i] = t;
	t->index = i;
}

static void heap_up(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	for (; i > 1 && l->heap[i / 2]->at > t->at; i /= 2)
		heap_put(l, i, l->heap[i / 2]);
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i;

		if (child > l->n_heap)
			break;
		if (child < l->n_heap &&
		    l->heap[child + 1]->at < l->heap[child]->at)
			child++;
		if (l->heap[child]->at >= t->at)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

static void heap_remove(struct loop *l, struct timer *t)
{
	size_t i = t->index;
	struct timer *last = l->heap[l->n_heap--];

	t->index = 0;
	if (last == t)
		return;
	heap_put(l, i, last);
	heap_down(l, i);
	heap_up(l, last->index);
}

void loop_timer_set(struct loop *l, struct timer *t, nsec at)
{
	if (at == TIME_NEVER) {
		if (t->index != 0)
			heap_remove(l, t);
		t->at = at;
		return;
	}
	if (t->index != 0) {
		nsec was = t->at;

		t->at = at;
		if (at < was)
			heap_up(l, t->index);
		else
			heap_down(l, t->index);
		return;
	}
	t->at = at;
	if (l->n_heap + 1 >= l->cap_heap) {
		l->cap_heap = l->cap_heap != 0 ? 2 * l->cap_heap : 64;
		l->heap = mem_realloc(l->heap, l->cap_heap, sizeof *l->heap);
	}
	l->heap[++l->n_heap] = t;
	heap_up(l, l->n_heap);
}

static void fire_timers(struct loop *l)
{
	/* Those which a handler sets for "now" wait for the next turn, so
	 * that a turn always ends. */
	size_t budget = l->n_heap;

	while (budget-- > 0 && l->n_heap > 0 && l->heap[1]->at <= l->now) {
		struct timer *t = l->heap[1];

		heap_remove(l, t);
		t->fire(t);
	}
}

/* Only for an earlier time than it is armed for: to move it costs more than to
 * wake for nothing and look again, and most timers only ever move away. */
static void arm_timer(struct loop *l)
{
	nsec at = l->n_heap > 0 ? l->heap[1]->at : TIME_NEVER;
	struct itimerspec spec = { { 0, 0 }, { 0, 0 } };

	if (at >= l->armed)
		return;
	l->armed = at;
	if (at == 0)
		at = 1;
	spec.it_value.tv_sec = (time_t)(at / NS_PER_S);
	spec.it_value.tv_nsec = (long)(at % NS_PER_S);
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
	l->n_armed++;
}

static void timer_ready(uv_poll_t *poll, int status, int events)
{
	struct loop *l = poll->data;
	uint64_t expirations;

	(void)status;
	(void)events;
	begin(l);
	/* What came meanwhile is read before a timer takes it for missing: the
	 * descriptor stays ready, and the next round begins at once. */
	if (l->reads_first && !l->has_read) {
		l->has_read = true;
		return;
	}
	l->reads_first = l->has_read = false;
	if (read(l->timer_fd, &expirations, sizeof expirations) < 0)
		return;
	l->armed = TIME_NEVER;
	fire_timers(l);
}

uint64_t loop_n_armed(const struct loop *l)
{
	return l->n_armed;
}

/* ---- turns ---- */

void loop_on_turn_end(struct loop *l, loop_hook *hook, void *ctx)
{
	if (l->n_hooks == HOOKS_MAX)
		abort();
	l->hooks[l->n_hooks].fn = hook;
	l->hooks[l->n_hooks++].ctx = ctx;
}

void loop_defer(struct loop *l, loop_hook *fn, void *p)
{
	if (l->n_deferred == l->cap_deferred) {
		l->cap_deferred =
			l->cap_deferred != 0 ? 2 * l->cap_deferred : 64;
		l->deferred = mem_realloc(l->deferred, l->cap_deferred,
					  sizeof *l->deferred);
	}
	l->deferred[l->n_deferred++] = (struct deferred){ fn, p };
}

void loop_run_deferred(struct loop *l)
{
	for (size_t i = 0; i < l->n_deferred; i++) {
		struct deferred d = l->deferred[i];

		d.fn(d.p);
	}
	l->n_deferred = 0;
}

/* Who would run on this core goes first: it may well be who answers. */
static void look_again(uv_idle_t *idle)
{
	(void)idle;
	sched_yield();
}

bool loop_is_spinning(const struct loop *l)
{
	return uv_is_active((const uv_handle_t *)&l->idle) != 0;
}

/* Timers alone do not begin it: else a loop with a timer for each packet that
 * it expects would never sleep. */
static void spin_or_wait(struct loop *l)
{
	if (l->has_run)
		l->spin_until = l->now + l->spin;
	l->has_run = false;
	if (l->now < l->spin_until)
		uv_idle_start(&l->idle, look_again);
	else
		uv_idle_stop(&l->idle);
}

void loop_set_spin(struct loop *l, nsec spin)
{
	l->spin = spin;
}

static void turn_end(uv_prepare_t *prepare)
{
	struct loop *l = prepare->data;

	begin(l);
	for (size_t i = 0; i < l->n_hooks; i++)
		l->hooks[i].fn(l->hooks[i].ctx);
	loop_run_deferred(l);
	read_clock(l);
	note_held_up(l, l->woken);
	arm_timer(l);
	spin_or_wait(l);
	l->is_waiting = true;
	l->waiting = l->now;
}

static uint8_t *scratch_new(void)
{
	return mem_realloc(NULL, LOOP_SCRATCH_BYTES, 1);
}

struct loop *loop_new(void)
{
	struct loop *l = mem_new(l);

	l->armed = TIME_NEVER;
	l->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timer_fd < 0) {
		free(l);
		return NULL;
	}
	if (uv_loop_init(&l->uv) != 0) {
		close(l->timer_fd);
		free(l);
		return NULL;
	}
	l->uv.data = l;
	l->timer_poll.data = l;
	l->prepare.data = l;
	uv_poll_init(&l->uv, &l->timer_poll, l->timer_fd);
	uv_poll_start(&l->timer_poll, UV_READABLE, timer_ready);
	uv_prepare_init(&l->uv, &l->prepare);
	uv_prepare_start(&l->prepare, turn_end);
	uv_idle_init(&l->uv, &l->idle);
	l->scratch = scratch_new();
	loop_turn(l);
	l->woken = l->now;
	return l;
}

uint8_t *loop_scratch(struct loop *l)
{
	return l->scratch;
}

uint8_t *loop_scratch_take(struct loop *l, size_t len)
{
	uint8_t *taken = mem_realloc(l->scratch, len, 1);

	l->scratch = scratch_new();
	return taken;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	loop_run_deferred(l);
	uv_close((uv_handle_t *)&l->timer_poll, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	/* Lets every handle's close callback run. */
	for (int i = 0; i < CLOSE_ROUNDS_MAX; i++) {
		if (uv_run(&l->uv, UV_RUN_NOWAIT) == 0)
			break;
	}
	uv_loop_close(&l->uv);
	close(l->timer_fd);
	free(l->heap);
	free(l->scratch);
	free(l->deferred);
	free(l);
}

void loop_run(struct loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

/* ---- watches ---- */

static void watch_ready(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;

	loop_turn(w->loop);
	/* An error shows itself in the read or write that follows. */
	w->ready(w, status < 0 ? UV_READABLE | UV_WRITABLE : events);
}

int watch_start(struct loop *l, struct watch *w, int fd, int events)
{
	int rv = uv_poll_init(&l->uv, &w->poll, fd);

	if (rv < 0)
		return rv;
	w->poll.data = w;
	w->loop = l;
	return uv_poll_start(&w->poll, events, watch_ready);
}

void watch_change(struct watch *w, int events)
{
	if (events == 0)
		uv_poll_stop(&w->poll);
	else
		uv_poll_start(&w->poll, events, watch_ready);
}

void watch_stop(struct watch *w, uv_close_cb closed)
{
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, closed);
}

/* ---- sockets ---- */

int loop_bind_free(uv_handle_t *h)
{
	const int on = 1;
	uv_os_fd_t fd;
	int rv = uv_fileno(h, &fd);

	if (rv < 0)
		return rv;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on) < 0)
		return -errno;
	return 0;
}
