/* How much of its congestion window a connection leaves free, so that it does
 * not take every loss for congestion.
 *
 * ngtcp2's BBR holds on to what it knows of a path for as long as it is told
 * that there was too little to send: no packet which was sent meanwhile makes
 * its bandwidth smaller.  Of one that is always full it forgets the bandwidth
 * within two rounds and lowers its window with each loss, until random loss of
 * a hundredth leaves a tenth of a path.  It keeps two bandwidth-delay products
 * as a window; so on a long path half of it is filled, which is all that the
 * path carries, and BBR is told in each round that there was no more.
 *
 * Where a queue stays on the way nevertheless, the path carries less than it
 * did: the whole window is used for some rounds, so that BBR learns of it.
 *
 * On a short path what is in flight stands in queues of the two hosts, for far
 * longer than the path itself takes: the window is many times what it carries.
 * While such a queue is seen only some of it is used.
 *
 * Pure: the caller says what the window is, and tells BBR.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

/* Below this a loss is repaired so soon that nothing is gained. */
#define HEADROOM_RTT_NS (3 * NS_PER_MS)
/* A short path is crowded from twice its round trip and this on, up to where it
 * may be another path by now. */
#define HEADROOM_CROWD_NS (300 * NS_PER_US)
#define HEADROOM_FAR_NS   (5 * NS_PER_MS)
/* A queue, if each packet of a round was later than half a round trip and
 * this. */
#define HEADROOM_QUEUE_NS (10 * NS_PER_MS)

enum {
	HEADROOM_QUEUE_ROUNDS = 16, /* before it is believed to stay */
	HEADROOM_PAUSE_ROUNDS = 32, /* for BBR to measure anew */
	/* Acknowledgements come for some packets at a time: so much may be on
	 * its way beyond the half. */
	HEADROOM_SLACK = 7200,
	HEADROOM_FADE = 64, /* share of a round in what the window was */
};

/* As ngtcp2 knows them. */
struct headroom_path {
	uint64_t cwnd, in_flight; /* bytes */
	nsec rtt, rtt_min;        /* 0: not known */
};

/* Zeroed is its beginning. */
struct headroom {
	bool is_long; /* the path: what is written counts */
	bool is_on;
	bool is_crowded;  /* a short one: less may be in flight than else */
	uint64_t written; /* bytes that ever were in flight */
	uint64_t told;    /* so many of them have left while what BBR was told
			     last still holds */
	uint64_t round;   /* likewise: when the round ends */
	uint64_t widest;  /* the window, without its short dips after a loss */
	nsec round_rtt;   /* the least of this round; 0: none */
	unsigned n_queued, n_pause; /* rounds */
};

/* After each packet that came. */
void headroom_look(struct headroom *h, const struct headroom_path *p);
/* A packet was written: `before` is what was in flight. */
void headroom_wrote(struct headroom *h, uint64_t before, uint64_t in_flight);
/* Whether BBR takes it now that there is too little to send. */
bool headroom_can_tell(const struct headroom *h, const struct headroom_path *p);
void headroom_told(struct headroom *h);
/* It may have been in a pause of pacing, and have heard nothing. */
void headroom_paused(struct headroom *h);
/* Whether more may be written. */
bool headroom_allows(const struct headroom *h, const struct headroom_path *p);
