#include "tests/sim/check.h"

#include <string.h>

#include <utlist.h>

#include "circuit/core.h"
#include "circuit/path.h"
#include "tests/sim/graph.h"

/* Whether these two follow each other on a path. */
static bool is_link_of(const struct mesh *m, size_t a, size_t b, size_t from,
		       const struct hop_list *path)
{
	size_t before = from;

	for (size_t i = 0; i < path->n; i++) {
		size_t node = mesh_find(m, &path->hop[i].id);

		if ((a == before && b == node) || (b == before && a == node))
			return true;
		before = node;
	}
	return false;
}

/* Breadth first; without the links of `avoid`, if there is one. */
static void reach(const struct mesh *m, const bool *transit, size_t from,
		  const struct hop_list *avoid, bool *out)
{
	size_t queue[GRAPH_NODES_MAX], n = 0, a, b;

	memset(out, 0, mesh_n_nodes(m) * sizeof *out);
	if (!mesh_is_alive(m, from))
		return;
	out[from] = true;
	queue[n++] = from;
	for (size_t i = 0; i < n; i++) {
		if (queue[i] != from && !transit[queue[i]])
			continue;
		for (size_t l = 0; l < mesh_n_links(m); l++) {
			mesh_link_ends(m, l, &a, &b);
			if (!mesh_link_is_up(m, l) ||
			    (a != queue[i] && b != queue[i]) ||
			    (avoid != NULL && is_link_of(m, a, b, from, avoid)))
				continue;
			a = a == queue[i] ? b : a;
			if (out[a])
				continue;
			out[a] = true;
			queue[n++] = a;
		}
	}
}

void check_reach(const struct mesh *m, const bool *transit, size_t from,
		 bool *out)
{
	reach(m, transit, from, NULL, out);
}

bool check_reach_apart(const struct mesh *m, const bool *transit, size_t from,
		       size_t to, const struct hop_list *path)
{
	bool out[GRAPH_NODES_MAX];

	reach(m, transit, from, path, out);
	return out[to];
}

/* ---- circuits ---------------------------------------------------------- */

static bool find_by_open_id(struct mesh *m, size_t node, const struct nonce *id,
			    struct circuit_info *out)
{
	circuit_no after = 0;

	while (router_circuit_next(mesh_router(m, node), after, out)) {
		if (memcmp(&out->open_id, id, sizeof *id) == 0)
			return true;
		after = out->circuit;
	}
	return false;
}

static uint16_t link_mtu(struct mesh *m, size_t node, session_no s)
{
	for (size_t i = 0; i < mesh_n_links(m); i++) {
		size_t a, b;

		mesh_link_ends(m, i, &a, &b);
		if ((a == node || b == node) && mesh_session(m, node, i) == s)
			return mesh_link_config(m, i)->mtu;
	}
	return 0;
}

static bool same_path(const struct circuit_info *a,
		      const struct circuit_info *b)
{
	if (a->hops.n != b->hops.n || !id_equal(&a->origin, &b->origin))
		return false;
	for (size_t i = 0; i < a->hops.n; i++)
		if (!hop_equal(&a->hops.hop[i], &b->hops.hop[i]))
			return false;
	return true;
}

/* From one node of the circuit to the next; `x` becomes that of the next. */
static const char *check_hop(struct mesh *m, size_t *node,
			     struct circuit_info *x, const struct hop *hop,
			     uint16_t *mtu)
{
	struct circuit_info y;
	size_t next;
	session_no there;
	uint16_t here_mtu = link_mtu(m, *node, x->toward_target);

	if (!mesh_session_peer(m, *node, x->toward_target, &next, &there))
		return "a circuit goes over a session that is down";
	if (!id_equal(&mesh_identity(m, next)->id, &hop->id))
		return "a circuit leaves its path";
	if (!mesh_is_alive(m, next) ||
	    !find_by_open_id(m, next, &x->open_id, &y))
		return "a node of a circuit does not have it";
	if (!y.is_established || y.toward_origin != there)
		return "a node of a circuit has it otherwise";
	if (x->label_out[TOWARD_TARGET] != y.label_in[TOWARD_ORIGIN] ||
	    y.label_out[TOWARD_ORIGIN] != x->label_in[TOWARD_TARGET])
		return "labels do not agree";
	if (!same_path(x, &y))
		return "two nodes have another path";
	if (here_mtu < *mtu)
		*mtu = here_mtu;
	*node = next;
	*x = y;
	return NULL;
}

