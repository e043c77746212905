/* Random networks, one after the other: sim [--graphs N] [--seed S]
 * [--nodes MAX] [-v].  Exit 1 at the first property that does not hold, with
 * the seed that shows it again. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/text.h"
#include "proto/base/time.h"
#include "tests/sim/graph.h"
#include "tests/sim/scenario.h"

#define GRAPHS_DEFAULT 1000
#define SEED_DEFAULT   1
/* One in so many is run twice, and must go the same way. */
#define REPEAT_EVERY 25

struct options {
	uint64_t n_graphs;
	uint64_t seed;
	uint64_t nodes_max;
	bool verbose;
};

struct totals {
	uint64_t n_up, n_unreachable, n_proved, n_reused, n_broken;
	uint64_t n_second, n_apart, n_offered, n_hostile, n_altered, n_steered;
	uint64_t n_messages, n_verify, n_repeated;
	uint64_t took_max_ns;
	uint64_t trace;
};

static void usage(void)
{
	fprintf(stderr,
		"usage: sim [--graphs N] [--seed S] [--nodes MAX] [-v]\n");
	exit(2);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	uint64_t x;

	if (!text_u64(&x, text, min, max))
		usage();
	return x;
}

static struct options parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "graphs", required_argument, NULL, 'g' },
		{ "seed", required_argument, NULL, 's' },
		{ "nodes", required_argument, NULL, 'n' },
		{ 0 },
	};
	struct options o = { .n_graphs = GRAPHS_DEFAULT,
			     .seed = SEED_DEFAULT,
			     .nodes_max = GRAPH_NODES_MAX };
	int c;

	while ((c = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		if (c == 'g')
			o.n_graphs = number(optarg, 1, 1000000);
		else if (c == 's')
			o.seed = number(optarg, 0, UINT64_MAX);
		else if (c == 'n')
			o.nodes_max = number(optarg, 4, GRAPH_NODES_MAX);
		else if (c == 'v')
			o.verbose = true;
		else
			usage();
	}
	if (optind != argc)
		usage();
	return o;
}

static void add(struct totals *t, const struct scenario_result *s)
{
	t->n_up += s->n_up;
	t->n_unreachable += s->n_unreachable;
	t->n_proved += s->n_proved;
	t->n_reused += s->n_reused;
	t->n_broken += s->n_broken;
	t->n_second += s->n_second;
	t->n_apart += s->n_apart;
	t->n_offered += s->n_offered;
	t->n_hostile += s->is_hostile;
	t->n_altered += s->n_altered;
	t->n_steered += s->is_steered;
	t->n_messages += s->n_messages;
	t->n_verify += s->n_verify;
	if (s->took_max_ns > t->took_max_ns)
		t->took_max_ns = s->took_max_ns;
	t->trace = (t->trace ^ s->trace) * UINT64_C(0x100000001b3);
}

static bool run_one(const struct options *o, uint64_t seed, struct totals *t)
{
	struct scenario_result s, again;

	scenario_run(&s, seed, o->nodes_max, o->verbose);
	if (o->verbose)
		printf("seed %" PRIu64 ": %s%s, %zu nodes, %zu links, trace "
		       "%016" PRIx64 "\n",
		       seed, s.kind, s.is_steered ? ", steered" : "", s.n_nodes,
		       s.n_links, s.trace);
	if (s.fault != NULL) {
		printf("FAIL  %s: %s\n      %s, %zu nodes, %zu links; again "
		       "with: sim --graphs 1 --seed %" PRIu64
		       " --nodes %" PRIu64 " -v\n",
		       s.fault, s.detail, s.kind, s.n_nodes, s.n_links, seed,
		       o->nodes_max);
		return false;
	}
	add(t, &s);
	if (seed % REPEAT_EVERY != 0)
		return true;
	scenario_run(&again, seed, o->nodes_max, false);
	t->n_repeated++;
	if (again.trace == s.trace && again.n_messages == s.n_messages)
		return true;
	printf("FAIL  two runs of one seed differ: seed %" PRIu64 "\n", seed);
	return false;
}

static void report(const struct options *o, const struct totals *t)
{
	printf("%" PRIu64 " graphs, %" PRIu64 " of them steered, %" PRIu64
	       " hostile (%" PRIu64 " messages altered)\n",
	       o->n_graphs, t->n_steered, t->n_hostile, t->n_altered);
	printf("%" PRIu64 " circuits up (%" PRIu64
	       " by a stored route), %" PRIu64 " broken by events, %" PRIu64
	       " unreachable (%" PRIu64 " proved)\n",
	       t->n_up, t->n_reused, t->n_broken, t->n_unreachable,
	       t->n_proved);
	printf("%" PRIu64 " of %" PRIu64 " second circuits apart, %" PRIu64
	       " routes by probes offered again\n",
	       t->n_apart, t->n_second, t->n_offered);
	printf("%" PRIu64 " messages, %" PRIu64
	       " signatures checked, slowest circuit %" PRIu64 " ms, %" PRIu64
	       " graphs repeated, trace %016" PRIx64 "\n",
	       t->n_messages, t->n_verify, t->took_max_ns / NS_PER_MS,
	       t->n_repeated, t->trace);
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct totals t = { 0 };

	for (uint64_t i = 0; i < o.n_graphs; i++)
		if (!run_one(&o, o.seed + i, &t))
			return 1;
	report(&o, &t);
	return 0;
}
