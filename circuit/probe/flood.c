#include "circuit/probe/flood.h"

#include <string.h>

#include <utlist.h>

#include "circuit/probe/copy.h"
#include "circuit/core.h"
#include "circuit/path.h"
#include "circuit/search/rounds.h"
#include "circuit/probe/seen.h"
#include "circuit/probe/target.h"

void floods_deinit(struct router *r)
{
	struct seen *e, *next;

	HASH_ITER (hh, r->floods.seen, e, next)
		seen_free(r, e);
}

static void nak(struct router *r, const struct session *s,
		const struct msg_probe *p, enum nak_code code)
{
	core_send_nak(r, s->no, &p->origin, &p->nonce, p->tree, code)->budget =
		p->budget;
}

/* ---- checks ------------------------------------------------------------ */

static bool is_current(const struct router *r, const struct msg_probe *p,
		       nsec now)
{
	return core_is_fresh(r, p->issued_ms, now) &&
	       p->valid_ms <= PROBE_VALID_MS &&
	       core_wall(r, now) < p->issued_ms + p->valid_ms;
}

/* The list ends with the node that sent it; no relay is in it only if the
 * origin itself did. */
static bool is_from_its_last(const struct session *s, const struct msg_probe *p)
{
	const struct node_id *last =
		p->hops.n > 0 ? &p->hops.hop[p->hops.n - 1].id : &p->origin;

	return id_equal(last, &s->peer->id);
}

static bool is_loop(const struct router *r, const struct msg_probe *p)
{
	return core_is_self(r, &p->origin) ||
	       path_has(p->hops.hop, p->hops.n, &r->config.self.id) ||
	       !path_is_simple(&p->origin, p->hops.hop, p->hops.n);
}

/* Where probes are steered a flood is somebody's last resort. */
static bool take_flood_tokens(struct router *r, struct neighbour *from,
			      struct origin_quota *q, nsec now)
{
	if (!rounds_apply(r, now) ||
	    (bucket_take(&from->floods, now) && bucket_take(&q->floods, now)))
		return true;
	r->n.n_flood_rate++;
	return false;
}

static bool take_tokens(struct router *r, struct session *s,
			const struct msg_probe *p, nsec now)
{
	struct origin_quota *q;

	if (!bucket_take(&s->peer->probes, now)) {
		r->n.n_probe_rate_peer++;
		return false;
	}
	q = origin_quota_find(r, s->peer, &p->origin, now);
	if (!bucket_take(&q->probes, now)) {
		r->n.n_probe_rate_origin++;
		return false;
	}
	return (p->flags & PROBE_FLAG_FLOOD) == 0 ||
	       take_flood_tokens(r, s->peer, q, now);
}

/* The path so far and the link over which it reached us. */
static struct hop_list extended(const struct router *r, const struct session *s,
				const struct msg_probe *p)
{
	struct hop_list path = p->hops;

	path.hop[path.n++] = (struct hop){
		.id = r->config.self.id,
		.cost_100us = session_cost(s),
		.mtu = session_mtu(s),
		.loss = s->ours.loss,
		.rate = s->ours.rate,
	};
	return path;
}

/* A relay passes the first copy on, and one from another neighbour that is
 * clearly cheaper. */
static bool relay_wants(const struct seen *e, const struct hop_list *path)
{
	uint32_t cost = path_cost(path->hop, path->n);

	if (!e->is_flood)
		return steer_wants(e, path);
	if (e->n_forwarded == 0)
		return true;
	return e->n_forwarded < PROBE_COPIES_MAX &&
	       cost * 10 < e->relayed_cost * 9 &&
	       !seen_was_forwarded_from(e, path);
}

static bool is_target(const struct router *r, const struct seen *e)
{
	return core_is_self(r, &e->target);
}

static bool is_duplicate(const struct router *r, const struct session *s,
			 const struct seen *e, const struct msg_probe *p)
{
	struct hop_list path = extended(r, s, p);

	return is_target(r, e) ? !target_wants(e, &path)
			       : !relay_wants(e, &path);
}

static enum nak_code unwanted(const struct router *r, const struct seen *e,
			      const struct msg_probe *p)
{
	if (e->is_flood || is_target(r, e))
		return NAK_DUPLICATE;
	return steer_unwanted(e, p->tree);
}

/* ---- the relay --------------------------------------------------------- */

