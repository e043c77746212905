#include "discovery/backoff.h"

nsec backoff_nominal(uint32_t n_failures)
{
	nsec wait = BACKOFF_MIN_NS;

	if (n_failures == 0)
		return 0;
	while (--n_failures > 0 && wait < BACKOFF_MAX_NS)
		wait *= 2;
	return time_min(wait, BACKOFF_MAX_NS);
}

nsec backoff_jitter(struct rng *rng, nsec nominal)
{
	nsec fifth = nominal / 5;

	return nominal - fifth + rng_below(rng, 2 * fifth + 1);
}

void backoff_failed(struct backoff *b, struct rng *rng, nsec now)
{
	if (b->n_failures < UINT32_MAX)
		b->n_failures++;
	b->retry_at = now + backoff_jitter(rng, backoff_nominal(b->n_failures));
}

void backoff_reset(struct backoff *b, nsec now)
{
	*b = (struct backoff){ .retry_at = now };
}
