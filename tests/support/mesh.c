#include "tests/support/mesh.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/support/mesh_inside.h"

/* Of one node at one time. */
#define WAKES_MAX 100

#define EPOCH_WALL_MS UINT64_C(1700000000000)

/* FNV-1a: enough to tell two runs apart. */
void mesh_trace_add(struct mesh *m, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		m->trace = (m->trace ^ p[i]) * UINT64_C(0x100000001b3);
}

void mesh_trace_u64(struct mesh *m, uint64_t x)
{
	mesh_trace_add(m, &x, sizeof x);
}

/* ---- nodes ------------------------------------------------------------- */

/* A chain is the bare key: the simulation is not about certificates. */
static bool check_chain(void *ctx, const uint8_t *chain, size_t len,
			struct identity *out)
{
	(void)ctx;
	if (len != KEY_LEN)
		return false;
	*out = (struct identity){ .not_after_s = INT64_MAX / 2 };
	memcpy(out->key.b, chain, KEY_LEN);
	out->hash = hash_of_key(&out->key);
	out->id = id_of_hash(&out->hash);
	return true;
}

struct mesh *mesh_new(uint64_t seed)
{
	return mesh_new_with(
		seed, &(struct mesh_options){ .flood_below = UINT32_MAX });
}

struct mesh *mesh_new_with(uint64_t seed, const struct mesh_options *options)
{
	struct mesh *m = mem_new(m);

	m->options = *options;
	rng_init(&m->rng, seed);
	m->now = NS_PER_S;
	m->trace = UINT64_C(0xcbf29ce484222325);
	rng_fill(&m->rng, &m->ca, sizeof m->ca);
	return m;
}

uint64_t mesh_wall(const struct mesh *m)
{
	return EPOCH_WALL_MS + m->now / NS_PER_MS;
}

void mesh_start_router(struct mesh *m, size_t i)
{
	struct node *n = m->nodes[i];
	struct router_config config = {
		.self = n->self,
		.ca = m->ca,
		.key = &n->key,
		.chain = n->self.key.b,
		.chain_len = KEY_LEN,
		.check = check_chain,
		.transit = n->transit,
		.flood_below = m->options.flood_below,
		.directory_from = m->options.directory_from,
		.crypto = m->options.is_cheap ? &mesh_cheap_crypto : NULL,
		.wall_ms = mesh_wall(m),
	};

	rng_init(&config.rng, rng_u64(&m->rng));
	n->router = router_new(&config, m->now);
	n->wake_at = TIME_NEVER;
}

size_t mesh_add_node(struct mesh *m, bool transit)
{
	struct node *n = mem_new(n);
	uint8_t seed[32];

	*n = (struct node){ .transit = transit,
			    .index = m->n_nodes,
			    .wake_at = TIME_NEVER };
	rng_fill(&m->rng, seed, sizeof seed);
	sign_key_from_seed(&n->key, seed);
	check_chain(NULL, n->key.public.b, KEY_LEN, &n->self);
	MESH_GROW(m->nodes, m->n_nodes, m->cap_nodes);
	m->nodes[m->n_nodes++] = n;
	HASH_ADD(hh, m->by_id, self.id, sizeof n->self.id, n);
	return n->index;
}

void mesh_claim(struct mesh *m, size_t node, uint16_t cost_100us)
{
	m->nodes[node]->claim = cost_100us;
}

static void node_free(struct mesh *m, struct node *n)
{
	HASH_DEL(m->by_id, n);
	router_free(n->router);
	free(n->wires);
	free(n->sessions);
	free(n->events);
	free(n->routes);
	free(n->known);
	free(n);
}

void mesh_free(struct mesh *m)
{
	mesh_forget_probes(m);
	for (size_t i = 0; i < m->n_nodes; i++)
		node_free(m, m->nodes[i]);
	agenda_deinit(&m->agenda);
	free(m->nodes);
	free(m->wires);
	free(m->deliveries);
	free(m);
}

/* ---- events ------------------------------------------------------------ */

static void forget_route(struct node *n, const struct route_proof *p)
{
	for (size_t i = 0; i < n->n_routes; i++) {
		if (memcmp(&n->routes[i].nonce, &p->nonce, sizeof p->nonce) !=
			    0 ||
		    memcmp(n->routes[i].sig_target, p->sig_target, SIG_LEN) !=
			    0)
			continue;
		n->routes[i] = n->routes[--n->n_routes];
		return;
	}
}

