/* What circuits cost the relay between two nodes: processor time of its router
 * alone, signatures and all, without the sessions around it.
 *
 *   setups N
 *
 * N networks A - B - C are made in virtual time, in which no quota is ever
 * reached.  In each A finds C and opens a circuit, and then opens REOPENED more
 * on the route that it has kept.  Prints circuits a second, of either kind,
 * that one core can set up and take down as B.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/bench_tool.h"
#include "tests/support/small_mesh.h"

#define REOPENED 10
#define RELAY    1

struct stopwatch {
	nsec started, spent;
};

static nsec cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (nsec)t.tv_sec * NS_PER_S + (nsec)t.tv_nsec;
}

static void handling(void *ctx, size_t node, bool begins)
{
	struct stopwatch *w = ctx;

	if (node != RELAY)
		return;
	if (begins)
		w->started = cpu_ns();
	else
		w->spent += cpu_ns() - w->started;
}

static nsec open_and_close(struct mesh *m, struct stopwatch *w)
{
	circuit_no c;

	w->spent = 0;
	c = small_connect(m, 0, 2);
	if (c == 0)
		bench_die("no circuit");
	mesh_close(m, 0, c);
	small_pass(m, NS_PER_S);
	return w->spent;
}

static void one_network(nsec *anew, nsec *reopened)
{
	struct stopwatch w = { 0 };
	struct mesh_watch watch = { .ctx = &w, .handling = handling };
	struct mesh *m = small_line(3);

	mesh_set_watch(m, &watch);
	*anew += open_and_close(m, &w);
	for (int i = 0; i < REOPENED; i++)
		*reopened += open_and_close(m, &w);
	if (small_counters(m, 0)->n_connect_reused != REOPENED)
		bench_die("a kept route was not used");
	mesh_free(m);
}

int main(int argc, char **argv)
{
	nsec anew = 0, reopened = 0;
	int n = argc == 2 ? atoi(argv[1]) : 0;

	if (n <= 0) {
		fprintf(stderr, "usage: setups N\n");
		return 2;
	}
	for (int i = 0; i < n; i++)
		one_network(&anew, &reopened);
	printf("{\"anew\": %.1f, \"reopened\": %.1f}\n",
	       (double)n * 1e9 / (double)anew,
	       (double)n * REOPENED * 1e9 / (double)reopened);
	return 0;
}
