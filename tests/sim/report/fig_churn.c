#include "tests/sim/report/figures.h"

#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/sim/report/flow.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS (120 * NS_PER_S)
/* A dead neighbour is noticed as late as a session without traffic does. */
#define NOTICE_NS (6 * NS_PER_S)
#define PERIOD_NS (200 * NS_PER_MS)
#define WARM_NS   (15 * NS_PER_S)
#define LIMIT_NS  (10 * NS_PER_S)

static void add_flows(struct lab *l, size_t n, nsec period)
{
	while (l->n_flows < n) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		flow_add(l, from, to, period);
	}
}

/* ---- death ------------------------------------------------------------- */

/* Of the pairs that a path joins: the part whose packets arrive again. */
static double part_that_works(const struct lab *l, nsec since)
{
	nsec *reach = mem_calloc(l->net.n, sizeof *reach);
	bool *alive = mem_calloc(l->net.n, sizeof *alive);
	size_t n = 0, n_works = 0;

	for (size_t i = 0; i < l->net.n; i++)
		alive[i] = !l->dead[i];
	for (size_t i = 0; i < l->n_flows; i++) {
		const struct flow *f = &l->flows[i];

		if (!alive[f->from] || !alive[f->to])
			continue;
		net_distances(&l->net, f->from, 0, alive, reach, NULL);
		if (reach[f->to] == NET_NOWHERE)
			continue;
		n++;
		n_works += flow_works(f, since);
	}
	free(reach);
	free(alive);
	return 100.0 * (double)n_works / (double)n;
}

static void deaths(struct plan *p, unsigned percent, double wanted)
{
	size_t n = p->is_quick ? 300 : 1000;
	struct lab *l = lab_new(
		NET_BA, n, p->seed,
		&(struct lab_options){ .flood_below = 0, .notice = NOTICE_NS });
	nsec killed;

	lab_run(l, SETTLE_NS);
	add_flows(l, p->is_quick ? 100 : 300, PERIOD_NS);
	flows_run(l, WARM_NS);
	killed = mesh_now(l->mesh);
	for (size_t k = 0; k < n * percent / 100;) {
		size_t i = lab_pick(l, n);

		if (l->dead[i])
			continue;
		lab_kill(l, i);
		k++;
	}
	flows_run(l, LIMIT_NS);
	table_add(&p->table, part_that_works(l, killed), "%", WANT_AT_LEAST,
		  wanted, p->seed,
		  "%u %% of %zu nodes die at once: pairs that a path joins and "
		  "whose packets arrive within 10 s",
		  percent, n);
	lab_free(l);
}

void figures_churn(struct plan *p)
{
	deaths(p, 5, 99);
	deaths(p, 20, 95);
}