static void keep(struct node *n, const struct router_event *ev)
{
	switch (ev->type) {
	case ROUTER_ROUTE_ADDED:
		MESH_GROW(n->routes, n->n_routes, n->cap_routes);
		n->routes[n->n_routes++] = *ev->route;
		break;
	case ROUTER_ROUTE_GONE:
		forget_route(n, ev->route);
		break;
	case ROUTER_IDENTITY:
		MESH_GROW(n->known, n->n_known, n->cap_known);
		n->known[n->n_known++] = ev->peer;
		break;
	default:
		break;
	}
}

void mesh_note_event(struct mesh *m, size_t i, const struct router_event *ev)
{
	struct node *n = m->nodes[i];

	mesh_trace_u64(m, (uint64_t)ev->type << 32 | i);
	mesh_trace_u64(m, m->now);
	if (m->watch.event != NULL)
		m->watch.event(m->watch.ctx, i, ev);
	if (m->options.is_forgetful)
		return;
	keep(n, ev);
	MESH_GROW(n->events, n->n_events, n->cap_events);
	n->events[n->n_events] =
		(struct mesh_event){ .at = m->now, .event = *ev };
	n->events[n->n_events].event.route = NULL;
	n->events[n->n_events++].event.record = NULL;
}

/* ---- time -------------------------------------------------------------- */

/* Takes all outputs of a node, and notes when it wants to be woken. */
void mesh_pump(struct mesh *m, size_t i)
{
	struct node *n = m->nodes[i];
	struct router_send out;
	struct router_event ev;
	nsec deadline;

	if (n->router == NULL)
		return;
	while (router_next_send(n->router, &out))
		mesh_send_message(m, i, &out);
	while (router_next_event(n->router, &ev))
		mesh_note_event(m, i, &ev);
	deadline = router_deadline(n->router);
	if (deadline == TIME_NEVER || deadline >= n->wake_at)
		return;
	n->wake_at = deadline > m->now ? deadline : m->now;
	agenda_add(&m->agenda, n->wake_at,
		   &(struct happening){ .type = HAPPENS_WAKE, .to = i });
}

static void wake(struct mesh *m, size_t i)
{
	struct node *n = m->nodes[i];

	if (n->router == NULL || n->wake_at != m->now)
		return;
	n->wake_at = TIME_NEVER;
	n->n_wakes = n->last_wake == m->now ? n->n_wakes + 1 : 0;
	n->last_wake = m->now;
	if (n->n_wakes > WAKES_MAX)
		m->fault = "a timer stands still";
	router_handle_timeout(n->router, m->now);
	mesh_pump(m, i);
}

static void notice(struct mesh *m, const struct happening *h)
{
	struct wire *w = &m->wires[h->wire];

	if (w->epoch == h->epoch && !w->is_up)
		mesh_session_down(m, w, h->end);
}

static void happen_next(struct mesh *m)
{
	nsec at = agenda_next_at(&m->agenda);
	struct happening h = agenda_take(&m->agenda);

	m->now = at;
	if (h.type == HAPPENS_WAKE)
		wake(m, h.to);
	else if (h.type == HAPPENS_NOTICE)
		notice(m, &h);
	else
		mesh_arrive(m, &h);
	free(h.bytes);
}

void mesh_run(struct mesh *m, nsec until)
{
	while (agenda_next_at(&m->agenda) <= until)
		happen_next(m);
	m->now = until;
}

bool mesh_run_until(struct mesh *m, mesh_done *done, void *ctx, nsec until)
{
	while (!done(ctx, m)) {
		if (agenda_next_at(&m->agenda) > until) {
			m->now = until;
			return done(ctx, m);
		}
		happen_next(m);
	}
	return true;
}

/* ---- doing ------------------------------------------------------------- */

void mesh_connect(struct mesh *m, size_t from, size_t to, circuit_no avoid)
{
	router_connect(m->nodes[from]->router, &m->nodes[to]->self.id, avoid,
		       m->now);
	mesh_pump(m, from);
}

void mesh_close(struct mesh *m, size_t node, circuit_no c)
{
	router_circuit_close(m->nodes[node]->router, c, CLOSE_DONE, m->now);
	mesh_pump(m, node);
}

void mesh_hold(struct mesh *m, size_t from, size_t to)
{
	router_hold(m->nodes[from]->router, &m->nodes[to]->self.id, m->now);
	mesh_pump(m, from);
}

void mesh_release(struct mesh *m, size_t from, size_t to)
{
	router_release(m->nodes[from]->router, &m->nodes[to]->self.id, m->now);
	mesh_pump(m, from);
}

void mesh_set_filter(struct mesh *m, mesh_filter *filter, void *ctx)
{
	m->filter = filter;
	m->filter_ctx = ctx;
}

void mesh_set_watch(struct mesh *m, const struct mesh_watch *watch)
{
	m->watch = *watch;
}
