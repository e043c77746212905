#include "circuit/search/ring.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/probe/answer.h"
#include "circuit/core.h"
#include "circuit/search/rounds.h"
#include "circuit/probe/steer.h"
#include "proto/base/mem.h"

static void ring_free(struct router *r, struct ring *g)
{
	HASH_DEL(r->rings.all, g);
	timers_cancel(&r->timers, &g->timer);
	replies_deinit(&g->replies);
	free(g);
}

void rings_deinit(struct router *r)
{
	struct ring *g, *next;

	HASH_ITER (hh, r->rings.all, g, next)
		ring_free(r, g);
}

struct ring *ring_find(struct router *r, const struct nonce *nonce)
{
	struct ring *g;

	TABLE_FIND(&r->table_key, hh, r->rings.all, nonce, sizeof *nonce, g);
	return g;
}

void ring_timeout(struct router *r, struct timer *t, nsec now)
{
	(void)now;
	ring_free(r, container_of(t, struct ring, timer));
}

/* ---- sending ----------------------------------------------------------- */

static struct msg_probe probe_of(const struct router *r, const struct ring *g)
{
	return (struct msg_probe){
		.flags = g->is_flood ? PROBE_FLAG_FLOOD : 0,
		.tree = TREE_FLOOD,
		.ttl = g->ttl,
		.origin = r->config.self.id,
		.target = g->target,
		.nonce = g->nonce,
		.issued_ms = g->issued_ms,
		.valid_ms = PROBE_VALID_MS,
	};
}

static struct msg_probe *ring_send(struct router *r, struct ring *g,
				   const struct session *s, nsec wait)
{
	struct msg_probe *p = &core_send(r, s->no, MSG_PROBE)->probe;

	*p = probe_of(r, g);
	p->deadline_ms = (uint32_t)(wait / NS_PER_MS);
	memcpy(p->body, g->body, sizeof p->body);
	memcpy(p->sig_origin, g->sig, sizeof p->sig_origin);
	replies_expect(&g->replies, s->no, &s->told);
	return p;
}

void ring_send_steered(struct router *r, struct ring *g,
		       const struct session *s, const struct steering *how,
		       uint16_t budget, nsec wait)
{
	steer_write(r, ring_send(r, g, s, wait), how, budget);
	telling_note_probe(s->peer);
}

static void sign(const struct router *r, struct ring *g)
{
	struct msg_probe p = probe_of(r, g);

	msg_probe_seal(&p);
	memcpy(g->body, p.body, sizeof g->body);
	core_sign(r, g->sig, SIGN_PROBE_ORIGIN, g->body, sizeof g->body);
}

static void send_to_all(struct router *r, struct ring *g,
			const struct ring_plan *plan)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	{
		if (n->best == NULL ||
		    (plan->except != NULL && id_equal(plan->except, &n->id)))
			continue;
		ring_send(r, g, n->best, plan->wait);
	}
}

static struct ring *ring_new(struct router *r, const struct ring_plan *plan,
			     bool is_flood, nsec now)
{
	struct ring *g;

	if (HASH_COUNT(r->rings.all) >= RINGS_MAX) {
		r->n.n_rings_full++;
		return NULL;
	}
	g = mem_new(g);
	g->nonce = core_nonce(r);
	g->target = plan->target;
	g->serial = plan->serial;
	g->is_flood = is_flood;
	g->ttl = plan->ttl;
	g->is_partial = plan->only != NULL || plan->except != NULL;
	g->is_last = true;
	g->issued_ms = core_wall(r, now);
	g->started = now;
	g->valid_until = now + PROBE_VALID_MS * NS_PER_MS;
	sign(r, g);
	g->timer.kind = TIMER_RING;
	timers_set(&r->timers, &g->timer, g->valid_until);
	TABLE_ADD(&r->table_key, hh, r->rings.all, nonce, sizeof g->nonce, g);
	return g;
}

struct ring *ring_start(struct router *r, const struct ring_plan *plan,
			nsec now)
{
	struct ring *g = ring_new(r, plan, true, now);

	if (g == NULL)
		return NULL;
	if (plan->only != NULL)
		ring_send(r, g, plan->only, plan->wait);
	else
		send_to_all(r, g, plan);
	return g;
}

struct ring *ring_start_steered(struct router *r, const struct node_id *target,
				uint64_t serial, nsec now)
{
	struct ring_plan plan = { .target = *target,
				  .serial = serial,
				  .ttl = HOPS_MAX };

	return ring_new(r, &plan, false, now);
}

