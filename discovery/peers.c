#include "discovery/peers.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "discovery/peers_table.h"
#include "proto/base/mem.h"

struct peers *peers_new(const struct node_id *self, const struct rng *rng,
			uint64_t wall_ms, nsec now)
{
	struct peers *p = mem_new(p);

	p->self = *self;
	p->rng = *rng;
	rng_fill(&p->rng, p->hash_key, sizeof p->hash_key);
	peers_set_wall(p, wall_ms, now);
	return p;
}

void peers_free(struct peers *p)
{
	struct entry *e, *tmp;

	if (p == NULL)
		return;
	HASH_ITER (hh_no, p->by_no, e, tmp) {
		entry_remove(p, e);
	}
	free(p);
}

void peers_set_wall(struct peers *p, uint64_t wall_ms, nsec now)
{
	p->wall_ms = wall_ms;
	p->wall_at = now;
}

uint64_t peers_wall_ms(const struct peers *p, nsec now)
{
	return p->wall_ms + (now - p->wall_at) / NS_PER_MS;
}

/* ---- what is known from elsewhere ---- */

enum peers_verdict peers_handle_identity(struct peers *p,
					 const struct identity *who,
					 const uint8_t *chain, size_t chain_len,
					 nsec now)
{
	struct entry *e;

	if (id_equal(&who->id, &p->self))
		return PEERS_SELF;
	e = entry_find(p, &who->id);
	if (e == NULL)
		e = entry_add(p, ENTRY_IDENTIFIED, &who->id, now);
	if (e == NULL)
		return PEERS_FULL;
	return entry_identify(p, e, who, chain, chain_len) ? PEERS_OK
							   : PEERS_CLASH;
}

/* When to dial an endpoint that was just heard of. */
static void plan_heard(struct peers *p, struct entry *e,
		       struct peer_endpoint *ep, bool is_news, nsec now)
{
	bool is_patient = memcmp(&p->self, &e->peer.who.id, ID_LEN) > 0;
	nsec at;

	/* Anyone can claim a new id: only a peer that we know may ask to be
	 * dialled at once after it failed. */
	if (is_news && (e->peer.is_identified || ep->backoff.n_failures == 0)) {
		backoff_reset(&ep->backoff,
			      now + (is_patient ? PEER_HINT_WAIT_NS : 0));
		return;
	}
	/* It lives but does not answer (a firewall?): the slowest pace, not
	 * the rest of those who may be gone. */
	at = now + backoff_jitter(&p->rng, BACKOFF_MAX_NS);
	ep->backoff.retry_at = time_min(ep->backoff.retry_at, at);
}

static bool is_linked_to(const struct peer *peer, const union endpoint *at)
{
	for (size_t i = 0; i < peer->n_links; i++)
		if (endpoint_equal(&peer->links[i].remote, at))
			return true;
	return false;
}

enum peers_verdict peers_handle_hint(struct peers *p, const struct node_id *id,
				     const union endpoint *at, uint32_t ifindex,
				     bool is_fresh, nsec now)
{
	uint64_t now_ms = peers_wall_ms(p, now);
	struct peer_endpoint *ep;
	struct entry *e;

	if (id_equal(id, &p->self))
		return PEERS_SELF;
	e = entry_find(p, id);
	if (e == NULL)
		e = entry_add(p, ENTRY_HINT, id, now);
	ep = e != NULL ? entry_endpoint_add(p, e, at, ENDPOINT_BEACON, now)
		       : NULL;
	if (ep == NULL) {
		p->counters.n_hints_refused++;
		return PEERS_FULL;
	}
	ep->ifindex = ifindex;
	if (!is_linked_to(&e->peer, at)) {
		bool is_news = is_fresh ||
			       now_ms - ep->last_heard_ms > PEER_SILENCE_MS;

		if (is_news || ep->backoff.n_failures > 0)
			plan_heard(p, e, ep, is_news, now);
		peers_sight(p, e, SIGHTING_HEARD, PEER_ERROR_NONE, at, now);
	}
	ep->last_heard_ms = now_ms;
	return PEERS_OK;
}

