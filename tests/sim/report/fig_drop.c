#include "tests/sim/report/figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/sim/report/flow.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS (120 * NS_PER_S)
#define PERIOD_NS (100 * NS_PER_MS)
#define LIMIT_NS  (10 * NS_PER_S)
#define CLEAN_NS  (30 * NS_PER_S)
/* Working is: what was sent within the last so much has arrived. */
#define LATELY_NS (2 * NS_PER_S)

static bool *choose(struct lab *l, size_t n, unsigned percent)
{
	bool *bad = mem_calloc(n, sizeof *bad);

	for (size_t k = 0; k < n * percent / 100;) {
		size_t i = lab_pick(l, n);

		k += !bad[i];
		bad[i] = true;
	}
	return bad;
}

/* What keeps it in the trees it passes on: nobody is to know. */
static bool drop_all(void *ctx, size_t from, size_t to, struct msg *m)
{
	const bool *bad = ctx;

	(void)to;
	if (!bad[from])
		return true;
	switch (m->type) {
	case MSG_LINK:
	case MSG_BEACON:
	case MSG_BEAT:
	case MSG_PEER_QUERY:
	case MSG_PEER_INFO:
		return true;
	default:
		return false;
	}
}

/* Pairs of honest nodes that an honest path joins. */
static void add_flows(struct lab *l, const bool *bad, size_t n)
{
	bool *good = mem_calloc(l->net.n, sizeof *good);
	nsec *reach = mem_calloc(l->net.n, sizeof *reach);

	for (size_t i = 0; i < l->net.n; i++)
		good[i] = !bad[i];
	while (l->n_flows < n) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		if (bad[from] || bad[to])
			continue;
		net_distances(&l->net, from, 0, good, reach, NULL);
		if (reach[to] != NET_NOWHERE)
			flow_add(l, from, to, PERIOD_NS);
	}
	free(good);
	free(reach);
}

/* What a pair that does not work has. */
static void tell(const struct lab *l, const struct flow *f, const bool *bad)
{
	const struct router_counters *n =
		router_counters(mesh_router(l->mesh, f->from));
	struct hold_info h = { 0 };
	nsec now = mesh_now(l->mesh);

	router_hold_find(mesh_router(l->mesh, f->from),
			 &mesh_identity(l->mesh, f->to)->id, &h);
	fprintf(stderr,
		"# %zu to %zu: carries %u (bad %d), spare %u (bad %d), arrived "
		"first %.1f last %.1f s; %" PRIu64 " rounds, %" PRIu64
		" tests, %" PRIu64 " localised, %" PRIu64 " switches, %" PRIu64
		" blamed, %" PRIu64 " last resort, %" PRIu64 " unreachable\n",
		f->from, f->to, h.carries,
		lab_circuit_crosses(l, f->from, h.carries, bad), h.spare,
		lab_circuit_crosses(l, f->from, h.spare, bad),
		f->first_arrival != 0
			? (double)(f->first_arrival - f->started) / NS_PER_S
			: -1,
		(double)(now - f->last_sent) / NS_PER_S, n->n_rounds,
		n->n_tests, n->n_localised, n->n_switches, n->n_blamed,
		n->n_flood_last_resort, n->n_unreachable);
}

static double part_working(const struct lab *l, const bool *bad, bool tells)
{
	nsec since = mesh_now(l->mesh) - LATELY_NS;
	size_t n = 0;

	for (size_t i = 0; i < l->n_flows; i++) {
		const struct flow *f = &l->flows[i];

		n += flow_works(f, since);
		if (tells && !flow_works(f, since))
			tell(l, f, bad);
	}
	return 100.0 * (double)n / (double)l->n_flows;
}

static double part_clean(const struct lab *l, const bool *bad)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_flows; i++) {
		const struct flow *f = &l->flows[i];
		struct circuit_info info;

		n += f->carries != 0 &&
		     router_circuit_get(mesh_router(l->mesh, f->from),
					f->carries, &info) &&
		     !lab_circuit_crosses(l, f->from, f->carries, bad);
	}
	return 100.0 * (double)n / (double)l->n_flows;
}

static void droppers(struct plan *p, unsigned percent, bool all, double wanted)
{
	size_t n = p->is_quick ? 300 : 1000;
	struct lab *l = lab_new(NET_BA, n, p->seed,
				&(struct lab_options){ .flood_below = 0 });
	bool *bad = choose(l, n, percent);

	l->swallows = bad;
	if (all)
		mesh_set_filter(l->mesh, drop_all, bad);
	lab_run(l, SETTLE_NS);
	add_flows(l, bad, p->is_quick ? 100 : 300);
	flows_run(l, LIMIT_NS);
	table_add(&p->table, part_working(l, bad, p->is_verbose), "%",
		  WANT_AT_LEAST, wanted, p->seed,
		  "%u %% of %zu nodes drop %s silently: pairs with an honest "
		  "path whose packets arrive after 10 s",
		  percent, n, all ? "everything" : "packets alone");
	flows_run(l, CLEAN_NS - LIMIT_NS);
	table_add(&p->table, part_working(l, bad, p->is_verbose), "%",
		  WANT_NOTHING, 0, p->seed, "the same after 30 s");
	lab_free(l);
	free(bad);
}

/* They claim that their links cost nothing, to draw circuits. */
static void liars(struct plan *p)
{
	size_t n = p->is_quick ? 300 : 1000;
	bool *bad = mem_calloc(n, sizeof *bad);
	struct rng rng;
	struct lab *l;

	rng_init(&rng, p->seed);
	for (size_t k = 0; k < n / 10;) {
		size_t i = (size_t)rng_below(&rng, n);

		k += !bad[i];
		bad[i] = true;
	}
	l = lab_new(
		NET_BA, n, p->seed,
		&(struct lab_options){ .flood_below = 0, .cost_liars = bad });
	l->swallows = bad;
	lab_run(l, SETTLE_NS);
	add_flows(l, bad, p->is_quick ? 100 : 300);
	flows_run(l, CLEAN_NS);
	table_add(&p->table, part_clean(l, bad), "%", WANT_AT_LEAST, 95,
		  p->seed,
		  "10 %% of %zu nodes lie about cost and drop packets: "
		  "circuits without a liar after 30 s",
		  n);
	lab_free(l);
	free(bad);
}

void figures_drop(struct plan *p)
{
	droppers(p, 10, true, 99);
	droppers(p, 20, true, 95);
	droppers(p, 10, false, 99);
	droppers(p, 20, false, 95);
	liars(p);
}
