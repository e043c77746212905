#include "tests/sim/report/figures.h"

#include "tests/sim/report/flow.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS (120 * NS_PER_S)

/* A network that is used: every fourth node pings another. */
static double node_hours_per_hour(struct plan *p, size_t n, nsec time)
{
	struct lab *l = lab_new(NET_BA, n, p->seed,
				&(struct lab_options){ .flood_below = 0 });
	double cpu;

	lab_run(l, SETTLE_NS);
	while (l->n_flows < n / 4) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		flow_add(l, from, to, NS_PER_S);
	}
	cpu = lab_cpu();
	flows_run(l, time);
	cpu = lab_cpu() - cpu;
	lab_free(l);
	return (double)n * (double)time / NS_PER_S / cpu;
}

void figures_speed(struct plan *p)
{
	nsec time = (p->is_quick ? 300 : 1800) * NS_PER_S;

	table_add(&p->table, node_hours_per_hour(p, 200, time), "",
		  WANT_AT_LEAST, 5000, p->seed,
		  "simulator: node-hours per core-hour at 200 nodes, 50 of "
		  "them pinging");
	table_add(&p->table, lab_memory_mib() / 1024, "GiB", WANT_AT_MOST, 8,
		  p->seed, "simulator: most memory of this run");
}
