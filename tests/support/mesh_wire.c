/* Links and the sessions over them. */
#include <assert.h>

#include "proto/base/mem.h"
#include "tests/support/mesh_inside.h"

static struct msg_link claim_of(const struct node *n,
				const struct mesh_link *link)
{
	nsec cost = link->delay / (100 * NS_PER_US);

	if (n->claim != 0)
		cost = n->claim;
	return (struct msg_link){ .cost_100us = cost > 0 ? (uint16_t)cost : 1,
				  .mtu = link->mtu };
}

static void session_up(struct mesh *m, struct wire *w, unsigned end)
{
	struct node *n = m->nodes[w->end[end]];
	struct node *peer = m->nodes[w->end[!end]];
	struct msg_link ours = claim_of(n, &w->config);

	MESH_GROW(n->sessions, n->n_sessions, n->cap_sessions);
	n->sessions[n->n_sessions++] =
		(struct session_at){ .wire = (size_t)(w - m->wires),
				     .end = end };
	w->session[end] = (session_no)n->n_sessions;
	router_session_up(n->router, w->session[end], &peer->self,
			  peer->self.key.b, KEY_LEN, &ours, m->now);
}

void mesh_session_down(struct mesh *m, struct wire *w, unsigned end)
{
	struct node *n = m->nodes[w->end[end]];
	session_no s = w->session[end];

	if (s == 0)
		return;
	w->session[end] = 0;
	if (n->router == NULL)
		return;
	router_session_down(n->router, s, m->now);
	mesh_pump(m, w->end[end]);
}

void mesh_heal(struct mesh *m, size_t link)
{
	struct wire *w = &m->wires[link];

	if (w->is_up || m->nodes[w->end[0]]->router == NULL ||
	    m->nodes[w->end[1]]->router == NULL)
		return;
	mesh_session_down(m, w, 0);
	mesh_session_down(m, w, 1);
	w->epoch++;
	w->is_up = true;
	w->last_arrival[0] = w->last_arrival[1] = m->now;
	session_up(m, w, 0);
	session_up(m, w, 1);
	mesh_pump(m, w->end[0]);
	mesh_pump(m, w->end[1]);
}

static void attach(struct node *n, size_t wire)
{
	MESH_GROW(n->wires, n->n_wires, n->cap_wires);
	n->wires[n->n_wires++] = wire;
}

size_t mesh_add_link(struct mesh *m, size_t a, size_t b,
		     const struct mesh_link *link)
{
	size_t i = m->n_wires;

	assert(a != b);
	while (m->n_started < m->n_nodes)
		mesh_start_router(m, m->n_started++);
	MESH_GROW(m->wires, m->n_wires, m->cap_wires);
	m->wires[m->n_wires++] =
		(struct wire){ .end = { a, b }, .config = *link };
	attach(m->nodes[a], i);
	attach(m->nodes[b], i);
	mesh_heal(m, i);
	return i;
}

void mesh_cut(struct mesh *m, size_t link)
{
	struct wire *w = &m->wires[link];

	if (!w->is_up)
		return;
	w->is_up = false;
	for (unsigned end = 0; end < 2; end++)
		agenda_add(&m->agenda,
			   m->now + rng_below(&m->rng, w->config.notice + 1),
			   &(struct happening){ .type = HAPPENS_NOTICE,
						.to = w->end[end],
						.wire = link,
						.end = end,
						.epoch = w->epoch });
}

void mesh_unplug(struct mesh *m, size_t link, size_t node)
{
	struct wire *w = &m->wires[link];

	mesh_cut(m, link);
	mesh_session_down(m, w, w->end[0] == node ? 0 : 1);
}

bool mesh_link_is_up(const struct mesh *m, size_t link)
{
	return m->wires[link].is_up;
}

void mesh_kill(struct mesh *m, size_t node)
{
	struct node *n = m->nodes[node];

	for (size_t i = 0; i < n->n_wires; i++) {
		struct wire *w = &m->wires[n->wires[i]];

		mesh_cut(m, n->wires[i]);
		w->session[w->end[0] == node ? 0 : 1] = 0;
	}
	router_free(n->router);
	n->router = NULL;
}

static void restore(struct mesh *m, struct node *n)
{
	for (size_t i = 0; i < n->n_known; i++) {
		size_t k = mesh_find(m, &n->known[i]);
		const struct identity *who = &m->nodes[k]->self;

		router_identity_add(n->router, who, who->key.b, KEY_LEN);
	}
	for (size_t i = 0; i < n->n_routes;) {
		struct route_proof p = n->routes[i];

		if (router_route_add(n->router, &p, m->now))
			i++;
		else
			n->routes[i] = n->routes[--n->n_routes];
	}
}

void mesh_revive(struct mesh *m, size_t node)
{
	struct node *n = m->nodes[node];

	assert(n->router == NULL);
	mesh_start_router(m, node);
	restore(m, n);
	for (size_t i = 0; i < n->n_wires; i++)
		mesh_heal(m, n->wires[i]);
	mesh_pump(m, node);
}
