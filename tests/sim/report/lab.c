#include "tests/sim/report/lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "proto/base/mem.h"
#include "tests/sim/report/flow.h"

static bool is_known_lookup(const struct lab *l, const struct nonce *nonce)
{
	for (size_t i = 0; i < l->n_lookups; i++)
		if (memcmp(&l->lookups[i], nonce, sizeof *nonce) == 0)
			return true;
	return false;
}

static void note_lookup(struct lab *l, const struct nonce *nonce)
{
	if (l->n_lookups < LAB_LOOKUPS_MAX && !is_known_lookup(l, nonce))
		l->lookups[l->n_lookups++] = *nonce;
}

static bool is_setup(const struct lab *l, const struct msg *m)
{
	switch (m->type) {
	case MSG_PROBE:
	case MSG_ANSWER:
	case MSG_NAK:
	case MSG_LOOKUP:
	case MSG_FOUND:
	case MSG_OPEN:
	case MSG_OPENED:
		return true;
	case MSG_NO_RECORD:
		return is_known_lookup(l, &m->no_record.nonce);
	default:
		return false;
	}
}

/* ---- watching ---------------------------------------------------------- */

static void touch(struct lab *l, size_t node)
{
	if (l->n_out[node] + l->n_in[node] == 0)
		l->touched[l->n_touched++] = node;
}

/* When its origin begins to probe, and hears of it. */
static void ask_note_message(struct lab *l, size_t from, size_t to,
			     const struct msg *m)
{
	nsec now = mesh_now(l->mesh);

	if (m->type != MSG_PROBE && m->type != MSG_ANSWER)
		return;
	for (size_t i = 0; i < l->n_asks; i++) {
		struct ask *a = &l->asks[i];

		if (m->type == MSG_PROBE && a->from == from &&
		    a->probed_at == 0)
			a->probed_at = now;
		if (m->type == MSG_ANSWER && a->from == to &&
		    a->answered_at == 0)
			a->answered_at = now;
	}
}

static void on_sent(void *ctx, size_t from, size_t to, const struct msg *m,
		    size_t bytes)
{
	struct lab *l = ctx;

	l->n_msgs[m->type]++;
	l->n_bytes[m->type] += bytes + LAB_MESSAGE_OVERHEAD;
	if (m->type == MSG_LOOKUP)
		note_lookup(l, &m->lookup.nonce);
	if (!is_setup(l, m))
		return;
	ask_note_message(l, from, to, m);
	l->n_setup++;
	touch(l, from);
	l->n_out[from]++;
	touch(l, to);
	l->n_in[to]++;
}

static void ask_note(struct ask *a, const struct router_event *ev, nsec now)
{
	if (ev->type == ROUTER_ROUTE_ADDED && a->proved_at == 0)
		a->proved_at = now;
	if (ev->type == ROUTER_ROUTE_ADDED || a->up_at != 0)
		return;
	if (ev->type == ROUTER_CIRCUIT_UP) {
		a->up_at = now;
		a->circuit = ev->circuit;
	} else {
		a->failed_at = now;
		a->is_proved = ev->is_proved;
	}
}

static void on_event(void *ctx, size_t node, const struct router_event *ev)
{
	struct lab *l = ctx;

	flow_event(l, node, ev);
	if (ev->type != ROUTER_UNREACHABLE && ev->type != ROUTER_ROUTE_ADDED &&
	    (ev->type != ROUTER_CIRCUIT_UP || !ev->is_origin))
		return;
	for (size_t i = 0; i < l->n_asks; i++)
		if (l->asks[i].from == node &&
		    id_equal(&ev->peer,
			     &mesh_identity(l->mesh, l->asks[i].to)->id))
			ask_note(&l->asks[i], ev, mesh_now(l->mesh));
}

static void on_delivered(void *ctx, const struct mesh_delivery *d)
{
	flow_delivered(ctx, d);
}

static void on_lost(void *ctx, size_t node, uint64_t tag, enum mesh_loss why)
{
	(void)node;
	flow_lost(ctx, tag, why);
}