/* The failures of before say little now; still, not all at the same moment. */
static void plan_soon(struct peers *p, struct peer_endpoint *ep, nsec now)
{
	if (ep->backoff.n_failures == 0 || ep->backoff.retry_at == TIME_NEVER)
		return;
	ep->backoff.n_failures = 1;
	ep->backoff.retry_at =
		time_min(ep->backoff.retry_at,
			 now + backoff_jitter(&p->rng, BACKOFF_MIN_NS));
}

static void plan_all_soon(struct peers *p, struct entry *e, nsec now)
{
	for (size_t i = 0; i < e->peer.n_endpoints; i++)
		plan_soon(p, &e->peer.endpoints[i], now);
}

void peers_handle_network_changed(struct peers *p, nsec now)
{
	struct entry *e, *tmp;

	HASH_ITER (hh_no, p->by_no, e, tmp) {
		struct peer_static *s;

		plan_all_soon(p, e, now);
		LL_FOREACH (e->peer.statics, s) {
			for (size_t i = 0; i < s->n_addresses; i++)
				if (s->addresses[i].backoff.n_failures > 0)
					backoff_reset(&s->addresses[i].backoff,
						      now);
		}
	}
	p->revision++;
}

/* ---- failures ---- */

static void endpoint_failed(struct peers *p, struct entry *e,
			    struct peer_endpoint *ep, peer_error error,
			    nsec now)
{
	score_update(&ep->score, SCORE_SILENT, now);
	score_update(&e->peer.score, SCORE_SILENT, now);
	ep->last_failure_ms = peers_wall_ms(p, now);
	backoff_failed(&ep->backoff, &p->rng, now);
	if (error == PEER_ERROR_SELF) {
		ep->backoff.retry_at = TIME_NEVER;
		return;
	}
	if (ep->source == ENDPOINT_STATIC ||
	    ep->backoff.n_failures < PEER_TRIES)
		return;
	ep->backoff.retry_at =
		e->peer.is_identified
			? now + backoff_jitter(&p->rng, PEER_REST_NS)
			: TIME_NEVER;
}

void peers_handle_dial(struct peers *p, peer_no no, const union endpoint *at,
		       nsec now)
{
	struct entry *e = entry_find_no(p, no);

	struct peer_endpoint *ep = e != NULL ? entry_endpoint(e, at) : NULL;

	if (e == NULL)
		return;
	/* However it ends, not again before it has had its time. */
	if (ep != NULL)
		ep->backoff.retry_at = now + HANDSHAKE_OUTER_NS;
	e->peer.last_dial = now;
	e->peer.last_dial_family = at->sa.sa_family;
	p->revision++;
}

void peers_handle_dial_failed(struct peers *p, peer_no no,
			      const union endpoint *at, peer_error error,
			      nsec now)
{
	struct entry *e = entry_find_no(p, no);
	struct peer_endpoint *ep = e != NULL ? entry_endpoint(e, at) : NULL;

	if (e == NULL)
		return;
	p->counters.n_failed++;
	e->peer.last_error = error;
	if (ep != NULL)
		endpoint_failed(p, e, ep, error, now);
	peers_sight(p, e, SIGHTING_FAILED, error, at, now);
}

/* ---- sessions ---- */

/* A static peer that nobody has met yet, and that one of its addresses now
 * shows to be `to`. */
static void adopt_statics(struct peers *p, struct entry *to,
			  const union endpoint *remote, nsec now)
{
	struct entry *e, *tmp;

	HASH_ITER (hh_no, p->by_no, e, tmp) {
		struct peer_endpoint *ep;
		struct peer_static *s;

		if (e == to || e->peer.has_id)
			continue;
		ep = entry_endpoint(e, remote);
		s = ep != NULL ? static_of(&e->peer, ep) : NULL;
		if (s != NULL)
			static_move(p, e, s, to, now);
	}
}

/* Whose session this is. */
static struct entry *session_owner(struct peers *p,
				   const struct peer_session *up, nsec now)
{
	struct entry *from = entry_find_no(p, up->dialled);
	struct entry *to = entry_find(p, &up->who->id);
	struct peer_endpoint *ep;
	struct peer_static *s;

	if (to == NULL && from != NULL && !from->peer.has_id)
		return from;
	if (to == NULL) {
		to = entry_add(p, ENTRY_IDENTIFIED, &up->who->id, now);
		/* Making room may have cost us the one that was dialled. */
		from = entry_find_no(p, up->dialled);
	}
	if (to == NULL || from == NULL || from == to)
		return to;
	if (from->peer.is_identified)
		p->counters.n_identity_changed++;
	ep = entry_endpoint(from, &up->remote);
	s = ep != NULL ? static_of(&from->peer, ep) : NULL;
	if (s != NULL)
		static_move(p, from, s, to, now);
	else
		peers_handle_dial_failed(p, up->dialled, &up->remote,
					 PEER_ERROR_IDENTITY, now);
	return to;
}

