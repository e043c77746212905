/* Lanes: the circuits that end here.  Which channel uses which, and what comes
 * in over them.  protocol.md 7.2. */
#include <stdlib.h>
#include <string.h>

#include "node/channel/channel_conn.h"
#include "node/quic/quic_table.h"
#include "proto/base/mem.h"

struct lane *lane_find(struct channels *set, circuit_no circuit)
{
	struct lane *l;

	HASH_FIND(hh, set->lanes, &circuit, sizeof circuit, l);
	return l;
}

/* What was under way on the old circuit may be lost.  A PING over the new one
 * tells the far end of the change, and its acknowledgement tells us what to
 * repair, long before a timer would. */
static void set_lane(struct channel *c, struct lane *l)
{
	if (c->lane == l)
		return;
	if (c->stranded_since != 0 || c->lane != NULL) {
		c->set->counters.n_switched++;
		channel_ping(c);
	}
	if (c->lane != NULL)
		c->lane_before = c->lane->circuit;
	c->lane = l;
	c->direct = (struct direct){ 0 };
	c->stranded_since = 0;
	c->unanswered = TIME_NEVER;
	channel_mark(c);
}

void channels_circuit_up(struct channels *set, circuit_no circuit,
			 const struct node_id *peer, bool is_origin)
{
	struct lane *l = mem_new(l);

	l->circuit = circuit;
	l->peer = *peer;
	l->is_origin = is_origin;
	HASH_ADD(hh, set->lanes, circuit, sizeof l->circuit, l);
	/* Also at the server: a client with nothing to say would else let it
	 * wait for a circuit until it gives the channel up. */
	for (struct channel *c = set->all; c != NULL; c = c->next) {
		if (c->is_client == is_origin && c->lane == NULL &&
		    !c->is_ending && id_equal(&c->peer, peer))
			set_lane(c, l);
	}
}

void channels_circuit_carries(struct channels *set, circuit_no circuit,
			      circuit_no also)
{
	struct lane *l = lane_find(set, circuit);

	for (struct channel *c = set->all; l != NULL && c != NULL;
	     c = c->next) {
		if (!c->is_client || c->is_ending ||
		    !id_equal(&c->peer, &l->peer))
			continue;
		set_lane(c, l);
		c->also = lane_find(set, also);
	}
}

static void strand(struct channel *c, circuit_no lost)
{
	struct channels *set = c->set;

	c->lane = NULL;
	c->stranded_since = loop_now(set->loop);
	/* Another circuit to the same node stands in at once. */
	for (struct lane *l = set->lanes; l != NULL; l = l->hh.next) {
		if (l->is_origin == c->is_client &&
		    id_equal(&l->peer, &c->peer)) {
			set_lane(c, l);
			return;
		}
	}
	loop_timer_set(set->loop, &c->timer, c->stranded_since + STRANDED_NS);
	if (c->is_client)
		set->events->stranded(set->ctx, c, lost);
}

void channels_circuit_down(struct channels *set, circuit_no circuit)
{
	struct lane *l = lane_find(set, circuit);
	struct channel *c, *next;

	if (l == NULL)
		return;
	HASH_DEL(set->lanes, l);
	for (c = set->all; c != NULL; c = next) {
		next = c->next;
		if (c->also == l)
			c->also = NULL;
		if (c->lane == l && !c->is_ending)
			strand(c, circuit);
	}
	joiner_free(l->joiner);
	free(l);
}

/* ---- packets in ---- */

bool channel_read_packet(struct channel *c, const uint8_t *data, size_t len,
			 bool is_marked)
{
	const uint8_t ecn = is_marked ? NGTCP2_ECN_CE : NGTCP2_ECN_NOT_ECT;
	ngtcp2_path path = channel_path(c);
	bool is_new;

	channel_mark(c);
	is_new = quic_read(c->quic, &path, ecn, data, len,
			   loop_now(c->set->loop));
	if (is_new)
		c->unanswered = TIME_NEVER;
	return is_new;
}

/* A short packet whose id nobody has.  It may tell that a channel is gone at
 * the far end, which only QUIC can say; else the far end believes in one that
 * is gone here, by a restart perhaps, and learns so at once. */
static void handle_stray(struct channels *set, struct lane *l,
			 const uint8_t *data, size_t len)
{
	uint8_t packet[64];
	size_t n = quic_table_write_reset(set->table, packet, sizeof packet,
					  data, len);

	set->counters.n_unknown++;
	for (struct channel *c = set->all; c != NULL; c = c->next) {
		if (c->lane == l && !c->is_ending)
			channel_read_packet(c, data, len, false);
	}
	if (n == 0)
		return;
	set->counters.n_reset_sent++;
	channels_send_small(set, l, packet, n);
}

static void deliver(struct channels *set, struct lane *l, const uint8_t *data,
		    size_t len, bool is_marked)
{
	ngtcp2_version_cid vc;
	ngtcp2_pkt_hd hd;
	struct quic *quic;
	struct channel *c;
	bool is_new;

	switch (quic_table_find(set->table, data, len, &quic, &hd, &vc)) {
	case QUIC_FOUND:
		c = quic_ctx(quic);
		break;
	case QUIC_INITIAL:
		/* Only the circuit's origin opens a channel over it. */
		if (l->is_origin) {
			set->counters.n_garbage++;
			return;
		}
		c = channel_accept(set, l, &hd);
		if (c == NULL)
			return;
		break;
	case QUIC_RESET:
		handle_stray(set, l, data, len);
		return;
	default:
		set->counters.n_unknown++;
		return;
	}
	if (c->is_ending)
		return;
	if (!id_equal(&c->peer, &l->peer) || c->is_client != l->is_origin) {
		set->counters.n_wrong_peer++;
		return;
	}
	is_new = channel_read_packet(c, data, len, is_marked);
	if (c->is_ending)
		return;
	/* The server follows the client from circuit to circuit; of two at a
	 * time it takes the one that brings a packet first.  Only the client
	 * itself can lead it: a relay may bring copies, and what it likes. */
	if (!c->is_client && (is_new || quic_is_long(data)))
		set_lane(c, l);
	else if (!c->is_client)
		set->counters.n_copies++;
	if (c->lane == l)
		channel_direct_heard(c, false);
}

void channels_receive(struct channels *set, circuit_no circuit,
		      const struct packet *p)
{
	struct lane *l = lane_find(set, circuit);
	const uint8_t *whole;
	size_t len;

	if (l == NULL) {
		set->counters.n_unknown++;
		return;
	}
	if (p->part == PACKET_WHOLE) {
		deliver(set, l, p->payload, p->len, p->is_marked);
		return;
	}
	if (l->joiner == NULL)
		l->joiner = joiner_new(set->joiners);
	whole = joiner_handle(l->joiner, p, loop_now(set->loop), &len);
	if (whole != NULL)
		deliver(set, l, whole, len, false);
}
