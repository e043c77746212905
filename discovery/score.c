#include "discovery/score.h"

/* What is left of a distance after `age`: halved for each whole half-life, and
 * linearly in between. */
static uint32_t fade(uint32_t distance, nsec age)
{
	nsec halvings = age / SCORE_HALF_LIFE_NS;
	nsec rest = age % SCORE_HALF_LIFE_NS;

	if (halvings >= 32)
		return 0;
	distance >>= halvings;
	return (uint32_t)(distance -
			  (uint64_t)distance * rest / (2 * SCORE_HALF_LIFE_NS));
}

static uint32_t faded(uint32_t value, nsec age)
{
	if (value >= SCORE_NEUTRAL)
		return SCORE_NEUTRAL + fade(value - SCORE_NEUTRAL, age);
	return SCORE_NEUTRAL - fade(SCORE_NEUTRAL - value, age);
}

void score_init(struct score *s, nsec now)
{
	*s = (struct score){ .value = SCORE_NEUTRAL, .updated = now };
}

uint32_t score_at(const struct score *s, nsec now)
{
	return now > s->updated ? faded(s->value, now - s->updated) : s->value;
}

void score_update(struct score *s, enum score_outcome outcome, nsec now)
{
	uint32_t value = score_at(s, now);

	switch (outcome) {
	case SCORE_ANSWERED:
		value += (SCORE_ONE - value) * 3 / 10;
		break;
	case SCORE_SILENT:
		value = value * 6 / 10;
		break;
	case SCORE_TROUBLE:
		value = value * 98 / 100;
		break;
	}
	*s = (struct score){ .value = value, .updated = now };
}

void score_restore(struct score *s, uint32_t value, nsec age, nsec now)
{
	if (value > SCORE_ONE)
		value = SCORE_ONE;
	*s = (struct score){ .value = faded(value, age), .updated = now };
}
