#include "node/keep.h"

#include <inttypes.h>
#include <stdlib.h>

#include "node/neighbours.h"
#include "node/store.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

/* Keyed by the digest that all hops signed. */
void keep_route_put(struct store *s, const struct route_proof *route)
{
	uint8_t key[HASH_LEN];
	uint8_t *value = mem_calloc(1, STORE_VALUE_MAX);
	size_t len = route_proof_write(value, STORE_VALUE_MAX, route);

	route_proof_digest(key, route);
	if (len > 0)
		store_put(s, STORE_ROUTES, key, sizeof key, value, len);
	free(value);
}

void keep_route_del(struct store *s, const struct route_proof *route)
{
	uint8_t key[HASH_LEN];

	route_proof_digest(key, route);
	store_del(s, STORE_ROUTES, key, sizeof key);
}

struct loading {
	struct store *store;
	struct router *router;
	struct neighbours *neighbours;
	nsec now;
	size_t n_peers, n_routes;
	struct route_proof proof;
};

static void load_route(void *ctx, const void *key, size_t key_len,
		       const void *value, size_t len)
{
	struct loading *l = ctx;

	if (route_proof_parse(&l->proof, value, len) &&
	    router_route_add(l->router, &l->proof, l->now)) {
		l->n_routes++;
		return;
	}
	/* Expired, or not ours to use: it goes. */
	store_del(l->store, STORE_ROUTES, key, key_len);
}

static void load_peer(void *ctx, const void *key, size_t key_len,
		      const void *value, size_t len)
{
	struct loading *l = ctx;

	if (neighbours_load(l->neighbours, l->router, value, len)) {
		l->n_peers++;
		return;
	}
	store_del(l->store, STORE_PEERS, key, key_len);
}

void keep_load(struct store *s, struct router *r, struct neighbours *nb,
	       nsec now)
{
	struct loading *l = mem_new(l);

	l->store = s;
	l->router = r;
	l->neighbours = nb;
	l->now = now;
	store_load(s, STORE_PEERS, load_peer, l);
	store_load(s, STORE_ROUTES, load_route, l);
	log_info("database read: peers=%zu routes=%zu", l->n_peers,
		 l->n_routes);
	free(l);
}
