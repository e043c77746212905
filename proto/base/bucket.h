/* A token bucket in virtual time: `rate` tokens a second, at most `burst`.
 * One nanotoken arithmetic, no floating point, no timer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

struct bucket {
	uint64_t token_ns;
	uint32_t burst;
	uint64_t level_ns; /* the credit, as time */
	nsec updated;
};

/* Starts full.  `rate_per_s` is 1..1e9, `burst` 1 or more. */
void bucket_init(struct bucket *b, uint32_t rate_per_s, uint32_t burst,
		 nsec now);

/* The same for less than one token a second: one each `token_ns`. */
void bucket_init_slow(struct bucket *b, nsec token_ns, uint32_t burst,
		      nsec now);

/* Takes one token; false (and nothing changes but the clock) if there is
 * none. */
bool bucket_take(struct bucket *b, nsec now);
