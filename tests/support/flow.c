#include "tests/support/flow.h"

#define PACKET_BYTES 1000

static void look(struct flow *f)
{
	const struct mesh_event *e;
	const struct mesh_delivery *d;
	size_t n;

	e = mesh_events(f->m, f->from, &n);
	for (; f->n_events < n; f->n_events++) {
		const struct router_event *ev = &e[f->n_events].event;

		if (ev->type == ROUTER_CARRIES &&
		    mesh_find(f->m, &ev->peer) == f->to) {
			f->carries = ev->circuit;
			f->n_carries++;
		}
	}
	d = mesh_deliveries(f->m, &n);
	for (; f->n_deliveries < n; f->n_deliveries++) {
		const struct mesh_delivery *p = &d[f->n_deliveries];

		if (p->node == f->to) {
			f->n_came++;
			f->last_came = p->at;
			for (unsigned i = 0; i < f->n_echoes; i++)
				mesh_send_packet(f->m, f->to, p->circuit,
						 PACKET_BYTES, p->tag);
		} else if (p->node == f->from) {
			if (p->at - f->last_came_back > f->gap)
				f->gap = p->at - f->last_came_back;
			f->n_came_back++;
			f->last_came_back = p->at;
		}
	}
}

void flow_start(struct flow *f, struct mesh *m, size_t from, size_t to,
		nsec period, unsigned n_echoes)
{
	*f = (struct flow){ .m = m,
			    .from = from,
			    .to = to,
			    .period = period,
			    .n_echoes = n_echoes };
	mesh_deliveries(m, &f->n_deliveries);
	mesh_events(m, from, &f->n_events);
	mesh_hold(m, from, to);
	look(f);
	flow_reset(f);
}

void flow_reset(struct flow *f)
{
	f->n_sent = f->n_came = f->n_came_back = 0;
	f->gap = 0;
	f->last_came_back = f->last_came = mesh_now(f->m);
	f->n_carries = 0;
}

static void run(struct flow *f, nsec time, bool sends)
{
	nsec until = mesh_now(f->m) + time;

	while (mesh_now(f->m) < until) {
		mesh_run(f->m, time_min(mesh_now(f->m) + f->period, until));
		look(f);
		if (sends && f->carries != 0 &&
		    mesh_send_packet(f->m, f->from, f->carries, PACKET_BYTES,
				     f->n_sent))
			f->n_sent++;
	}
}

void flow_run(struct flow *f, nsec time)
{
	run(f, time, true);
	if (mesh_now(f->m) - f->last_came_back > f->gap)
		f->gap = mesh_now(f->m) - f->last_came_back;
}

void flow_rest(struct flow *f, nsec time)
{
	run(f, time, false);
}
