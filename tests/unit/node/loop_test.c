#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/io/loop.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"

enum {
	TIMERS = 200
};

struct probe {
	struct timer timer;
	struct loop *loop;
	nsec fired;
	int *order;
	int *n_fired;
};

static void fire(struct timer *t)
{
	struct probe *p = (struct probe *)t;

	p->fired = loop_now(p->loop);
	*p->order = (*p->n_fired)++;
	if (*p->n_fired == TIMERS / 2)
		loop_stop(p->loop);
}

static void timers_fire_in_order_and_never_early(void **state)
{
	struct loop *l = loop_new();
	struct probe probes[TIMERS] = { 0 };
	int order[TIMERS];
	int n_fired = 0;
	struct rng rng;
	uv_timer_t keep;

	(void)state;
	rng_init(&rng, 5);
	/* A guard: the test ends in any case. */
	uv_timer_init(loop_uv(l), &keep);
	uv_timer_start(&keep, (uv_timer_cb)abort, 60000, 0);
	for (int i = 0; i < TIMERS; i++) {
		probes[i] = (struct probe){ .timer = { .fire = fire },
					    .loop = l,
					    .order = &order[i],
					    .n_fired = &n_fired };
		order[i] = -1;
		loop_timer_set(l, &probes[i].timer,
			       loop_now(l) + rng_below(&rng, 20 * NS_PER_MS));
	}
	/* Half of them are taken back, some of the rest are moved. */
	for (int i = 0; i < TIMERS; i += 2)
		loop_timer_set(l, &probes[i].timer, TIME_NEVER);
	for (int i = 1; i < TIMERS; i += 4)
		loop_timer_set(l, &probes[i].timer,
			       probes[i].timer.at + 3 * NS_PER_MS);
	loop_run(l);
	assert_int_equal(n_fired, TIMERS / 2);
	for (int i = 1; i < TIMERS; i += 2) {
		assert_true(probes[i].fired >= probes[i].timer.at);
		for (int j = 1; j < TIMERS; j += 2)
			if (probes[i].timer.at < probes[j].timer.at)
				assert_true(order[i] < order[j]);
	}
	for (int i = 0; i < TIMERS; i += 2)
		assert_int_equal(order[i], -1);
	uv_close((uv_handle_t *)&keep, NULL);
	loop_free(l);
}

struct mover {
	struct timer timer;
	struct loop *loop;
	int n_moved;
};

static void never_fired(struct timer *t)
{
	(void)t;
	fail();
}

static void move(uv_idle_t *idle)
{
	struct mover *m = idle->data;

	loop_turn(m->loop);
	if (m->n_moved++ < 1000) {
		loop_timer_set(m->loop, &m->timer,
			       loop_now(m->loop) + 3600 * NS_PER_S);
		return;
	}
	loop_timer_set(m->loop, &m->timer, TIME_NEVER);
	uv_idle_stop(idle);
	loop_stop(m->loop);
}

/* As those of a connection do with each acknowledgement. */
static void a_timer_that_only_moves_away_is_set_in_the_kernel_once(void **state)
{
	struct loop *l = loop_new();
	struct mover m = { .timer = { .fire = never_fired }, .loop = l };
	uv_idle_t idle = { .data = &m };

	(void)state;
	uv_idle_init(loop_uv(l), &idle);
	uv_idle_start(&idle, move);
	loop_run(l);
	assert_int_equal(m.n_moved, 1001);
	assert_int_equal(loop_n_armed(l), 1);
	uv_close((uv_handle_t *)&idle, NULL);
	loop_free(l);
}

static void count(void *ctx)
{
	++*(int *)ctx;
}

static void what_is_deferred_runs_once_when_the_turn_ends(void **state)
{
	struct loop *l = loop_new();
	int n_hook = 0, n_deferred = 0;

	(void)state;
	loop_on_turn_end(l, count, &n_hook);
	loop_defer(l, count, &n_deferred);
	assert_int_equal(n_deferred, 0);
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	assert_int_equal(n_deferred, 1);
	assert_true(n_hook >= 1);
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	assert_int_equal(n_deferred, 1);
	loop_free(l);
}

