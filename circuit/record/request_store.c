/* Our record on its way to its replicas, and to the roots that we are a
 * volunteer of.  protocol.md 11.2 and 11.6 */
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

/* Straight up the tree, or to the member that is known. */
#define TRIES_STRAIGHT 2
/* A root that has volunteers enough refuses more: until the record is stored
 * again we do not insist. */
#define REGISTER_TRIES 4

void stores_init(struct router *r)
{
	for (unsigned i = 0; i < TREES; i++) {
		struct store *st = &r->requests.stores[i];
		struct store *reg = &r->requests.registers[i];

		st->tree = reg->tree = i;
		st->timer.kind = reg->timer.kind = TIMER_STORE;
		reg->is_registration = true;
	}
}

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

/* Whoever was on the way that the first tries took may have swallowed them: the
 * next ones begin with other neighbours. */
static bool find_way(struct router *r, const struct store *st,
		     struct request_way *w, nsec now)
{
	if (st->n_tries > TRIES_STRAIGHT)
		return request_way_around(r, st->tree,
					  st->n_tries - TRIES_STRAIGHT, w);
	if (st->is_registration)
		return request_way_up(r, st->tree, NULL, w);
	return request_way(r, &r->config.self.id, st->tree, NULL, NULL, w, now);
}

static void send(struct router *r, struct store *st, const struct record *own,
		 nsec now)
{
	struct request *q;
	struct msg_store *out;
	struct request_way w;

	st->n_tries++;
	if (!find_way(r, st, &w, now)) {
		retry_later(r, st, now);
		return;
	}
	q = request_own(r, MSG_STORE, &own->id, st->tree, &w, now);
	st->nonce = q->key.nonce;
	out = &core_send(r, w.to->no, MSG_STORE)->store;
	out->nonce = st->nonce;
	out->tree = (uint8_t)st->tree;
	out->hops_left = REQUEST_HOPS_MAX;
	out->record = *own;
	out->registers = st->is_registration;
	out->has_appointment = w.is_over;
	if (w.is_over)
		out->appointment = w.appointment;
}

/* To ourselves at once, if we are the replica. */
static void try(struct router *r, struct store *st, const struct record *own,
		nsec now)
{
	bool is_root = tree_is_root(r, st->tree);

	timers_cancel(&r->timers, &st->timer);
	if (st->is_registration && is_root)
		st->is_wanted = false;
	else if (!st->is_registration &&
		 request_ends_here(r, &own->id, st->tree, now))
		st->is_wanted = !record_keep(r, own, now);
	else
		send(r, st, own, now);
}

static void start(struct router *r, struct store *st, const struct record *own,
		  nsec now)
{
	st->is_wanted = true;
	st->n_tries = 0;
	try(r, st, own, now);
}

static bool is_volunteer(struct router *r, unsigned tree, nsec now)
{
	uint32_t n_nodes = trees_n_nodes(r, now);
	bool is_enlisted = r->requests.registers[tree].is_enlisted;

	if (!r->config.transit || n_nodes < r->config.directory_from / 2)
		return false;
	/* Who keeps records does not leave because the network grows. */
	return office_wants(&r->config.self.id, tree,
			    is_enlisted ? n_nodes / DIRECTORY_STAY : n_nodes);
}

void store_start(struct router *r, const struct record *own, nsec now)
{
	for (unsigned i = 0; i < TREES; i++) {
		if (record_is_of_tree(&own->id, i))
			start(r, &r->requests.stores[i], own, now);
		if (is_volunteer(r, i, now))
			start(r, &r->requests.registers[i], own, now);
	}
}

/* The one whose last try this is; NULL: it is over. */
static struct store *store_of(struct router *r, const struct request *q)
{
	struct store *both[] = { &r->requests.stores[q->tree],
				 &r->requests.registers[q->tree] };

	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (both[i]->is_wanted && memcmp(&both[i]->nonce, &q->key.nonce,
						 sizeof q->key.nonce) == 0)
			return both[i];
	return NULL;
}

void store_acknowledged(struct router *r, const struct request *q)
{
	struct store *st = store_of(r, q);

	if (st == NULL)
		return;
	st->is_wanted = false;
	st->is_enlisted = st->is_registration;
	timers_cancel(&r->timers, &st->timer);
}

void store_failed(struct router *r, const struct request *q, nsec now)
{
	struct store *st = store_of(r, q);

	if (st == NULL)
		return;
	if (st->is_registration &&
	    (st->n_tries >= REGISTER_TRIES || !is_volunteer(r, st->tree, now)))
		st->is_wanted = false;
	else
		retry_later(r, st, now);
}

void store_timeout(struct router *r, struct timer *t, nsec now)
{
	struct record own;

	stored_read(record_own(r), &own);
	try(r, container_of(t, struct store, timer), &own, now);
}
