/* The data path: no allocation, no search, O(1). */
#include "circuit/core.h"

/* Shorter ones are acknowledgements of the channel, mostly. */
#define ACK_BYTES_MAX 80

/* A packet for a label that we never gave, or gave before a restart: the
 * neighbour is told, so that its circuit ends at once. */
static void close_unknown(struct router *r, session_no no, uint32_t label,
			  nsec now)
{
	struct session *s = session_find(r, no);

	r->n.n_label_unknown++;
	if (s == NULL || !bucket_take(&s->peer->closes, now))
		return;
	core_send(r, no, MSG_CLOSE)->close = (struct msg_close){
		.label = label,
		.reason = CLOSE_UNKNOWN_LABEL,
		.reporter = r->config.self.id,
	};
}

static void count(struct router *r, struct circuit *c, unsigned toward,
		  size_t len, nsec now)
{
	if (c->wakes_hold)
		hold_traffic(r, c, now);
	if (toward == TOWARD_ORIGIN)
		c->unanswered = TIME_NEVER;
	else if (c->unanswered == TIME_NEVER && len > ACK_BYTES_MAX)
		c->unanswered = now;
	c->n_packets[toward]++;
	c->n_bytes[toward] += len;
	c->last_packet = now;
}

enum relay_verdict router_packet_received(struct router *r, session_no s,
					  uint32_t label, size_t len, nsec now,
					  struct relay_hop *out)
{
	const struct label_use *use = label_find(r->labels, s, label);
	const struct circuit_side *to;
	struct circuit *c;
	unsigned toward;

	if (use == NULL) {
		close_unknown(r, s, label, now);
		return RELAY_UNKNOWN;
	}
	c = use->circuit;
	toward = use->side == TOWARD_ORIGIN ? TOWARD_TARGET : TOWARD_ORIGIN;
	to = &c->side[toward];
	if (len > c->mtu) {
		r->n.n_packet_too_big++;
		return RELAY_DROP;
	}
	if (to->session == NULL ? c->state != CIRCUIT_ESTABLISHED
				: to->out.label == 0) {
		r->n.n_packet_early++;
		return RELAY_DROP;
	}
	count(r, c, toward, len, now);
	*out = (struct relay_hop){
		.session = to->out.session,
		.label = to->out.label,
		.circuit = c->no,
		.mtu = c->mtu,
	};
	return to->session == NULL ? RELAY_DELIVER : RELAY_FORWARD;
}

bool router_circuit_out(struct router *r, circuit_no no, size_t len, nsec now,
			struct relay_hop *out)
{
	struct circuit *c = circuit_find(r, no);
	unsigned toward;

	if (c == NULL || c->state != CIRCUIT_ESTABLISHED ||
	    (!c->is_origin && !c->is_target))
		return false;
	toward = c->is_origin ? TOWARD_TARGET : TOWARD_ORIGIN;
	if (len > 0)
		count(r, c, toward, len, now);
	*out = (struct relay_hop){
		.session = c->side[toward].out.session,
		.label = c->side[toward].out.label,
		.circuit = c->no,
		.mtu = c->mtu,
		.is_single = c->n_hops == 1,
	};
	return true;
}

void router_circuit_in(struct router *r, circuit_no no, size_t len, nsec now)
{
	struct circuit *c = circuit_find(r, no);

	if (c != NULL && c->state == CIRCUIT_ESTABLISHED && c->n_hops == 1)
		count(r, c, c->is_origin ? TOWARD_ORIGIN : TOWARD_TARGET, len,
		      now);
}
