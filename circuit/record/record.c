#include "circuit/record/record.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/record/record_table.h"
#include "proto/base/mem.h"

#define SWEEP_NS (60 * NS_PER_S)

void records_init(struct router *r, nsec now)
{
	r->records.timer.kind = TIMER_RECORD;
	r->records.sweep.kind = TIMER_RECORD;
	r->records.next_store = TIME_NEVER;
	timers_set(&r->timers, &r->records.sweep, now + SWEEP_NS);
}

void records_deinit(struct router *r)
{
	stored_deinit(&r->records.kept);
	stored_deinit(&r->records.cached);
	stored_deinit(&r->records.own);
	parts_deinit(r);
	offices_deinit(r);
	free(r->records.scratch);
}

unsigned record_tree(const struct node_id *id, unsigned k)
{
	return (hash_of(id->b, ID_LEN).b[0] + k) % TREES;
}

bool record_is_of_tree(const struct node_id *id, unsigned tree)
{
	unsigned first = record_tree(id, 0);

	return (tree + TREES - first) % TREES < RECORD_REPLICAS;
}

/* ---- check ------------------------------------------------------------- */

static bool is_in_time(const struct router *r, const struct record *rec,
		       nsec now)
{
	uint64_t wall = core_wall(r, now);

	return rec->issued_ms < wall + CLOCK_SKEW_MS &&
	       wall < rec->issued_ms + rec->life_s * UINT64_C(1000);
}

/* The chain that is known already was checked when it was learnt. */
static bool chain_shows(struct router *r, const struct record *rec,
			struct identity *out, nsec now)
{
	const struct identity *known = keyring_find(r, &rec->id, now);
	size_t len;
	const uint8_t *chain = keyring_chain(r, &rec->id, &len);

	if (known != NULL && chain != NULL && len == rec->chain_len &&
	    memcmp(chain, rec->chain, len) == 0) {
		*out = *known;
		return true;
	}
	return r->config.check(r->config.check_ctx, rec->chain, rec->chain_len,
			       out) &&
	       id_equal(&out->id, &rec->id) &&
	       (known == NULL || hash_equal(&known->hash, &out->hash));
}

static enum record_verdict judge(struct router *r, const struct record *rec,
				 struct identity *who, nsec now)
{
	if (!is_in_time(r, rec, now))
		return RECORD_STALE;
	if (!core_take_verify(r, now))
		return RECORD_RATE;
	if (!chain_shows(r, rec, who, now))
		return RECORD_BAD;
	r->n.n_verify++;
	return r->config.crypto->verify(rec->sig, &who->key, SIGN_RECORD,
					&r->config.ca, rec->body, rec->body_len)
		       ? RECORD_GOOD
		       : RECORD_BAD;
}

enum record_verdict record_check(struct router *r, const struct record *rec,
				 struct identity *who, nsec now)
{
	struct identity shown;
	enum record_verdict v = judge(r, rec, &shown, now);

	r->n.n_record_bad += v == RECORD_BAD;
	r->n.n_record_stale += v == RECORD_STALE;
	if (v == RECORD_GOOD && who != NULL)
		*who = shown;
	return v;
}

/* ---- kept for others --------------------------------------------------- */

static void report(struct router *r, struct stored_record *s)
{
	struct record rec;

	if (s->is_reported)
		return;
	s->is_reported = true;
	stored_read(s, &rec);
	outbox_event_record(
		&r->out,
		&(struct router_event){ .type = ROUTER_RECORD, .peer = s->id },
		&rec);
}

static void kept_remove(struct router *r, struct stored_record *s)
{
	r->records.n_restored -= s->is_restored;
	r->records.parts.n_kept[record_part(&s->id)]--;
	stored_remove(&r->records.kept, s);
}

static void kept_expire(struct router *r, nsec now)
{
	while (r->records.kept != NULL && r->records.kept->expires <= now)
		kept_remove(r, r->records.kept);
}

static bool kept_set(struct router *r, const struct record *rec,
		     bool is_restored, nsec now)
{
	struct stored_record *s = stored_find(r, r->records.kept, &rec->id);

	if (s != NULL && s->issued_ms > rec->issued_ms)
		return true;
	kept_expire(r, now);
	s = stored_find(r, r->records.kept, &rec->id);
	if (s != NULL)
		kept_remove(r, s);
	if (HASH_COUNT(r->records.kept) >= RECORDS_MAX) {
		r->n.n_record_full++;
		return false;
	}
	s = stored_set(r, &r->records.kept, rec, now);
	s->is_restored = is_restored;
	r->records.n_restored += is_restored;
	r->records.parts.n_kept[record_part(&s->id)]++;
	if (!is_restored && !core_is_self(r, &s->id))
		report(r, s);
	return true;
}