static bool may_go_to(const struct neighbour *n, const struct hop_list *path,
		      const struct node_id *origin)
{
	return n->best != NULL && !id_equal(&n->id, origin) &&
	       !path_has(path->hop, path->n, &n->id);
}

static size_t send_to_all(struct router *r, struct copy *c,
			  const struct hop_list *path, nsec wait)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	if (may_go_to(n, path, &c->probe->key.origin))
		copy_send(r, c, n->best, wait);
	return c->replies.n;
}

/* A dead end does not count as a copy that was passed on: whoever wrote our
 * neighbours into the list must not stop the copies that come after it.  One
 * dead end is kept for the neighbours to come. */
static void dead_end(struct router *r, struct copy *c)
{
	copy_end(r, c, NAK_DEAD_END);
	if (c->probe->copies != c)
		copy_free(r, c);
}

static void relay(struct router *r, struct session *s, struct seen *e,
		  const struct msg_probe *p, const struct hop_list *path,
		  nsec now)
{
	nsec wait = copy_patience(s, p->deadline_ms);
	struct copy *c;

	if (path->n >= e->ttl) {
		r->n.n_probe_ttl++;
		nak(r, s, p, NAK_TTL);
		return;
	}
	if (wait == 0) {
		nak(r, s, p, NAK_TIMEOUT);
		return;
	}
	c = copy_new(r, e, s->no, TREE_FLOOD, path, now + wait);
	if (send_to_all(r, c, path, wait) == 0) {
		dead_end(r, c);
		return;
	}
	seen_note_forwarded(e, path_cost(path->hop, path->n));
}

/* ---- probes ------------------------------------------------------------ */

static void pass(struct router *r, struct session *s, struct seen *e,
		 const struct msg_probe *p, const struct hop_list *path,
		 nsec now)
{
	if (is_target(r, e))
		target_answer(r, s, e, path, now);
	else if (!r->config.transit)
		nak(r, s, p, NAK_DEAD_END);
	else if (!e->is_flood)
		steer_relay(r, s, e, p, path, now);
	else
		relay(r, s, e, p, path, now);
}

/* Another copy of a probe whose signature was checked: the same bytes or a
 * forgery. */
static void again(struct router *r, struct session *s, struct seen *e,
		  const struct msg_probe *p, nsec now)
{
	struct hop_list path = extended(r, s, p);

	if (memcmp(e->body, p->body, sizeof e->body) != 0) {
		r->n.n_probe_bad_signature++;
		nak(r, s, p, NAK_RATE);
		return;
	}
	if (!take_tokens(r, s, p, now)) {
		nak(r, s, p, NAK_RATE);
		return;
	}
	pass(r, s, e, p, &path, now);
}

static void verified(struct router *r, struct session *s,
		     const struct msg_probe *p, nsec now)
{
	struct hop_list path = extended(r, s, p);
	struct seen *e = seen_add(r, p, s->peer, now);

	if (e == NULL) {
		nak(r, s, p, NAK_RATE);
		return;
	}
	pass(r, s, e, p, &path, now);
}

/* A steered probe brings the chain of its origin, so that it need not wait for
 * one at each relay. */
static void learn_origin(struct router *r, const struct msg_probe *p, nsec now)
{
	struct identity who;

	if (p->chain_len == 0 || keyring_find(r, &p->origin, now) != NULL ||
	    !core_take_verify(r, now))
		return;
	r->n.n_verify++;
	if (!r->config.check(r->config.check_ctx, p->chain, p->chain_len,
			     &who) ||
	    !id_equal(&who.id, &p->origin) ||
	    !keyring_add(r, &who, p->chain, p->chain_len)) {
		r->n.n_info_rejected++;
		return;
	}
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_IDENTITY,
					     .peer = who.id },
		     NULL);
}

static void first(struct router *r, struct session *s, const struct msg *m,
		  enum arrival how, nsec now)
{
	const struct msg_probe *p = &m->probe;
	struct id_list missing = { 0 };

