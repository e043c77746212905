#include "tests/sim/scenario.h"

#include <string.h>

#include "circuit/path.h"
#include "tests/sim/check.h"
#include "tests/sim/hostile.h"
#include "tests/sim/life.h"

/* All that a node remembers of others' doings, and idle circuits. */
#define QUIET_NS (200 * NS_PER_S)
/* One network in so many is hostile. */
#define HOSTILE_ONE_IN 8
/* One of so many, and each hostile one, has real signatures: they are most of
 * the time that a network takes. */
#define SIGNED_ONE_IN 4
/* In one of so many probes are steered, where others flood. */
#define STEERED_ONE_IN 3

/* ---- events ------------------------------------------------------------ */

static void cut_one(struct life *l)
{
	size_t link = life_pick(l, mesh_n_links(l->m));

	life_say(l, "cut link", link, 0);
	mesh_cut(l->m, link);
}

static void cut_some(struct life *l)
{
	cut_one(l);
	if (life_pick(l, 2) == 0)
		cut_one(l);
}

static void heal_all(struct life *l)
{
	for (size_t i = 0; i < mesh_n_links(l->m); i++)
		mesh_heal(l->m, i);
}

/* Circuits of its own are gone with it, and their numbers begin anew. */
static void kill(struct life *l, size_t node)
{
	life_say(l, "kill node", node, 0);
	mesh_kill(l->m, node);
	for (size_t i = 0; i < l->n_pairs; i++)
		if (l->pairs[i].from == node)
			l->pairs[i].circuit = l->pairs[i].lost = 0;
}

static void revive(struct life *l, size_t node)
{
	life_say(l, "revive node", node, 0);
	mesh_revive(l->m, node);
}

static void kill_one(struct life *l)
{
	size_t node = life_pick(l, mesh_n_nodes(l->m));

	kill(l, node);
	if (life_pick(l, 2) == 0)
		life_run(l, life_pick(l, 3000) * NS_PER_MS);
	revive(l, node);
}

static void add_link(struct life *l)
{
	size_t a = life_pick(l, l->g.n), b = life_pick(l, l->g.n);
	struct mesh_link link = life_random_link(l);

	if (a == b || graph_has_edge(&l->g, a, b))
		return;
	life_say(l, "add link", a, b);
	mesh_add_link(l->m, a, b, &link);
}

/* Everything at once, and connects in the midst of it. */
static void chaos(struct life *l)
{
	for (int i = 0; i < 12; i++) {
		size_t node = life_pick(l, l->g.n);
		struct pair *p = &l->pairs[life_pick(l, l->n_pairs)];

		switch (life_pick(l, 4)) {
		case 0:
			cut_one(l);
			break;
		case 1:
			mesh_heal(l->m, life_pick(l, mesh_n_links(l->m)));
			break;
		case 2:
			if (mesh_is_alive(l->m, node))
				kill(l, node);
			else
				revive(l, node);
			break;
		default:
			if (mesh_is_alive(l->m, p->from))
				mesh_connect(l->m, p->from, p->to, 0);
		}
		life_run(l, life_pick(l, 300) * NS_PER_MS);
	}
	for (size_t i = 0; i < l->g.n; i++)
		if (!mesh_is_alive(l->m, i))
			revive(l, i);
	heal_all(l);
	/* What was begun comes to its end. */
	life_run(l, 10 * NS_PER_S);
}

/* Circuits that the event broke are known to be so, and the others are as they
 * were. */
static bool take_stock(struct life *l)
{
	for (size_t i = 0; i < l->n_pairs; i++) {
		struct pair *p = &l->pairs[i];
		struct circuit_info info;
		const char *fault;

		if (p->circuit == 0)
			continue;
		if (!life_has_circuit(l, p, &info)) {
			p->lost = p->circuit;
			p->circuit = 0;
			l->out->n_broken++;
			continue;
		}
		fault = check_circuit(l->m, p->from, p->circuit, &p->far);
		if (fault != NULL)
			return life_fail(l, fault, "%zu to %zu after an event",
					 p->from, p->to);
	}
	return true;
}

static void count_offered(struct life *l, nsec since)
{
	for (size_t i = 0; i < l->n_pairs; i++)
		if (mesh_last(l->m, l->pairs[i].from, ROUTER_ROUTE_ADDED,
			      l->pairs[i].to, since) != NULL)
			l->out->n_offered++;
}