static bool on_relay(void *ctx, size_t node, size_t to)
{
	const struct lab *l = ctx;

	(void)to;
	return l->swallows == NULL || !l->swallows[node];
}

void lab_meter_start(struct lab *l)
{
	for (size_t i = 0; i < l->n_touched; i++)
		l->n_out[l->touched[i]] = l->n_in[l->touched[i]] = 0;
	l->n_touched = 0;
	l->n_lookups = 0;
	l->n_setup = 0;
	memset(l->n_msgs, 0, sizeof l->n_msgs);
	memset(l->n_bytes, 0, sizeof l->n_bytes);
	l->metered_since = mesh_now(l->mesh);
}

uint64_t lab_n_setup(const struct lab *l)
{
	return l->n_setup;
}

uint64_t lab_n_all(const struct lab *l)
{
	uint64_t n = 0;

	for (unsigned t = 0; t < MSG_TYPES; t++)
		n += l->n_msgs[t];
	return n;
}

uint64_t lab_n_bytes(const struct lab *l)
{
	uint64_t n = 0;

	for (unsigned t = 0; t < MSG_TYPES; t++)
		n += l->n_bytes[t];
	return n;
}

unsigned lab_busiest(const struct lab *l)
{
	unsigned most = 0;

	for (size_t i = 0; i < l->n_touched; i++) {
		unsigned in = l->n_in[l->touched[i]];
		unsigned out = l->n_out[l->touched[i]];

		if ((in > out ? in : out) > most)
			most = in > out ? in : out;
	}
	return most;
}

/* ---- the network ------------------------------------------------------- */

struct mesh_link lab_link(const struct lab *l, nsec delay)
{
	(void)l;
	return (struct mesh_link){ .delay = delay,
				   .jitter = delay / 20,
				   .mtu = CIRCUIT_MTU_MAX,
				   .notice = 300 * NS_PER_MS };
}

static void build(struct lab *l, const struct lab_options *o)
{
	for (size_t i = 0; i < l->net.n; i++) {
		size_t node = mesh_add_node(l->mesh, true);

		if (o->cost_liars != NULL && o->cost_liars[i])
			mesh_claim(l->mesh, node, 1);
	}
	for (size_t i = 0; i < l->net.n_links; i++) {
		const struct net_link *k = &l->net.link[i];
		struct mesh_link link = lab_link(l, k->delay);

		if (o->notice != 0)
			link.notice = o->notice;
		mesh_add_link(l->mesh, k->a, k->b, &link);
	}
}

void lab_watch_handling(struct lab *l,
			void (*handling)(void *ctx, size_t node, bool begins))
{
	mesh_set_watch(l->mesh, &(struct mesh_watch){
					.ctx = l,
					.sent = on_sent,
					.event = on_event,
					.delivered = on_delivered,
					.relays = on_relay,
					.lost = on_lost,
					.handling = handling,
				});
}

struct lab *lab_new(enum net_kind kind, size_t n, uint64_t seed,
		    const struct lab_options *o)
{
	struct lab *l = mem_new(l);
	struct mesh_options options = { .flood_below = o->flood_below,
					.directory_from = o->directory_from,
					.is_cheap = !o->is_dear,
					.is_forgetful = true };

	l->seed = seed;
	rng_init(&l->rng, seed);
	net_make(&l->net, kind, n, &l->rng);
	l->n_out = mem_calloc(n, sizeof *l->n_out);
	l->n_in = mem_calloc(n, sizeof *l->n_in);
	l->touched = mem_calloc(n, sizeof *l->touched);
	l->dead = mem_calloc(n, sizeof *l->dead);
	l->mesh = mesh_new_with(rng_u64(&l->rng), &options);
	lab_watch_handling(l, NULL);
	build(l, o);
	return l;
}

void lab_free(struct lab *l)
{
	mesh_free(l->mesh);
	net_deinit(&l->net);
	flows_free(l);
	lab_asks_clear(l);
	free(l->n_out);
	free(l->n_in);
	free(l->touched);
	free(l->dead);
	free(l);
}

