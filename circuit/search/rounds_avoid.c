/* Rounds: whom a new probe is to go around.  protocol.md 12.4 */
#include "circuit/core.h"
#include "circuit/search/rounds.h"
#include "circuit/search/seek_inside.h"
#include "proto/base/mem.h"

/* Nodes blamed before that a new attempt begins by avoiding. */
#define BLAMED_AVOIDED_MAX 16

static bool is_in(const struct seek *k, const struct node_id *id)
{
	for (size_t i = 0; i < k->n_avoid; i++)
		if (id_equal(&k->avoid_ids[i], id))
			return true;
	return false;
}

void rounds_avoid(struct router *r, struct seek *k, const struct node_id *id)
{
	if (core_is_self(r, id) || id_equal(id, &k->target) || is_in(k, id))
		return;
	if (k->n_avoid == AVOID_MAX)
		r->n.n_avoid_full++;
	else
		k->avoid_ids[k->n_avoid++] = *id;
}

void rounds_avoid_known(struct router *r, struct seek *k, nsec now)
{
	struct node_id blamed[BLAMED_AVOIDED_MAX];
	size_t n = blames_list(r, blamed, ARRAY_LEN(blamed), now);

	for (size_t i = 0; i < r->holds.n_avoided; i++)
		rounds_avoid(r, k, &r->holds.avoided[i]);
	for (size_t i = 0; i < n; i++)
		rounds_avoid(r, k, &blamed[i]);
	for (size_t i = 0; k->avoid != NULL && i < k->avoid->n; i++)
		rounds_avoid(r, k, &k->avoid->hop[i].id);
}

void rounds_nak(struct router *r, struct session *s, const struct ring *g,
		const struct msg *m, nsec now)
{
	if (m->nak.code != NAK_DUPLICATE && m->nak.code != NAK_RATE)
		success_note(s->peer, OUTCOME_BEYOND);
	if (m->nak.has_blame && m->nak.code == NAK_TIMEOUT)
		rounds_blame(r, s, g, m, ARRIVAL_FRESH, now);
}

static void believe(struct router *r, const struct ring *g,
		    const struct node_id *id, nsec now)
{
	struct seek *k = seek_of(r, g);

	if (core_is_self(r, id) || id_equal(id, &g->target))
		return;
	blame_add(r, id, now);
	if (k != NULL)
		rounds_avoid(r, k, id);
}

void rounds_blame(struct router *r, struct session *s, const struct ring *g,
		  const struct msg *m, enum arrival how, nsec now)
{
	const struct msg_nak *n = &m->nak;
	struct id_list missing = { 0 };

	asking_miss(r, &missing, &n->reporter, now);
	if (missing.n > 0) {
		if (how == ARRIVAL_RESUMED ||
		    !asking_park(r, s, m, &missing, now))
			r->n.n_nak_bad_signature++;
		return;
	}
	switch (core_verify(r, n->sig, &n->reporter, SIGN_NAK, n->body,
			    sizeof n->body, now)) {
	case SIGNED_OK:
		break;
	case SIGNED_BAD:
		r->n.n_nak_bad_signature++;
		return;
	case SIGNED_RATE:
		return;
	}
	r->n.n_blamed++;
	believe(r, g, &n->reporter, now);
	believe(r, g, &n->next, now);
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_BLAMED,
					     .peer = n->reporter,
					     .next = n->next },
		     NULL);
}
