#include "tests/sim/graph.h"

static void add(struct graph *g, size_t a, size_t b)
{
	if (a == b || g->n_edges == GRAPH_EDGES_MAX || graph_has_edge(g, a, b))
		return;
	g->edge[g->n_edges].a = a;
	g->edge[g->n_edges++].b = b;
}

bool graph_has_edge(const struct graph *g, size_t a, size_t b)
{
	for (size_t i = 0; i < g->n_edges; i++)
		if ((g->edge[i].a == a && g->edge[i].b == b) ||
		    (g->edge[i].a == b && g->edge[i].b == a))
			return true;
	return false;
}

static size_t pick(struct rng *r, size_t n)
{
	return (size_t)rng_below(r, n);
}

/* Over the nodes `from` to `to` - 1. */
static void tree(struct graph *g, struct rng *r, size_t from, size_t to)
{
	size_t n_extra = pick(r, (to - from) + 1);

	for (size_t i = from + 1; i < to; i++)
		add(g, i, from + pick(r, i - from));
	for (size_t i = 0; i < n_extra; i++)
		add(g, from + pick(r, to - from), from + pick(r, to - from));
}

static void make_tree(struct graph *g, struct rng *r)
{
	g->kind = "tree with extra edges";
	tree(g, r, 0, g->n);
}

static void make_ring(struct graph *g, struct rng *r)
{
	(void)r;
	g->kind = "ring";
	for (size_t i = 0; i < g->n; i++)
		add(g, i, (i + 1) % g->n);
}

static void make_line(struct graph *g, struct rng *r)
{
	(void)r;
	g->kind = "line";
	for (size_t i = 0; i + 1 < g->n; i++)
		add(g, i, i + 1);
}

static void make_grid(struct graph *g, struct rng *r)
{
	size_t width = 2 + pick(r, 7);

	g->kind = "grid";
	for (size_t i = 0; i < g->n; i++) {
		if (i % width != 0)
			add(g, i, i - 1);
		if (i >= width)
			add(g, i, i - width);
	}
}

/* Barabási and Albert: each new node joins two ends of random edges. */
static void make_scale_free(struct graph *g, struct rng *r)
{
	g->kind = "preferential attachment";
	add(g, 0, 1);
	for (size_t i = 2; i < g->n; i++) {
		size_t n = g->n_edges;

		for (int k = 0; k < 2; k++) {
			size_t e = pick(r, n);

			add(g, i, pick(r, 2) ? g->edge[e].a : g->edge[e].b);
		}
	}
}

static void make_parts(struct graph *g, struct rng *r)
{
	size_t from = 0;

	g->kind = "several components";
	while (from < g->n) {
		size_t len = 1 + pick(r, g->n);
		size_t to = from + len < g->n ? from + len : g->n;

		tree(g, r, from, to);
		from = to;
	}
}

void graph_random(struct graph *g, struct rng *r, size_t max)
{
	static void (*const makers[])(struct graph *, struct rng *) = {
		make_tree, make_tree,       make_ring,  make_grid,
		make_line, make_scale_free, make_parts, make_parts,
	};
	bool has_leaves = pick(r, 5) == 0;

	*g = (struct graph){ .n = 4 + pick(r, max - 3) };
	makers[pick(r, sizeof makers / sizeof makers[0])](g, r);
	/* A network of one isolated node has no link to start its router. */
	if (g->n_edges == 0)
		add(g, 0, 1);
	for (size_t i = 0; i < g->n; i++)
		g->transit[i] = !has_leaves || pick(r, 6) != 0;
}
