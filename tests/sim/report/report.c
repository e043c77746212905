/* The figures of routing, measured: report [--quick] [--huge] [--seed S]
 * [--only GROUP] [--kind KIND] [--nodes N] [--pairs N] [--directory N]
 * [--write FILE] [-v], or report --smoke [--seed S].  A figure
 * that is missed is said so in its row; only with --smoke is the exit code 1
 * then. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "tests/sim/report/figures.h"
#include "tests/sim/report/lab.h"

static const struct {
	const char *name;
	figures *run;
} groups[] = {
	{ "setup", figures_setup },     { "cold", figures_cold },
	{ "churn", figures_churn },     { "mobility", figures_mobility },
	{ "drop", figures_drop },       { "attack", figures_attack },
	{ "flooded", figures_flooded }, { "speed", figures_speed },
};

struct options {
	struct plan plan;
	bool is_smoke;
	const char *only;
	const char *write;
};

static void usage(void)
{
	fprintf(stderr, "usage: report [--quick] [--huge] [--smoke] [--seed S] "
			"[--only GROUP] [--kind ba|hubs|small|geometric|"
			"regular|random] [--nodes N] [--pairs N] "
			"[--directory N] [--write FILE] [-v]\n");
	exit(2);
}

/* Where the number of an option goes; false: it is none with a number. */
static bool take_number(struct options *o, int c, const char *text)
{
	uint64_t n;

	if (!text_u64(&n, text, 0, UINT64_MAX))
		return false;
	if (c == 's')
		o->plan.seed = n;
	else if (c == 'n')
		o->plan.n_nodes = n;
	else if (c == 'p')
		o->plan.n_pairs = n;
	else if (c == 'd' && n <= UINT32_MAX)
		o->plan.directory_from = (uint32_t)n;
	else
		return false;
	return true;
}

static bool take(struct options *o, int c, const char *arg)
{
	if (c == 'q')
		o->plan.is_quick = true;
	else if (c == 'h')
		o->plan.is_huge = true;
	else if (c == 'k')
		o->is_smoke = true;
	else if (c == 'o')
		o->only = arg;
	else if (c == 'w')
		o->write = arg;
	else if (c == 'v')
		o->plan.is_verbose = true;
	else if (c == 'i')
		return net_kind_parse(&o->plan.kind, arg);
	else
		return arg != NULL && take_number(o, c, arg);
	return true;
}

static struct options parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "huge", no_argument, NULL, 'h' },
		{ "smoke", no_argument, NULL, 'k' },
		{ "seed", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "kind", required_argument, NULL, 'i' },
		{ "nodes", required_argument, NULL, 'n' },
		{ "pairs", required_argument, NULL, 'p' },
		{ "directory", required_argument, NULL, 'd' },
		{ "write", required_argument, NULL, 'w' },
		{ 0 },
	};
	struct options o = { .plan = { .seed = 1, .kind = NET_KINDS } };
	int c;

	while ((c = getopt_long(argc, argv, "v", longs, NULL)) != -1)
		if (!take(&o, c, optarg))
			usage();
	if (optind != argc)
		usage();
	return o;
}

static void run_group(struct plan *p, size_t i)
{
	double start = lab_cpu();

	printf("-- %s\n", groups[i].name);
	groups[i].run(p);
	printf("-- %s: %.1f s of CPU\n", groups[i].name, lab_cpu() - start);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct table *t = &o.plan.table;
	int rv = 0;

	if (o.is_smoke)
		figures_smoke(&o.plan);
	for (size_t i = 0; i < ARRAY_LEN(groups) && !o.is_smoke; i++)
		if (o.only == NULL || strcmp(o.only, groups[i].name) == 0)
			run_group(&o.plan, i);
	printf("%zu figures, %zu missed; %.0f s of CPU, %.0f MiB\n", t->n,
	       t->n_missed, lab_cpu(), lab_memory_mib());
	if (o.write != NULL)
		rv = table_write(t, o.write);
	if (rv != 0)
		fprintf(stderr, "report: cannot write %s: %s\n", o.write,
			strerror(-rv));
	if (o.is_smoke && t->n_missed > 0)
		rv = 1;
	table_deinit(t);
	return rv != 0;
}
