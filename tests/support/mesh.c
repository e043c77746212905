#include "tests/support/mesh.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/frame.h"
#include "tests/support/mesh_inside.h"

/* Of one node at one time. */
#define WAKES_MAX 100

#define EPOCH_WALL_MS UINT64_C(1700000000000)

/* FNV-1a: enough to tell two runs apart. */
static void trace(struct mesh *m, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		m->trace = (m->trace ^ p[i]) * UINT64_C(0x100000001b3);
}

static void trace_u64(struct mesh *m, uint64_t x)
{
	trace(m, &x, sizeof x);
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

static void start_router(struct mesh *m, size_t i)
{
	struct node *n = &m->nodes[i];
	struct router_config config = {
		.self = n->self,
		.ca = m->ca,
		.key = &n->key,
		.chain = n->self.key.b,
		.chain_len = KEY_LEN,
		.check = check_chain,
		.transit = n->transit,
		.flood_below = m->options.flood_below,
		.crypto = m->options.is_cheap ? &mesh_cheap_crypto : NULL,
		.wall_ms = mesh_wall(m),
	};

	rng_init(&config.rng, rng_u64(&m->rng));
	n->router = router_new(&config, m->now);
	n->wake_at = TIME_NEVER;
}

size_t mesh_add_node(struct mesh *m, bool transit)
{
	struct node *n;
	uint8_t seed[32];

	m->nodes = mem_realloc(m->nodes, m->n_nodes + 1, sizeof *m->nodes);
	n = &m->nodes[m->n_nodes];
	*n = (struct node){ .transit = transit, .wake_at = TIME_NEVER };
	rng_fill(&m->rng, seed, sizeof seed);
	sign_key_from_seed(&n->key, seed);
	check_chain(NULL, n->key.public.b, KEY_LEN, &n->self);
	m->n_nodes++;
	/* Routers borrow the keys, and the array has moved. */
	for (size_t i = 0; i < m->n_nodes; i++)
		assert(m->nodes[i].router == NULL);
	return m->n_nodes - 1;
}

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

static void keep_route(struct node *n, const struct route_proof *p)
{
	n->routes = mem_realloc(n->routes, n->n_routes + 1, sizeof *n->routes);
	n->routes[n->n_routes++] = *p;
}

static void keep_identity(struct node *n, const struct node_id *id)
{
	n->known = mem_realloc(n->known, n->n_known + 1, sizeof *n->known);
	n->known[n->n_known++] = *id;
}

static void record(struct mesh *m, size_t i, const struct router_event *ev)
{
	struct node *n = &m->nodes[i];

	switch (ev->type) {
	case ROUTER_ROUTE_ADDED:
		keep_route(n, ev->route);
		break;
	case ROUTER_ROUTE_GONE:
		forget_route(n, ev->route);
		break;
	case ROUTER_IDENTITY:
		keep_identity(n, &ev->peer);
		break;
	default:
		break;
	}
	n->events = mem_realloc(n->events, n->n_events + 1, sizeof *n->events);
	n->events[n->n_events] =
		(struct mesh_event){ .at = m->now, .event = *ev };
	n->events[n->n_events++].event.route = NULL;
	trace_u64(m, (uint64_t)ev->type << 32 | i);
	trace_u64(m, m->now);
}

/* ---- links ------------------------------------------------------------- */

static nsec travel(struct mesh *m, const struct wire *w)
{
	return w->config.delay + rng_below(&m->rng, w->config.jitter + 1);
}

static bool is_unlucky(struct mesh *m, const struct wire *w)
{
	return rng_below(&m->rng, 1000) < w->config.loss_permille;
}

static void pump(struct mesh *m, size_t i);

static void session_up(struct mesh *m, struct wire *w, unsigned end)
{
	struct node *n = &m->nodes[w->end[end]];
	struct node *peer = &m->nodes[w->end[!end]];
	struct msg_link ours = {
		.cost_100us = (uint16_t)(w->config.delay / (100 * NS_PER_US)),
		.mtu = w->config.mtu,
	};

	if (ours.cost_100us == 0)
		ours.cost_100us = 1;
	n->sessions = mem_realloc(n->sessions, n->n_sessions + 1,
				  sizeof *n->sessions);
	n->sessions[n->n_sessions] =
		(struct session_at){ .wire = (size_t)(w - m->wires),
				     .end = end };
	w->session[end] = ++n->n_sessions;
	router_session_up(n->router, w->session[end], &peer->self,
			  peer->self.key.b, KEY_LEN, &ours, m->now);
}

static void session_down(struct mesh *m, struct wire *w, unsigned end)
{
	struct node *n = &m->nodes[w->end[end]];
	session_no s = w->session[end];

	if (s == 0)
		return;
	w->session[end] = 0;
	if (n->router == NULL)
		return;
	router_session_down(n->router, s, m->now);
	pump(m, w->end[end]);
}

void mesh_heal(struct mesh *m, size_t link)
{
	struct wire *w = &m->wires[link];

	if (w->is_up || m->nodes[w->end[0]].router == NULL ||
	    m->nodes[w->end[1]].router == NULL)
		return;
	session_down(m, w, 0);
	session_down(m, w, 1);
	w->epoch++;
	w->is_up = true;
	w->last_arrival[0] = w->last_arrival[1] = m->now;
	session_up(m, w, 0);
	session_up(m, w, 1);
	pump(m, w->end[0]);
	pump(m, w->end[1]);
}

size_t mesh_add_link(struct mesh *m, size_t a, size_t b,
		     const struct mesh_link *link)
{
	assert(a != b);
	for (size_t i = 0; i < m->n_nodes; i++)
		if (m->nodes[i].router == NULL)
			start_router(m, i);
	m->wires = mem_realloc(m->wires, m->n_wires + 1, sizeof *m->wires);
	m->wires[m->n_wires] =
		(struct wire){ .end = { a, b }, .config = *link };
	m->n_wires++;
	mesh_heal(m, m->n_wires - 1);
	return m->n_wires - 1;
}

void mesh_cut(struct mesh *m, size_t link)
{
	struct wire *w = &m->wires[link];

	if (!w->is_up)
		return;
	w->is_up = false;
	for (unsigned end = 0; end < 2; end++)
		happening_push(m, (struct happening){
					  .at = m->now +
						rng_below(&m->rng,
							  w->config.notice + 1),
					  .type = HAPPENS_NOTICE,
					  .to = w->end[end],
					  .wire = link,
					  .end = end,
					  .epoch = w->epoch,
				  });
}

bool mesh_link_is_up(const struct mesh *m, size_t link)
{
	return m->wires[link].is_up;
}

void mesh_kill(struct mesh *m, size_t node)
{
	struct node *n = &m->nodes[node];

	for (size_t i = 0; i < m->n_wires; i++) {
		struct wire *w = &m->wires[i];

		if (w->end[0] != node && w->end[1] != node)
			continue;
		mesh_cut(m, i);
		w->session[w->end[0] == node ? 0 : 1] = 0;
	}
	router_free(n->router);
	n->router = NULL;
}

void mesh_revive(struct mesh *m, size_t node)
{
	struct node *n = &m->nodes[node];
	struct route_proof *p = mem_new(p);

	assert(n->router == NULL);
	start_router(m, node);
	for (size_t i = 0; i < n->n_known; i++) {
		size_t k = mesh_find(m, &n->known[i]);
		const struct identity *who = &m->nodes[k].self;

		router_identity_add(n->router, who, who->key.b, KEY_LEN);
	}
	for (size_t i = 0; i < n->n_routes;) {
		*p = n->routes[i];
		if (router_route_add(n->router, p, m->now))
			i++;
		else
			n->routes[i] = n->routes[--n->n_routes];
	}
	free(p);
	for (size_t i = 0; i < m->n_wires; i++)
		if (m->wires[i].end[0] == node || m->wires[i].end[1] == node)
			mesh_heal(m, i);
	pump(m, node);
}

/* ---- traffic ----------------------------------------------------------- */

/* At most PROBE_COPIES_MAX copies of a probe cross a link in one direction. */
static void count_crossing(struct mesh *m, const struct wire *w, unsigned end,
			   const struct msg_probe *p)
{
	struct crossing_key key = {
		.wire = (uint32_t)(w - m->wires),
		.epoch = (uint16_t)w->epoch,
		.end = (uint16_t)end,
		.origin = p->origin,
		.nonce = p->nonce,
	};
	struct crossing *c;

	HASH_FIND(hh, m->crossings, &key, sizeof key, c);
	if (c == NULL) {
		c = mem_new(c);
		c->key = key;
		HASH_ADD(hh, m->crossings, key, sizeof key, c);
	}
	if (++c->n > PROBE_COPIES_MAX)
		m->fault = "a probe crosses a link too often";
}

void mesh_forget_probes(struct mesh *m)
{
	struct crossing *c, *next;

	HASH_ITER (hh, m->crossings, c, next) {
		HASH_DEL(m->crossings, c);
		free(c);
	}
}

static void send_message(struct mesh *m, size_t from,
			 const struct router_send *out)
{
	unsigned end;
	struct wire *w = mesh_wire(m, from, out->session, &end);
	struct msg *msg = mem_new(msg);
	uint8_t *bytes;
	nsec at;

	*msg = *out->msg;
	if (w != NULL && msg->type == MSG_PROBE)
		count_crossing(m, w, end, &msg->probe);
	/* A cut that this end has not noticed swallows what it sends. */
	if (w == NULL || !w->is_up ||
	    (m->filter != NULL &&
	     !m->filter(m->filter_ctx, from, w->end[!end], msg))) {
		free(msg);
		return;
	}
	bytes = mem_calloc(FRAME_HEADER_BYTES + FRAME_BYTES_MAX, 1);
	at = m->now + travel(m, w);
	if (is_unlucky(m, w))
		at += 3 * w->config.delay + 20 * NS_PER_MS;
	if (at < w->last_arrival[!end])
		at = w->last_arrival[!end];
	w->last_arrival[!end] = at;
	happening_push(
		m, (struct happening){
			   .at = at,
			   .type = HAPPENS_MESSAGE,
			   .to = w->end[!end],
			   .wire = (size_t)(w - m->wires),
			   .end = !end,
			   .epoch = w->epoch,
			   .bytes = bytes,
			   .len = msg_write(
				   bytes, FRAME_HEADER_BYTES + FRAME_BYTES_MAX,
				   msg),
		   });
	free(msg);
}

static void send_packet(struct mesh *m, size_t from,
			const struct relay_hop *hop, size_t len, uint64_t tag,
			unsigned n_hops)
{
	unsigned end;
	struct wire *w = mesh_wire(m, from, hop->session, &end);

	if (n_hops > HOPS_MAX)
		m->fault = "a packet goes round";
	if (w == NULL || !w->is_up || is_unlucky(m, w)) {
		m->n_dropped++;
		return;
	}
	happening_push(m, (struct happening){
				  .at = m->now + travel(m, w),
				  .type = HAPPENS_PACKET,
				  .to = w->end[!end],
				  .wire = (size_t)(w - m->wires),
				  .end = !end,
				  .epoch = w->epoch,
				  .len = len,
				  .label = hop->label,
				  .tag = tag,
				  .n_hops = n_hops,
			  });
}

/* Takes all outputs of a node, and notes when it wants to be woken. */
static void pump(struct mesh *m, size_t i)
{
	struct node *n = &m->nodes[i];
	struct router_send out;
	struct router_event ev;
	nsec deadline;

	if (n->router == NULL)
		return;
	while (router_next_send(n->router, &out))
		send_message(m, i, &out);
	while (router_next_event(n->router, &ev))
		record(m, i, &ev);
	deadline = router_deadline(n->router);
	if (deadline == TIME_NEVER || deadline >= n->wake_at)
		return;
	n->wake_at = deadline > m->now ? deadline : m->now;
	happening_push(m, (struct happening){ .at = n->wake_at,
					      .type = HAPPENS_WAKE,
					      .to = i });
}

static void message_arrived(struct mesh *m, const struct happening *h)
{
	struct wire *w = &m->wires[h->wire];
	struct msg *msg = mem_new(msg);
	enum msg_verdict v = MSG_MALFORMED;

	if (h->len >= FRAME_HEADER_BYTES)
		v = msg_parse(msg, h->bytes[0], h->bytes + FRAME_HEADER_BYTES,
			      h->len - FRAME_HEADER_BYTES);
	if (v != MSG_OK && m->filter == NULL)
		m->fault = "a message does not survive its encoding";
	m->n_messages++;
	trace_u64(m, m->now);
	trace_u64(m, (uint64_t)h->wire << 8 | h->end);
	trace(m, h->bytes, h->len);
	if (v == MSG_OK)
		v = router_handle_message(m->nodes[h->to].router,
					  w->session[h->end], msg, m->now);
	if (v != MSG_OK && m->filter == NULL)
		m->fault = "a message of an honest node is a violation";
	free(msg);
}

static void packet_arrived(struct mesh *m, const struct happening *h)
{
	struct wire *w = &m->wires[h->wire];
	struct relay_hop hop;

	trace_u64(m, m->now);
	trace_u64(m, h->tag);
	switch (router_packet_received(m->nodes[h->to].router,
				       w->session[h->end], h->label, h->len,
				       m->now, &hop)) {
	case RELAY_FORWARD:
		send_packet(m, h->to, &hop, h->len, h->tag, h->n_hops + 1);
		break;
	case RELAY_DELIVER:
		m->deliveries = mem_realloc(m->deliveries, m->n_deliveries + 1,
					    sizeof *m->deliveries);
		m->deliveries[m->n_deliveries++] =
			(struct mesh_delivery){ .at = m->now,
						.node = h->to,
						.circuit = hop.circuit,
						.tag = h->tag,
						.n_hops = h->n_hops };
		break;
	default:
		m->n_dropped++;
	}
}

static void happen(struct mesh *m, const struct happening *h)
{
	struct node *n = &m->nodes[h->to];
	struct wire *w = m->n_wires > 0 ? &m->wires[h->wire] : NULL;

	switch (h->type) {
	case HAPPENS_WAKE:
		if (n->router == NULL || n->wake_at != h->at)
			return;
		n->wake_at = TIME_NEVER;
		n->n_wakes = n->last_wake == m->now ? n->n_wakes + 1 : 0;
		n->last_wake = m->now;
		if (n->n_wakes > WAKES_MAX)
			m->fault = "a timer stands still";
		router_handle_timeout(n->router, m->now);
		break;
	case HAPPENS_MESSAGE:
	case HAPPENS_PACKET:
		if (!w->is_up || w->epoch != h->epoch ||
		    w->session[h->end] == 0)
			return;
		if (h->type == HAPPENS_MESSAGE)
			message_arrived(m, h);
		else
			packet_arrived(m, h);
		break;
	case HAPPENS_NOTICE:
		if (w->epoch == h->epoch && !w->is_up)
			session_down(m, w, h->end);
		return;
	}
	pump(m, h->to);
}

static void happen_next(struct mesh *m)
{
	struct happening h = happening_pop(m);

	m->now = h.at;
	happen(m, &h);
	free(h.bytes);
}

void mesh_run(struct mesh *m, nsec until)
{
	while (m->n_heap > 0 && m->heap[0].at <= until)
		happen_next(m);
	m->now = until;
}

bool mesh_run_until(struct mesh *m, mesh_done *done, void *ctx, nsec until)
{
	while (!done(ctx, m)) {
		if (m->n_heap == 0 || m->heap[0].at > until) {
			m->now = until;
			return done(ctx, m);
		}
		happen_next(m);
	}
	return true;
}

void mesh_free(struct mesh *m)
{
	mesh_forget_probes(m);
	for (size_t i = 0; i < m->n_nodes; i++) {
		router_free(m->nodes[i].router);
		free(m->nodes[i].events);
		free(m->nodes[i].routes);
		free(m->nodes[i].known);
		free(m->nodes[i].sessions);
	}
	while (m->n_heap > 0)
		free(happening_pop(m).bytes);
	free(m->nodes);
	free(m->wires);
	free(m->heap);
	free(m->deliveries);
	free(m);
}

/* ---- doing ------------------------------------------------------------- */

void mesh_connect(struct mesh *m, size_t from, size_t to, circuit_no avoid)
{
	router_connect(m->nodes[from].router, &m->nodes[to].self.id, avoid,
		       m->now);
	pump(m, from);
}

void mesh_close(struct mesh *m, size_t node, circuit_no c)
{
	router_circuit_close(m->nodes[node].router, c, CLOSE_DONE, m->now);
	pump(m, node);
}

enum msg_verdict mesh_inject(struct mesh *m, size_t node, size_t link,
			     const struct msg *msg)
{
	enum msg_verdict v;

	v = router_handle_message(m->nodes[node].router,
				  mesh_session(m, node, link), msg, m->now);
	pump(m, node);
	return v;
}

bool mesh_send_packet(struct mesh *m, size_t node, circuit_no c, size_t len,
		      uint64_t tag)
{
	struct relay_hop hop;

	if (!router_circuit_out(m->nodes[node].router, c, len, m->now, &hop))
		return false;
	send_packet(m, node, &hop, len, tag, 1);
	return true;
}

void mesh_set_filter(struct mesh *m, mesh_filter *filter, void *ctx)
{
	m->filter = filter;
	m->filter_ctx = ctx;
}
