#include "tests/sim/report/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

#define DELAY_MIN_NS (2 * NS_PER_MS)
#define DELAY_MAX_NS (20 * NS_PER_MS)

static size_t pick(struct rng *r, size_t n)
{
	return (size_t)rng_below(r, n);
}

static void add_long(struct net *g, size_t a, size_t b, nsec delay)
{
	if (g->n_links == g->cap_links) {
		g->cap_links = g->cap_links == 0 ? 64 : 2 * g->cap_links;
		g->link = mem_realloc(g->link, g->cap_links, sizeof *g->link);
	}
	g->link[g->n_links++] = (struct net_link){ .a = (uint32_t)a,
						   .b = (uint32_t)b,
						   .delay = delay };
}

static void add(struct net *g, struct rng *r, size_t a, size_t b)
{
	nsec spread = DELAY_MAX_NS - DELAY_MIN_NS;

	add_long(g, a, b, DELAY_MIN_NS + rng_below(r, spread + 1));
}

/* ---- kinds ------------------------------------------------------------- */

static bool is_new_pair(const struct net *g, size_t since, size_t a, size_t b)
{
	for (size_t i = since; i < g->n_links; i++)
		if ((g->link[i].a == a && g->link[i].b == b) ||
		    (g->link[i].a == b && g->link[i].b == a))
			return false;
	return a != b;
}

/* Over nodes 0 to n - 1: each new one joins ends of random links. */
static void attach_preferring(struct net *g, struct rng *r, size_t n, size_t m)
{
	for (size_t i = 1; i <= m && i < n; i++)
		add(g, r, i, i - 1);
	for (size_t i = m + 1; i < n; i++) {
		size_t before = g->n_links;

		while (g->n_links < before + m) {
			const struct net_link *l = &g->link[pick(r, before)];
			size_t to = pick(r, 2) == 0 ? l->a : l->b;

			if (is_new_pair(g, before, i, to))
				add(g, r, i, to);
		}
	}
}

static void make_ba(struct net *g, struct rng *r)
{
	attach_preferring(g, r, g->n, 3);
}

static void make_hubs(struct net *g, struct rng *r)
{
	size_t n_hubs = g->n / 50 < 4 ? 4 : g->n / 50;

	attach_preferring(g, r, n_hubs, 3);
	for (size_t i = n_hubs; i < g->n; i++) {
		size_t a = pick(r, n_hubs), b = pick(r, n_hubs - 1);

		add(g, r, i, a);
		add(g, r, i, b == a ? n_hubs - 1 : b);
	}
}

static void make_small(struct net *g, struct rng *r)
{
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 1; k <= 3; k++) {
			size_t to = (i + k) % g->n;

			if (k > 1 && pick(r, 10) == 0)
				to = pick(r, g->n);
			if (to != i)
				add(g, r, i, to);
		}
}

/* Cells of the size of the radius: neighbours are in the same or the next. */
struct plane {
	double *x, *y;
	double radius;
	size_t n_cells; /* a side */
	size_t *head;   /* the last point of each cell, counted from 1 */
	size_t *next;
};

static size_t cell_of(const struct plane *p, size_t i)
{
	size_t cx = (size_t)(p->x[i] * (double)p->n_cells);
	size_t cy = (size_t)(p->y[i] * (double)p->n_cells);

	return cy * p->n_cells + cx;
}

static void plane_init(struct plane *p, struct rng *r, size_t n, double degree)
{
	p->radius = sqrt(degree / (3.14159265 * (double)n));
	p->n_cells = (size_t)(1.0 / p->radius);
	p->x = mem_calloc(n, sizeof *p->x);
	p->y = mem_calloc(n, sizeof *p->y);
	p->head = mem_calloc(p->n_cells * p->n_cells, sizeof *p->head);
	p->next = mem_calloc(n, sizeof *p->next);
	for (size_t i = 0; i < n; i++) {
		p->x[i] = (double)(rng_u64(r) >> 11) / 9007199254740992.0;
		p->y[i] = (double)(rng_u64(r) >> 11) / 9007199254740992.0;
		p->next[i] = p->head[cell_of(p, i)];
		p->head[cell_of(p, i)] = i + 1;
	}
}

static void plane_deinit(struct plane *p)
{
	free(p->x);
	free(p->y);
	free(p->head);
	free(p->next);
}

