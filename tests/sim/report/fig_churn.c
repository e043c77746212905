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

/* ---- moving ------------------------------------------------------------ */

/* Either a node is torn away, and those whom it leaves notice when they have
 * waited for it in vain; or it joins at the new place first, and takes its
 * leave of the old one. */
enum manner {
	MOVE_TORN,
	MOVE_HANDED_OVER,
};
#define MOVE_EVERY_NS (30 * NS_PER_S)
#define OWN_LINKS     3
/* Leaving one place and a handshake at the other. */
#define MOVE_TAKES_NS (100 * NS_PER_MS)
#define LOADED_NOTICE (800 * NS_PER_MS)
#define OVERLAP_NS    (1 * NS_PER_S)
#define LEAVE_NS      (20 * NS_PER_MS)
#define MOVE_TICK_NS  (100 * NS_PER_MS)
#define MOVE_WARM_NS  (60 * NS_PER_S)
#define MOVE_MEASURED (120 * NS_PER_S)

/* A node that is without a link it had dials another peer. */
struct dial {
	size_t node;
	nsec at;
};

/* A link that will be left. */
struct parting {
	size_t node, link;
	nsec at;
};

struct moves {
	struct lab *l;
	size_t n;
	nsec *next; /* of each node */
	struct dial *dials;
	size_t n_dials;
	struct parting *partings;
	size_t n_partings;
	enum manner manner;
};

static void dial_later(struct moves *mv, size_t node, nsec at)
{
	mv->dials = mem_realloc(mv->dials, mv->n_dials + 1, sizeof *mv->dials);
	mv->dials[mv->n_dials++] = (struct dial){ node, at };
}

static void part_later(struct moves *mv, size_t node, size_t link, nsec at)
{
	mv->partings = mem_realloc(mv->partings, mv->n_partings + 1,
				   sizeof *mv->partings);
	mv->partings[mv->n_partings++] = (struct parting){ node, link, at };
}

static void part(struct moves *mv, size_t node, size_t link, nsec now)
{
	struct mesh *m = mv->l->mesh;
	size_t a, b;

	if (!mesh_link_is_up(m, link))
		return;
	mesh_link_ends(m, link, &a, &b);
	mesh_unplug(m, link, node);
	/* The first of the ends has dialled. */
	if (a != node)
		dial_later(mv, a, now + mesh_link_config(m, link)->notice);
}

static void leave(struct moves *mv, size_t node, nsec now)
{
	size_t n;
	const size_t *links = mesh_node_links(mv->l->mesh, node, &n);
	nsec stays = mv->manner == MOVE_TORN ? 0 : OVERLAP_NS;

	for (size_t i = 0; i < n; i++)
		if (mesh_link_is_up(mv->l->mesh, links[i]))
			part_later(mv, node, links[i], now + stays);
	for (int i = 0; i < OWN_LINKS; i++)
		dial_later(mv, node, now + MOVE_TAKES_NS);
}

static bool is_linked(const struct mesh *m, size_t a, size_t b)
{
	size_t n;
	const size_t *links = mesh_node_links(m, a, &n);

	for (size_t i = 0; i < n; i++) {
		size_t x, y;

		mesh_link_ends(m, links[i], &x, &y);
		if (mesh_link_is_up(m, links[i]) && (x == b || y == b))
			return true;
	}
	return false;
}

static void dial(struct moves *mv, size_t node)
{
	struct lab *l = mv->l;
	struct mesh_link link = lab_link(l, (2 + lab_pick(l, 19)) * NS_PER_MS);
	size_t to;

	do
		to = lab_pick(l, mv->n);
	while (to == node || is_linked(l->mesh, node, to));
	link.notice = mv->manner == MOVE_TORN ? LOADED_NOTICE : LEAVE_NS;
	mesh_add_link(l->mesh, node, to, &link);
}

static void moves_step(struct moves *mv, nsec now)
{
	for (size_t i = 0; i < mv->n; i++) {
		if (now < mv->next[i])
			continue;
		mv->next[i] += MOVE_EVERY_NS;
		leave(mv, i, now);
	}
	for (size_t i = 0; i < mv->n_partings;) {
		struct parting p = mv->partings[i];

		if (now < p.at) {
			i++;
			continue;
		}
		mv->partings[i] = mv->partings[--mv->n_partings];
		part(mv, p.node, p.link, now);
	}
	for (size_t i = 0; i < mv->n_dials;) {
		if (now < mv->dials[i].at) {
			i++;
			continue;
		}
		dial(mv, mv->dials[i].node);
		mv->dials[i] = mv->dials[--mv->n_dials];
	}
}

static void moves_run(struct moves *mv, nsec time)
{
	nsec end = mesh_now(mv->l->mesh) + time;

	while (mesh_now(mv->l->mesh) < end) {
		flows_run(mv->l, MOVE_TICK_NS);
		moves_step(mv, mesh_now(mv->l->mesh));
	}
}

static void movement(struct plan *p, enum manner manner, const char *how)
{
	struct moves mv = { .n = 200, .manner = manner };
	uint64_t offered = 0, arrived = 0;
	struct lab *l;

	l = mv.l = lab_new(NET_BA, mv.n, p->seed,
			   &(struct lab_options){
				   .flood_below = 0,
				   .notice = manner == MOVE_TORN ? LOADED_NOTICE
								 : LEAVE_NS });
	lab_run(l, SETTLE_NS);
	mv.next = mem_calloc(mv.n, sizeof *mv.next);
	for (size_t i = 0; i < mv.n; i++)
		mv.next[i] =
			mesh_now(l->mesh) + rng_below(&l->rng, MOVE_EVERY_NS);
	add_flows(l, 100, NS_PER_S);
	for (size_t i = 0; i < l->n_flows; i++)
		l->flows[i].is_ping = true;
	moves_run(&mv, MOVE_WARM_NS);
	flows_count_start(l);
	lab_meter_start(l);
	moves_run(&mv, MOVE_MEASURED);
	for (size_t i = 0; i < l->n_flows; i++) {
		offered += l->flows[i].n_offered;
		arrived += l->flows[i].n_arrived;
	}
	table_add(&p->table, 100.0 * (double)arrived / (double)offered, "%",
		  WANT_AT_LEAST, 99, p->seed,
		  "mobility: each of 200 nodes re-attached every 30 s, %s: "
		  "pings (there and back) delivered",
		  how);
	table_add(&p->table,
		  (double)lab_n_bytes(l) / 1000 / (double)mv.n /
			  (MOVE_MEASURED / NS_PER_S),
		  "kB/s", WANT_NOTHING, 0, p->seed,
		  "mobility: control traffic per node meanwhile");
	free(mv.next);
	free(mv.dials);
	free(mv.partings);
	lab_free(l);
}

void figures_churn(struct plan *p)
{
	deaths(p, 5, 99);
	deaths(p, 20, 95);
	movement(p, MOVE_HANDED_OVER, "joining before it leaves");
	movement(p, MOVE_TORN, "torn away");
}
