/* headroom.h over ngtcp2. */
#include "node/quic/quic_conn.h"

/* Of a short path's packets one is looked at. */
#define LOOK_PACKETS 16

static struct headroom_path path_of(const struct quic *q)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info(quic_conn(q), &info);
	return (struct headroom_path){
		.cwnd = info.cwnd,
		.in_flight = info.bytes_in_flight,
		.rtt = info.latest_rtt,
		.rtt_min = info.min_rtt == UINT64_MAX ? 0 : info.min_rtt,
	};
}

uint64_t quic_in_flight(const struct quic *q)
{
	return path_of(q).in_flight;
}

bool quic_headroom_allows_streams(struct quic *q)
{
	if (q->headroom.is_crowded)
		return quic_in_flight(q) < q->crowd_bytes;
	return quic_headroom_allows(q);
}

void quic_set_crowd(struct quic *q, uint64_t bytes)
{
	q->crowd_bytes = bytes;
}

/* A write which has no room for a packet: ngtcp2 takes it that there is nothing
 * to send.  Not while a packet is begun, which it would end. */
static void tell(struct quic *q, const struct headroom_path *p)
{
	uint8_t none[1];

	if (headroom_can_tell(&q->headroom, p) &&
	    ngtcp2_conn_write_pkt(quic_conn(q), NULL, NULL, none, 0, q->now) ==
		    0)
		headroom_told(&q->headroom);
}

void quic_headroom_look(struct quic *q)
{
	struct headroom_path p;

	/* Most paths are short, and stay so. */
	if (q->state != QUIC_CONFIRMED ||
	    (!q->headroom.is_long && ++q->n_unlooked % LOOK_PACKETS != 0))
		return;
	p = path_of(q);
	headroom_look(&q->headroom, &p);
	tell(q, &p);
}

bool quic_headroom_allows(struct quic *q)
{
	struct headroom_path p;

	if (!q->headroom.is_on)
		return true;
	p = path_of(q);
	if (headroom_allows(&q->headroom, &p))
		return true;
	tell(q, &p);
	return headroom_allows(&q->headroom, &p);
}
