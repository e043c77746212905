#include "circuit/relay/closing.h"

#include "circuit/core.h"

void closing_make(struct router *r, struct msg_close *out,
		  const struct nonce *open_id, enum close_reason reason,
		  const struct node_id *next)
{
	*out = (struct msg_close){
		.open_id = *open_id,
		.reason = reason,
		.reporter = r->config.self.id,
		.is_signed = true,
	};
	if (next != NULL)
		out->next = *next;
	msg_close_seal(out);
	core_sign(r, out->sig, SIGN_CLOSE, out->body, sizeof out->body);
}

void closing_refuse(struct router *r, const struct session *s,
		    const struct nonce *open_id, enum close_reason reason)
{
	core_send(r, s->no, MSG_CLOSE)->close = (struct msg_close){
		.open_id = *open_id,
		.reason = reason,
		.reporter = r->config.self.id,
	};
}

void closing_unknown(struct router *r, const struct session *s,
		     const struct nonce *open_id, nsec now)
{
	if (bucket_take(&s->peer->closes, now))
		closing_refuse(r, s, open_id, CLOSE_UNKNOWN_LABEL);
}

/* Whether the two are neighbours on the path; `next` may be zero. */
static bool is_link_of(const struct circuit *c, const struct node_id *reporter,
		       const struct node_id *next)
{
	static const struct node_id none;
	bool is_link = id_equal(next, &none);
	bool is_on_path = false;

	for (size_t i = 0; i <= c->n_hops; i++) {
		if (!id_equal(circuit_node(c, i), reporter))
			continue;
		is_on_path = true;
		if (i > 0 && id_equal(circuit_node(c, i - 1), next))
			is_link = true;
		if (i < c->n_hops && id_equal(circuit_node(c, i + 1), next))
			is_link = true;
	}
	return is_on_path && is_link;
}

enum closing_verdict {
	CLOSING_TRUE,
	CLOSING_FALSE,
	CLOSING_UNKNOWN, /* nothing can be said now */
};

/* Of what is signed. */
static enum closing_verdict check(struct router *r, const struct circuit *c,
				  const struct msg_close *m, nsec now)
{
	if (!is_link_of(c, &m->reporter, &m->next))
		return CLOSING_FALSE;
	if (keyring_find(r, &m->reporter, now) == NULL)
		return CLOSING_UNKNOWN;
	switch (core_verify(r, m->sig, &m->reporter, SIGN_CLOSE, m->body,
			    sizeof m->body, now)) {
	case SIGNED_OK:
		return CLOSING_TRUE;
	case SIGNED_BAD:
		return CLOSING_FALSE;
	case SIGNED_RATE:
		break;
	}
	return CLOSING_UNKNOWN;
}

bool closing_may_pass(struct router *r, const struct circuit *c,
		      const struct msg_close *m, nsec now)
{
	if (!m->is_signed)
		return false;
	if (check(r, c, m, now) != CLOSING_FALSE)
		return true;
	r->n.n_close_bad_signature++;
	return false;
}

struct closing closing_judge(struct router *r, const struct circuit *c,
			     const struct msg_close *m,
			     const struct session *from, nsec now)
{
	struct closing j = { .reason = m->reason, .reporter = from->peer->id };

	if (!m->is_signed)
		return j;
	switch (check(r, c, m, now)) {
	case CLOSING_TRUE:
		j.is_proved = true;
		j.reporter = m->reporter;
		j.next = m->next;
		break;
	case CLOSING_FALSE:
		/* Any relay may have made it, and those between may not have
		 * been able to tell: nobody is blamed. */
		r->n.n_close_bad_signature++;
		break;
	case CLOSING_UNKNOWN:
		break;
	}
	return j;
}
