#include "discovery/peers_table.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "proto/base/mem.h"

/* ---- entries ---- */

struct entry *entry_find(const struct peers *p, const struct node_id *id)
{
	const uint8_t *hash_key = p->hash_key;
	struct entry *e;

	HASH_FIND(hh_id, p->by_id, id, sizeof *id, e);
	return e;
}

struct entry *entry_find_no(const struct peers *p, peer_no no)
{
	const uint8_t *hash_key = p->hash_key;
	struct entry *e;

	HASH_FIND(hh_no, p->by_no, &no, sizeof no, e);
	return e;
}

static bool is_hint(const struct entry *e)
{
	return e->peer.has_id && !e->peer.is_identified;
}

static bool may_go(const struct entry *e, bool only_hints)
{
	return e->peer.statics == NULL && e->peer.n_links == 0 &&
	       (!only_hints || is_hint(e));
}

/* Who is worth least: hints first, then by score, then the oldest. */
static struct entry *find_victim(struct peers *p, bool only_hints, nsec now)
{
	struct entry *worst = NULL, *e, *tmp;
	uint32_t worst_score = 0;

	HASH_ITER (hh_no, p->by_no, e, tmp) {
		uint32_t score;

		if (!may_go(e, only_hints))
			continue;
		score = score_at(&e->peer.score, now);
		if (!is_hint(e))
			score += SCORE_ONE + 1;
		if (worst != NULL && score >= worst_score)
			continue;
		worst = e;
		worst_score = score;
	}
	return worst;
}

static bool make_room(struct peers *p, enum entry_kind kind, nsec now)
{
	bool is_for_hint = kind == ENTRY_HINT;
	struct entry *victim;

	if (HASH_CNT(hh_no, p->by_no) < PEERS_KNOWN_MAX &&
	    !(is_for_hint && p->n_hints >= PEERS_HINTS_MAX))
		return true;
	victim = find_victim(p, is_for_hint, now);
	if (victim == NULL)
		return false;
	p->counters.n_evicted++;
	entry_remove(p, victim);
	return true;
}

static void set_id(struct peers *p, struct entry *e, const struct node_id *id)
{
	const uint8_t *hash_key = p->hash_key;

	e->peer.has_id = true;
	e->peer.who.id = *id;
	HASH_ADD(hh_id, p->by_id, peer.who.id, sizeof e->peer.who.id, e);
}

struct entry *entry_add(struct peers *p, enum entry_kind kind,
			const struct node_id *id, nsec now)
{
	const uint8_t *hash_key = p->hash_key;
	struct entry *e;

	if (!make_room(p, kind, now))
		return NULL;
	e = mem_new(e);
	e->peer.no = ++p->last_no;
	score_init(&e->peer.score, now);
	HASH_ADD(hh_no, p->by_no, peer.no, sizeof e->peer.no, e);
	if (id != NULL)
		set_id(p, e, id);
	/* One that is to be identified counts as a hint until it is. */
	if (is_hint(e))
		p->n_hints++;
	p->revision++;
	return e;
}

static void push_event(struct peers *p, const struct peers_event *ev)
{
	size_t at;

	if (p->n_events == PEERS_EVENTS_MAX) {
		p->events_head = (p->events_head + 1) % PEERS_EVENTS_MAX;
		p->n_events--;
		p->counters.n_events_lost++;
	}
	at = (p->events_head + p->n_events++) % PEERS_EVENTS_MAX;
	p->events[at] = *ev;
}

void entry_remove(struct peers *p, struct entry *e)
{
	struct peer_static *s, *tmp;

	if (e->peer.is_identified)
		push_event(p, &(struct peers_event){ .type = PEER_GONE,
						     .id = e->peer.who.id });
	if (is_hint(e))
		p->n_hints--;
	entry_saved(p, e);
	if (e->peer.has_id)
		HASH_DELETE(hh_id, p->by_id, e);
	HASH_DELETE(hh_no, p->by_no, e);
	LL_FOREACH_SAFE(e->peer.statics, s, tmp)
	{
		free(s);
	}
	free(e->peer.chain);
	free(e);
	p->revision++;
}

void entry_changed(struct peers *p, struct entry *e)
{
	p->revision++;
	if (e->is_changed || !e->peer.is_identified)
		return;
	e->is_changed = true;
	DL_APPEND(p->changed, e);
}

bool entry_identify(struct peers *p, struct entry *e,
		    const struct identity *who, const uint8_t *chain,
		    size_t chain_len)
{
	if (e->peer.is_identified && !hash_equal(&e->peer.who.hash, &who->hash))
		return false;
	if (e->peer.is_identified && e->peer.chain_len == chain_len &&
	    memcmp(e->peer.chain, chain, chain_len) == 0)
		return true;
	if (!e->peer.has_id)
		set_id(p, e, &who->id);
	else if (!e->peer.is_identified)
		p->n_hints--;
	e->peer.is_identified = true;
	/* The id, which is the index's key, stays what it is. */
	e->peer.who = *who;
	e->peer.chain = mem_realloc(e->peer.chain, chain_len, 1);
	e->peer.chain_len = chain_len;
	if (chain_len != 0)
		memcpy(e->peer.chain, chain, chain_len);
	entry_changed(p, e);
	return true;
}

