/* Our record on its way to its replicas.  protocol.md 11.2 */
#include <string.h>

#include "circuit/core.h"
#include "circuit/record_table.h"
#include "circuit/tree.h"
#include "proto/base/mem.h"

/* 1, 2, 4 … 60 s, up to half of it more. */
static nsec pause(struct router *r, const struct store *st)
{
	nsec wait = STORE_RETRY_NS;

	for (unsigned i = 1; i < st->n_tries && wait < STORE_RETRY_MAX_NS; i++)
		wait *= 2;
	wait = time_min(wait, STORE_RETRY_MAX_NS);
	return wait + rng_below(&r->rng, wait / 2);
}

static void retry_later(struct router *r, struct store *st, nsec now)
{
	timers_set(&r->timers, &st->timer, now + pause(r, st));
}

/* To ourselves at once, if we are the replica. */
static void send(struct router *r, unsigned tree, const struct record *own,
		 nsec now)
{
	struct store *st = &r->requests.stores[tree];
	struct request *q;
	struct msg_store *out;

	timers_cancel(&r->timers, &st->timer);
	if (tree_is_root(r, tree)) {
		st->is_wanted = !record_keep(r, own, now);
		return;
	}
	st->n_tries++;
	q = request_own(r, MSG_STORE, &own->id, tree, now);
	if (q == NULL) {
		retry_later(r, st, now);
		return;
	}
	st->nonce = q->nonce;
	out = &core_send(r, request_session(r, q)->no, MSG_STORE)->store;
	out->nonce = q->nonce;
	out->tree = (uint8_t)tree;
	out->hops_left = REQUEST_HOPS_MAX;
	out->record = *own;
	out->registers = out->has_appointment = false;
}

void store_start(struct router *r, const struct record *own, nsec now)
{
	for (unsigned k = 0; k < RECORD_REPLICAS; k++) {
		unsigned tree = record_tree(&own->id, k);

		r->requests.stores[tree].is_wanted = true;
		r->requests.stores[tree].n_tries = 0;
		send(r, tree, own, now);
	}
}

static bool is_last_try(const struct store *st, const struct request *q)
{
	return st->is_wanted &&
	       memcmp(&st->nonce, &q->nonce, sizeof q->nonce) == 0;
}

void store_acknowledged(struct router *r, const struct request *q)
{
	struct store *st = &r->requests.stores[q->tree];

	if (!is_last_try(st, q))
		return;
	st->is_wanted = false;
	timers_cancel(&r->timers, &st->timer);
}

void store_failed(struct router *r, const struct request *q, nsec now)
{
	struct store *st = &r->requests.stores[q->tree];

	if (is_last_try(st, q))
		retry_later(r, st, now);
}

void store_timeout(struct router *r, struct timer *t, nsec now)
{
	struct store *st = container_of(t, struct store, timer);
	unsigned tree = (unsigned)(st - r->requests.stores);
	struct record own;

	stored_read(record_own(r), &own);
	send(r, tree, &own, now);
}
