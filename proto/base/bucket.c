#include "proto/base/bucket.h"

void bucket_init(struct bucket *b, uint32_t rate_per_s, uint32_t burst,
		 nsec now)
{
	*b = (struct bucket){ .rate_per_s = rate_per_s,
			      .burst = burst,
			      .updated = now };
	b->level_ns = (NS_PER_S / rate_per_s) * burst;
}

bool bucket_take(struct bucket *b, nsec now)
{
	uint64_t token_ns = NS_PER_S / b->rate_per_s;
	uint64_t full_ns = token_ns * b->burst;
	uint64_t passed_ns = now > b->updated ? now - b->updated : 0;

	if (passed_ns >= full_ns - b->level_ns)
		b->level_ns = full_ns;
	else
		b->level_ns += passed_ns;
	if (now > b->updated)
		b->updated = now;
	if (b->level_ns < token_ns)
		return false;
	b->level_ns -= token_ns;
	return true;
}
