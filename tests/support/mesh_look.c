/* Looking into a mesh. */
#include "tests/support/mesh_inside.h"

struct wire *mesh_wire(const struct mesh *m, size_t node, session_no s,
		       unsigned *end)
{
	const struct node *n = m->nodes[node];
	struct wire *w;

	if (s == 0 || s > n->n_sessions)
		return NULL;
	w = &m->wires[n->sessions[s - 1].wire];
	*end = n->sessions[s - 1].end;
	return w->session[*end] == s ? w : NULL;
}

nsec mesh_now(const struct mesh *m)
{
	return m->now;
}

size_t mesh_n_nodes(const struct mesh *m)
{
	return m->n_nodes;
}

size_t mesh_n_links(const struct mesh *m)
{
	return m->n_wires;
}

void mesh_link_ends(const struct mesh *m, size_t link, size_t *a, size_t *b)
{
	*a = m->wires[link].end[0];
	*b = m->wires[link].end[1];
}

const size_t *mesh_node_links(const struct mesh *m, size_t node, size_t *n)
{
	*n = m->nodes[node]->n_wires;
	return m->nodes[node]->wires;
}

const struct mesh_link *mesh_link_config(const struct mesh *m, size_t link)
{
	return &m->wires[link].config;
}

struct router *mesh_router(const struct mesh *m, size_t node)
{
	return m->nodes[node]->router;
}

bool mesh_is_alive(const struct mesh *m, size_t node)
{
	return m->nodes[node]->router != NULL;
}

const struct identity *mesh_identity(const struct mesh *m, size_t node)
{
	return &m->nodes[node]->self;
}

const struct sign_key *mesh_key(const struct mesh *m, size_t node)
{
	return &m->nodes[node]->key;
}

const struct node_hash *mesh_ca(const struct mesh *m)
{
	return &m->ca;
}

size_t mesh_find(const struct mesh *m, const struct node_id *id)
{
	struct node *n;

	HASH_FIND(hh, m->by_id, id, sizeof *id, n);
	return n != NULL ? n->index : SIZE_MAX;
}

session_no mesh_session(const struct mesh *m, size_t node, size_t link)
{
	const struct wire *w = &m->wires[link];

	return w->session[w->end[0] == node ? 0 : 1];
}

bool mesh_session_peer(const struct mesh *m, size_t node, session_no s,
		       size_t *peer, session_no *peer_session)
{
	unsigned end;
	const struct wire *w = mesh_wire(m, node, s, &end);

	if (w == NULL)
		return false;
	*peer = w->end[!end];
	*peer_session = w->session[!end];
	return true;
}

const struct mesh_event *mesh_events(const struct mesh *m, size_t node,
				     size_t *n)
{
	*n = m->nodes[node]->n_events;
	return m->nodes[node]->events;
}

const struct mesh_event *mesh_last(const struct mesh *m, size_t node,
				   enum router_event_type type, size_t peer,
				   nsec since)
{
	const struct node *n = m->nodes[node];

	for (size_t i = n->n_events; i-- > 0;)
		if (n->events[i].at >= since &&
		    n->events[i].event.type == type &&
		    id_equal(&n->events[i].event.peer,
			     &m->nodes[peer]->self.id))
			return &n->events[i];
	return NULL;
}

const struct mesh_event *mesh_opened(const struct mesh *m, size_t node,
				     size_t peer, nsec since)
{
	const struct node *n = m->nodes[node];

	for (size_t i = n->n_events; i-- > 0;)
		if (n->events[i].at >= since &&
		    n->events[i].event.type == ROUTER_CIRCUIT_UP &&
		    n->events[i].event.is_origin &&
		    id_equal(&n->events[i].event.peer,
			     &m->nodes[peer]->self.id))
			return &n->events[i];
	return NULL;
}

const struct mesh_delivery *mesh_deliveries(const struct mesh *m, size_t *n)
{
	*n = m->n_deliveries;
	return m->deliveries;
}

uint64_t mesh_trace(const struct mesh *m)
{
	return m->trace;
}

uint64_t mesh_n_messages(const struct mesh *m)
{
	return m->n_messages;
}

uint64_t mesh_n_packets_dropped(const struct mesh *m)
{
	return m->n_dropped;
}

const char *mesh_fault(const struct mesh *m)
{
	return m->fault;
}
