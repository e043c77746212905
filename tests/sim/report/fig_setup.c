#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/sim/report/figures.h"
#include "tests/sim/report/lab.h"

/* From a cold start until nothing moves any more.  The roots take records in at
 * a limited rate, so that large networks need longer. */
#define SETTLE_NS          (150 * NS_PER_S)
#define SETTLE_PER_NODE_NS (60 * NS_PER_MS)
#define PROGRESS_NS        (60 * NS_PER_S) /* between two lines of it */
/* Longer than any attempt. */
#define WAIT_NS (12 * NS_PER_S)
/* After a circuit is up, until the last copy of its probe is back. */
#define TAIL_NS  (9 * NS_PER_S)
#define SLACK_NS (50 * NS_PER_MS)

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
	if (n == 0)
		return 0;
	qsort(values, n, sizeof *values, by_value);
	return values[n / 2];
}

double idle_measure(struct lab *l, unsigned seconds)
{
	lab_meter_start(l);
	lab_run(l, seconds * NS_PER_S);
	return (double)lab_n_bytes(l) / seconds / (double)l->net.n / 1000;
}

/* Distances from one node, with and without the protocol's floor. */
struct reference {
	nsec *cost, *delay;
	unsigned *n_hops;
};

static void reference_from(const struct lab *l, size_t from,
			   struct reference *r)
{
	net_distances(&l->net, from, LAB_COST_FLOOR_NS, NULL, r->cost,
		      r->n_hops);
	net_distances(&l->net, from, 0, NULL, r->delay, NULL);
}

/* One value of each pair whose circuit came up. */
struct samples {
	double *path, *circuit, *stretch;
	bool is_told; /* each of them, as it comes */
};

static double in_round_trips(nsec took, nsec one_way)
{
	return ((double)took - (double)SLACK_NS) / (2 * (double)one_way);
}

static void note_up(const struct lab *l, const struct ask *a,
		    const struct reference *ref, size_t i, struct samples *s)
{
	s->path[i] = in_round_trips(a->proved_at - a->at, ref->delay[a->to]);
	s->circuit[i] = in_round_trips(a->up_at - a->at, ref->delay[a->to]);
	s->stretch[i] = (double)lab_circuit_cost(l, a->from, a->circuit) /
			(double)ref->cost[a->to];
}

static double trips(nsec from, nsec to, nsec one_way)
{
	return ((double)to - (double)from) / (2 * (double)one_way);
}

static void tell_pair(const struct lab *l, const struct ask *a,
		      const struct reference *ref, const struct samples *s,
		      size_t n_up)
{
	nsec one_way = ref->delay[a->to];
	const struct router_counters *n =
		router_counters(mesh_router(l->mesh, a->from));

	fprintf(stderr,
		"# %zu to %zu: %" PRIu64 " messages, busiest %u, %" PRIu64
		" rounds, %" PRIu64 " lookups, %" PRIu64 " failed, %" PRIu64
		" floods",
		a->from, a->to, lab_n_setup(l), lab_busiest(l), n->n_rounds,
		n->n_lookups, n->n_lookups_failed, n->n_flood_last_resort);
	if (a->up_at != 0)
		fprintf(stderr,
			", RTT %.0f ms, %u hops, looked up after %.2f, "
			"answered %.2f, proved %.2f, path %.2f RTT, "
			"circuit %.2f, stretch %.2f",
			2 * (double)one_way / (double)NS_PER_MS,
			ref->n_hops[a->to], trips(a->at, a->probed_at, one_way),
			trips(a->at, a->answered_at, one_way),
			trips(a->at, a->proved_at, one_way), s->path[n_up - 1],
			s->circuit[n_up - 1], s->stretch[n_up - 1]);
	fprintf(stderr, "\n");
}

static void measure_pair(struct lab *l, size_t from, size_t to,
			 const struct reference *ref, struct setup_figures *out,
			 struct samples *s)
{
	const struct ask *a;

