/* Packets of a channel whose peer is a neighbour, on the UDP socket as they
 * are: half of the sealing, and no congestion control inside another.
 * protocol.md 7.11. */
#include "node/channel/channel_conn.h"
#include "node/quic/quic_table.h"

enum {
	/* Of a client that sends direct packets a single one takes the session
	 * now and then, to measure the link. */
	PAST_MAX = 3,
};

static const struct relay_hop *single_hop(struct channel *c, struct lane *l)
{
	const struct relay_hop *out = lane_out(c->set, l);

	return out != NULL && out->is_single ? out : NULL;
}

bool channel_is_direct(const struct channel *c)
{
	return c->direct.is_open;
}

/* The client's to say, as it is the client that tests the circuit: the server
 * does as it does.  Before any packet has come over it the far end may use
 * another lane. */
void channel_direct_heard(struct channel *c, bool is_direct)
{
	struct direct *d = &c->direct;

	if (is_direct)
		d->n_past = 0;
	else if (!c->is_client && d->is_open && ++d->n_past >= PAST_MAX)
		d->is_open = false;
	if (!d->is_open && (c->is_client || is_direct))
		d->is_open = quic_state(c->quic) == QUIC_CONFIRMED &&
			     single_hop(c, c->lane) != NULL;
}

/* ---- out ---- */

uint8_t *channel_direct_space(struct channel *c, size_t cap)
{
	const struct relay_hop *out;

	if (!c->direct.is_open)
		return NULL;
	out = lane_out(c->set, c->lane);
	if (out == NULL)
		return NULL;
	return sessions_direct_space(c->set->sessions, out->session, cap);
}

void channel_direct_send(struct channel *c, uint8_t *data, size_t len)
{
	struct channels *set = c->set;
	const struct relay_hop *out;
	uint8_t copy[CIRCUIT_MTU_MAX];

	/* What belongs to the handshake still is seen by nobody. */
	if (quic_is_long(data)) {
		memcpy(copy, data, len);
		channel_send_packet(c, copy, len);
		return;
	}
	out = lane_send(set, c->lane, len);
	if (out == NULL)
		return;
	set->counters.n_direct_sent++;
	sessions_direct_sent(set->sessions, out->session, len);
}

/* ---- in ---- */

/* The circuit that the peer sends a direct packet for: the one in use, or while
 * one of us has changed already and the other has not, the one before. */
static const struct relay_hop *circuit_from(struct channel *c,
					    const struct udp_path *path)
{
	struct channels *set = c->set;

	for (size_t i = 0; i < 2; i++) {
		const struct relay_hop *out = single_hop(
			c, i == 0 ? c->lane : lane_find(set, c->lane_before));

		if (out != NULL &&
		    sessions_is_direct_from(set->sessions, out->session, path))
			return out;
	}
	return NULL;
}

void channels_receive_direct(struct channels *set, struct quic *q,
			     const struct udp_path *path, const uint8_t *data,
			     size_t len, bool is_marked)
{
	struct channel *c = quic_ctx(q);
	const struct relay_hop *from;
	struct relay_hop hop;

	if (c->is_ending)
		return;
	from = circuit_from(c, path);
	if (from == NULL) {
		set->counters.n_direct_refused++;
		from = single_hop(c, c->lane);
		if (from != NULL)
			sessions_direct_strayed(set->sessions, from->session);
		return;
	}
	hop = *from;
	if (!channel_read_packet(c, data, len, is_marked)) {
		set->counters.n_direct_bad++;
		return;
	}
	set->counters.n_direct_received++;
	router_circuit_in(set->router, hop.circuit, len, loop_now(set->loop));
	sessions_direct_heard(set->sessions, hop.session, len);
	if (c->lane != NULL && c->lane->circuit == hop.circuit)
		channel_direct_heard(c, true);
}

size_t channels_receive_stray(struct channels *set, session_no s,
			      const uint8_t *data, size_t len, uint8_t *out,
			      size_t cap)
{
	size_t n = quic_table_write_reset(set->table, out, cap, data, len);

	for (struct channel *c = set->all; c != NULL; c = c->next) {
		const struct relay_hop *on = single_hop(c, c->lane);

		if (!c->is_ending && on != NULL && on->session == s)
			channel_read_packet(c, data, len, false);
	}
	return n;
}
