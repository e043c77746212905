#include "tests/sim/report/figures.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/sim/report/flow.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS (120 * NS_PER_S)

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
#define OVERLAP_NS    (1 * NS_PER_S)
#define LEAVE_NS      (20 * NS_PER_MS)
#define MOVE_TICK_NS  (100 * NS_PER_MS)
#define MOVE_WARM_NS  (60 * NS_PER_S)

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
	nsec notice; /* of a link that is gone */
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
	link.notice = mv->notice;
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

static void add_flows(struct lab *l, size_t n)
{
	while (l->n_flows < n) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		flow_add(l, from, to, NS_PER_S);
	}
}

/* Where the pings went that were lost, and what all messages were. */
static void explain(const struct lab *l, uint64_t offered)
{
	static const char *const why[MESH_LOSSES] = {
		"into a cut nobody knew of", "under way when the link went",
		"by the link", "on a circuit that was gone there"
	};
	uint64_t lost[2][MESH_LOSSES] = { 0 }, unsent = 0;
	double whole = (double)offered / 100;
	double node_seconds = (double)l->net.n *
			      (double)(mesh_now(l->mesh) - l->metered_since) /
			      NS_PER_S;

	for (size_t i = 0; i < l->n_flows; i++) {
		unsent += l->flows[i].n_unsent;
		for (int way = 0; way < 2; way++)
			for (int k = 0; k < MESH_LOSSES; k++)
				lost[way][k] += l->flows[i].n_lost[way][k];
	}
	printf("  %.2f %% of pings found no circuit in time\n",
	       (double)unsent / whole);
	for (int k = 0; k < MESH_LOSSES; k++)
		printf("  %.2f %% there, %.2f %% back: lost %s\n",
		       (double)lost[0][k] / whole, (double)lost[1][k] / whole,
		       why[k]);
	for (int t = 0; t < MSG_TYPES; t++)
		if (l->n_msgs[t] > 0)
			printf("  message %2d: %.2f a second and node, "
			       "%.2f kB/s\n",
			       t, (double)l->n_msgs[t] / node_seconds,
			       (double)l->n_bytes[t] / 1000 / node_seconds);
}

static void movement(struct plan *p, enum manner manner, nsec notice,
		     const char *how)
{
	struct moves mv = { .n = 200, .manner = manner, .notice = notice };
	nsec measured = (p->is_quick ? 60 : 120) * NS_PER_S;
	uint64_t offered = 0, arrived = 0;
	struct lab *l;

	l = mv.l = lab_new(
		NET_BA, mv.n, p->seed,
		&(struct lab_options){ .flood_below = 0, .notice = notice });
	lab_run(l, SETTLE_NS);
	mv.next = mem_calloc(mv.n, sizeof *mv.next);
	for (size_t i = 0; i < mv.n; i++)
		mv.next[i] =
			mesh_now(l->mesh) + rng_below(&l->rng, MOVE_EVERY_NS);
	add_flows(l, 100);
	for (size_t i = 0; i < l->n_flows; i++)
		l->flows[i].is_ping = true;
	moves_run(&mv, MOVE_WARM_NS);
	flows_count_start(l);
	lab_meter_start(l);
	moves_run(&mv, measured);
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
			  (double)(measured / NS_PER_S),
		  "kB/s", WANT_NOTHING, 0, p->seed,
		  "mobility: control traffic per node meanwhile");
	if (p->is_verbose)
		explain(l, offered);
	free(mv.next);
	free(mv.dials);
	free(mv.partings);
	lab_free(l);
}

void figures_mobility(struct plan *p)
{
	movement(p, MOVE_HANDED_OVER, LEAVE_NS, "joining before it leaves");
	movement(p, MOVE_TORN, 300 * NS_PER_MS,
		 "torn away, noticed within 0.3 s");
	movement(p, MOVE_TORN, 800 * NS_PER_MS,
		 "torn away, noticed within 0.8 s");
}
