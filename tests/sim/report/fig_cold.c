#include "tests/sim/report/figures.h"

#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/sim/report/lab.h"

#define RUNS    4
#define STEP_NS (50 * NS_PER_MS)
#define GIVE_UP (30 * NS_PER_S)
#define QUORUM  0.95

/* Every node asks for one other as soon as it runs, and again when it is told
 * that there is no way. */
static size_t cold_start(enum net_kind kind, size_t n, uint64_t seed,
			 uint32_t flood_below, double *seconds)
{
	struct lab *l =
		lab_new(kind, n, seed,
			&(struct lab_options){ .flood_below = flood_below });
	nsec start = mesh_now(l->mesh);
	size_t n_pairs = 0;

	for (size_t i = 0; i < n; i++) {
		size_t to = lab_pick(l, n - 1);

		lab_ask(l, i, to == i ? n - 1 : to);
	}
	while (lab_n_up(l) < l->n_asks && mesh_now(l->mesh) < start + GIVE_UP) {
		lab_run(l, STEP_NS);
		lab_ask_again(l);
	}
	for (size_t i = 0; i < l->n_asks; i++) {
		nsec end = l->asks[i].up_at;

		seconds[n_pairs++] =
			(double)((end != 0 ? end : start + GIVE_UP) - start) /
			NS_PER_S;
	}
	lab_free(l);
	return n_pairs;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run_case(struct plan *p, enum net_kind kind, size_t n,
		     uint32_t flood_below, const char *how)
{
	double *seconds = mem_calloc(RUNS * n, sizeof *seconds);
	size_t n_pairs = 0;

	for (uint64_t i = 0; i < RUNS; i++)
		n_pairs += cold_start(kind, n, p->seed + i, flood_below,
				      seconds + n_pairs);
	qsort(seconds, n_pairs, sizeof *seconds, by_value);
	table_add(&p->table, seconds[(size_t)(QUORUM * (double)n_pairs)], "s",
		  WANT_AT_MOST, 6, p->seed,
		  "cold start, %s of %zu nodes, %s: 95 %% of pairs have a "
		  "circuit",
		  net_kind_name(kind), n, how);
	free(seconds);
}

void figures_cold(struct plan *p)
{
	run_case(p, NET_GRID, 49, FLOOD_BELOW, "as configured");
	run_case(p, NET_LINE, 50, FLOOD_BELOW, "as configured");
	run_case(p, NET_GRID, 49, 0, "steered alone");
	run_case(p, NET_LINE, 50, 0, "steered alone");
}
