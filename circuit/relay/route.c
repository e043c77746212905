#include "circuit/relay/route.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "circuit/core.h"
#include "circuit/path.h"
#include "proto/base/mem.h"

void routes_deinit(struct router *r)
{
	struct route_set *set, *next;
	struct route *route, *next_route;

	HASH_ITER (hh, r->routes.sets, set, next) {
		DL_FOREACH_SAFE (set->routes, route, next_route)
			free(route);
		HASH_DEL(r->routes.sets, set);
		free(set);
	}
}

static struct route_set *set_find(struct router *r,
				  const struct node_id *target)
{
	struct route_set *set;

	TABLE_FIND(&r->table_key, hh, r->routes.sets, target, sizeof *target,
		   set);
	return set;
}

static struct route_set *set_get(struct router *r, const struct node_id *target)
{
	struct route_set *set = set_find(r, target);

	if (set != NULL)
		return set;
	set = mem_new(set);
	set->target = *target;
	TABLE_ADD(&r->table_key, hh, r->routes.sets, target, sizeof set->target,
		  set);
	return set;
}

void route_remove(struct router *r, struct route *route)
{
	struct route_set *set = set_find(r, &route->proof.target);

	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_ROUTE_GONE,
					     .peer = route->proof.target },
		     &route->proof);
	timers_cancel(&r->timers, &route->timer);
	DL_DELETE(set->routes, route);
	free(route);
	r->routes.n--;
	if (--set->n > 0)
		return;
	HASH_DEL(r->routes.sets, set);
	free(set);
}

void route_timeout(struct router *r, struct timer *t, nsec now)
{
	(void)now;
	route_remove(r, container_of(t, struct route, timer));
}

struct route *route_find(struct router *r, const struct node_id *target,
			 const uint8_t digest[HASH_LEN])
{
	struct route_set *set = set_find(r, target);
	struct route *route;

	if (set == NULL)
		return NULL;
	DL_FOREACH (set->routes, route)
		if (memcmp(route->digest, digest, HASH_LEN) == 0)
			return route;
	return NULL;
}

/* The first one that does not begin with a neighbour; else the oldest proof, if
 * it is much older than the new one: the probes since then have not found it
 * again.  NULL: all are good. */
static struct route *faded(struct router *r, const struct route_set *set,
			   const struct route_proof *p)
{
	struct route *route, *oldest = set->routes;

	DL_FOREACH (set->routes, route) {
		if (session_to(r, &route->proof.hops.hop[0].id) == NULL)
			return route;
		if (route->proof.expiry_ms < oldest->proof.expiry_ms)
			oldest = route;
	}
	return oldest->proof.expiry_ms + ROUTE_FADES_MS < p->expiry_ms ? oldest
								       : NULL;
}

/* Makes room: the older proof of the same path, one that is not to be relied
 * on, or the dearest route. */
static bool make_room(struct router *r, struct route_set *set,
		      const struct route_proof *p, uint32_t cost)
{
	struct route *route, *last = NULL;

	DL_FOREACH (set->routes, route) {
		last = route;
		if (!path_equal(route->proof.hops.hop, route->proof.hops.n,
				&p->hops))
			continue;
		if (route->proof.expiry_ms >= p->expiry_ms)
			return false;
		route_remove(r, route);
		return true;
	}
	if (set->n < ROUTES_PER_TARGET_MAX)
		return r->routes.n < ROUTES_MAX;
	route = faded(r, set, p);
	if (route == NULL && last->cost <= cost)
		return false;
	route_remove(r, route != NULL ? route : last);
	return true;
}

static int by_cost(const struct route *a, const struct route *b)
{
	return a->cost < b->cost ? -1 : a->cost > b->cost;
}

