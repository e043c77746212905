#include "proto/base/mem.h"
#include "tests/sim/report/figures.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS (60 * NS_PER_S)
#define N_PAIRS   8

/* A small network of each kind; nothing here depends on how fast we are. */
void figures_smoke(struct plan *p)
{
	static const struct {
		enum net_kind kind;
		size_t n;
		double messages_max;
	} cases[] = {
		{ NET_BA, 200, 70 },       { NET_HUBS, 200, 50 },
		{ NET_SMALL, 200, 150 },   { NET_GEOMETRIC, 200, 150 },
		{ NET_REGULAR, 200, 100 }, { NET_GRID, 196, 250 },
		{ NET_LINE, 50, 250 },     { NET_RANDOM, 200, 150 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct setup_figures f;
		struct lab *l =
			lab_new(cases[i].kind, cases[i].n, p->seed,
				&(struct lab_options){ .flood_below = 0 });

		lab_run(l, SETTLE_NS);
		setup_measure(l, N_PAIRS, false, &f);
		table_add(&p->table, (double)f.n_up, "", WANT_AT_LEAST, N_PAIRS,
			  p->seed, "circuits, %s",
			  net_kind_name(cases[i].kind));
		table_add(&p->table, f.messages, "", WANT_AT_MOST,
			  cases[i].messages_max, p->seed,
			  "messages per new circuit, %s",
			  net_kind_name(cases[i].kind));
		lab_free(l);
	}
}