void rings_offer(struct router *r, const struct session *s, nsec now)
{
	struct ring *g, *next;
	unsigned n = 0;
	nsec wait;

	HASH_ITER (hh, r->rings.all, g, next) {
		if (!g->is_flood || !g->is_last || g->has_route ||
		    g->is_partial || now >= g->valid_until ||
		    g->n_reoffers >= PROBE_REOFFERS_MAX)
			continue;
		if (n++ >= PROBE_OFFERS_MAX) {
			r->n.n_offers_full++;
			return;
		}
		g->n_reoffers++;
		wait = time_min(g->valid_until - now,
				PROBE_DEADLINE_MAX_MS * NS_PER_MS);
		ring_send(r, g, s, wait);
	}
}

/* ---- replies ----------------------------------------------------------- */

static void reject(struct router *r, const struct session *s, struct ring *g,
		   enum nak_code code, nsec now)
{
	if (replies_nak(&g->replies, s->no, code))
		seek_replied(r, g, now);
}

static bool park(struct router *r, struct session *s, const struct msg *m,
		 enum arrival how, nsec now)
{
	const struct hop_list *h = &m->answer.route.hops;
	struct id_list missing = { 0 };

	for (size_t i = 0; i < h->n; i++)
		asking_miss(r, &missing, &h->hop[i].id, now);
	if (missing.n == 0)
		return false;
	if (how == ARRIVAL_RESUMED || !asking_park(r, s, m, &missing, now))
		ring_give_up(r, s, &m->answer, now);
	return true;
}

static void accept_route(struct router *r, const struct session *s,
			 struct ring *g, const struct route_proof *p, nsec now)
{
	struct route *route = route_add(r, p, true, now);

	g->has_route = true;
	replies_answer(&g->replies, s->no);
	success_note(s->peer, OUTCOME_ANSWERED);
	if (route != NULL)
		outbox_event(&r->out,
			     &(struct router_event){ .type = ROUTER_ROUTE_ADDED,
						     .peer = p->target },
			     p);
	seek_answered(r, g, now);
}

static bool is_known(struct router *r, const struct route_proof *p)
{
	uint8_t digest[HASH_LEN];

	route_proof_digest(digest, p);
	return route_find(r, &p->target, digest) != NULL;
}

static void check_signatures(struct router *r, const struct session *s,
			     struct ring *g, const struct route_proof *p,
			     nsec now)
{
	switch (core_verify_route(r, p, 0, now)) {
	case SIGNED_OK:
		accept_route(r, s, g, p, now);
		break;
	case SIGNED_BAD:
		r->n.n_answer_bad_signature++;
		reject(r, s, g, NAK_RATE, now);
		break;
	case SIGNED_RATE:
		reject(r, s, g, NAK_RATE, now);
		break;
	}
}

void ring_handle_answer(struct router *r, struct session *s,
			const struct msg *m, enum arrival how, nsec now)
{
	const struct route_proof *p = &m->answer.route;
	struct ring *g = ring_find(r, &p->nonce);

	if (g == NULL || !replies_was_sent(&g->replies, s->no) ||
	    is_known(r, p)) {
		r->n.n_answer_unexpected++;
		return;
	}
	if (!answer_fits(r, p, &g->target, g->body, -1, now) ||
	    !id_equal(&p->hops.hop[0].id, &s->peer->id) ||
	    !replies_allow(&g->replies, s->no, &p->hops.hop[0]) ||
	    p->hops.n > g->ttl) {
		r->n.n_answer_altered++;
		reject(r, s, g, NAK_RATE, now);
		return;
	}
	if (how == ARRIVAL_FRESH && !replies_take_check(&g->replies, s->no)) {
		r->n.n_answer_limit++;
		return;
	}
	if (!park(r, s, m, how, now))
		check_signatures(r, s, g, p, now);
}

void ring_give_up(struct router *r, struct session *s,
		  const struct msg_answer *a, nsec now)
{
	struct ring *g = ring_find(r, &a->route.nonce);

	r->n.n_answer_bad_signature++;
	if (g != NULL)
		reject(r, s, g, NAK_RATE, now);
}

void ring_handle_nak(struct router *r, struct session *s, const struct msg *m,
		     enum arrival how, nsec now)
{
	const struct msg_nak *n = &m->nak;
	struct ring *g = ring_find(r, &n->nonce);
	bool is_owed = g != NULL && replies_is_owed(&g->replies, s->no);

	/* It was settled when it came; only whom it blames is new. */
	if (how == ARRIVAL_RESUMED) {
		if (g != NULL)
			rounds_blame(r, s, g, m, how, now);
		return;
	}
	if (!is_owed) {
		r->n.n_nak_unexpected++;
		return;
	}
	if (!g->is_flood)
		rounds_nak(r, s, g, m, now);
	reject(r, s, g, n->code, now);
}

void rings_session_down(struct router *r, session_no s, nsec now)
{
	struct ring *g, *next;

	HASH_ITER (hh, r->rings.all, g, next)
		if (replies_nak(&g->replies, s, NAK_LINK))
			seek_replied(r, g, now);
}
