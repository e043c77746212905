/* Messages and packets on their way. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/support/mesh_inside.h"

/* Packets wait no longer for a link. */
#define QUEUE_NS (100 * NS_PER_MS)
/* Around each message: QUIC, UDP and IP. */
#define CARRIAGE_BYTES 60

static nsec travel(struct mesh *m, const struct wire *w)
{
	return w->config.delay + rng_below(&m->rng, w->config.jitter + 1);
}

static bool is_unlucky(struct mesh *m, const struct wire *w)
{
	return rng_below(&m->rng, 1000) < w->config.loss_permille;
}

/* When the last bit of it leaves; the link is taken until then. */
static nsec departure(struct mesh *m, struct wire *w, unsigned to, size_t bytes)
{
	nsec start = m->now;

	if (w->config.rate_kbps == 0)
		return start;
	if (w->busy_until[to] > start)
		start = w->busy_until[to];
	w->busy_until[to] = start + (bytes + CARRIAGE_BYTES) * 8 * NS_PER_MS /
					    w->config.rate_kbps;
	return w->busy_until[to];
}

/* At most PROBE_COPIES_MAX copies of a flood cross a link in one direction. */
static void count_crossing(struct mesh *m, const struct wire *w, unsigned end,
			   const struct msg_probe *p)
{
	struct crossing_key key = {
		.wire = (uint32_t)(w - m->wires),
		.epoch = (uint16_t)w->epoch,
		.end = (uint16_t)end,
		.origin = p->origin,
		.nonce = p->nonce,
	};
	struct crossing *c;

	HASH_FIND(hh, m->crossings, &key, sizeof key, c);
	if (c == NULL) {
		c = mem_new(c);
		c->key = key;
		HASH_ADD(hh, m->crossings, key, sizeof key, c);
	}
	if (++c->n > PROBE_COPIES_MAX)
		m->fault = "a probe crosses a link too often";
}

void mesh_forget_probes(struct mesh *m)
{
	struct crossing *c, *next;

	HASH_ITER (hh, m->crossings, c, next) {
		HASH_DEL(m->crossings, c);
		free(c);
	}
}

static uint8_t *copy_of(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = mem_calloc(len > 0 ? len : 1, 1);

	memcpy(copy, bytes, len);
	return copy;
}

static void dispatch(struct mesh *m, struct wire *w, unsigned to,
		     const struct msg *msg)
{
	size_t len = msg_write(m->frame, sizeof m->frame, msg);
	nsec at = departure(m, w, to, len) + travel(m, w);

	if (is_unlucky(m, w))
		at += 3 * w->config.delay + 20 * NS_PER_MS;
	if (at < w->last_arrival[to])
		at = w->last_arrival[to];
	w->last_arrival[to] = at;
	if (m->watch.sent != NULL)
		m->watch.sent(m->watch.ctx, w->end[!to], w->end[to], msg, len);
	agenda_add(&m->agenda, at,
		   &(struct happening){ .type = HAPPENS_MESSAGE,
					.to = w->end[to],
					.wire = (size_t)(w - m->wires),
					.end = to,
					.epoch = w->epoch,
					.bytes = copy_of(m->frame, len),
					.len = (uint32_t)len });
}

void mesh_send_message(struct mesh *m, size_t from,
		       const struct router_send *out)
{
	unsigned end;
	struct wire *w = mesh_wire(m, from, out->session, &end);
	const struct msg *msg = out->msg;

	if (w != NULL && msg->type == MSG_PROBE &&
	    (msg->probe.flags & PROBE_FLAG_FLOOD) != 0 &&
	    !m->options.is_forgetful)
		count_crossing(m, w, end, &msg->probe);
	/* A cut that this end has not noticed swallows what it sends. */
	if (w == NULL || !w->is_up)
		return;
	if (m->filter != NULL) {
		m->scratch = *msg;
		msg = &m->scratch;
		if (!m->filter(m->filter_ctx, from, w->end[!end], &m->scratch))
			return;
	}
	dispatch(m, w, !end, msg);
}

static void lose(struct mesh *m, size_t node, uint64_t tag, enum mesh_loss why)
{
	m->n_dropped++;
	if (m->watch.lost != NULL)
		m->watch.lost(m->watch.ctx, node, tag, why);
}