	if (how == ARRIVAL_FRESH && !take_tokens(r, s, p, now)) {
		nak(r, s, p, NAK_RATE);
		return;
	}
	learn_origin(r, p, now);
	asking_miss(r, &missing, &p->origin, now);
	if (missing.n > 0) {
		if (how == ARRIVAL_RESUMED ||
		    !asking_park(r, s, m, &missing, now))
			flood_give_up(r, s, p);
		return;
	}
	switch (core_verify(r, p->sig_origin, &p->origin, SIGN_PROBE_ORIGIN,
			    p->body, sizeof p->body, now)) {
	case SIGNED_OK:
		verified(r, s, p, now);
		break;
	case SIGNED_BAD:
		r->n.n_probe_bad_signature++;
		nak(r, s, p, NAK_RATE);
		break;
	case SIGNED_RATE:
		nak(r, s, p, NAK_RATE);
		break;
	}
}

enum msg_verdict flood_handle_probe(struct router *r, struct session *s,
				    const struct msg *m, enum arrival how,
				    nsec now)
{
	const struct msg_probe *p = &m->probe;
	struct seen *e;

	if (p->hops.n >= p->ttl || p->hops.n >= HOPS_MAX ||
	    !is_from_its_last(s, p))
		return MSG_INVALID;
	if ((p->flags & ~PROBE_FLAG_FLOOD) != 0) {
		r->n.n_probe_not_flood++;
		nak(r, s, p, NAK_RATE);
		return MSG_OK;
	}
	if (!is_current(r, p, now)) {
		r->n.n_probe_expired++;
		nak(r, s, p, NAK_RATE);
		return MSG_OK;
	}
	e = seen_find(r, &p->origin, &p->nonce);
	if (e != NULL && is_duplicate(r, s, e, p)) {
		r->n.n_probe_duplicate++;
		nak(r, s, p, unwanted(r, e, p));
	} else if (is_loop(r, p)) {
		r->n.n_probe_loop++;
		nak(r, s, p, NAK_DUPLICATE);
	} else if (e != NULL)
		again(r, s, e, p, now);
	else
		first(r, s, m, how, now);
	return MSG_OK;
}

void flood_give_up(struct router *r, struct session *s,
		   const struct msg_probe *p)
{
	r->n.n_probe_unknown_origin++;
	nak(r, s, p, NAK_RATE);
}

static struct copy *copy_owed(const struct seen *e, const struct session *s,
			      uint8_t tree)
{
	struct copy *c;

	DL_FOREACH (e->copies, c)
		if (c->tree == tree && replies_is_owed(&c->replies, s->no))
			return c;
	return NULL;
}

void flood_handle_nak(struct router *r, struct session *s,
		      const struct msg_nak *n, nsec now)
{
	struct seen *e = seen_find(r, &n->origin, &n->nonce);
	struct copy *c = e != NULL ? copy_owed(e, s, n->tree) : NULL;

	if (c == NULL) {
		r->n.n_nak_unexpected++;
		return;
	}
	if (c->tree != TREE_FLOOD)
		steer_nak(r, s, c, n, now);
	copy_handle_nak(r, c, s->no, n->code, now);
}

/* ---- a new neighbour --------------------------------------------------- */

static bool offer(struct router *r, struct seen *e, struct session *s, nsec now)
{
	nsec wait = e->valid_until > now ? e->valid_until - now : 0;
	struct hop_list path;
	struct copy *c;

	if (!e->is_flood || wait == 0 || e->n_answers > 0 ||
	    e->n_reoffers >= PROBE_REOFFERS_MAX)
		return false;
	DL_FOREACH (e->copies, c) {
		path.n = c->n_hops;
		memcpy(path.hop, c->hops, c->n_hops * sizeof *c->hops);
		if (path.n >= e->ttl ||
		    !may_go_to(s->peer, &path, &e->key.origin))
			continue;
		e->n_reoffers++;
		if (e->n_forwarded == 0)
			seen_note_forwarded(e, path_cost(path.hop, path.n));
		copy_send(r, c, s,
			  time_min(wait, PROBE_DEADLINE_MAX_MS * NS_PER_MS));
		return true;
	}
	return false;
}

/* The youngest first. */
void flood_offer(struct router *r, struct session *s, nsec now)
{
	unsigned n = 0;
	struct seen *e;

	if (!r->config.transit || r->floods.seen == NULL)
		return;
	e = ELMT_FROM_HH(r->floods.seen->hh.tbl, r->floods.seen->hh.tbl->tail);
	for (; e != NULL && n < PROBE_OFFERS_MAX; e = e->hh.prev)
		if (offer(r, e, s, now))
			n++;
	r->n.n_offers_full += e != NULL;
}
