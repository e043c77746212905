/* When a thing that failed may be tried again: 0.5 s after the first failure,
 * doubling to a minute, each time with a jitter of a fifth, so that nodes which
 * lost something together do not ask for it together.
 *
 * A plain value in its owner; zero-initialised means "may be tried at once".
 */
#pragma once

#include <stdint.h>

#include "proto/base/rng.h"
#include "proto/base/time.h"

#define BACKOFF_MIN_NS (500 * NS_PER_MS)
#define BACKOFF_MAX_NS (60 * NS_PER_S)

struct backoff {
	uint32_t n_failures; /* in a row */
	nsec retry_at;       /* TIME_NEVER: not without a new reason */
};

/* The wait after the `n_failures`-th failure in a row, before jitter. */
nsec backoff_nominal(uint32_t n_failures);

/* Uniform in [0.8, 1.2] of `nominal`. */
nsec backoff_jitter(struct rng *rng, nsec nominal);

void backoff_failed(struct backoff *b, struct rng *rng, nsec now);
/* Forgets the failures: the next try may be at once. */
void backoff_reset(struct backoff *b, nsec now);
