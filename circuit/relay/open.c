#include "circuit/relay/open.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/relay/closing.h"
#include "circuit/core.h"
#include "circuit/path.h"
#include "proto/base/mem.h"

/* ---- used open_ids ----------------------------------------------------- */

struct open_id {
	struct nonce id;
	struct neighbour *charged;
	struct timer timer;
	UT_hash_handle hh;
};

static struct open_id *open_id_find(struct router *r, const struct nonce *id)
{
	struct open_id *o;

	TABLE_FIND(&r->table_key, hh, r->open_ids.all, id, sizeof *id, o);
	return o;
}

static bool open_id_add(struct router *r, const struct nonce *id,
			struct neighbour *from, nsec now)
{
	struct open_id *o;

	if (from->n_open_ids >= OPENS_SEEN_PER_PEER_MAX) {
		r->n.n_opens_seen_full++;
		return false;
	}
	o = mem_new(o);
	o->id = *id;
	o->charged = from;
	from->n_open_ids++;
	o->timer.kind = TIMER_OPEN_ID;
	timers_set(&r->timers, &o->timer, now + OPEN_SEEN_NS);
	TABLE_ADD(&r->table_key, hh, r->open_ids.all, id, sizeof o->id, o);
	return true;
}

static void open_id_free(struct router *r, struct open_id *o)
{
	HASH_DEL(r->open_ids.all, o);
	timers_cancel(&r->timers, &o->timer);
	o->charged->n_open_ids--;
	neighbour_release(r, o->charged);
	free(o);
}

void open_id_timeout(struct router *r, struct timer *t, nsec now)
{
	(void)now;
	open_id_free(r, container_of(t, struct open_id, timer));
}

void open_ids_deinit(struct router *r)
{
	struct open_id *o, *next;

	HASH_ITER (hh, r->open_ids.all, o, next)
		open_id_free(r, o);
}

/* ---- the origin -------------------------------------------------------- */

static uint16_t smaller(uint16_t a, uint16_t b)
{
	return a < b ? a : b;
}

circuit_no open_start(struct router *r, const struct route *route, nsec now)
{
	struct session *s = session_to(r, &route->proof.hops.hop[0].id);
	struct circuit *c;
	struct nonce open_id;
	struct msg_open *o;

	if (s == NULL)
		return 0;
	open_id = core_nonce(r);
	c = circuit_add(r, &route->proof, &open_id, NULL, s, now);
	if (c == NULL)
		return 0;
	c->mtu = smaller(c->mtu, session_mtu(s));
	o = &core_send(r, s->no, MSG_OPEN)->open;
	*o = (struct msg_open){
		.route = route->proof,
		.open_id = open_id,
		.issued_ms = core_wall(r, now),
		.label = c->side[TOWARD_TARGET].label_in,
		.mtu = c->mtu,
	};
	msg_open_seal(o);
	core_sign(r, o->sig_origin, SIGN_OPEN_ORIGIN, o->body, sizeof o->body);
	return c->no;
}

/* ---- relay and target -------------------------------------------------- */

/* The one refusal that names a link, and so is signed. */
static void refuse_link(struct router *r, const struct session *s,
			const struct msg_open *o, size_t own)
{
	closing_make(r, &core_send(r, s->no, MSG_CLOSE)->close, &o->open_id,
		     CLOSE_LINK_DOWN, &o->route.hops.hop[own + 1].id);
}

/* Our place in the path, which must come from the node before us; -1 if this
 * is not so. */
static ptrdiff_t own_place(const struct router *r, const struct session *s,
			   const struct route_proof *p)
{
	for (size_t i = 0; i < p->hops.n; i++) {
		const struct node_id *before =
			i == 0 ? &p->origin : &p->hops.hop[i - 1].id;

		if (core_is_self(r, &p->hops.hop[i].id))
			return id_equal(before, &s->peer->id) ? (ptrdiff_t)i
							      : -1;
	}
	return -1;
}

static bool is_well_formed(const struct route_proof *p)
{
	return p->hops.n > 0 && p->first_sig == 0 &&
	       id_equal(&p->hops.hop[p->hops.n - 1].id, &p->target) &&
	       path_is_simple(&p->origin, p->hops.hop, p->hops.n);
}

/* Not answered: CLOSE would end the circuit that is really open. */
static bool is_replay(struct router *r, const struct msg_open *o)
{
	return open_id_find(r, &o->open_id) != NULL ||
	       circuit_by_open_id(r, &o->open_id) != NULL;
}

