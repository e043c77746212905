#include "circuit/timer.h"

#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/mem.h"

void timers_deinit(struct timers *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		ts->heap[i]->slot = 0;
	free(ts->heap);
	*ts = (struct timers){ 0 };
}

static bool is_before(const struct timer *a, const struct timer *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void put(struct timers *ts, struct timer *t, size_t i)
{
	ts->heap[i] = t;
	t->slot = i + 1;
}

static void sift_up(struct timers *ts, struct timer *t, size_t i)
{
	for (; i > 0; i = (i - 1) / 2) {
		struct timer *parent = ts->heap[(i - 1) / 2];

		if (!is_before(t, parent))
			break;
		put(ts, parent, i);
	}
	put(ts, t, i);
}

static void sift_down(struct timers *ts, struct timer *t, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= ts->n)
			break;
		if (child + 1 < ts->n &&
		    is_before(ts->heap[child + 1], ts->heap[child]))
			child++;
		if (!is_before(ts->heap[child], t))
			break;
		put(ts, ts->heap[child], i);
		i = child;
	}
	put(ts, t, i);
}

void timers_cancel(struct timers *ts, struct timer *t)
{
	size_t i = t->slot - 1;
	struct timer *last;

	if (t->slot == 0)
		return;
	t->slot = 0;
	last = ts->heap[--ts->n];
	if (last == t)
		return;
	sift_down(ts, last, i);
	sift_up(ts, last, last->slot - 1);
}

void timers_set(struct timers *ts, struct timer *t, nsec when)
{
	timers_cancel(ts, t);
	if (when == TIME_NEVER)
		return;
	if (ts->n == ts->cap) {
		ts->cap = ts->cap == 0 ? 64 : ts->cap * 2;
		ts->heap = mem_realloc(ts->heap, ts->cap, sizeof *ts->heap);
	}
	t->when = when;
	t->order = ts->n_set++;
	sift_up(ts, t, ts->n++);
}

nsec timers_deadline(const struct timers *ts)
{
	return ts->n == 0 ? TIME_NEVER : ts->heap[0]->when;
}

struct timer *timers_pop(struct timers *ts, nsec now)
{
	struct timer *t;

	if (timers_deadline(ts) > now || ts->n == 0)
		return NULL;
	t = ts->heap[0];
	timers_cancel(ts, t);
	return t;
}
