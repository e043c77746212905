#include "circuit/relay/codel.h"

/* Drops begin anew with about the last rate if the last row ended so many
 * intervals ago or less. */
#define MEMORY_INTERVALS 16

/* floor(sqrt(x)) by Newton's method from above. */
static uint64_t square_root(uint64_t x)
{
	uint64_t root = UINT64_C(1) << 32, next = root - 1;

	while (next < root) {
		root = next;
		next = (root + x / root) / 2;
		if (next == 0)
			return 0;
	}
	return root;
}

/* The rate of drops grows with the root of their number, to which the
 * throughput of TCP, and the like, answers linearly. */
static nsec next_drop(const struct codel_config *config, nsec from,
		      uint32_t count)
{
	return from + square_root(config->interval * config->interval / count);
}

/* Whether the wait has been over the target for an interval. */
static bool is_queue(struct codel *c, const struct codel_config *config,
		     nsec waited, bool is_last, nsec now)
{
	if (waited < config->target || is_last) {
		c->above_until = 0;
		return false;
	}
	if (c->above_until == 0) {
		c->above_until = now + config->interval;
		return false;
	}
	return now >= c->above_until;
}

static void begin_row(struct codel *c, const struct codel_config *config,
		      nsec now)
{
	uint32_t grown = c->count - c->last_count;
	bool is_fresh =
		now < c->drop_next + MEMORY_INTERVALS * config->interval;

	c->is_dropping = true;
	c->count = grown > 1 && is_fresh ? grown : 1;
	c->last_count = c->count;
	c->drop_next = next_drop(config, now, c->count);
}

bool codel_drops(struct codel *c, const struct codel_config *config,
		 nsec waited, bool is_last, nsec now)
{
	if (!is_queue(c, config, waited, is_last, now)) {
		c->is_dropping = false;
		return false;
	}
	if (!c->is_dropping) {
		begin_row(c, config, now);
		return true;
	}
	if (now < c->drop_next)
		return false;
	c->count++;
	c->drop_next = next_drop(config, c->drop_next, c->count);
	return true;
}