static bool is_current(const struct router *r, const struct msg_open *o,
		       nsec now)
{
	uint64_t wall = core_wall(r, now);

	return core_is_fresh(r, o->issued_ms, now) &&
	       o->route.expiry_ms > wall &&
	       o->route.expiry_ms <= wall + ROUTE_LIFETIME_MS + CLOCK_SKEW_MS;
}

/* Our own signature: proof that we took part in this path, kept by others, so
 * that it outlives a restart of ours. */
static bool has_own_signature(const struct router *r, const struct msg_open *o,
			      const uint8_t digest[HASH_LEN], size_t own)
{
	const struct route_proof *p = &o->route;
	const struct node_key *key = &r->config.self.key;
	const struct router_crypto *crypto = r->config.crypto;

	if (own + 1 == p->hops.n)
		return crypto->verify(p->sig_target, key, SIGN_ANSWER_TARGET,
				      &r->config.ca, p->body, p->body_len);
	return crypto->verify(p->sigs[own], key, SIGN_ANSWER_HOP, &r->config.ca,
			      digest, HASH_LEN);
}

/* The neighbour's quota comes first: origins are easily invented. */
static bool take_tokens(struct router *r, struct session *s,
			const struct msg_open *o, nsec now)
{
	struct origin_quota *q;

	if (!bucket_take(&s->peer->opens, now)) {
		r->n.n_open_rate_peer++;
		return false;
	}
	q = origin_quota_find(r, s->peer, &o->route.origin, now);
	if (!bucket_take(&q->opens, now)) {
		r->n.n_open_rate_origin++;
		return false;
	}
	return core_take_verify(r, now);
}

/* Everything that costs little, in order.  0, or why the OPEN is refused. */
static int check_cheap(struct router *r, struct session *s,
		       const struct msg_open *o, ptrdiff_t own,
		       enum arrival how, nsec now)
{
	bool is_target = own + 1 == (ptrdiff_t)o->route.hops.n;

	if (own < 0 || !is_well_formed(&o->route) || o->mtu < CIRCUIT_MTU_MIN ||
	    (!is_target && !r->config.transit)) {
		r->n.n_open_refused++;
		return CLOSE_REFUSED;
	}
	if (!is_current(r, o, now)) {
		r->n.n_open_stale++;
		return CLOSE_REFUSED;
	}
	if (how == ARRIVAL_FRESH && !take_tokens(r, s, o, now))
		return CLOSE_LIMIT;
	return 0;
}

/* The signatures of others: the target checks all, a relay the origin's if it
 * knows the origin. */
static int check_signatures(struct router *r, const struct msg_open *o,
			    size_t own, nsec now)
{
	const struct route_proof *p = &o->route;
	enum signed_verdict v;

	if (own + 1 < p->hops.n && keyring_find(r, &p->origin, now) == NULL)
		return 0;
	v = core_verify(r, o->sig_origin, &p->origin, SIGN_OPEN_ORIGIN, o->body,
			sizeof o->body, now);
	if (v == SIGNED_OK && own + 1 == p->hops.n)
		v = core_verify_route(r, p, 0, now);
	switch (v) {
	case SIGNED_OK:
		return 0;
	case SIGNED_RATE:
		return CLOSE_LIMIT;
	case SIGNED_BAD:
		break;
	}
	r->n.n_open_bad_signature++;
	return CLOSE_REFUSED;
}

static int check_own(struct router *r, const struct msg_open *o, size_t own)
{
	uint8_t digest[HASH_LEN];

	route_proof_digest(digest, &o->route);
	if (memcmp(o->body, digest, HASH_LEN) == 0 &&
	    has_own_signature(r, o, digest, own))
		return 0;
	r->n.n_open_bad_signature++;
	return CLOSE_REFUSED;
}

/* The nodes before us.  The target waits for them (true: the OPEN is parked,
 * or given up); a relay asks, since the next node will ask it. */
static bool must_wait(struct router *r, struct session *s, const struct msg *m,
		      size_t own, enum arrival how, nsec now)
{
	const struct hop_list *h = &m->open.route.hops;
	struct id_list missing = { 0 };

	asking_miss(r, &missing, &m->open.route.origin, now);
	for (size_t i = 0; i < own; i++)
		asking_miss(r, &missing, &h->hop[i].id, now);
	if (missing.n == 0)
		return false;
	if (own + 1 < h->n) {
		asking_send(r, s, &missing, now);
		return false;
	}
	if (how == ARRIVAL_RESUMED || !asking_park(r, s, m, &missing, now))
		open_give_up(r, s, &m->open);
	return true;
}