static uint32_t link_ifindex(const struct peer_session *up,
			     const struct peer_endpoint *ep)
{
	if (up->ifindex != 0)
		return up->ifindex;
	if (up->remote.sa.sa_family == AF_INET6 &&
	    up->remote.in6.sin6_scope_id != 0)
		return up->remote.in6.sin6_scope_id;
	return ep != NULL ? ep->ifindex : 0;
}

static void link_add(struct peers *p, struct entry *e,
		     const struct peer_session *up, nsec now)
{
	struct peer *peer = &e->peer;
	struct peer_endpoint *ep =
		entry_endpoint_add(p, e, &up->remote, ENDPOINT_SEEN, now);
	uint64_t now_ms = peers_wall_ms(p, now);

	if (peer->n_links == 0)
		p->n_connected++;
	peer->links[peer->n_links++] =
		(struct peer_link){ .session = up->session,
				    .remote = up->remote,
				    .ifindex = link_ifindex(up, ep),
				    .since = now };
	peer->last_error = PEER_ERROR_NONE;
	peer->last_seen_ms = now_ms;
	if (peer->first_seen_ms == 0)
		peer->first_seen_ms = now_ms;
	score_update(&peer->score, SCORE_ANSWERED, now);
	if (ep == NULL)
		return;
	score_update(&ep->score, SCORE_ANSWERED, now);
	ep->last_success_ms = now_ms;
	if (ep->ifindex == 0)
		ep->ifindex = up->ifindex;
}

/* Of the connected ones that may go, the worst; of equals the one that was met
 * last. */
static struct entry *least_wanted(struct peers *p, nsec now)
{
	struct entry *worst = NULL, *e, *tmp;

	HASH_ITER (hh_no, p->by_no, e, tmp) {
		if (e->peer.n_links == 0 || e->peer.statics != NULL)
			continue;
		if (worst == NULL || score_at(&e->peer.score, now) <=
					     score_at(&worst->peer.score, now))
			worst = e;
	}
	return worst;
}

static void dismiss(struct peers *p, struct entry *e, nsec now)
{
	p->counters.n_dismissed++;
	while (e->peer.n_links > 0) {
		uint32_t session = e->peer.links[0].session;

		p->dismissed[p->n_dismissed++] = session;
		peers_handle_session_down(p, e->peer.no, session,
					  PEER_ERROR_NONE, now);
	}
	e->peer.last_error = PEER_ERROR_LIMIT;
}

/* For the first session of `e`. */
static bool make_place(struct peers *p, const struct entry *e, nsec now)
{
	struct entry *victim;

	if (p->n_connected < PEERS_MAX)
		return true;
	victim = least_wanted(p, now);
	if (victim == NULL ||
	    p->n_dismissed + victim->peer.n_links > PEERS_DISMISSED_MAX)
		return false;
	/* Not for an equal: two would take turns for ever. */
	if (e->peer.statics == NULL &&
	    score_at(&e->peer.score, now) <= score_at(&victim->peer.score, now))
		return false;
	dismiss(p, victim, now);
	return true;
}

bool peers_next_dismissed(struct peers *p, uint32_t *session)
{
	if (p->n_dismissed == 0)
		return false;
	*session = p->dismissed[--p->n_dismissed];
	return true;
}

static enum peers_verdict session_up(struct peers *p,
				     const struct peer_session *up, nsec now,
				     peer_no *no)
{
	struct entry *e;

	if (id_equal(&up->who->id, &p->self))
		return PEERS_SELF;
	e = session_owner(p, up, now);
	if (e == NULL)
		return PEERS_FULL;
	if (!entry_identify(p, e, up->who, up->chain, up->chain_len))
		return PEERS_CLASH;
	if (e->peer.n_links == PEER_LINKS_MAX)
		return PEERS_LINKS;
	adopt_statics(p, e, &up->remote, now);
	if (e->peer.n_links == 0 && !make_place(p, e, now)) {
		p->counters.n_refused++;
		return PEERS_FULL;
	}
	link_add(p, e, up, now);
	peers_sight(p, e, SIGHTING_UP, PEER_ERROR_NONE, &up->remote, now);
	entry_changed(p, e);
	*no = e->peer.no;
	return PEERS_OK;
}