static double apart(const struct plane *p, size_t a, size_t b)
{
	return hypot(p->x[a] - p->x[b], p->y[a] - p->y[b]);
}

static nsec delay_over(const struct plane *p, double distance)
{
	return DELAY_MIN_NS + (nsec)(distance / p->radius *
				     (double)(DELAY_MAX_NS - DELAY_MIN_NS));
}

static void join_cell(struct net *g, const struct plane *p, size_t i,
		      size_t cell)
{
	for (size_t k = p->head[cell]; k != 0; k = p->next[k - 1]) {
		double d = apart(p, i, k - 1);

		if (k - 1 < i && d <= p->radius)
			add_long(g, i, k - 1, delay_over(p, d));
	}
}

static void make_geometric(struct net *g, struct rng *r)
{
	struct plane p;

	plane_init(&p, r, g->n, 12);
	for (size_t i = 0; i < g->n; i++) {
		size_t cx = cell_of(&p, i) % p.n_cells;
		size_t cy = cell_of(&p, i) / p.n_cells;

		for (size_t y = cy > 0 ? cy - 1 : 0;
		     y <= cy + 1 && y < p.n_cells; y++)
			for (size_t x = cx > 0 ? cx - 1 : 0;
			     x <= cx + 1 && x < p.n_cells; x++)
				join_cell(g, &p, i, y * p.n_cells + x);
	}
	plane_deinit(&p);
}

/* Four rings, each through all nodes in a random order. */
static void make_regular(struct net *g, struct rng *r)
{
	size_t *order = mem_calloc(g->n, sizeof *order);

	for (size_t i = 0; i < g->n; i++)
		order[i] = i;
	for (int k = 0; k < 4; k++) {
		for (size_t i = g->n - 1; i > 0; i--) {
			size_t j = pick(r, i + 1), x = order[i];

			order[i] = order[j];
			order[j] = x;
		}
		for (size_t i = 0; i < g->n; i++)
			add(g, r, order[i], order[(i + 1) % g->n]);
	}
	free(order);
}

static void make_grid(struct net *g, struct rng *r)
{
	size_t side = (size_t)(sqrt((double)g->n) + 0.5);

	for (size_t i = 0; i < g->n; i++) {
		if (i % side != 0)
			add(g, r, i, i - 1);
		if (i >= side)
			add(g, r, i, i - side);
	}
}

static void make_line(struct net *g, struct rng *r)
{
	for (size_t i = 1; i < g->n; i++)
		add(g, r, i, i - 1);
}

static void make_random(struct net *g, struct rng *r)
{
	for (size_t i = 1; i < g->n; i++)
		add(g, r, i, pick(r, i));
	for (size_t i = 0; i < g->n / 2; i++) {
		size_t a = pick(r, g->n), b = pick(r, g->n);

		if (a != b)
			add(g, r, a, b);
	}
}

static const struct {
	const char *name, *option;
	void (*make)(struct net *g, struct rng *r);
} kinds[NET_KINDS] = {
	[NET_BA] = { "Barabási–Albert", "ba", make_ba },
	[NET_HUBS] = { "hub and leaf", "hubs", make_hubs },
	[NET_SMALL] = { "Watts–Strogatz", "small", make_small },
	[NET_GEOMETRIC] = { "random geometric", "geometric", make_geometric },
	[NET_REGULAR] = { "random 8-regular", "regular", make_regular },
	[NET_GRID] = { "grid", "grid", make_grid },
	[NET_LINE] = { "line", "line", make_line },
	[NET_RANDOM] = { "tree with extra links", "random", make_random },
};

const char *net_kind_name(enum net_kind kind)
{
	return kinds[kind].name;
}

bool net_kind_parse(enum net_kind *out, const char *name)
{
	for (unsigned i = 0; i < NET_KINDS; i++) {
		if (strcmp(name, kinds[i].option) != 0)
			continue;
		*out = (enum net_kind)i;
		return true;
	}
	return false;
}

/* ---- the whole --------------------------------------------------------- */

static void index_links(struct net *g)
{
	size_t *fill = mem_calloc(g->n, sizeof *fill);

	free(g->first);
	free(g->at);
	g->first = mem_calloc(g->n + 1, sizeof *g->first);
	g->at = mem_calloc(2 * g->n_links + 1, sizeof *g->at);
	for (size_t i = 0; i < g->n_links; i++) {
		g->first[g->link[i].a + 1]++;
		g->first[g->link[i].b + 1]++;
	}
	for (size_t i = 0; i < g->n; i++)
		g->first[i + 1] += g->first[i];
	for (size_t i = 0; i < g->n_links; i++) {
		size_t a = g->link[i].a, b = g->link[i].b;

		g->at[g->first[a] + fill[a]++] = i;
		g->at[g->first[b] + fill[b]++] = i;
	}
	free(fill);
}