bool record_keep(struct router *r, const struct record *rec, nsec now)
{
	return kept_set(r, rec, false, now);
}

static struct stored_record *if_alive(struct stored_record *s, nsec now)
{
	return s != NULL && s->expires > now ? s : NULL;
}

struct stored_record *record_kept(struct router *r, const struct node_id *id,
				  nsec now)
{
	return if_alive(stored_find(r, r->records.kept, id), now);
}

size_t records_n_kept(const struct router *r)
{
	return HASH_COUNT(r->records.kept) - r->records.n_restored;
}

/* Before there is a tree nobody knows whose replica we are: it is kept like
 * those, and serves our own lookups. */
bool router_record_add(struct router *r, const struct record *rec, nsec now)
{
	if (core_is_self(r, &rec->id) ||
	    record_check(r, rec, NULL, now) != RECORD_GOOD)
		return false;
	return kept_set(r, rec, true, now);
}

/* ---- cached ------------------------------------------------------------ */

void record_cache(struct router *r, const struct record *rec, nsec now)
{
	struct stored_record **cached = &r->records.cached;
	struct stored_record *s = stored_find(r, *cached, &rec->id);

	if (core_is_self(r, &rec->id))
		return;
	if (s != NULL && s->issued_ms >= rec->issued_ms) {
		s->is_spent = s->is_spent && s->issued_ms > rec->issued_ms;
		stored_renew(r, cached, s);
		return;
	}
	if (s == NULL && HASH_COUNT(*cached) >= RECORDS_CACHED_MAX)
		stored_remove(cached, *cached);
	stored_set(r, cached, rec, now);
}

static struct stored_record *usable(struct router *r, const struct node_id *id,
				    nsec now)
{
	struct stored_record *s =
		if_alive(stored_find(r, r->records.cached, id), now);
	struct stored_record *kept = record_kept(r, id, now);

	if (s == NULL)
		return kept;
	if (kept != NULL && kept->issued_ms > s->issued_ms)
		return kept;
	if (s->is_spent)
		return NULL;
	stored_renew(r, &r->records.cached, s);
	return s;
}

const struct record *record_cached(struct router *r, const struct node_id *id,
				   nsec now)
{
	struct stored_record *s = usable(r, id, now);

	if (s == NULL)
		return NULL;
	if (r->records.scratch == NULL)
		r->records.scratch = mem_new(r->records.scratch);
	stored_read(s, r->records.scratch);
	return r->records.scratch;
}

struct stored_record *record_fresh(struct router *r, const struct node_id *id,
				   uint64_t newer_than_ms, nsec now)
{
	struct stored_record *s =
		if_alive(stored_find(r, r->records.cached, id), now);

	if (s == NULL || s->is_spent || now - s->came >= RECORD_CACHE_NS ||
	    s->issued_ms <= newer_than_ms)
		return NULL;
	return s;
}

/* What we keep as a replica is not ours to drop: a spent copy of it says that
 * it is of no use to us. */
void record_forget(struct router *r, const struct node_id *id, nsec now)
{
	struct stored_record *s = usable(r, id, now);
	struct record rec;

	if (s == NULL)
		return;
	stored_read(s, &rec);
	record_cache(r, &rec, now);
	stored_find(r, r->records.cached, id)->is_spent = true;
}

uint64_t record_forgotten(const struct router *r, const struct node_id *id)
{
	const struct stored_record *s = stored_find(r, r->records.cached, id);

	return s != NULL && s->is_spent ? s->issued_ms : 0;
}

void record_worked(struct router *r, const struct node_id *id)
{
	struct stored_record *s = stored_find(r, r->records.cached, id);

	if (s != NULL && !s->is_spent)
		report(r, s);
}

static void sweep(struct router *r, nsec now)
{
	kept_expire(r, now);
	stored_expire(&r->records.cached, now);
	parts_sweep(r, now);
	offices_sweep(r, now);
	timers_set(&r->timers, &r->records.sweep, now + SWEEP_NS);
}

void record_timeout(struct router *r, struct timer *t, nsec now)
{
	if (t == &r->records.sweep)
		sweep(r, now);
	else
		record_store_own(r, now);
}
