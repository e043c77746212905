#include "circuit/neighbour/link_meter.h"

/* Packets that a figure for the loss wants. */
#define LOSS_PACKETS 64
/* Shares of a new sample: a worse RTT is believed slowly, a better one soon. */
#define RTT_UP_SHARE   16
#define RTT_DOWN_SHARE 4
#define LOSS_SHARE     4
#define RATE_SHARE     4
#define LOSS_ONE       65536u
/* A link that loses nine in ten is as good as none; the cost stays finite. */
#define LOSS_MAX (LOSS_ONE / 10 * 9)

static void add_rtt(struct link_meter *m, nsec rtt)
{
	if (!m->has_rtt) {
		m->has_rtt = true;
		m->rtt = rtt;
	} else if (rtt > m->rtt) {
		m->rtt += (rtt - m->rtt) / RTT_UP_SHARE;
	} else {
		m->rtt -= (m->rtt - rtt) / RTT_DOWN_SHARE;
	}
}

static void add_loss(struct link_meter *m, const struct link_sample *s)
{
	uint64_t lost = s->n_lost - m->n_lost;
	uint64_t all = s->n_acked - m->n_acked + lost;
	uint32_t loss;

	if (all < LOSS_PACKETS)
		return;
	loss = (uint32_t)(lost * LOSS_ONE / all);
	if (loss > m->loss)
		m->loss += (loss - m->loss + LOSS_SHARE - 1) / LOSS_SHARE;
	else
		m->loss -= (m->loss - loss + LOSS_SHARE - 1) / LOSS_SHARE;
	m->n_acked = s->n_acked;
	m->n_lost = s->n_lost;
}

/* Only a link that is full shows what it can carry.  BBR keeps two
 * bandwidth-delay products in flight. */
static void add_rate(struct link_meter *m, const struct link_sample *s)
{
	uint64_t rate;

	if (s->in_flight * 2 < s->cwnd || s->rtt == 0)
		return;
	rate = s->cwnd / 2 * NS_PER_S / s->rtt;
	if (m->rate == 0)
		m->rate = rate;
	else if (rate > m->rate)
		m->rate += (rate - m->rate) / RATE_SHARE;
	else
		m->rate -= (m->rate - rate) / RATE_SHARE;
}

void link_meter_add(struct link_meter *m, const struct link_sample *s, nsec now)
{
	if (m->has_rtt && now - m->sampled < METER_PERIOD_NS)
		return;
	m->sampled = now;
	add_rtt(m, s->rtt);
	add_loss(m, s);
	add_rate(m, s);
}

static uint8_t log2_kbit(uint64_t bytes_per_s)
{
	uint64_t kbit = bytes_per_s / 125;
	uint8_t n = 0;

	while (kbit > 1) {
		kbit /= 2;
		n++;
	}
	return n;
}

struct msg_link link_meter_claim(const struct link_meter *m, uint16_t mtu,
				 uint16_t more_100us)
{
	uint32_t loss = m->loss < LOSS_MAX ? m->loss : LOSS_MAX;
	uint64_t ns = m->rtt / 2 * LOSS_ONE / (LOSS_ONE - loss);
	uint64_t cost;

	if (m->rate > 0)
		ns += METER_PACKET_BYTES * NS_PER_S / m->rate;
	cost = ns / (100 * NS_PER_US);
	if (cost < LINK_COST_FLOOR_100US)
		cost = LINK_COST_FLOOR_100US;
	cost += more_100us;
	if (cost > LINK_COST_MAX_100US)
		cost = LINK_COST_MAX_100US;
	return (struct msg_link){
		.cost_100us = (uint16_t)cost,
		.mtu = mtu,
		.loss = (uint8_t)(m->loss * 255 / LOSS_ONE),
		.rate = log2_kbit(m->rate),
	};
}

bool link_claim_differs(const struct msg_link *told, const struct msg_link *is,
			nsec since_told)
{
	uint32_t was = told->cost_100us, cost = is->cost_100us;

	if (is->mtu != told->mtu)
		return true;
	return since_told >= METER_CLAIM_NS &&
	       (cost * 5 > was * 6 || cost * 5 < was * 4);
}