	lab_meter_start(l);
	lab_ask(l, from, to);
	a = &l->asks[0];
	lab_await(l, WAIT_NS);
	out->n_asked++;
	if (a->up_at != 0)
		note_up(l, a, ref, out->n_up++, s);
	lab_run(l, TAIL_NS);
	out->messages += (double)lab_n_setup(l);
	out->with_queries +=
		(double)(lab_n_setup(l) + l->n_msgs[MSG_PEER_QUERY] +
			 l->n_msgs[MSG_PEER_INFO]);
	if (lab_busiest(l) > out->busiest)
		out->busiest = lab_busiest(l);
	if (s->is_told)
		tell_pair(l, a, ref, s, out->n_up);
	if (a->up_at != 0)
		mesh_close(l->mesh, from, a->circuit);
	lab_asks_clear(l);
}

static void measure_pairs(struct lab *l, size_t n_pairs,
			  struct setup_figures *out, struct samples *s)
{
	struct reference ref = {
		.cost = mem_calloc(l->net.n, sizeof *ref.cost),
		.delay = mem_calloc(l->net.n, sizeof *ref.delay),
		.n_hops = mem_calloc(l->net.n, sizeof *ref.n_hops),
	};

	while (out->n_asked < n_pairs) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		reference_from(l, from, &ref);
		if (ref.n_hops[to] > HOPS_MAX)
			out->n_too_far++;
		else
			measure_pair(l, from, to, &ref, out, s);
	}
	free(ref.cost);
	free(ref.delay);
	free(ref.n_hops);
}

void setup_measure(struct lab *l, size_t n_pairs, bool is_told,
		   struct setup_figures *out)
{
	struct samples s = {
		.is_told = is_told,
		.path = mem_calloc(n_pairs, sizeof *s.path),
		.circuit = mem_calloc(n_pairs, sizeof *s.circuit),
		.stretch = mem_calloc(n_pairs, sizeof *s.stretch),
	};

	*out = (struct setup_figures){ 0 };
	measure_pairs(l, n_pairs, out, &s);
	out->messages /= (double)out->n_asked;
	out->with_queries /= (double)out->n_asked;
	out->first_path = median(s.path, out->n_up);
	out->first_circuit = median(s.circuit, out->n_up);
	out->stretch = median(s.stretch, out->n_up);
	free(s.path);
	free(s.circuit);
	free(s.stretch);
}

/* ---- rows -------------------------------------------------------------- */

struct setup_case {
	enum net_kind kind;
	size_t n, n_pairs;
	double messages_max; /* 0: nothing is wanted */
	double stretch_max;
	double idle_max; /* kB/s; 0: not measured */
	unsigned idle_s;
};

static void add_rows(struct plan *p, const struct setup_case *c,
		     const struct setup_figures *f)
{
	const char *kind = net_kind_name(c->kind);
	struct table *t = &p->table;
	uint64_t seed = p->seed;

	if (c->idle_max > 0)
		table_add(t, f->idle_kb_s, "kB/s", WANT_AT_MOST, c->idle_max,
			  seed, "idle control traffic per node, %s, %zu nodes",
			  kind, c->n);
	if (c->n_pairs == 0)
		return;
	table_add(t, f->messages, "",
		  c->messages_max > 0 ? WANT_AT_MOST : WANT_NOTHING,
		  c->messages_max, seed,
		  "messages per new circuit, %s, %zu nodes (%.0f with those "
		  "that ask for certificates)",
		  kind, c->n, f->with_queries);
	table_add(t, f->busiest, "", WANT_AT_MOST, 12, seed,
		  "busiest node per set-up, %s, %zu nodes", kind, c->n);
	table_add(t, 100.0 * (double)f->n_up / (double)f->n_asked, "%",
		  WANT_AT_LEAST, 100, seed,
		  "circuits that came up, %s, %zu nodes", kind, c->n);
	table_add(t, f->first_path, "RTT", WANT_AT_MOST, 2.5, seed,
		  "first usable path less 50 ms, median, %s, %zu nodes", kind,
		  c->n);
	table_add(t, f->first_circuit, "RTT", WANT_NOTHING, 0, seed,
		  "circuit up less 50 ms, median, %s, %zu nodes", kind, c->n);
	table_add(t, f->stretch, "", WANT_AT_MOST, c->stretch_max, seed,
		  "stretch of the chosen path, median, %s, %zu nodes", kind,
		  c->n);
}