static void send_opened(struct router *r, const struct circuit *c)
{
	const struct circuit_side *side = &c->side[TOWARD_ORIGIN];

	core_send(r, side->session->no, MSG_OPENED)->opened =
		(struct msg_opened){
			.open_id = c->open_id,
			.label = side->label_in,
			.mtu = c->mtu,
		};
}

static void send_on(struct router *r, const struct circuit *c,
		    const struct msg_open *o)
{
	const struct circuit_side *side = &c->side[TOWARD_TARGET];
	struct msg_open *out = &core_send(r, side->session->no, MSG_OPEN)->open;

	*out = *o;
	out->label = side->label_in;
	out->mtu = c->mtu;
}

static int install(struct router *r, struct session *s,
		   const struct msg_open *o, size_t own, nsec now)
{
	bool is_target = own + 1 == o->route.hops.n;
	struct session *next = NULL;
	struct circuit *c;

	if (!is_target) {
		next = session_to(r, &o->route.hops.hop[own + 1].id);
		if (next == NULL) {
			refuse_link(r, s, o, own);
			return 0;
		}
	}
	if (!open_id_add(r, &o->open_id, s->peer, now)) {
		r->n.n_open_limit++;
		return CLOSE_LIMIT;
	}
	c = circuit_add(r, &o->route, &o->open_id, s, next, now);
	if (c == NULL) {
		r->n.n_open_limit++;
		return CLOSE_LIMIT;
	}
	c->mtu = smaller(smaller(c->mtu, o->mtu), session_mtu(s));
	if (!circuit_set_label_out(r, c, TOWARD_ORIGIN, o->label)) {
		r->n.n_open_refused++;
		circuit_end(r, c, CLOSE_REFUSED, NULL, now);
		return 0;
	}
	if (is_target) {
		circuit_establish(r, c, now);
		send_opened(r, c);
		return 0;
	}
	c->mtu = smaller(c->mtu, session_mtu(next));
	send_on(r, c, o);
	return 0;
}

void open_handle(struct router *r, struct session *s, const struct msg *m,
		 enum arrival how, nsec now)
{
	const struct msg_open *o = &m->open;
	ptrdiff_t own = own_place(r, s, &o->route);
	int why;

	if (is_replay(r, o)) {
		r->n.n_open_stale++;
		return;
	}
	why = check_cheap(r, s, o, own, how, now);
	if (why == 0)
		why = check_own(r, o, (size_t)own);
	if (why == 0) {
		if (must_wait(r, s, m, (size_t)own, how, now))
			return;
		why = check_signatures(r, o, (size_t)own, now);
	}
	if (why == 0)
		why = install(r, s, o, (size_t)own, now);
	if (why != 0)
		closing_refuse(r, s, &o->open_id, (enum close_reason)why);
}

void open_give_up(struct router *r, struct session *s, const struct msg_open *o)
{
	r->n.n_open_refused++;
	closing_refuse(r, s, &o->open_id, CLOSE_REFUSED);
}

/* ---- replies ----------------------------------------------------------- */

void open_handle_opened(struct router *r, struct session *s,
			const struct msg_opened *o, nsec now)
{
	struct circuit *c = circuit_by_open_id(r, &o->open_id);

	if (c == NULL || c->state != CIRCUIT_PENDING ||
	    c->side[TOWARD_TARGET].session != s) {
		r->n.n_opened_unexpected++;
		/* It is over here: the far end need not keep it. */
		if (c == NULL)
			closing_unknown(r, s, &o->open_id, now);
		return;
	}
	if (o->mtu < CIRCUIT_MTU_MIN ||
	    !circuit_set_label_out(r, c, TOWARD_TARGET, o->label)) {
		r->n.n_opened_unexpected++;
		circuit_end(r, c, CLOSE_REFUSED, NULL, now);
		return;
	}
	c->mtu = smaller(c->mtu, o->mtu);
	if (!c->is_origin)
		send_opened(r, c);
	circuit_establish(r, c, now);
}

static struct circuit *named_by(struct router *r, const struct session *s,
				const struct msg_close *m)
{
	static const struct nonce none;
	struct circuit *c;

	if (memcmp(&m->open_id, &none, sizeof none) == 0)
		return circuit_by_label_out(r, s, m->label);
	c = circuit_by_open_id(r, &m->open_id);
	if (c == NULL || (c->side[TOWARD_ORIGIN].session != s &&
			  c->side[TOWARD_TARGET].session != s))
		return NULL;
	return c;
}

void open_handle_close(struct router *r, struct session *s,
		       const struct msg_close *m, nsec now)
{
	struct circuit *c = named_by(r, s, m);

	if (c == NULL) {
		r->n.n_close_unexpected++;
		return;
	}
	circuit_closed(r, c, m, s, now);
}
