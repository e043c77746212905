/* A channel's packets on their way out: onto the circuit in use, in two parts
 * where they do not fit, with back-pressure from the session beneath. */
#include "node/channel/channel_conn.h"

enum {
	/* Big enough for an inner packet of TUN_MTU_MIN on any circuit: what
	 * does not fit goes in two parts. */
	PACKET_MIN = TUN_MTU_MIN + CHANNEL_OVERHEAD,
	/* What keeps two daemons of one machine busy, and four; what is more
	 * only waits, and all else behind it. */
	CROWD_HOP_BYTES = 512 << 10,
	CROWD_BYTES = 3 << 19,
};

/* That stays as it is for the life of a circuit, so the router is asked at the
 * first packet; and by each packet that is sent, which finds out when the
 * circuit is gone. */
const struct relay_hop *lane_out(struct channels *set, struct lane *l)
{
	if (l == NULL || (l->out.session == 0 &&
			  !router_circuit_out(set->router, l->circuit, 0,
					      loop_now(set->loop), &l->out)))
		return NULL;
	return &l->out;
}

const struct relay_hop *lane_send(struct channels *set, struct lane *l,
				  size_t len)
{
	if (l == NULL)
		return NULL;
	if (router_circuit_out(set->router, l->circuit, len,
			       loop_now(set->loop), &l->out))
		return &l->out;
	l->out = (struct relay_hop){ 0 };
	return NULL;
}

size_t channel_packet_max(const struct channel *c)
{
	const struct relay_hop *out = lane_out(c->set, c->lane);

	if (out == NULL || out->mtu < PACKET_MIN)
		return PACKET_MIN;
	return out->mtu < CIRCUIT_MTU_MAX ? out->mtu : CIRCUIT_MTU_MAX;
}

static enum session_verdict send_own(struct channels *set,
				     const struct relay_hop *hop,
				     const uint8_t *header, size_t header_len,
				     const uint8_t *data, size_t len)
{
	return sessions_send_packet(
		set->sessions, hop->session,
		&(struct session_packet){ .label = hop->label,
					  .is_own = true,
					  .header = header,
					  .header_len = header_len,
					  .payload = data,
					  .len = len });
}

static void send_part(struct channel *c, const struct relay_hop *hop,
		      enum packet_part part, const uint8_t *data, size_t len)
{
	uint8_t header[PACKET_HEADER_MAX];
	size_t n =
		packet_header_write(header, part, hop->label, c->split_number);

	if (send_own(c->set, hop, header, n, data, len) == SESSION_TOO_BIG)
		c->set->counters.n_too_big++;
}

/* Over the other circuit, if it takes it as it is and at once. */
static void send_copy(struct channel *c, const uint8_t *data, size_t len)
{
	struct channels *set = c->set;
	const struct relay_hop *out = lane_out(set, c->also);

	if (out == NULL || c->also == c->lane || len > out->mtu ||
	    !sessions_has_room(set->sessions, out->session, out->label))
		return;
	out = lane_send(set, c->also, len);
	if (out == NULL)
		return;
	set->counters.n_copies_sent++;
	send_part(c, out, PACKET_WHOLE, data, len);
}

void channel_send_packet(struct channel *c, const uint8_t *data, size_t len)
{
	const size_t more = PART_NUMBER_BYTES;
	const struct relay_hop *out = lane_send(c->set, c->lane, len);
	size_t first;

	if (out == NULL)
		return;
	if (len <= out->mtu) {
		send_part(c, out, PACKET_WHOLE, data, len);
		if (c->also != NULL)
			send_copy(c, data, len);
		return;
	}
	/* Two halves of about the same size; relays never join. */
	first = (len + 1) / 2;
	if (first + more > out->mtu) {
		c->set->counters.n_too_big++;
		return;
	}
	c->split_number++;
	c->set->counters.n_parts++;
	send_part(c, out, PACKET_FIRST, data, first);
	/* Counted as another packet: path tests compare what goes in with what
	 * arrives. */
	out = lane_send(c->set, c->lane, more);
	if (out != NULL)
		send_part(c, out, PACKET_LAST, data + first, len - first);
}

