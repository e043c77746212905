/* Flow-control windows of QUIC that tune themselves: how much a peer may send
 * before what it sent is taken.  RFC 9000 4.
 *
 * A window begins at its floor and doubles whenever half of it is taken within
 * four round trips: else the peer would have to wait, as what follows a lost
 * packet is taken only when that was repaired.  What a connection's window has
 * beyond its floor comes out of one pool for the whole process: the bytes that
 * peers can make us hold.  When the pool is used up nothing grows any more;
 * windows that are far too large for their traffic shrink then, as their bytes
 * are taken.
 *
 * Pure: the caller passes time and round-trip time in, and the credit that
 * comes out on to the peer.
 */
#pragma once

#include <stddef.h>

#include "proto/base/time.h"

/* A pool's limit where nothing else is asked for. */
#define WINDOW_POOL_BYTES ((size_t)64 << 20)

struct window_pool {
	size_t limit, used;
};

struct window {
	struct window_pool *pool; /* NULL: it need not ask */
	size_t floor, size;
	size_t taken;   /* since `since` */
	size_t pending; /* credit that waits to be worth a frame */
	nsec since;
};

void window_init(struct window *w, struct window_pool *pool, size_t floor,
		 nsec now);
/* Gives back what it had of the pool. */
void window_deinit(struct window *w);
/* `len` bytes were taken; returns the credit to be given to the peer now.  The
 * window does not grow beyond `max`. */
size_t window_take(struct window *w, size_t len, size_t max, nsec now,
		   nsec rtt);
