#include "tests/sim/scenario.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/graph.h"

#define PAIRS_MAX 8
/* An unreachable node is known as such, and an honest path is found, by
 * then. */
#define UNREACHABLE_NS (PROBE_DEADLINE_MAX_MS * NS_PER_MS)
#define CIRCUIT_NS     (10 * NS_PER_S)
/* All that a node remembers of others' doings, and idle circuits. */
#define QUIET_NS (200 * NS_PER_S)
/* With losses a packet may be sent so often. */
#define PACKET_TRIES 20

struct pair {
	size_t from, to;
	circuit_no circuit; /* 0: none */
	circuit_no far;
	nsec asked;
};

struct life {
	struct scenario_result *out;
	struct rng rng;
	struct graph g;
	struct mesh *m;
	bool is_lossy;
	bool verbose;
	struct pair pairs[PAIRS_MAX];
	size_t n_pairs;
	uint64_t n_tags;
};

static bool fail(struct life *l, const char *fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool fail(struct life *l, const char *fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->out->detail, sizeof l->out->detail, fmt, ap);
	va_end(ap);
	l->out->fault = fault;
	return false;
}

static size_t pick(struct life *l, size_t n)
{
	return (size_t)rng_below(&l->rng, n);
}

static void say(const struct life *l, const char *what, size_t a, size_t b)
{
	if (l->verbose)
		printf("%10.3f  %s %zu %zu\n",
		       (double)mesh_now(l->m) / NS_PER_S, what, a, b);
}

/* ---- the network ------------------------------------------------------- */

static struct mesh_link random_link(struct life *l)
{
	struct mesh_link link = {
		.delay = (1 + rng_below(&l->rng, 25)) * NS_PER_MS,
		.mtu = (uint16_t)(1200 + rng_below(&l->rng, 241)),
		.notice = 300 * NS_PER_MS,
	};

	link.jitter = rng_below(&l->rng, link.delay / 5 + 1);
	if (l->is_lossy)
		link.loss_permille = (unsigned)rng_below(&l->rng, 21);
	return link;
}

static void build(struct life *l)
{
	for (size_t i = 0; i < l->g.n; i++)
		mesh_add_node(l->m, l->g.transit[i]);
	for (size_t i = 0; i < l->g.n_edges; i++) {
		struct mesh_link link = random_link(l);

		mesh_add_link(l->m, l->g.edge[i].a, l->g.edge[i].b, &link);
	}
	mesh_run(l->m, mesh_now(l->m) + NS_PER_S);
}

static bool has_pair(const struct life *l, size_t from, size_t to)
{
	for (size_t i = 0; i < l->n_pairs; i++)
		if (l->pairs[i].from == from && l->pairs[i].to == to)
			return true;
	return false;
}

static void choose_pairs(struct life *l)
{
	size_t all = l->g.n * (l->g.n - 1);

	while (l->n_pairs < PAIRS_MAX && l->n_pairs < all) {
		size_t from = pick(l, l->g.n), to = pick(l, l->g.n);

		if (from != to && !has_pair(l, from, to))
			l->pairs[l->n_pairs++] =
				(struct pair){ .from = from, .to = to };
	}
}

/* ---- connecting -------------------------------------------------------- */

static bool lost_nothing(const struct life *l)
{
	for (size_t i = 0; i < mesh_n_nodes(l->m); i++) {
		const struct router_counters *n;

		if (!mesh_is_alive(l->m, i))
			continue;
		n = router_counters(mesh_router(l->m, i));
		if (n->n_probe_rate_peer + n->n_probe_rate_origin +
			    n->n_verify_rate + n->n_probe_unknown_origin >
		    0)
			return false;
	}
	return !l->is_lossy;
}

static bool is_settled(void *ctx, struct mesh *m)
{
	const struct life *l = ctx;

	for (size_t i = 0; i < l->n_pairs; i++) {
		const struct pair *p = &l->pairs[i];

		if (p->asked != 0 && p->circuit == 0 &&
		    mesh_opened(m, p->from, p->to, p->asked) == NULL &&
		    mesh_last(m, p->from, ROUTER_UNREACHABLE, p->to,
			      p->asked) == NULL)
			return false;
	}
	return true;
}

