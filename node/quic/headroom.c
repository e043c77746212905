#include "node/quic/headroom.h"

static uint64_t left_flight(const struct headroom *h,
			    const struct headroom_path *p)
{
	return h->written > p->in_flight ? h->written - p->in_flight : 0;
}

static bool found_queue(const struct headroom *h, const struct headroom_path *p)
{
	return h->round_rtt > p->rtt_min + p->rtt_min / 2 + HEADROOM_QUEUE_NS;
}

static void end_round(struct headroom *h, const struct headroom_path *p)
{
	h->round = h->written;
	if (h->widest > p->cwnd)
		h->widest -= (h->widest - p->cwnd) / HEADROOM_FADE;
	if (h->n_pause > 0) {
		if (--h->n_pause == 0)
			h->widest = p->cwnd;
	} else if (!found_queue(h, p)) {
		h->n_queued = 0;
	} else if (++h->n_queued == HEADROOM_QUEUE_ROUNDS) {
		h->n_queued = 0;
		h->n_pause = HEADROOM_PAUSE_ROUNDS;
	}
	h->round_rtt = 0;
}

static bool is_crowded(const struct headroom_path *p)
{
	return p->rtt > 2 * p->rtt_min + HEADROOM_CROWD_NS &&
	       p->rtt < HEADROOM_FAR_NS;
}

void headroom_look(struct headroom *h, const struct headroom_path *p)
{
	if (p->rtt_min < HEADROOM_RTT_NS) {
		h->is_long = h->is_on = false;
		h->is_crowded = is_crowded(p);
		return;
	}
	if (!h->is_long)
		*h = (struct headroom){ .is_long = true,
					.written = p->in_flight,
					.round = p->in_flight };
	if (p->rtt > 0 && (h->round_rtt == 0 || p->rtt < h->round_rtt))
		h->round_rtt = p->rtt;
	if (p->cwnd > h->widest)
		h->widest = p->cwnd;
	if (left_flight(h, p) >= h->round)
		end_round(h, p);
	h->is_on = h->n_pause == 0;
}

void headroom_wrote(struct headroom *h, uint64_t before, uint64_t in_flight)
{
	if (h->is_long && in_flight > before)
		h->written += in_flight - before;
}

bool headroom_can_tell(const struct headroom *h, const struct headroom_path *p)
{
	return h->is_on && p->in_flight * 2 < p->cwnd;
}

/* All that is in flight counts as too little until it has left. */
void headroom_told(struct headroom *h)
{
	h->told = h->written;
}

void headroom_paused(struct headroom *h)
{
	h->told = 0;
}

bool headroom_allows(const struct headroom *h, const struct headroom_path *p)
{
	if (!h->is_on || p->in_flight == 0)
		return true;
	return left_flight(h, p) < h->told &&
	       p->in_flight < h->widest / 2 + HEADROOM_SLACK;
}
