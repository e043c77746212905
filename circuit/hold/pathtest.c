#include "circuit/hold/pathtest.h"

#include "circuit/relay/closing.h"
#include "circuit/core.h"

/* Where a message of a circuit comes from and goes to: the side of the end
 * that asks, or NULL if the session is not on it. */
static const struct circuit_side *side_of(const struct circuit *c,
					  const struct session *s)
{
	for (unsigned i = 0; i < 2; i++)
		if (c->side[i].session == s)
			return &c->side[i];
	return NULL;
}

static unsigned index_of(const struct circuit *c,
			 const struct circuit_side *side)
{
	return side == &c->side[TOWARD_ORIGIN] ? TOWARD_ORIGIN : TOWARD_TARGET;
}

/* Counters are kept by direction of travel, so they read the same at a relay
 * and at an end, which counts what it puts in itself. */
static void reply(struct router *r, const struct session *s,
		  const struct circuit *c, unsigned asker,
		  const struct msg_test *m)
{
	struct msg_receipt *out = &core_send(r, s->no, MSG_RECEIPT)->receipt;

	*out = (struct msg_receipt){
		.open_id = m->open_id,
		.token = m->token,
		.hop = m->hop,
		.node = r->config.self.id,
		.n_forth = c->n_packets[!asker],
		.n_back = c->n_packets[asker],
	};
	msg_receipt_seal(out);
	core_sign(r, out->sig, SIGN_RECEIPT, out->body, sizeof out->body);
}

void pathtest_handle_test(struct router *r, struct session *s,
			  const struct msg_test *m, nsec now)
{
	struct circuit *c = circuit_by_open_id(r, &m->open_id);
	const struct circuit_side *from;
	unsigned asker;
	size_t place;

	if (!bucket_take(&s->peer->tests, now)) {
		r->n.n_test_rate++;
		return;
	}
	from = c != NULL ? side_of(c, s) : NULL;
	if (from == NULL || c->state != CIRCUIT_ESTABLISHED) {
		r->n.n_test_unexpected++;
		if (c == NULL)
			closing_unknown(r, s, &m->open_id, now);
		return;
	}
	asker = index_of(c, from);
	place = circuit_place(r, c);
	if (asker == TOWARD_TARGET)
		place = c->n_hops - place;
	if (m->hop < place || m->hop > c->n_hops) {
		r->n.n_test_unexpected++;
		return;
	}
	/* A circuit that is tested is in use. */
	c->last_packet = now;
	if (m->hop == place)
		reply(r, s, c, asker, m);
	else
		core_send(r, c->side[!asker].session->no, MSG_TEST)->test = *m;
}

void pathtest_handle_receipt(struct router *r, struct session *s,
			     const struct msg_receipt *m, nsec now)
{
	struct circuit *c = circuit_by_open_id(r, &m->open_id);
	const struct circuit_side *from;
	const struct session *to;

	if (!bucket_take(&s->peer->receipts, now)) {
		r->n.n_test_rate++;
		return;
	}
	from = c != NULL ? side_of(c, s) : NULL;
	if (from == NULL || c->state != CIRCUIT_ESTABLISHED) {
		r->n.n_receipt_unexpected++;
		return;
	}
	to = c->side[!index_of(c, from)].session;
	if (to != NULL)
		core_send(r, to->no, MSG_RECEIPT)->receipt = *m;
	else if (!trace_handle_receipt(r, c, m, now))
		hold_handle_receipt(r, c, m, now);
}

static struct session *towards_far_end(const struct circuit *c)
{
	return c->side[c->is_origin ? TOWARD_TARGET : TOWARD_ORIGIN].session;
}

bool pathtest_send(struct router *r, const struct circuit *c, unsigned hop,
		   uint64_t token, nsec now)
{
	const struct session *s = towards_far_end(c);

	if (!bucket_take(&s->peer->own_tests, now)) {
		r->n.n_test_own_rate++;
		return false;
	}
	r->n.n_tests++;
	core_send(r, s->no, MSG_TEST)->test = (struct msg_test){
		.open_id = c->open_id,
		.token = token,
		.hop = (uint8_t)hop,
	};
	return true;
}

/* It was known when the circuit was opened; the keyring is finite. */
static void ask_for(struct router *r, const struct circuit *c,
		    const struct node_id *who, nsec now)
{
	struct id_list missing = { 0 };

	asking_miss(r, &missing, who, now);
	asking_send(r, towards_far_end(c), &missing, now);
}

enum receipt_verdict pathtest_check(struct router *r, const struct circuit *c,
				    const struct msg_receipt *m, nsec now)
{
	size_t place = c->is_origin ? m->hop : c->n_hops - m->hop;
	const struct node_id *who = circuit_node(c, place);

	if (!id_equal(who, &m->node))
		return RECEIPT_BAD;
	if (keyring_find(r, who, now) == NULL) {
		ask_for(r, c, who, now);
		return RECEIPT_UNKNOWN;
	}
	switch (core_verify(r, m->sig, who, SIGN_RECEIPT, m->body,
			    sizeof m->body, now)) {
	case SIGNED_OK:
		return RECEIPT_GOOD;
	case SIGNED_BAD:
		return RECEIPT_BAD;
	case SIGNED_RATE:
		break;
	}
	return RECEIPT_UNKNOWN;
}