static bool judge_up(struct life *l, struct pair *p, bool is_reachable,
		     const struct mesh_event *up)
{
	const char *fault;

	if (!is_reachable)
		return fail(l, "a circuit to an unreachable node", "%zu to %zu",
			    p->from, p->to);
	if (up->at - p->asked > CIRCUIT_NS)
		return fail(l, "a circuit took too long", "%zu to %zu", p->from,
			    p->to);
	if (up->at - p->asked > l->out->took_max_ns)
		l->out->took_max_ns = up->at - p->asked;
	p->circuit = up->event.circuit;
	fault = check_circuit(l->m, p->from, p->circuit, &p->far);
	l->out->n_up++;
	return fault == NULL || fail(l, fault, "%zu to %zu", p->from, p->to);
}

static bool judge_unreachable(struct life *l, const struct pair *p,
			      bool is_reachable, const struct mesh_event *e)
{
	if (is_reachable)
		return fail(l, "a reachable node was not reached",
			    "%zu to %zu after %" PRIu64 " ms", p->from, p->to,
			    (e->at - p->asked) / NS_PER_MS);
	if (e->at - p->asked > UNREACHABLE_NS)
		return fail(l, "unreachable, but too late", "%zu to %zu",
			    p->from, p->to);
	if (!e->event.is_proved && lost_nothing(l))
		return fail(l, "unreachable, but not proved", "%zu to %zu",
			    p->from, p->to);
	l->out->n_unreachable++;
	l->out->n_proved += e->event.is_proved;
	return true;
}

static bool judge(struct life *l, struct pair *p)
{
	const struct mesh_event *up =
		mesh_opened(l->m, p->from, p->to, p->asked);
	const struct mesh_event *un =
		mesh_last(l->m, p->from, ROUTER_UNREACHABLE, p->to, p->asked);
	bool reach[GRAPH_NODES_MAX];

	check_reach(l->m, l->g.transit, p->from, reach);
	if (up != NULL)
		return judge_up(l, p, reach[p->to], up);
	if (un != NULL)
		return judge_unreachable(l, p, reach[p->to], un);
	return fail(l, "neither a circuit nor unreachable", "%zu to %zu",
		    p->from, p->to);
}

static void start_connects(struct life *l)
{
	for (size_t i = 0; i < l->n_pairs; i++) {
		struct pair *p = &l->pairs[i];
		nsec pause = rng_below(&l->rng, 200 * NS_PER_MS);

		p->asked = 0;
		if (p->circuit != 0 || !mesh_is_alive(l->m, p->from))
			continue;
		mesh_run(l->m, mesh_now(l->m) + pause);
		p->asked = mesh_now(l->m);
		say(l, "connect", p->from, p->to);
		mesh_connect(l->m, p->from, p->to, 0);
	}
}

/* Every pair without a circuit tries to get one. */
static bool connect_all(struct life *l)
{
	nsec latest;

	start_connects(l);
	latest = mesh_now(l->m) + UNREACHABLE_NS + NS_PER_S;
	mesh_run_until(l->m, is_settled, l, latest);
	/* What is under way at the far ends arrives. */
	mesh_run(l->m, mesh_now(l->m) + 2 * NS_PER_S);
	for (size_t i = 0; i < l->n_pairs; i++) {
		struct pair *p = &l->pairs[i];

		if (p->asked != 0 && p->circuit == 0 && !judge(l, p))
			return false;
	}
	return true;
}

/* ---- packets ----------------------------------------------------------- */

static bool has_arrived(const struct life *l, size_t node, circuit_no c,
			uint64_t tag)
{
	size_t n;
	const struct mesh_delivery *d = mesh_deliveries(l->m, &n);

	for (size_t i = n; i-- > 0;)
		if (d[i].tag == tag)
			return d[i].node == node && d[i].circuit == c;
	return false;
}

static bool send_one(struct life *l, size_t from, circuit_no c, size_t to,
		     circuit_no far)
{
	struct circuit_info info;
	unsigned tries = l->is_lossy ? PACKET_TRIES : 1;

	if (!router_circuit_get(mesh_router(l->m, from), c, &info))
		return fail(l, "a circuit is gone", "%zu to %zu", from, to);
	for (unsigned i = 0; i < tries; i++) {
		uint64_t tag = ++l->n_tags;

		if (!mesh_send_packet(l->m, from, c, info.mtu, tag))
			return fail(l, "a circuit takes no packet",
				    "%zu to %zu", from, to);
		mesh_run(l->m, mesh_now(l->m) + 3 * NS_PER_S);
		if (has_arrived(l, to, far, tag))
			return true;
	}
	return fail(l, "a packet does not arrive", "%zu to %zu", from, to);
}

