/* The event loop: libuv, one cached time per turn, timers of nanosecond
 * precision, and a hook at the end of each turn.
 *
 * A turn is what happens between two waits.  Every callback that libuv makes
 * calls loop_turn() first (our own descriptors do it already): loop_now() is
 * then the time at which that callback began, constant within it, and never
 * goes back.  The turn-end hooks run once before the loop waits again: they
 * pull the outputs of the core and write in batches.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/time.h"

struct loop;

struct loop *loop_new(void); /* NULL: libuv could not start */
void loop_free(struct loop *l);
uv_loop_t *loop_uv(struct loop *l);
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Reads the clock: at the start of a callback, and within a long one after each
 * batch.  A time shared by sending and the answer to it would make round trips
 * of nothing, from which congestion control learns nonsense. */
void loop_turn(struct loop *l);
nsec loop_now(const struct loop *l);
/* How long in all we were kept from running, by the kernel or by turns of our
 * own that were too long: what did not come meanwhile may just not have been
 * read. */
nsec loop_held_up(const struct loop *l);
/* After a turn that was not a timer's alone, look for so long whether there is
 * more instead of sleeping: an answer that comes at once finds us awake.  0,
 * as at first: sleep. */
void loop_set_spin(struct loop *l, nsec spin);
/* Whether the turn that has just ended will not sleep. */
bool loop_is_spinning(const struct loop *l);
/* Milliseconds since 1970, likewise. */
uint64_t loop_wall_ms(const struct loop *l);

/* Room for one read, handed on before anything else runs: one for all who read
 * in this loop. */
#define LOOP_SCRATCH_BYTES 65536
uint8_t *loop_scratch(struct loop *l);
/* For who keeps what was just read into it, `len` bytes, and frees it. */
uint8_t *loop_scratch_take(struct loop *l, size_t len);

/* ---- timers ---- embedded in their owner; zero-initialised is unset. */
struct timer {
	nsec at;
	size_t index;                  /* in the heap, from 1; 0: not set */
	void (*fire)(struct timer *t); /* may set the timer again */
};
/* Sets, moves or (TIME_NEVER) clears. */
void loop_timer_set(struct loop *l, struct timer *t, nsec at);
/* How often the kernel's timer was set. */
uint64_t loop_n_armed(const struct loop *l);

/* ---- turn end ---- hooks run in the order of their registration. */
typedef void loop_hook(void *ctx);
void loop_on_turn_end(struct loop *l, loop_hook *hook, void *ctx);

/* Runs free(p) (or `fn(p)`) when the turn has ended: nothing on the stack above
 * can lose what it holds. */
void loop_defer(struct loop *l, loop_hook *fn, void *p);
/* Does now what was deferred: for an owner that ends before the loop. */
void loop_run_deferred(struct loop *l);

/* Readable/writable watch on a descriptor of ours. */
struct watch {
	uv_poll_t poll;
	struct loop *loop;
	void (*ready)(struct watch *w, int events); /* UV_READABLE… */
};
int watch_start(struct loop *l, struct watch *w, int fd, int events);
void watch_change(struct watch *w, int events);
/* The owner frees `w` (and closes the fd) in `closed`; NULL: nothing to do. */
void watch_stop(struct watch *w, uv_close_cb closed);

/* Lets a socket be bound to our overlay address, which may come after us (or
 * go and come back).  0 or -errno. */
int loop_bind_free(uv_handle_t *h);
