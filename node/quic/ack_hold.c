#include "node/quic/ack_hold.h"

enum {
	/* Round trips are measured by these: the least of them is the path's
	 * own, and the delay that an acknowledgement tells of is judged by
	 * it. */
	PROMPT_AT_FIRST = 16,
	PROMPT_EVERY = 16,
};

static bool is_prompt(unsigned n)
{
	return n <= PROMPT_AT_FIRST || n % PROMPT_EVERY == 0;
}

void ack_hold_came(struct ack_hold *h, unsigned at_most, nsec now)
{
	if (h->until == 0) {
		h->n = 0;
		h->until = is_prompt(++h->n_all) ? now : now + ACK_HOLD_NS;
	}
	if (++h->n >= at_most)
		ack_hold_hurry(h);
}

void ack_hold_hurry(struct ack_hold *h)
{
	if (h->until != 0)
		h->until = 1;
}

void ack_hold_left(struct ack_hold *h)
{
	h->until = 0;
}

bool ack_hold_holds(const struct ack_hold *h, nsec now)
{
	return now < h->until;
}