static bool live_through(struct life *l, void (*event)(struct life *))
{
	nsec start = mesh_now(l->m);
	const char *fault;

	event(l);
	life_run(l, 4 * NS_PER_S);
	if (event != chaos)
		count_offered(l, start);
	fault = check_no_remains(l->m);
	if (fault != NULL)
		return life_fail(l, fault, "after an event");
	return take_stock(l) && life_connect_all(l) && life_exchange_packets(l);
}

/* ---- second circuits --------------------------------------------------- */

/* One more circuit for a pair, over other links if there is a way. */
static bool connect_twice(struct life *l, const struct pair *p)
{
	struct circuit_info first, second;
	const struct mesh_event *up;
	nsec asked = mesh_now(l->m);
	bool has_way;

	if (!life_has_circuit(l, p, &first))
		return true;
	has_way = check_reach_apart(l->m, l->g.transit, p->from, p->to,
				    &first.hops);
	life_say(l, "connect again", p->from, p->to);
	mesh_connect(l->m, p->from, p->to, p->circuit);
	life_run(l, 10 * NS_PER_S);
	up = mesh_opened(l->m, p->from, p->to, asked);
	if (up == NULL || !router_circuit_get(mesh_router(l->m, p->from),
					      up->event.circuit, &second))
		return life_fail(l, "no second circuit", "%zu to %zu", p->from,
				 p->to);
	if (!has_way)
		return true;
	l->out->n_second++;
	if (path_n_shared(&first.origin, &second.hops, &first.hops) == 0)
		l->out->n_apart++;
	return true;
}

/* ---- the whole --------------------------------------------------------- */

static bool grow_quiet(struct life *l)
{
	const char *fault;

	for (size_t i = 0; i < l->n_pairs; i += 2)
		if (l->pairs[i].circuit != 0)
			mesh_close(l->m, l->pairs[i].from, l->pairs[i].circuit);
	life_run(l, QUIET_NS);
	fault = check_baseline(l->m);
	if (fault == NULL)
		fault = check_caps(l->m);
	if (fault == NULL)
		fault = mesh_fault(l->m);
	return fault == NULL || life_fail(l, fault, "after the quiet");
}

static bool live(struct life *l)
{
	static void (*const events[])(struct life *) = { cut_some, kill_one,
							 add_link, chaos,
							 heal_all };

	if (!life_connect_all(l) || !life_exchange_packets(l) ||
	    !connect_twice(l, &l->pairs[0]))
		return false;
	return live_through(l, events[life_pick(l, 4)]) &&
	       live_through(l, events[life_pick(l, 5)]) && grow_quiet(l);
}

static bool live_among_enemies(struct life *l)
{
	return hostile_connect(l) && grow_quiet(l);
}

static void sum_up(struct life *l)
{
	l->out->n_links = mesh_n_links(l->m);
	l->out->n_messages = mesh_n_messages(l->m);
	l->out->trace = mesh_trace(l->m);
	for (size_t i = 0; i < mesh_n_nodes(l->m); i++) {
		const struct router_counters *n;

		if (!mesh_is_alive(l->m, i))
			continue;
		n = router_counters(mesh_router(l->m, i));
		l->out->n_reused += n->n_connect_reused;
		l->out->n_verify += n->n_verify;
	}
}

void scenario_run(struct scenario_result *out, uint64_t seed, size_t nodes_max,
		  bool verbose)
{
	struct life l = { .out = out, .verbose = verbose };

	*out = (struct scenario_result){ 0 };
	rng_init(&l.rng, seed);
	graph_random(&l.g, &l.rng, nodes_max);
	l.is_lossy = life_pick(&l, 3) == 0;
	out->is_hostile = life_pick(&l, HOSTILE_ONE_IN) == 0;
	l.is_steered = out->is_steered = seed % STEERED_ONE_IN == 0;
	l.m = mesh_new_with(
		rng_u64(&l.rng),
		&(struct mesh_options){
			.flood_below = l.is_steered ? 0 : UINT32_MAX,
			.is_cheap = !out->is_hostile &&
				    seed % SIGNED_ONE_IN != 0 });
	out->kind = l.g.kind;
	out->n_nodes = l.g.n;
	life_build(&l);
	life_choose_pairs(&l);
	if (out->is_hostile)
		live_among_enemies(&l);
	else
		live(&l);
	sum_up(&l);
	mesh_free(l.m);
}