static bool exchange_packets(struct life *l)
{
	for (size_t i = 0; i < l->n_pairs; i++) {
		const struct pair *p = &l->pairs[i];

		if (p->circuit == 0)
			continue;
		if (!send_one(l, p->from, p->circuit, p->to, p->far) ||
		    !send_one(l, p->to, p->far, p->from, p->circuit))
			return false;
	}
	return true;
}

/* ---- events ------------------------------------------------------------ */

static void cut_some(struct life *l)
{
	size_t n = 1 + pick(l, 2);

	for (size_t i = 0; i < n; i++) {
		size_t link = pick(l, mesh_n_links(l->m));

		say(l, "cut link", link, 0);
		mesh_cut(l->m, link);
	}
}

static void heal_all(struct life *l)
{
	for (size_t i = 0; i < mesh_n_links(l->m); i++)
		mesh_heal(l->m, i);
}

static void kill_one(struct life *l)
{
	size_t node = pick(l, mesh_n_nodes(l->m));

	say(l, "kill node", node, 0);
	mesh_kill(l->m, node);
	if (pick(l, 2) == 0)
		mesh_run(l->m, mesh_now(l->m) + pick(l, 3000) * NS_PER_MS);
	say(l, "revive node", node, 0);
	mesh_revive(l->m, node);
}

static void add_link(struct life *l)
{
	size_t a = pick(l, l->g.n), b = pick(l, l->g.n);
	struct mesh_link link = random_link(l);

	if (a == b || graph_has_edge(&l->g, a, b))
		return;
	say(l, "add link", a, b);
	mesh_add_link(l->m, a, b, &link);
}

/* Circuits that the event broke are known to be so at both ends, and none of
 * them leaves remains; the others are as they were. */
static bool take_stock(struct life *l)
{
	for (size_t i = 0; i < l->n_pairs; i++) {
		struct pair *p = &l->pairs[i];
		struct circuit_info info;
		const char *fault;

		if (p->circuit == 0)
			continue;
		if (!router_circuit_get(mesh_router(l->m, p->from), p->circuit,
					&info)) {
			p->circuit = 0;
			l->out->n_broken++;
			continue;
		}
		fault = check_circuit(l->m, p->from, p->circuit, &p->far);
		if (fault != NULL)
			return fail(l, fault, "%zu to %zu after an event",
				    p->from, p->to);
	}
	return true;
}

static bool live_through(struct life *l, void (*event)(struct life *))
{
	const char *fault;

	event(l);
	mesh_run(l->m, mesh_now(l->m) + 4 * NS_PER_S);
	fault = check_no_remains(l->m);
	if (fault != NULL)
		return fail(l, fault, "after an event");
	return take_stock(l) && connect_all(l) && exchange_packets(l);
}

/* ---- the end ----------------------------------------------------------- */

static bool grow_quiet(struct life *l)
{
	const char *fault;

	for (size_t i = 0; i < l->n_pairs; i += 2)
		if (l->pairs[i].circuit != 0)
			mesh_close(l->m, l->pairs[i].from, l->pairs[i].circuit);
	mesh_run(l->m, mesh_now(l->m) + QUIET_NS);
	fault = check_baseline(l->m);
	return fault == NULL || fail(l, fault, "after the quiet");
}

static bool all_well(struct life *l)
{
	const char *fault = mesh_fault(l->m);

	if (fault == NULL)
		fault = check_caps(l->m);
	return fault == NULL || fail(l, fault, "in the whole run");
}

static void sum_up(struct life *l)
{
	l->out->n_links = mesh_n_links(l->m);
	l->out->n_pairs = l->n_pairs;
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

static bool live(struct life *l)
{
	static void (*const events[])(struct life *) = { cut_some, kill_one,
							 add_link, heal_all };

	build(l);
	choose_pairs(l);
	if (!connect_all(l) || !exchange_packets(l))
		return false;
	if (!live_through(l, events[pick(l, 3)]) ||
	    !live_through(l, events[pick(l, 4)]))
		return false;
	return grow_quiet(l) && all_well(l);
}

void scenario_run(struct scenario_result *out, uint64_t seed, size_t nodes_max,
		  bool verbose)
{
	struct life l = { .out = out, .verbose = verbose };

	*out = (struct scenario_result){ 0 };
	rng_init(&l.rng, seed);
	graph_random(&l.g, &l.rng, nodes_max);
	l.is_lossy = pick(&l, 3) == 0;
	l.m = mesh_new(rng_u64(&l.rng));
	out->kind = l.g.kind;
	out->n_nodes = l.g.n;
	live(&l);
	sum_up(&l);
	mesh_free(l.m);
}