void channels_send_small(struct channels *set, struct lane *l,
			 const uint8_t *data, size_t len)
{
	const struct relay_hop *out = lane_send(set, l, len);
	uint8_t header[PACKET_HEADER_MAX];

	if (out != NULL)
		send_own(set, out, header,
			 packet_header_write(header, PACKET_WHOLE, out->label,
					     0),
			 data, len);
}

/* Whether the session beneath takes another packet: back-pressure instead of a
 * drop at the origin. */
bool channel_has_room(struct channel *c)
{
	const struct relay_hop *out = lane_out(c->set, c->lane);

	if (out == NULL)
		return false;
	if (sessions_has_room(c->set->sessions, out->session, out->label))
		return true;
	c->is_waiting_room = true;
	return false;
}

/* Where the next packet is to be written: where it leaves from, or `own`. */
static uint8_t *space_for(struct channel *c, uint8_t *own, size_t cap)
{
	uint8_t *direct = channel_direct_space(c, cap);

	return direct != NULL ? direct : own;
}

static void send_written(struct channel *c, uint8_t *data, size_t len,
			 const uint8_t *own)
{
	if (data == own)
		channel_send_packet(c, data, len);
	else
		channel_direct_send(c, data, len);
}

size_t channel_write_datagrams(struct channel *c,
			       const struct quic_datagram *list, size_t n)
{
	uint8_t packet[CIRCUIT_MTU_MAX];
	size_t cap = channel_packet_max(c);
	nsec now = loop_now(c->set->loop);
	size_t n_done = 0;

	while (n_done < n && channel_has_room(c)) {
		uint8_t *out = space_for(c, packet, cap);
		size_t n_taken, len;
		uint8_t ecn;

		len = quic_write_datagrams(c->quic, &ecn, out, cap,
					   list + n_done, n - n_done, &n_taken,
					   now);
		n_done += n_taken;
		if (len > 0) {
			send_written(c, out, len, packet);
		} else if (n_taken == 0) {
			c->paused = now;
			break;
		}
	}
	return n_done;
}

bool channel_write_datagram(struct channel *c, const ngtcp2_vec *vec, size_t n)
{
	const struct quic_datagram one = { vec, n };

	channel_mark(c);
	return channel_write_datagrams(c, &one, 1) == 1;
}

static bool send_ip(struct channel *c, const uint8_t *packet, size_t len)
{
	uint8_t header[SMALL_HEADER] = { (uint8_t)(c->ip->id / 4) };
	const ngtcp2_vec vec[2] = {
		{ header, sizeof header },
		{ (uint8_t *)(uintptr_t)packet, len },
	};

	if (len <= SMALL_MAX)
		return channel_small_add(c, header[0], packet, len);
	/* None overtakes another. */
	return channel_small_flush(c) && channel_write_datagram(c, vec, 2);
}

enum dest_packet_verdict channel_send_ip(struct channel *c,
					 const uint8_t *packet, size_t len,
					 size_t *mtu)
{
	size_t max = channel_packet_max(c) - CHANNEL_OVERHEAD;

	if (!c->is_ip_open || c->ip == NULL || c->ip->id > 252)
		return DEST_UNREACHABLE;
	if (len > max) {
		*mtu = max;
		return DEST_TOO_BIG;
	}
	c->last_used = loop_now(c->set->loop);
	if (c->unanswered == TIME_NEVER)
		c->unanswered = c->last_used;
	if (send_ip(c, packet, len))
		return DEST_SENT;
	c->is_blocked = true;
	return DEST_BLOCKED;
}

static void write_streams(struct channel *c)
{
	uint8_t packet[CIRCUIT_MTU_MAX];
	size_t cap = channel_packet_max(c);

	quic_set_crowd(c->quic,
		       c->direct.is_open ? CROWD_HOP_BYTES : CROWD_BYTES);
	while (channel_has_room(c)) {
		uint8_t *out;
		uint8_t ecn;
		size_t len;

		out = space_for(c, packet, cap);
		len = quic_write(c->quic, NULL, &ecn, out, cap,
				 loop_now(c->set->loop));
		if (len == 0)
			return;
		send_written(c, out, len, packet);
	}
}

void channel_write_streams(struct channel *c)
{
	write_streams(c);
	h3_written(c);
}
