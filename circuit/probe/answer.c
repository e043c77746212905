#include "circuit/probe/answer.h"

#include <string.h>

#include <utlist.h>

#include "circuit/probe/copy.h"
#include "circuit/core.h"
#include "circuit/path.h"
#include "circuit/probe/seen.h"
#include "proto/base/mem.h"

bool answer_fits(const struct router *r, const struct route_proof *p,
		 const struct node_id *target,
		 const uint8_t probe_body[PROBE_BODY_BYTES], ptrdiff_t own,
		 nsec now)
{
	struct node_hash h = hash_of(probe_body, PROBE_BODY_BYTES);
	uint64_t wall = core_wall(r, now);

	return memcmp(p->probe_hash, h.b, sizeof h.b) == 0 &&
	       id_equal(&p->target, target) && p->hops.n > 0 &&
	       id_equal(&p->hops.hop[p->hops.n - 1].id, target) &&
	       p->first_sig == (size_t)(own + 1) &&
	       path_is_simple(&p->origin, p->hops.hop, p->hops.n) &&
	       p->expiry_ms > wall &&
	       p->expiry_ms <= wall + ROUTE_LIFETIME_MS + CLOCK_SKEW_MS;
}

enum match {
	MATCH_NONE,
	MATCH_ALTERED, /* our nodes, with other figures */
	MATCH_FULL,
};

/* Whether the path begins as the copy's does. */
static enum match compare(const struct copy *c, const struct hop_list *h)
{
	enum match m = MATCH_FULL;

	if (h->n <= c->n_hops)
		return MATCH_NONE;
	for (size_t i = 0; i < c->n_hops; i++) {
		if (!id_equal(&c->hops[i].id, &h->hop[i].id))
			return MATCH_NONE;
		if (!hop_equal(&c->hops[i], &h->hop[i]))
			m = MATCH_ALTERED;
	}
	return m;
}

/* The copy that was sent on over this session and is answered here. */
static struct copy *find_copy(struct router *r, const struct session *s,
			      const struct seen *e, const struct hop_list *h)
{
	struct copy *c;
	enum match m;

	DL_FOREACH (e->copies, c) {
		if (!replies_was_sent(&c->replies, s->no))
			continue;
		m = compare(c, h);
		if (m == MATCH_FULL &&
		    id_equal(&h->hop[c->n_hops].id, &s->peer->id))
			return c;
		if (m == MATCH_ALTERED) {
			r->n.n_answer_altered++;
			return NULL;
		}
	}
	r->n.n_answer_unexpected++;
	return NULL;
}

/* An answer that cannot be passed on is a reply nonetheless, one that proves
 * nothing; which copy it was meant for does not matter. */
static void reject(struct router *r, const struct session *s, struct seen *e,
		   enum nak_code code, nsec now)
{
	struct copy *c;

	DL_FOREACH (e->copies, c) {
		if (!replies_is_owed(&c->replies, s->no))
			continue;
		copy_handle_nak(r, c, s->no, code, now);
		return;
	}
}

static void forward(struct router *r, const struct session *s, struct copy *c,
		    const struct route_proof *p)
{
	struct seen *e = c->probe;
	struct node_hash digest;
	struct route_proof *out;

	if (!e->is_flood)
		telling_send(r, session_find(r, c->from), &p->hops,
			     c->n_hops - 1);
	out = &core_send(r, c->from, MSG_ANSWER)->answer.route;
	*out = *p;
	out->first_sig = c->n_hops - 1;
	route_proof_digest(digest.b, p);
	core_sign(r, out->sigs[out->first_sig], SIGN_ANSWER_HOP, digest.b,
		  sizeof digest.b);
	e->passed = mem_realloc(e->passed, e->n_answers + 1, sizeof *e->passed);
	e->passed[e->n_answers++] = digest;
	copy_answered(r, c, s->no);
	success_note(s->peer, OUTCOME_ANSWERED);
}

static bool was_passed(const struct seen *e, const struct route_proof *p)
{
	struct node_hash digest;

	route_proof_digest(digest.b, p);
	for (unsigned i = 0; i < e->n_answers; i++)
		if (hash_equal(&e->passed[i], &digest))
			return true;
	return false;
}

/* Those behind us; the next node will ask us for them. */
static void ask_for_names(struct router *r, struct session *s,
			  const struct hop_list *h, size_t own, nsec now)
{
	struct id_list missing = { 0 };

	for (size_t i = own + 1; i < h->n; i++)
		asking_miss(r, &missing, &h->hop[i].id, now);
	asking_send(r, s, &missing, now);
}

/* Where the target is known its signature is checked at once; the origin will
 * in any case. */
static bool is_forged(struct router *r, const struct route_proof *p, nsec now)
{
	if (keyring_find(r, &p->target, now) == NULL ||
	    core_verify(r, p->sig_target, &p->target, SIGN_ANSWER_TARGET,
			p->body, p->body_len, now) != SIGNED_BAD)
		return false;
	r->n.n_answer_bad_signature++;
	return true;
}

void answer_handle(struct router *r, struct session *s,
		   const struct route_proof *p, nsec now)
{
	struct seen *e = seen_find(r, &p->origin, &p->nonce);
	struct copy *c;

	if (e == NULL) {
		r->n.n_answer_unexpected++;
		return;
	}
	c = find_copy(r, s, e, &p->hops);
	if (c == NULL) {
		reject(r, s, e, NAK_RATE, now);
		return;
	}
	if (!answer_fits(r, p, &e->target, e->body, (ptrdiff_t)c->n_hops - 1,
			 now) ||
	    !replies_allow(&c->replies, s->no, &p->hops.hop[c->n_hops])) {
		r->n.n_answer_altered++;
		reject(r, s, e, NAK_RATE, now);
		return;
	}
	if (was_passed(e, p)) {
		r->n.n_answer_unexpected++;
		return;
	}
	/* Each neighbour's first reply counts, whatever the others sent. */
	if (e->n_answers >= PROBE_ANSWERS_MAX &&
	    !replies_is_owed(&c->replies, s->no)) {
		r->n.n_answer_unexpected++;
		return;
	}
	if (!replies_take_check(&c->replies, s->no)) {
		r->n.n_answer_limit++;
		return;
	}
	if (is_forged(r, p, now)) {
		reject(r, s, e, NAK_RATE, now);
		return;
	}
	ask_for_names(r, s, &p->hops, c->n_hops - 1, now);
	forward(r, s, c, p);
}
