#include "tests/sim/report/flow.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/sim/report/lab.h"

#define PACKET_BYTES 200
/* A tag: the flow, whether it is a reply, and the millisecond it began in. */
#define FLOW_SHIFT   40
#define REPLY_BIT    (UINT64_C(1) << 39)
#define TIME_MASK    (REPLY_BIT - 1)
#define TIME_UNIT_NS NS_PER_MS

static uint64_t tag_of(const struct lab *l, size_t flow)
{
	return (uint64_t)flow << FLOW_SHIFT | mesh_now(l->mesh) / TIME_UNIT_NS;
}

size_t flow_add(struct lab *l, size_t from, size_t to, nsec period)
{
	nsec now = mesh_now(l->mesh);

	l->flows = mem_realloc(l->flows, l->n_flows + 1, sizeof *l->flows);
	l->flows[l->n_flows] = (struct flow){
		.from = from,
		.to = to,
		.period = period,
		.started = now,
		.next_at = now + rng_below(&l->rng, period),
	};
	router_hold(mesh_router(l->mesh, from), &mesh_identity(l->mesh, to)->id,
		    now);
	mesh_pump(l->mesh, from);
	return l->n_flows++;
}

void flows_end(struct lab *l)
{
	for (size_t i = 0; i < l->n_flows; i++) {
		size_t from = l->flows[i].from;

		if (!mesh_is_alive(l->mesh, from))
			continue;
		router_release(mesh_router(l->mesh, from),
			       &mesh_identity(l->mesh, l->flows[i].to)->id,
			       mesh_now(l->mesh));
		mesh_pump(l->mesh, from);
	}
	flows_free(l);
}

void flows_free(struct lab *l)
{
	free(l->flows);
	l->flows = NULL;
	l->n_flows = 0;
}

void flow_event(struct lab *l, size_t node, const struct router_event *ev)
{
	if (ev->type != ROUTER_CARRIES)
		return;
	for (size_t i = 0; i < l->n_flows; i++) {
		struct flow *f = &l->flows[i];

		if (f->from == node &&
		    id_equal(&ev->peer, &mesh_identity(l->mesh, f->to)->id)) {
			f->carries = ev->circuit;
			f->also = ev->also;
		}
	}
}

static bool transmit(struct lab *l, size_t i)
{
	struct flow *f = &l->flows[i];

	if (f->carries == 0 || !mesh_send_packet(l->mesh, f->from, f->carries,
						 PACKET_BYTES, tag_of(l, i)))
		return false;
	if (f->also != 0)
		mesh_send_packet(l->mesh, f->from, f->also, PACKET_BYTES,
				 tag_of(l, i));
	return true;
}

static void send_due(struct lab *l, size_t i, nsec now)
{
	struct flow *f = &l->flows[i];

	if (!mesh_is_alive(l->mesh, f->from))
		return;
	if (f->waiting_since != 0 && transmit(l, i))
		f->waiting_since = 0;
	if (f->waiting_since != 0 &&
	    (now >= f->next_at || now > f->waiting_since + FLOW_WAIT_NS)) {
		f->waiting_since = 0;
		f->n_unsent++;
	}
	if (now < f->next_at)
		return;
	f->next_at += f->period;
	f->n_offered++;
	if (!transmit(l, i))
		f->waiting_since = now;
}

void flows_run(struct lab *l, nsec time)
{
	nsec end = mesh_now(l->mesh) + time;

	while (mesh_now(l->mesh) < end) {
		nsec step = time_min(end, mesh_now(l->mesh) + 5 * NS_PER_MS);

		mesh_run(l->mesh, step);
		for (size_t i = 0; i < l->n_flows; i++)
			send_due(l, i, step);
	}
}

void flows_count_start(struct lab *l)
{
	for (size_t i = 0; i < l->n_flows; i++) {
		struct flow *f = &l->flows[i];

		f->n_offered = f->n_arrived = f->n_unsent = 0;
		memset(f->n_lost, 0, sizeof f->n_lost);
	}
}

bool flow_works(const struct flow *f, nsec since)
{
	return f->first_arrival != 0 && f->last_sent >= since;
}

static void note_arrival(struct flow *f, nsec at, nsec sent)
{
	f->n_arrived++;
	if (f->first_arrival == 0)
		f->first_arrival = at;
	f->last_arrival = at;
	if (sent > f->last_sent)
		f->last_sent = sent;
}

void flow_lost(struct lab *l, uint64_t tag, enum mesh_loss why)
{
	size_t i = tag >> FLOW_SHIFT;

	if (i < l->n_flows)
		l->flows[i].n_lost[(tag & REPLY_BIT) != 0][why]++;
}

void flow_delivered(struct lab *l, const struct mesh_delivery *d)
{
	size_t i = d->tag >> FLOW_SHIFT;
	struct flow *f = &l->flows[i];
	bool is_reply = (d->tag & REPLY_BIT) != 0;

	if (i >= l->n_flows || d->node != (is_reply ? f->from : f->to))
		return;
	if (d->tag == f->seen[is_reply])
		return;
	f->seen[is_reply] = d->tag;
	if (f->is_ping && !is_reply) {
		if (!mesh_send_packet(l->mesh, d->node, d->circuit,
				      PACKET_BYTES, d->tag | REPLY_BIT))
			f->n_lost[1][LOSS_CIRCUIT]++;
	} else
		note_arrival(f, d->at, (d->tag & TIME_MASK) * TIME_UNIT_NS);
}
