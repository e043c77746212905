#include "tests/sim/report/figures.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/mem.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS  (90 * NS_PER_S)
#define PER_SECOND 5000
#define SECONDS    5
#define BURST_NS   NS_PER_MS

/* Time that one router spends on what it is handed. */
struct stopwatch {
	size_t node;
	double started, total;
};

static double thread_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_handling(void *ctx, size_t node, bool begins)
{
	struct stopwatch *w = ((struct lab *)ctx)->stopwatch;

	if (w == NULL || node != w->node)
		return;
	if (begins)
		w->started = thread_seconds();
	else
		w->total += thread_seconds() - w->started;
}

/* A probe as its sender would make it, for a node that may or may not be. */
static void make_probe(struct lab *l, size_t from, struct msg *m)
{
	struct msg_probe *p = &m->probe;
	const struct identity *self = mesh_identity(l->mesh, from);

	*m = (struct msg){ .type = MSG_PROBE };
	p->flags = 0;
	p->ttl = HOPS_MAX;
	p->origin = self->id;
	p->target = mesh_identity(l->mesh, lab_pick(l, l->net.n))->id;
	rng_fill(&l->rng, &p->nonce, sizeof p->nonce);
	p->issued_ms = mesh_wall(l->mesh);
	p->valid_ms = PROBE_VALID_MS;
	p->deadline_ms = 2000;
	p->tree = TREE_ANY;
	p->budget = 64;
	p->chain_len = KEY_LEN;
	memcpy(p->chain, self->key.b, KEY_LEN);
	msg_probe_seal(p);
	key_sign(p->sig_origin, mesh_key(l->mesh, from), SIGN_PROBE_ORIGIN,
		 mesh_ca(l->mesh), p->body, sizeof p->body);
}

/* An OPEN as a relay would pass it on, of an origin that nobody is. */
static void make_open(struct lab *l, size_t from, size_t victim, struct msg *m)
{
	struct msg_open *o = &m->open;
	struct route_proof *p = &o->route;
	size_t path[] = { from, victim, lab_pick(l, l->net.n) };

	*m = (struct msg){ .type = MSG_OPEN };
	rng_fill(&l->rng, &p->origin, sizeof p->origin);
	p->target = mesh_identity(l->mesh, path[2])->id;
	p->expiry_ms = mesh_wall(l->mesh) + ROUTE_LIFETIME_MS;
	p->hops.n = ARRAY_LEN(path);
	for (size_t i = 0; i < p->hops.n; i++)
		p->hops.hop[i] =
			(struct hop){ .id = mesh_identity(l->mesh, path[i])->id,
				      .cost_100us = LINK_COST_FLOOR_100US,
				      .mtu = CIRCUIT_MTU_MAX };
	route_proof_seal(p);
	rng_fill(&l->rng, &o->open_id, sizeof o->open_id);
	o->issued_ms = mesh_wall(l->mesh);
	o->label = 1;
	o->mtu = CIRCUIT_MTU_MAX;
	msg_open_seal(o);
}

/* What one member sends to the neighbour that has most links. */
struct flood {
	enum msg_type type;
	const char *what;
	size_t member, victim, link;
};

static void send_burst(struct lab *l, const struct flood *f)
{
	struct msg *m = mem_new(m);

	for (unsigned i = 0; i < PER_SECOND * BURST_NS / NS_PER_S; i++) {
		if (f->type == MSG_OPEN)
			make_open(l, f->member, f->victim, m);
		else
			make_probe(l, f->member, m);
		mesh_inject(l->mesh, f->victim, f->link, m);
	}
	free(m);
}

/* The member's neighbour with most links. */
static size_t victim_of(const struct lab *l, size_t member, size_t *link)
{
	size_t best = SIZE_MAX;

	for (size_t i = l->net.first[member]; i < l->net.first[member + 1];
	     i++) {
		size_t to = net_far_end(&l->net, l->net.at[i], member);

		if (best != SIZE_MAX &&
		    net_degree(&l->net, to) <= net_degree(&l->net, best))
			continue;
		best = to;
		*link = l->net.at[i];
	}
	return best;
}

/* Every other one for the flooded node itself: nothing leads around that. */
static void ask_somebody(struct lab *l, const struct flood *f)
{
	size_t from, to;

	if (lab_pick(l, 50) != 0)
		return;
	lab_pick_pair(l, &from, &to);
	if (l->n_asks % 2 == 0)
		to = f->victim;
	if (from != f->member && from != to)
		lab_ask(l, from, to);
}

static void report(struct plan *p, const struct lab *l, const struct flood *f,
		   const struct stopwatch *w)
{
	table_add(&p->table, 100.0 * (double)lab_n_up(l) / (double)l->n_asks,
		  "%", WANT_AT_LEAST, 99, p->seed,
		  "one member of %zu sends 5 000 %s/s: %zu set-ups of "
		  "others",
		  l->net.n, f->what, l->n_asks);
	table_add(&p->table, 100.0 * w->total / SECONDS, "%", WANT_AT_MOST, 10,
		  p->seed,
		  "one member sends 5 000 %s/s: part of a core that its "
		  "neighbour spends on messages, real signatures",
		  f->what);
}

static void flood(struct plan *p, size_t n, struct flood f)
{
	struct lab *l = lab_new(
		NET_BA, n, p->seed,
		&(struct lab_options){ .flood_below = 0, .is_dear = true });
	struct stopwatch w = { 0 };
	nsec end;

	lab_watch_handling(l, on_handling);
	lab_run(l, SETTLE_NS);
	f.member = n - 1;
	f.victim = w.node = victim_of(l, f.member, &f.link);
	l->stopwatch = &w;
	end = mesh_now(l->mesh) + SECONDS * NS_PER_S;
	while (mesh_now(l->mesh) < end) {
		send_burst(l, &f);
		lab_run(l, BURST_NS);
		ask_somebody(l, &f);
	}
	l->stopwatch = NULL;
	lab_await(l, 10 * NS_PER_S);
	report(p, l, &f, &w);
	lab_free(l);
}

void figures_flooded(struct plan *p)
{
	size_t n = p->is_quick ? 60 : 100;

	flood(p, n, (struct flood){ .type = MSG_PROBE, .what = "probes" });
	flood(p, n, (struct flood){ .type = MSG_OPEN, .what = "OPENs" });
}
