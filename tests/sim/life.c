#include "tests/sim/life.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/check.h"

/* An unreachable node is known as such, and an honest path is found, by
 * then. */
#define UNREACHABLE_NS (PROBE_DEADLINE_MAX_MS * NS_PER_MS)
#define CIRCUIT_NS     (10 * NS_PER_S)
/* With losses a packet may be sent so often. */
#define PACKET_TRIES 20

bool life_fail(struct life *l, const char *fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->out->detail, sizeof l->out->detail, fmt, ap);
	va_end(ap);
	l->out->fault = fault;
	return false;
}

size_t life_pick(struct life *l, size_t n)
{
	return (size_t)rng_below(&l->rng, n);
}

void life_say(const struct life *l, const char *what, size_t a, size_t b)
{
	if (l->verbose)
		printf("%10.3f  %s %zu %zu\n",
		       (double)mesh_now(l->m) / NS_PER_S, what, a, b);
}

void life_run(struct life *l, nsec time)
{
	mesh_run(l->m, mesh_now(l->m) + time);
}

/* ---- the network ------------------------------------------------------- */

struct mesh_link life_random_link(struct life *l)
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

void life_build(struct life *l)
{
	for (size_t i = 0; i < l->g.n; i++)
		mesh_add_node(l->m, l->g.transit[i]);
	for (size_t i = 0; i < l->g.n_edges; i++) {
		struct mesh_link link = life_random_link(l);

		mesh_add_link(l->m, l->g.edge[i].a, l->g.edge[i].b, &link);
		if (life_pick(l, 12) != 0)
			continue;
		/* A second link between the same two. */
		link = life_random_link(l);
		mesh_add_link(l->m, l->g.edge[i].a, l->g.edge[i].b, &link);
	}
	life_run(l, NS_PER_S);
}

static bool has_pair(const struct life *l, size_t from, size_t to)
{
	for (size_t i = 0; i < l->n_pairs; i++)
		if (l->pairs[i].from == from && l->pairs[i].to == to)
			return true;
	return false;
}

void life_choose_pairs(struct life *l)
{
	size_t all = l->g.n * (l->g.n - 1);

	while (l->n_pairs < PAIRS_MAX && l->n_pairs < all) {
		size_t from = life_pick(l, l->g.n), to = life_pick(l, l->g.n);

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
			    n->n_verify_rate + n->n_verify_rate_peer +
			    n->n_probes_seen_full + n->n_probe_unknown_origin >
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
		return life_fail(l, "a circuit to an unreachable node",
				 "%zu to %zu", p->from, p->to);
	if (up->at - p->asked > CIRCUIT_NS)
		return life_fail(l, "a circuit took too long", "%zu to %zu",
				 p->from, p->to);
	if (up->at - p->asked > l->out->took_max_ns)
		l->out->took_max_ns = up->at - p->asked;
	p->circuit = up->event.circuit;
	fault = check_circuit(l->m, p->from, p->circuit, &p->far);
	l->out->n_up++;
	return fault == NULL ||
	       life_fail(l, fault, "%zu to %zu", p->from, p->to);
}

static bool judge_unreachable(struct life *l, const struct pair *p,
			      bool is_reachable, const struct mesh_event *e)
{
	if (is_reachable)
		return life_fail(l, "a reachable node was not reached",
				 "%zu to %zu after %" PRIu64 " ms", p->from,
				 p->to, (e->at - p->asked) / NS_PER_MS);
	if (e->at - p->asked > UNREACHABLE_NS)
		return life_fail(l, "unreachable, but too late", "%zu to %zu",
				 p->from, p->to);
	/* Only a flood proves it, and steered probes are followed by one if
	 * there were few lately. */
	if (!e->event.is_proved && !l->is_steered && lost_nothing(l))
		return life_fail(l, "unreachable, but not proved", "%zu to %zu",
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
	return life_fail(l, "neither a circuit nor unreachable", "%zu to %zu",
			 p->from, p->to);
}

void life_connect(struct life *l)
{
	for (size_t i = 0; i < l->n_pairs; i++) {
		struct pair *p = &l->pairs[i];

		p->asked = 0;
		if (p->circuit != 0 || !mesh_is_alive(l->m, p->from))
			continue;
		life_run(l, rng_below(&l->rng, 200 * NS_PER_MS));
		p->asked = mesh_now(l->m);
		life_say(l, "connect", p->from, p->to);
		mesh_connect(l->m, p->from, p->to, p->lost);
	}
	mesh_run_until(l->m, is_settled, l,
		       mesh_now(l->m) + UNREACHABLE_NS + NS_PER_S);
	/* What is under way at the far ends arrives. */
	life_run(l, 2 * NS_PER_S);
}

bool life_connect_all(struct life *l)
{
	life_connect(l);
	for (size_t i = 0; i < l->n_pairs; i++) {
		struct pair *p = &l->pairs[i];

		if (p->asked != 0 && p->circuit == 0 && !judge(l, p))
			return false;
	}
	return true;
}

bool life_has_circuit(const struct life *l, const struct pair *p,
		      struct circuit_info *info)
{
	return p->circuit != 0 && mesh_is_alive(l->m, p->from) &&
	       router_circuit_get(mesh_router(l->m, p->from), p->circuit,
				  info) &&
	       info->is_origin &&
	       id_equal(&info->target, &mesh_identity(l->m, p->to)->id);
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
		return life_fail(l, "a circuit is gone", "%zu to %zu", from,
				 to);
	for (unsigned i = 0; i < tries; i++) {
		uint64_t tag = ++l->n_tags;

		if (!mesh_send_packet(l->m, from, c, info.mtu, tag))
			return life_fail(l, "a circuit takes no packet",
					 "%zu to %zu", from, to);
		life_run(l, 3 * NS_PER_S);
		if (has_arrived(l, to, far, tag))
			return true;
	}
	return life_fail(l, "a packet does not arrive", "%zu to %zu", from, to);
}

bool life_exchange_packets(struct life *l)
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