static void time_moves_when_it_is_read_and_never_back(void **state)
{
	struct loop *l = loop_new();
	nsec a = loop_now(l);

	(void)state;
	for (volatile int i = 0; i < 100000; i++)
		;
	assert_int_equal(a, loop_now(l));
	loop_turn(l);
	assert_true(loop_now(l) > a);
	a = loop_now(l);
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	assert_true(loop_now(l) >= a);
	loop_free(l);
}

struct race {
	struct timer timer;
	struct watch watch;
	int fds[2];
	bool is_read, is_late;
};

static void read_it(struct watch *w, int events)
{
	struct race *r = container_of(w, struct race, watch);
	char c;

	(void)events;
	assert_int_equal(read(r->fds[0], &c, 1), 1);
	r->is_read = true;
}

static void time_is_up(struct timer *t)
{
	struct race *r = container_of(t, struct race, timer);

	r->is_late = !r->is_read;
	loop_stop(r->watch.loop);
}

/* Both are ready by the time that we run again. */
static void what_came_while_we_were_held_up_is_read_first(void **state)
{
	const struct timespec while_held = { 0, 60 * NS_PER_MS };
	struct loop *l = loop_new();
	struct race r = { .timer = { .fire = time_is_up },
			  .watch = { .ready = read_it } };

	(void)state;
	assert_int_equal(pipe(r.fds), 0);
	watch_start(l, &r.watch, r.fds[0], UV_READABLE);
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	loop_turn(l);
	loop_timer_set(l, &r.timer, loop_now(l) + 5 * NS_PER_MS);
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	assert_int_equal(loop_held_up(l), 0);
	nanosleep(&while_held, NULL);
	assert_int_equal(write(r.fds[1], "x", 1), 1);
	loop_run(l);
	assert_true(r.is_read);
	assert_false(r.is_late);
	assert_true(loop_held_up(l) >= 50 * NS_PER_MS);
	watch_stop(&r.watch, NULL);
	loop_free(l);
	close(r.fds[0]);
	close(r.fds[1]);
}

/* ---- spinning ---- */

#define FOR_EVER (3600 * NS_PER_S)

struct spinner {
	struct timer timer;
	struct loop *loop;
	struct watch watch;
	int fds[2];
	bool is_read;
	int n_turns, n_fired; /* since it was read; of its timers */
	int n_tries;
	uv_timer_t other;
};

static void take(struct watch *w, int events)
{
	struct spinner *s = container_of(w, struct spinner, watch);
	char c;

	(void)events;
	assert_int_equal(read(s->fds[0], &c, 1), 1);
	s->is_read = true;
}

static void spinner_open(struct spinner *s, nsec spin)
{
	s->loop = loop_new();
	s->watch.ready = take;
	assert_int_equal(pipe(s->fds), 0);
	watch_start(s->loop, &s->watch, s->fds[0], UV_READABLE);
	loop_set_spin(s->loop, spin);
	loop_turn(s->loop);
	/* Who sleeps or starves must not hold the tests up. */
	alarm(60);
}

static void spinner_close(struct spinner *s)
{
	alarm(0);
	watch_stop(&s->watch, NULL);
	loop_free(s->loop);
	close(s->fds[0]);
	close(s->fds[1]);
}

static void come(struct spinner *s)
{
	assert_int_equal(write(s->fds[1], "x", 1), 1);
}

static void stop_at_many_turns(void *ctx)
{
	struct spinner *s = ctx;

	if (s->is_read && ++s->n_turns == 1000)
		loop_stop(s->loop);
}

static void it_looks_again_before_it_sleeps(void **state)
{
	struct spinner s = { 0 };

	(void)state;
	spinner_open(&s, FOR_EVER);
	loop_on_turn_end(s.loop, stop_at_many_turns, &s);
	come(&s);
	loop_run(s.loop);
	assert_int_equal(s.n_turns, 1000);
	assert_true(loop_is_spinning(s.loop));
	spinner_close(&s);
}