void lab_run(struct lab *l, nsec time)
{
	mesh_run(l->mesh, mesh_now(l->mesh) + time);
}

size_t lab_pick(struct lab *l, size_t n)
{
	return (size_t)rng_below(&l->rng, n);
}

void lab_pick_pair(struct lab *l, size_t *from, size_t *to)
{
	do {
		*from = lab_pick(l, l->net.n);
		*to = lab_pick(l, l->net.n);
	} while (*from == *to || l->dead[*from] || l->dead[*to]);
}

void lab_kill(struct lab *l, size_t node)
{
	l->dead[node] = true;
	mesh_kill(l->mesh, node);
}

/* ---- circuits ---------------------------------------------------------- */

void lab_ask(struct lab *l, size_t from, size_t to)
{
	l->asks = mem_realloc(l->asks, l->n_asks + 1, sizeof *l->asks);
	l->asks[l->n_asks++] =
		(struct ask){ .from = from, .to = to, .at = mesh_now(l->mesh) };
	mesh_connect(l->mesh, from, to, 0);
}

void lab_ask_again(struct lab *l)
{
	for (size_t i = 0; i < l->n_asks; i++) {
		struct ask *a = &l->asks[i];

		if (a->up_at != 0 || a->failed_at == 0 || l->dead[a->from])
			continue;
		a->failed_at = 0;
		mesh_connect(l->mesh, a->from, a->to, 0);
	}
}

static bool have_ended(void *ctx, struct mesh *m)
{
	const struct lab *l = ctx;

	(void)m;
	for (size_t i = 0; i < l->n_asks; i++)
		if (l->asks[i].up_at == 0 && l->asks[i].failed_at == 0)
			return false;
	return true;
}

void lab_await(struct lab *l, nsec wait)
{
	mesh_run_until(l->mesh, have_ended, l, mesh_now(l->mesh) + wait);
}

size_t lab_n_up(const struct lab *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_asks; i++)
		n += l->asks[i].up_at != 0;
	return n;
}

void lab_asks_clear(struct lab *l)
{
	free(l->asks);
	l->asks = NULL;
	l->n_asks = 0;
}

static nsec link_cost(const struct lab *l, size_t a, size_t b)
{
	nsec best = NET_NOWHERE;
	size_t n;
	const size_t *links = mesh_node_links(l->mesh, a, &n);

	for (size_t i = 0; i < n; i++) {
		size_t x, y;
		nsec delay;

		mesh_link_ends(l->mesh, links[i], &x, &y);
		delay = mesh_link_config(l->mesh, links[i])->delay;
		if ((x == b || y == b) && delay < best)
			best = delay;
	}
	return best > LAB_COST_FLOOR_NS ? best : LAB_COST_FLOOR_NS;
}

nsec lab_circuit_cost(const struct lab *l, size_t from, circuit_no c)
{
	struct circuit_info info;
	nsec sum = 0;
	size_t before = from;

	if (!router_circuit_get(mesh_router(l->mesh, from), c, &info))
		return NET_NOWHERE;
	for (size_t i = 0; i < info.hops.n; i++) {
		size_t node = mesh_find(l->mesh, &info.hops.hop[i].id);

		sum += link_cost(l, before, node);
		before = node;
	}
	return sum;
}

bool lab_circuit_crosses(const struct lab *l, size_t from, circuit_no c,
			 const bool *set)
{
	struct circuit_info info;

	if (!router_circuit_get(mesh_router(l->mesh, from), c, &info))
		return false;
	for (size_t i = 0; i + 1 < info.hops.n; i++)
		if (set[mesh_find(l->mesh, &info.hops.hop[i].id)])
			return true;
	return false;
}

size_t lab_root(const struct lab *l, size_t seen_by, unsigned tree)
{
	struct tree_info info;

	if (!router_tree_get(mesh_router(l->mesh, seen_by), tree, &info))
		return SIZE_MAX;
	return mesh_find(l->mesh, &info.root);
}

/* ---- what it costs us -------------------------------------------------- */

double lab_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double lab_memory_mib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}