/* Parts that are apart are joined to that of node 0, each by one link. */
static void join_parts(struct net *g, struct rng *r)
{
	nsec *from_0 = mem_calloc(g->n, sizeof *from_0);
	nsec *from_i = mem_calloc(g->n, sizeof *from_i);

	index_links(g);
	net_distances(g, 0, 0, NULL, from_0, NULL);
	for (size_t i = 0; i < g->n; i++) {
		if (from_0[i] != NET_NOWHERE)
			continue;
		net_distances(g, i, 0, NULL, from_i, NULL);
		for (size_t k = 0; k < g->n; k++)
			if (from_i[k] != NET_NOWHERE)
				from_0[k] = 0;
		add(g, r, i, pick(r, i));
	}
	free(from_0);
	free(from_i);
	index_links(g);
}

void net_make(struct net *g, enum net_kind kind, size_t n, struct rng *r)
{
	*g = (struct net){ .kind = kind, .n = n };
	kinds[kind].make(g, r);
	join_parts(g, r);
}

void net_deinit(struct net *g)
{
	free(g->link);
	free(g->first);
	free(g->at);
	*g = (struct net){ 0 };
}

size_t net_far_end(const struct net *g, size_t link, size_t node)
{
	const struct net_link *l = &g->link[link];

	return l->a == node ? l->b : l->a;
}

size_t net_degree(const struct net *g, size_t node)
{
	return g->first[node + 1] - g->first[node];
}

bool net_has_link(const struct net *g, size_t a, size_t b)
{
	for (size_t i = g->first[a]; i < g->first[a + 1]; i++)
		if (net_far_end(g, g->at[i], a) == b)
			return true;
	return false;
}

/* ---- distances --------------------------------------------------------- */

/* Dijkstra with a heap that may hold a node more than once. */
struct front {
	struct mark {
		nsec cost;
		size_t node;
		unsigned n_hops;
	} * heap;
	size_t n, cap;
};

static void front_push(struct front *f, struct mark m)
{
	size_t i = f->n++;

	if (f->n > f->cap) {
		f->cap = f->cap == 0 ? 64 : 2 * f->cap;
		f->heap = mem_realloc(f->heap, f->cap, sizeof *f->heap);
	}
	for (; i > 0 && m.cost < f->heap[(i - 1) / 2].cost; i = (i - 1) / 2)
		f->heap[i] = f->heap[(i - 1) / 2];
	f->heap[i] = m;
}

static struct mark front_pop(struct front *f)
{
	struct mark first = f->heap[0], last = f->heap[--f->n];
	size_t i = 0;

	for (size_t c = 1; c < f->n; c = 2 * i + 1) {
		if (c + 1 < f->n && f->heap[c + 1].cost < f->heap[c].cost)
			c++;
		if (last.cost <= f->heap[c].cost)
			break;
		f->heap[i] = f->heap[c];
		i = c;
	}
	f->heap[i] = last;
	return first;
}

void net_distances(const struct net *g, size_t from, nsec floor,
		   const bool *usable, nsec *out, unsigned *n_hops)
{
	struct front f = { 0 };

	for (size_t i = 0; i < g->n; i++)
		out[i] = NET_NOWHERE;
	front_push(&f, (struct mark){ .node = from });
	while (f.n > 0) {
		struct mark m = front_pop(&f);

		if (out[m.node] != NET_NOWHERE)
			continue;
		out[m.node] = m.cost;
		if (n_hops != NULL)
			n_hops[m.node] = m.n_hops;
		for (size_t i = g->first[m.node]; i < g->first[m.node + 1];
		     i++) {
			const struct net_link *l = &g->link[g->at[i]];
			size_t to = net_far_end(g, g->at[i], m.node);
			nsec cost = l->delay > floor ? l->delay : floor;

			if (out[to] == NET_NOWHERE &&
			    (usable == NULL || usable[to]))
				front_push(&f, (struct mark){ m.cost + cost, to,
							      m.n_hops + 1 });
		}
	}
	free(f.heap);
}
