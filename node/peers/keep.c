#include "node/peers/keep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/peers/neighbours.h"
#include "node/session/session.h"
#include "node/store/store.h"
#include "proto/base/buf.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"

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

void keep_record_put(struct store *s, const struct record *record)
{
	uint8_t *value = mem_calloc(1, STORE_VALUE_MAX);
	size_t len = record_write(value, STORE_VALUE_MAX, record);

	if (len > 0)
		store_put(s, STORE_RECORDS, &record->id, sizeof record->id,
			  value, len);
	free(value);
}

/* Those that are as they were are not written again: the store keeps the last
 * change only, and a full score is what a neighbour begins with. */
void keep_score(struct store *s, const struct router *r,
		const struct node_id *id)
{
	uint16_t score = router_score_get(r, id);
	uint8_t value[2];
	struct buf b = buf_of(value, sizeof value);

	buf_be16(&b, score);
	if (score == ROUTER_SCORE_FULL)
		store_del(s, STORE_SCORES, id, ID_LEN);
	else
		store_put(s, STORE_SCORES, id, ID_LEN, value, b.len);
}

void keep_scores(struct store *s, const struct router *r,
		 const struct sessions *sessions)
{
	struct session_info info;

	for (session_no no = 0; sessions_next(sessions, no, &info);
	     no = info.no) {
		if (info.is_up)
			keep_score(s, r, &info.peer.id);
	}
}

struct loading {
	struct store *store;
	struct router *router;
	struct neighbours *neighbours;
	nsec now;
	size_t n_peers, n_routes, n_records;
	struct route_proof proof;
	struct record record;
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

static void load_record(void *ctx, const void *key, size_t key_len,
			const void *value, size_t len)
{
	struct loading *l = ctx;

	if (record_parse(&l->record, value, len) &&
	    router_record_add(l->router, &l->record, l->now)) {
		l->n_records++;
		return;
	}
	store_del(l->store, STORE_RECORDS, key, key_len);
}

static void load_score(void *ctx, const void *key, size_t key_len,
		       const void *value, size_t len)
{
	struct loading *l = ctx;
	struct view v = view_of(value, len);
	uint16_t score = view_be16(&v);
	struct node_id id;

	if (key_len != sizeof id || v.bad || view_left(&v) != 0) {
		store_del(l->store, STORE_SCORES, key, key_len);
		return;
	}
	memcpy(&id, key, sizeof id);
	router_score_set(l->router, &id, score, l->now);
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
	store_load(s, STORE_RECORDS, load_record, l);
	store_load(s, STORE_SCORES, load_score, l);
	log_info("database read: peers=%zu routes=%zu records=%zu", l->n_peers,
		 l->n_routes, l->n_records);
	free(l);
}