struct route *route_add(struct router *r, const struct route_proof *p,
			bool is_verified, nsec now)
{
	uint32_t cost = path_cost(p->hops.hop, p->hops.n);
	uint64_t wall = core_wall(r, now);
	struct route_set *set = set_find(r, &p->target);
	struct route *route;

	if (p->expiry_ms <= wall ||
	    (set == NULL && r->routes.n >= ROUTES_MAX) ||
	    (set != NULL && !make_room(r, set, p, cost)))
		return NULL;
	set = set_get(r, &p->target);
	route = mem_new(route);
	route->proof = *p;
	route_proof_digest(route->digest, p);
	route->cost = cost;
	route->is_verified = is_verified;
	route->timer.kind = TIMER_ROUTE;
	timers_set(&r->timers, &route->timer,
		   now + (p->expiry_ms - wall) * NS_PER_MS);
	DL_INSERT_INORDER(set->routes, route, by_cost);
	set->n++;
	r->routes.n++;
	return route;
}

struct overlap route_overlap(const struct router *r,
			     const struct hop_list *path,
			     const struct hop_list *avoid, nsec now)
{
	struct overlap o = { 0 };

	for (size_t i = 0; i + 1 < path->n; i++) {
		o.n_blamed += blame_of(r, &path->hop[i].id, now);
		if (avoid != NULL &&
		    path_has(avoid->hop, avoid->n, &path->hop[i].id))
			o.n_nodes++;
	}
	if (avoid != NULL)
		o.n_links = (unsigned)path_n_shared(&r->config.self.id, path,
						    avoid);
	return o;
}

bool overlap_is_less(const struct overlap *a, const struct overlap *b)
{
	if (a->n_blamed != b->n_blamed)
		return a->n_blamed < b->n_blamed;
	if (a->n_links != b->n_links)
		return a->n_links < b->n_links;
	return a->n_nodes < b->n_nodes;
}

static bool is_open_to(struct router *r, const struct route *route,
		       uint64_t serial)
{
	const struct route_proof *p = &route->proof;

	return route->tried_by != serial &&
	       session_to(r, &p->hops.hop[0].id) != NULL &&
	       !hold_forbids(r, &p->hops) &&
	       !hold_uses(r, &p->target, &p->hops);
}

struct route *route_best(struct router *r, const struct node_id *target,
			 uint64_t serial, const struct hop_list *avoid,
			 bool only_apart, nsec now)
{
	struct route_set *set = set_find(r, target);
	struct overlap least = { 0 }, o;
	struct route *route, *best = NULL;

	if (set == NULL)
		return NULL;
	DL_FOREACH (set->routes, route) {
		if (!is_open_to(r, route, serial))
			continue;
		o = route_overlap(r, &route->proof.hops, avoid, now);
		if (only_apart && (o.n_blamed > 0 || o.n_links > 0))
			continue;
		if (best == NULL || overlap_is_less(&o, &least)) {
			best = route;
			least = o;
		}
	}
	return best;
}

void routes_drop_link(struct router *r, const struct node_id *target,
		      const struct node_id *a, const struct node_id *b)
{
	struct route_set *set = set_find(r, target);
	struct route *route, *next;
	unsigned n = set != NULL ? set->n : 0;

	/* The set goes with its last route. */
	for (route = n > 0 ? set->routes : NULL; n > 0; n--, route = next) {
		next = route->next;
		if (path_crosses(&r->config.self.id, &route->proof.hops, a, b))
			route_remove(r, route);
	}
}

static bool knows_all(struct router *r, const struct hop_list *h, nsec now)
{
	for (size_t i = 0; i < h->n; i++)
		if (keyring_find(r, &h->hop[i].id, now) == NULL)
			return false;
	return true;
}

bool route_verify(struct router *r, struct route *route, nsec now)
{
	enum signed_verdict v;

	if (route->is_verified)
		return true;
	if (!knows_all(r, &route->proof.hops, now))
		return false;
	v = core_verify_route(r, &route->proof, 0, now);
	if (v == SIGNED_BAD) {
		route_remove(r, route);
		return false;
	}
	route->is_verified = v == SIGNED_OK;
	return v == SIGNED_OK;
}
