#include "node/quic/window.h"

#include <stdbool.h>

enum {
	BUSY_RTTS = 4,   /* half a window in so many: it is too small */
	QUIET_RTTS = 16, /* in more than so many: it is too large */
};

void window_init(struct window *w, struct window_pool *pool, size_t floor,
		 nsec now)
{
	*w = (struct window){
		.pool = pool, .floor = floor, .size = floor, .since = now
	};
}

void window_deinit(struct window *w)
{
	if (w->pool != NULL)
		w->pool->used -= w->size - w->floor;
	w->size = w->floor;
}

static bool pool_has(const struct window_pool *p, size_t n)
{
	return p == NULL || (p->used <= p->limit && p->limit - p->used >= n);
}

static bool pool_is_short(const struct window_pool *p)
{
	return p != NULL && p->used > p->limit / 2;
}

static void grow(struct window *w, size_t max)
{
	size_t more = w->size < max / 2 ? w->size : max - w->size;

	if (w->size >= max || !pool_has(w->pool, more))
		return;
	if (w->pool != NULL)
		w->pool->used += more;
	w->size += more;
	w->pending += more;
}

/* What the peer was once promised it may use: a window shrinks by no more than
 * the credit that is still here. */
static void shrink(struct window *w)
{
	size_t less = w->size / 2;

	if (less > w->size - w->floor)
		less = w->size - w->floor;
	if (less > w->pending)
		less = w->pending;
	w->size -= less;
	w->pending -= less;
	w->pool->used -= less;
}

size_t window_take(struct window *w, size_t len, size_t max, nsec now, nsec rtt)
{
	size_t credit;

	w->taken += len;
	w->pending += len;
	if (w->taken >= w->size / 2) {
		nsec took = now - w->since;

		if (took <= BUSY_RTTS * rtt)
			grow(w, max);
		else if (took > QUIET_RTTS * rtt && pool_is_short(w->pool))
			shrink(w);
		w->taken = 0;
		w->since = now;
	}
	if (w->pending < w->size / 4)
		return 0;
	credit = w->pending;
	w->pending = 0;
	return credit;
}