void entry_saved(struct peers *p, struct entry *e)
{
	if (!e->is_changed)
		return;
	e->is_changed = false;
	DL_DELETE(p->changed, e);
}

/* ---- endpoints ---- */

struct peer_endpoint *entry_endpoint(struct entry *e, const union endpoint *at)
{
	for (size_t i = 0; i < e->peer.n_endpoints; i++)
		if (endpoint_equal(&e->peer.endpoints[i].at, at))
			return &e->peer.endpoints[i];
	return NULL;
}

void entry_endpoint_remove(struct entry *e, struct peer_endpoint *ep)
{
	struct peer_endpoint *last =
		&e->peer.endpoints[e->peer.n_endpoints - 1];

	memmove(ep, ep + 1, (size_t)((char *)last - (char *)ep));
	e->peer.n_endpoints--;
}

static struct peer_endpoint *worst_endpoint(struct entry *e, nsec now)
{
	struct peer_endpoint *worst = NULL;

	for (size_t i = 0; i < e->peer.n_endpoints; i++) {
		struct peer_endpoint *ep = &e->peer.endpoints[i];

		if (ep->source == ENDPOINT_STATIC)
			continue;
		if (worst == NULL ||
		    score_at(&ep->score, now) < score_at(&worst->score, now))
			worst = ep;
	}
	return worst;
}

struct peer_endpoint *entry_endpoint_add(struct peers *p, struct entry *e,
					 const union endpoint *at,
					 enum endpoint_source source, nsec now)
{
	struct peer_endpoint *ep = entry_endpoint(e, at);

	if (ep != NULL)
		return ep;
	if (e->peer.n_endpoints == ENDPOINTS_PER_PEER_MAX) {
		ep = worst_endpoint(e, now);
		if (ep == NULL) {
			p->counters.n_endpoints_refused++;
			return NULL;
		}
		p->counters.n_endpoints_replaced++;
		entry_endpoint_remove(e, ep);
	}
	ep = &e->peer.endpoints[e->peer.n_endpoints++];
	*ep = (struct peer_endpoint){ .at = *at, .source = source };
	score_init(&ep->score, now);
	entry_changed(p, e);
	return ep;
}

/* ---- events ---- */

static bool says_the_same(const struct sighting *a, const struct sighting *b)
{
	return a->what == b->what && a->error == b->error &&
	       b->when_ms - a->when_ms < SIGHTING_REPEAT_MS;
}

/* A beacon every half minute, or a failure every minute, must not become a
 * write to the database each. */
static bool is_repeated(const struct peer *peer, const struct sighting *new)
{
	size_t n = peer->n_sightings < PEER_SIGHTINGS_MAX
			   ? (size_t)peer->n_sightings
			   : PEER_SIGHTINGS_MAX;

	if (new->what != SIGHTING_HEARD &&new->what != SIGHTING_FAILED)
		return false;
	for (size_t i = 1; i <= n; i++) {
		const struct sighting *old =
			&peer->sightings[(peer->n_sightings - i) %
					 PEER_SIGHTINGS_MAX];

		if (endpoint_equal(&old->at, &new->at))
			return says_the_same(old, new);
	}
	return false;
}

void peers_sight(struct peers *p, struct entry *e, enum sighting_what what,
		 peer_error error, const union endpoint *at, nsec now)
{
	struct sighting s = { .when_ms = peers_wall_ms(p, now),
			      .what = what,
			      .error = error,
			      .at = *at };

	p->revision++;
	if (is_repeated(&e->peer, &s))
		return;
	e->peer.sightings[e->peer.n_sightings++ % PEER_SIGHTINGS_MAX] = s;
	if (e->peer.is_identified)
		push_event(p, &(struct peers_event){ .type = PEER_SIGHTED,
						     .id = e->peer.who.id,
						     .sighting = s });
}

bool peers_next_event(struct peers *p, struct peers_event *out)
{
	struct entry *e = p->changed;

	/* First the queue: a peer that is gone may have come back since. */
	if (p->n_events > 0) {
		*out = p->events[p->events_head];
		p->events_head = (p->events_head + 1) % PEERS_EVENTS_MAX;
		p->n_events--;
		return true;
	}
	if (e == NULL)
		return false;
	entry_saved(p, e);
	*out = (struct peers_event){ .type = PEER_CHANGED,
				     .id = e->peer.who.id };
	return true;
}