const char *check_circuit(struct mesh *m, size_t from, circuit_no c,
			  circuit_no *far)
{
	struct circuit_info first, x;
	uint16_t mtu = UINT16_MAX;
	size_t node = from;
	const char *fault;

	if (!router_circuit_get(mesh_router(m, from), c, &first) ||
	    !first.is_origin || !first.is_established)
		return "a circuit that was reported is not there";
	x = first;
	if (!path_is_simple(&first.origin, first.hops.hop, first.hops.n))
		return "a path has a loop";
	for (size_t i = 0; i < first.hops.n; i++) {
		fault = check_hop(m, &node, &x, &first.hops.hop[i], &mtu);
		if (fault != NULL)
			return fault;
	}
	if (!x.is_target || x.mtu != mtu || first.mtu != mtu)
		return x.is_target ? "the MTU is not that of the links"
				   : "a circuit does not end at its target";
	*far = x.circuit;
	return NULL;
}

/* Whole again after every event: whoever has a circuit has neighbours that
 * have it too. */
const char *check_no_remains(struct mesh *m)
{
	struct circuit_info x, y;

	for (size_t i = 0; i < mesh_n_nodes(m); i++) {
		circuit_no after = 0;

		if (!mesh_is_alive(m, i))
			continue;
		while (router_circuit_next(mesh_router(m, i), after, &x)) {
			size_t peer;
			session_no s;

			after = x.circuit;
			if (!x.is_target &&
			    (!mesh_session_peer(m, i, x.toward_target, &peer,
						&s) ||
			     !find_by_open_id(m, peer, &x.open_id, &y)))
				return "half a circuit is left towards origin";
			if (!x.is_origin &&
			    (!mesh_session_peer(m, i, x.toward_origin, &peer,
						&s) ||
			     !find_by_open_id(m, peer, &x.open_id, &y)))
				return "half a circuit is left towards target";
		}
	}
	return NULL;
}

/* ---- accounts ---------------------------------------------------------- */

static const char *caps_of(const struct router *r)
{
	const struct neighbour *n;

	if (HASH_COUNT(r->floods.seen) > PROBES_SEEN_MAX ||
	    keyring_n_known(r) > IDENTITIES_MAX ||
	    r->asking.n_parked > PARKED_MAX || r->routes.n > ROUTES_MAX ||
	    HASH_COUNT(r->circuits.all) > CIRCUITS_MAX ||
	    seeks_n(r) > SEEKS_MAX)
		return "a table is over its cap";
	for (n = r->neighbours.all; n != NULL; n = n->hh.next)
		if (n->n_seen > PROBES_SEEN_PER_PEER_MAX ||
		    n->n_pending > CIRCUITS_PENDING_MAX ||
		    n->n_circuits > CIRCUITS_PER_PEER_MAX ||
		    HASH_COUNT(n->origins) > ORIGINS_PER_PEER_MAX)
			return "a neighbour is over its cap";
	return NULL;
}

const char *check_caps(struct mesh *m)
{
	const char *fault = NULL;

	for (size_t i = 0; i < mesh_n_nodes(m) && fault == NULL; i++)
		if (mesh_is_alive(m, i))
			fault = caps_of(mesh_router(m, i));
	return fault;
}

static bool lives_on(enum timer_kind kind)
{
	return kind == TIMER_TREE || kind == TIMER_TREE_PEER ||
	       kind == TIMER_RECORD || kind == TIMER_REQUEST ||
	       kind == TIMER_STORE;
}

static size_t n_timers(const struct router *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->timers.n; i++)
		if (!lives_on(r->timers.heap[i]->kind))
			n++;
	return n;
}

static const char *baseline_of(const struct router *r)
{
	const struct neighbour *n;

	if (r->floods.seen != NULL || r->floods.copies != NULL)
		return "probes are still remembered";
	if (r->rings.all != NULL || r->seeks.all != NULL)
		return "attempts are still remembered";
	if (r->asking.asked != NULL || r->asking.n_parked != 0 ||
	    r->asking.parked != NULL || r->asking.ready != NULL)
		return "messages still wait for identities";
	if (r->circuits.all != NULL || r->circuits.by_open_id != NULL ||
	    r->circuits.by_label_out != NULL || label_n_used(r->labels) != 0)
		return "circuits are left";
	if (r->open_ids.all != NULL)
		return "open_ids are still remembered";
	for (n = r->neighbours.all; n != NULL; n = n->hh.next)
		if (n->n_seen != 0 || n->n_open_ids != 0 || n->n_parked != 0 ||
		    n->n_pending != 0 || n->n_circuits != 0 ||
		    n->sessions == NULL)
			return "a neighbour is charged for nothing";
	/* Only routes wait for their end; trees and records live on. */
	if (n_timers(r) != r->routes.n)
		return "timers are left";
	return NULL;
}

const char *check_baseline(struct mesh *m)
{
	const char *fault = NULL;

	for (size_t i = 0; i < mesh_n_nodes(m) && fault == NULL; i++)
		if (mesh_is_alive(m, i))
			fault = baseline_of(mesh_router(m, i));
	return fault;
}