static void stop_at_both(struct spinner *s)
{
	if (++s->n_fired == 2)
		loop_stop(s->loop);
}

static void own_timer(struct timer *t)
{
	struct spinner *s = container_of(t, struct spinner, timer);

	assert_true(loop_is_spinning(s->loop));
	stop_at_both(s);
}

static void other_timer(uv_timer_t *t)
{
	struct spinner *s = t->data;

	loop_turn(s->loop);
	assert_true(loop_is_spinning(s->loop));
	stop_at_both(s);
}

static void timers_fire_meanwhile(void **state)
{
	struct spinner s = { .timer = { .fire = own_timer } };

	(void)state;
	spinner_open(&s, FOR_EVER);
	come(&s);
	while (!s.is_read)
		uv_run(loop_uv(s.loop), UV_RUN_NOWAIT);
	loop_timer_set(s.loop, &s.timer, loop_now(s.loop) + 2 * NS_PER_MS);
	s.other.data = &s;
	uv_timer_init(loop_uv(s.loop), &s.other);
	uv_timer_start(&s.other, other_timer, 2, 0);
	uv_run(loop_uv(s.loop), UV_RUN_NOWAIT);
	loop_run(s.loop);
	assert_int_equal(s.n_fired, 2);
	uv_close((uv_handle_t *)&s.other, NULL);
	spinner_close(&s);
}

/* Asks now and then, as nobody knows when we are let run. */
static void stop_when_asleep(struct timer *t)
{
	struct spinner *s = container_of(t, struct spinner, timer);

	if (loop_is_spinning(s->loop) && ++s->n_tries < 100)
		loop_timer_set(s->loop, t, loop_now(s->loop) + 20 * NS_PER_MS);
	else
		loop_stop(s->loop);
}

static void it_sleeps_when_nothing_comes(void **state)
{
	struct spinner s = { .timer = { .fire = stop_when_asleep } };

	(void)state;
	spinner_open(&s, NS_PER_MS);
	come(&s);
	loop_timer_set(s.loop, &s.timer, loop_now(s.loop) + 20 * NS_PER_MS);
	loop_run(s.loop);
	assert_true(s.is_read);
	assert_true(s.n_tries < 100);
	spinner_close(&s);
}

static void fire_thrice(struct timer *t)
{
	struct spinner *s = container_of(t, struct spinner, timer);

	assert_false(loop_is_spinning(s->loop));
	if (++s->n_fired == 3)
		loop_stop(s->loop);
	else
		loop_timer_set(s->loop, t, loop_now(s->loop) + NS_PER_MS);
}

static void timers_alone_do_not_keep_it_awake(void **state)
{
	struct spinner s = { .timer = { .fire = fire_thrice } };

	(void)state;
	spinner_open(&s, 0);
	uv_run(loop_uv(s.loop), UV_RUN_NOWAIT);
	loop_set_spin(s.loop, FOR_EVER);
	loop_timer_set(s.loop, &s.timer, loop_now(s.loop) + NS_PER_MS);
	loop_run(s.loop);
	assert_int_equal(s.n_fired, 3);
	spinner_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_and_never_early),
		cmocka_unit_test(
			a_timer_that_only_moves_away_is_set_in_the_kernel_once),
		cmocka_unit_test(what_is_deferred_runs_once_when_the_turn_ends),
		cmocka_unit_test(time_moves_when_it_is_read_and_never_back),
		cmocka_unit_test(what_came_while_we_were_held_up_is_read_first),
		cmocka_unit_test(it_looks_again_before_it_sleeps),
		cmocka_unit_test(timers_fire_meanwhile),
		cmocka_unit_test(it_sleeps_when_nothing_comes),
		cmocka_unit_test(timers_alone_do_not_keep_it_awake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