void mesh_pass_packet(struct mesh *m, size_t from, const struct relay_hop *hop,
		      size_t len, uint64_t tag, unsigned n_hops)
{
	unsigned end;
	struct wire *w = mesh_wire(m, from, hop->session, &end);
	nsec out;

	if (n_hops > HOPS_MAX)
		m->fault = "a packet goes round";
	if (w == NULL || !w->is_up) {
		lose(m, from, tag, LOSS_CUT);
		return;
	}
	if (is_unlucky(m, w) || w->busy_until[!end] > m->now + QUEUE_NS) {
		lose(m, from, tag, LOSS_LINK);
		return;
	}
	out = departure(m, w, !end, len);
	agenda_add(&m->agenda, out + travel(m, w),
		   &(struct happening){ .type = HAPPENS_PACKET,
					.to = w->end[!end],
					.wire = (size_t)(w - m->wires),
					.end = !end,
					.epoch = w->epoch,
					.len = (uint32_t)len,
					.label = hop->label,
					.tag = tag,
					.n_hops = n_hops });
}

static enum msg_verdict handle(struct mesh *m, size_t node, session_no s,
			       const struct msg *msg)
{
	enum msg_verdict v;

	if (m->watch.handling != NULL)
		m->watch.handling(m->watch.ctx, node, true);
	v = router_handle_message(m->nodes[node]->router, s, msg, m->now);
	if (m->watch.handling != NULL)
		m->watch.handling(m->watch.ctx, node, false);
	return v;
}

static void message_arrived(struct mesh *m, const struct happening *h)
{
	struct wire *w = &m->wires[h->wire];
	enum msg_verdict v = MSG_MALFORMED;

	if (h->len >= FRAME_HEADER_BYTES)
		v = msg_parse(&m->scratch, h->bytes[0],
			      h->bytes + FRAME_HEADER_BYTES,
			      h->len - FRAME_HEADER_BYTES);
	if (v != MSG_OK && m->filter == NULL)
		m->fault = "a message does not survive its encoding";
	m->n_messages++;
	mesh_trace_u64(m, m->now);
	mesh_trace_u64(m, (uint64_t)h->wire << 8 | h->end);
	mesh_trace_add(m, h->bytes, h->len);
	if (v == MSG_OK)
		v = handle(m, h->to, w->session[h->end], &m->scratch);
	if (v != MSG_OK && m->filter == NULL)
		m->fault = "a message of an honest node is a violation";
}

static void deliver(struct mesh *m, const struct happening *h, circuit_no c)
{
	struct mesh_delivery d = { .at = m->now,
				   .node = h->to,
				   .circuit = c,
				   .tag = h->tag,
				   .n_hops = h->n_hops };

	if (m->watch.delivered != NULL)
		m->watch.delivered(m->watch.ctx, &d);
	if (m->options.is_forgetful)
		return;
	MESH_GROW(m->deliveries, m->n_deliveries, m->cap_deliveries);
	m->deliveries[m->n_deliveries++] = d;
}

static bool relays(const struct mesh *m, size_t node, session_no s)
{
	unsigned end;
	const struct wire *w = mesh_wire(m, node, s, &end);

	return m->watch.relays == NULL || w == NULL ||
	       m->watch.relays(m->watch.ctx, node, w->end[!end]);
}

static void packet_arrived(struct mesh *m, const struct happening *h)
{
	struct wire *w = &m->wires[h->wire];
	struct relay_hop hop;

	mesh_trace_u64(m, m->now);
	mesh_trace_u64(m, h->tag);
	switch (router_packet_received(m->nodes[h->to]->router,
				       w->session[h->end], h->label, h->len,
				       m->now, &hop)) {
	case RELAY_FORWARD:
		if (relays(m, h->to, hop.session))
			mesh_pass_packet(m, h->to, &hop, h->len, h->tag,
					 h->n_hops + 1);
		break;
	case RELAY_DELIVER:
		deliver(m, h, hop.circuit);
		break;
	default:
		lose(m, h->to, h->tag, LOSS_CIRCUIT);
	}
}

void mesh_arrive(struct mesh *m, const struct happening *h)
{
	const struct wire *w = &m->wires[h->wire];

	if (!w->is_up || w->epoch != h->epoch || w->session[h->end] == 0) {
		if (h->type == HAPPENS_PACKET)
			lose(m, h->to, h->tag, LOSS_UNDER_WAY);
		return;
	}
	if (h->type == HAPPENS_MESSAGE)
		message_arrived(m, h);
	else
		packet_arrived(m, h);
	mesh_pump(m, h->to);
}

bool mesh_send_packet(struct mesh *m, size_t node, circuit_no c, size_t len,
		      uint64_t tag)
{
	struct relay_hop hop;

	if (!router_circuit_out(m->nodes[node]->router, c, len, m->now, &hop))
		return false;
	mesh_pass_packet(m, node, &hop, len, tag, 1);
	mesh_pump(m, node);
	return true;
}

enum msg_verdict mesh_inject(struct mesh *m, size_t node, size_t link,
			     const struct msg *msg)
{
	enum msg_verdict v = handle(m, node, mesh_session(m, node, link), msg);

	mesh_pump(m, node);
	return v;
}