static void tell_progress(const struct lab *l, const struct setup_case *c,
			  double cpu)
{
	fprintf(stderr, "# %s %zu: %.0f s, after %.1f s of CPU, %.0f MiB\n",
		net_kind_name(c->kind), c->n,
		(double)mesh_now(l->mesh) / (double)NS_PER_S, lab_cpu() - cpu,
		lab_memory_mib());
}

static void settle(const struct plan *p, struct lab *l,
		   const struct setup_case *c)
{
	nsec left = SETTLE_NS + c->n * SETTLE_PER_NODE_NS;
	double cpu = lab_cpu();

	while (left > 0) {
		nsec step = time_min(left, PROGRESS_NS);

		lab_run(l, step);
		left -= step;
		if (p->is_verbose)
			tell_progress(l, c, cpu);
	}
}

static void run_case(struct plan *p, const struct setup_case *c)
{
	struct setup_figures f = { 0 };
	struct lab *l = lab_new(
		c->kind, c->n, p->seed,
		&(struct lab_options){ .flood_below = 0,
				       .directory_from = p->directory_from });
	double idle = 0;

	settle(p, l, c);
	if (c->idle_max > 0)
		idle = idle_measure(l, c->idle_s);
	if (c->n_pairs > 0)
		setup_measure(l, c->n_pairs, p->is_verbose, &f);
	f.idle_kb_s = idle;
	add_rows(p, c, &f);
	lab_free(l);
}

/* As the options want it; none, if they leave it out. */
static void run_wanted(struct plan *p, const struct setup_case *c,
		       bool *has_run)
{
	struct setup_case it = *c;

	if ((p->kind != NET_KINDS && p->kind != c->kind) ||
	    (p->n_nodes != 0 && p->n_nodes != c->n))
		return;
	if (p->n_pairs != 0 && c->n_pairs != 0)
		it.n_pairs = p->n_pairs;
	run_case(p, &it);
	*has_run = true;
}

/* A size that none of them has: nothing is wanted of it but the common. */
static void run_other(struct plan *p)
{
	struct setup_case it = { .kind = p->kind,
				 .n = p->n_nodes,
				 .n_pairs = p->n_pairs != 0 ? p->n_pairs : 40,
				 .stretch_max = 1.5 };

	if (p->kind != NET_KINDS && p->n_nodes != 0)
		run_case(p, &it);
}

void figures_setup(struct plan *p)
{
	static const struct setup_case full[] = {
		{ NET_RANDOM, 50, 0, 0, 0, 0.25, 1800 },
		{ NET_BA, 100, 60, 0, 1.25, 0, 0 },
		{ NET_BA, 1000, 100, 70, 1.25, 0.55, 1800 },
		{ NET_BA, 10000, 60, 100, 1.25, 1, 900 },
		{ NET_HUBS, 10000, 60, 50, 1.5, 0, 0 },
		{ NET_SMALL, 10000, 60, 220, 1.5, 0, 0 },
		/* Larger ones are wider than a path may be: docs/routing.md. */
		{ NET_GEOMETRIC, 1000, 40, 750, 1.5, 0, 0 },
		{ NET_REGULAR, 1000, 40, 0, 1.5, 0, 0 },
	};
	static const struct setup_case quick[] = {
		{ NET_RANDOM, 50, 0, 0, 0, 0.25, 1800 },
		{ NET_BA, 1000, 40, 70, 1.25, 0.55, 900 },
		{ NET_HUBS, 1000, 40, 50, 1.5, 0, 0 },
		{ NET_SMALL, 1000, 40, 220, 1.5, 0, 0 },
		{ NET_GEOMETRIC, 1000, 30, 750, 1.5, 0, 0 },
		{ NET_REGULAR, 1000, 30, 0, 1.5, 0, 0 },
	};
	static const struct setup_case huge = { NET_BA, 100000, 40, 130,
						1.25,   0,      0 };

	const struct setup_case *cases = p->is_quick ? quick : full;
	size_t n = p->is_quick ? ARRAY_LEN(quick) : ARRAY_LEN(full);
	bool has_run = false;

	if (p->is_huge) {
		cases = &huge;
		n = 1;
	}
	for (size_t i = 0; i < n; i++)
		run_wanted(p, &cases[i], &has_run);
	if (!has_run)
		run_other(p);
}
