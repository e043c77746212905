/* Deadlines of everything that waits: a heap of timers that sit inside their
 * owners.  Timers of the same time fire in the order they were set, so that a
 * simulation repeats.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"

/* Whose timer it is; router.c has the table of handlers. */
enum timer_kind {
	TIMER_ASKED,     /* asking: an identity asked for */
	TIMER_PARKED,    /* asking: a message that waits for identities */
	TIMER_SEEN,      /* flood: a remembered probe */
	TIMER_COPY,      /* flood: a copy whose replies are awaited */
	TIMER_RING,      /* ring: a remembered ring of ours */
	TIMER_SEEK,      /* seek: an attempt of ours */
	TIMER_ROUTE,     /* route: a stored route expires */
	TIMER_CIRCUIT,   /* circuit: pending too long, or idle */
	TIMER_OPEN_ID,   /* open: a remembered open_id */
	TIMER_RECORD,    /* record: our own is due; a sweep */
	TIMER_REQUEST,   /* request: a reply is awaited */
	TIMER_STORE,     /* request: our record is sent again */
	TIMER_TREE,      /* tree: its root is silent, or it is ours */
	TIMER_TREE_PEER, /* tree: a neighbour is to be told our places */
	TIMER_HOLD,      /* hold: looks, tests and searches */
	TIMER_KINDS,
};

struct timer {
	enum timer_kind kind;
	nsec when;
	uint64_t order;
	size_t slot; /* its place in the heap counted from 1; 0: not set */
};

struct timers {
	struct timer **heap;
	size_t n;
	size_t cap;
	uint64_t n_set;
};

/* Cancels them all. */
void timers_deinit(struct timers *ts);

/* Sets or moves; TIME_NEVER cancels. */
void timers_set(struct timers *ts, struct timer *t, nsec when);
void timers_cancel(struct timers *ts, struct timer *t);
nsec timers_deadline(const struct timers *ts);

/* Takes out the next timer that is due; NULL if there is none. */
struct timer *timers_pop(struct timers *ts, nsec now);