enum peers_verdict peers_handle_session_up(struct peers *p,
					   const struct peer_session *up,
					   nsec now, peer_no *no)
{
	static const peer_error errors[PEERS_VERDICTS] = {
		[PEERS_SELF] = PEER_ERROR_SELF,
		[PEERS_FULL] = PEER_ERROR_LIMIT,
		[PEERS_LINKS] = PEER_ERROR_LIMIT,
		[PEERS_CLASH] = PEER_ERROR_IDENTITY,
	};
	enum peers_verdict v = session_up(p, up, now, no);

	p->counters.n_up[v]++;
	if (v != PEERS_OK)
		peers_handle_dial_failed(p, up->dialled, &up->remote, errors[v],
					 now);
	return v;
}

/* When to dial again after a session to `ep` (NULL: not an endpoint of its any
 * more) ended. */
static void plan_after_loss(struct peers *p, struct entry *e,
			    struct peer_endpoint *ep, nsec held,
			    peer_error error, nsec now)
{
	if (error == PEER_ERROR_NONE) {
		if (ep != NULL && ep->backoff.retry_at != TIME_NEVER)
			ep->backoff.retry_at =
				now + backoff_jitter(&p->rng, NS_PER_S);
		return;
	}
	if (held < PEER_HELD_NS) {
		if (ep != NULL)
			endpoint_failed(p, e, ep, error, now);
		return;
	}
	score_update(&e->peer.score, SCORE_TROUBLE, now);
	plan_all_soon(p, e, now);
	if (ep == NULL)
		return;
	score_update(&ep->score, SCORE_TROUBLE, now);
	backoff_reset(&ep->backoff, now);
	/* Who says goodbye is not back in the same instant. */
	if (error == PEER_ERROR_CLOSED)
		backoff_failed(&ep->backoff, &p->rng, now);
}

static struct peer_link *link_find(struct peer *peer, uint32_t session)
{
	for (size_t i = 0; i < peer->n_links; i++)
		if (peer->links[i].session == session)
			return &peer->links[i];
	return NULL;
}

void peers_handle_session_down(struct peers *p, peer_no no, uint32_t session,
			       peer_error error, nsec now)
{
	struct entry *e = entry_find_no(p, no);
	struct peer_link *l = e != NULL ? link_find(&e->peer, session) : NULL;
	struct peer_link gone;

	if (l == NULL)
		return;
	gone = *l;
	*l = e->peer.links[--e->peer.n_links];
	if (e->peer.n_links == 0)
		p->n_connected--;
	p->counters.n_down++;
	e->peer.last_seen_ms = peers_wall_ms(p, now);
	if (error != PEER_ERROR_NONE)
		e->peer.last_error = error;
	plan_after_loss(p, e, entry_endpoint(e, &gone.remote), now - gone.since,
			error, now);
	peers_sight(p, e, SIGHTING_DOWN, error, &gone.remote, now);
	entry_changed(p, e);
}

/* ---- looking in ---- */

const struct peer *peers_find(const struct peers *p, const struct node_id *id)
{
	const struct entry *e = entry_find(p, id);

	return e != NULL ? &e->peer : NULL;
}

const struct peer *peers_find_no(const struct peers *p, peer_no no)
{
	const struct entry *e = entry_find_no(p, no);

	return e != NULL ? &e->peer : NULL;
}

const struct peer *peers_next(const struct peers *p, const struct peer *after)
{
	const struct entry *e;

	/* A peer is the first member of its entry. */
	e = after == NULL ? p->by_no
			  : ((const struct entry *)after)->hh_no.next;
	return e != NULL ? &e->peer : NULL;
}

size_t peers_count(const struct peers *p)
{
	return HASH_CNT(hh_no, p->by_no);
}

size_t peers_connected(const struct peers *p)
{
	return p->n_connected;
}

uint64_t peers_revision(const struct peers *p)
{
	return p->revision;
}

const struct peers_counters *peers_counters(const struct peers *p)
{
	return &p->counters;
}
