/* How well a peer, or one of its endpoints, has answered lately.
 *
 * A number from 0 to SCORE_ONE: an answer takes away 0.3 of what is missing to
 * one, silence leaves 0.6, and trouble that need not be its fault 0.98.  What
 * was learnt fades: half of the distance to SCORE_NEUTRAL, where all begin, is
 * gone after SCORE_HALF_LIFE_NS.  So: proved lately > unknown > silent lately.
 * Integer arithmetic, so that a run can be replayed anywhere.
 */
#pragma once

#include <stdint.h>

#include "proto/base/time.h"

#define SCORE_ONE          65536
#define SCORE_NEUTRAL      (SCORE_ONE * 7 / 10)
#define SCORE_HALF_LIFE_NS (600 * NS_PER_S)

enum score_outcome {
	SCORE_ANSWERED,
	SCORE_SILENT,
	SCORE_TROUBLE, /* a session that stood was lost */
};

struct score {
	uint32_t value; /* at `updated` */
	nsec updated;
};

void score_init(struct score *s, nsec now);
/* The value now. */
uint32_t score_at(const struct score *s, nsec now);
void score_update(struct score *s, enum score_outcome outcome, nsec now);
/* A value that was right `age` ago; larger ones than SCORE_ONE are cut. */
void score_restore(struct score *s, uint32_t value, nsec age, nsec now);
