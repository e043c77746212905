#include "proto/base/bucket.h"

void bucket_init(struct bucket *b, uint32_t rate_per_s, uint32_t burst,
		 nsec now)
{
	bucket_init_slow(b, NS_PER_S / rate_per_s, burst, now);
}

void bucket_init_slow(struct bucket *b, nsec token_ns, uint32_t burst, nsec now)
{
	*b = (struct bucket){ .token_ns = token_ns,
			      .burst = burst,
			      .level_ns = token_ns * burst,
			      .updated = now };
}

bool bucket_take(struct bucket *b, nsec now)
{
	uint64_t full_ns = b->token_ns * b->burst;
	uint64_t passed_ns = now > b->updated ? now - b->updated : 0;

	if (passed_ns >= full_ns - b->level_ns)
		b->level_ns = full_ns;
	else
		b->level_ns += passed_ns;
	if (now > b->updated)
		b->updated = now;
	if (b->level_ns < b->token_ns)
		return false;
	b->level_ns -= b->token_ns;
	return true;
}
