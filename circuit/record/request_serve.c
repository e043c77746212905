/* STORE and LOOKUP of others: answered, or passed on.  protocol.md 11.3. */
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree.h"

/* As what we are asked. */
enum seat {
	SEAT_NONE, /* it is for another node */
	SEAT_ROOT,
	SEAT_MEMBER,
	SEAT_REFUSED, /* it calls us a member, and we are none */
	SEAT_RATE,
};

static const enum no_record_code code_of[] = {
	[SEAT_NONE] = NO_RECORD_UNREACHED,
	[SEAT_ROOT] = NO_RECORD_UNSETTLED,
	[SEAT_MEMBER] = NO_RECORD_UNSETTLED,
	[SEAT_REFUSED] = NO_RECORD_UNREACHED,
	[SEAT_RATE] = NO_RECORD_RATE,
};

static enum seat seat_of(struct router *r, const struct node_id *id,
			 unsigned tree, const struct appointment *given,
			 nsec now)
{
	if (given == NULL)
		return request_ends_here(r, id, tree, now) ? SEAT_ROOT
							   : SEAT_NONE;
	if (!core_is_self(r, &given->member))
		return SEAT_NONE;
	switch (part_check(r, id, tree, given, now)) {
	case PART_GOOD:
		return SEAT_MEMBER;
	case PART_RATE:
		return SEAT_RATE;
	default:
		return SEAT_REFUSED;
	}
}

static void refuse(struct router *r, struct session *s,
		   const struct nonce *nonce, enum seat seat)
{
	r->n.n_request_failed++;
	request_refuse(r, s->no, nonce, code_of[seat]);
}

/* Remembers where it came from; NULL if it goes no further, and then it was
 * refused. */
static struct request *pass_on(struct router *r, struct session *s,
			       enum msg_type type, const struct nonce *nonce,
			       const struct node_id *id, unsigned tree,
			       unsigned hops_left, const struct request_way *w,
			       nsec now)
{
	struct request *q;

	if (hops_left == 0 ||
	    request_find(r, nonce, &w->to->peer->id) != NULL) {
		refuse(r, s, nonce, SEAT_NONE);
		return NULL;
	}
	if (s->peer->n_requests >= REQUESTS_PER_PEER_MAX ||
	    !share_is_left(HASH_COUNT(r->requests.all), REQUESTS_PENDING_MAX,
			   s->peer->n_requests)) {
		r->n.n_request_full++;
		request_refuse(r, s->no, nonce, NO_RECORD_RATE);
		return NULL;
	}
	q = request_add(r, type, nonce, id, tree, w,
			w->is_handed ? request_wait(r, tree, w, now)
				     : REQUEST_WAIT_MAX_NS + REQUEST_LATE_NS,
			now);
	request_charge(q, s);
	r->n.n_handed_over += w->is_handed;
	return q;
}

/* ---- STORE ------------------------------------------------------------- */

static enum record_verdict check_new(struct router *r, const struct record *rec,
				     nsec now)
{
	const struct stored_record *have = record_kept(r, &rec->id, now);

	/* One that we have, or that is older, needs no check. */
	if (have != NULL && have->issued_ms >= rec->issued_ms)
		return RECORD_GOOD;
	return record_check(r, rec, NULL, now);
}

/* With our place of now. */
static void sign_as_member(struct router *r, struct appointment *out,
			   const struct appointment *given)
{
	*out = *given;
	if (trees_locator(r)->tree[given->tree].n > 0)
		out->at = trees_locator(r)->tree[given->tree];
}

static void send_stored(struct router *r, struct session *s,
			const struct msg_store *m)
{
	struct msg_stored *out = &core_send(r, s->no, MSG_STORED)->stored;

	out->nonce = m->nonce;
	out->has_appointment = m->has_appointment;
	out->n_kept = 0;
	if (!m->has_appointment)
		return;
	sign_as_member(r, &out->appointment, &m->appointment);
	out->n_kept = r->records.parts.n_kept[record_part(&m->record.id)];
}

static void answer_store(struct router *r, struct session *s,
			 const struct msg_store *m, enum record_verdict v)
{
	if (v == RECORD_GOOD)
		send_stored(r, s, m);
	else
		request_refuse(r, s->no, &m->nonce,
			       v == RECORD_RATE ? NO_RECORD_RATE
						: NO_RECORD_UNREACHED);
}

static void keep(struct router *r, struct session *s, const struct msg_store *m,
		 nsec now)
{
	enum record_verdict v = check_new(r, &m->record, now);

	if (v == RECORD_GOOD && m->has_appointment)
		part_serve(r, &m->appointment, now);
	if (v == RECORD_GOOD && !record_keep(r, &m->record, now))
		v = RECORD_RATE;
	answer_store(r, s, m, v);
}

static void enlist(struct router *r, struct session *s,
		   const struct msg_store *m, nsec now)
{
	enum record_verdict v = record_check(r, &m->record, NULL, now);

	if (v == RECORD_GOOD && !office_register(r, m->tree, &m->record, now))
		v = RECORD_RATE;
	answer_store(r, s, m, v);
}

static void pass_store(struct router *r, struct session *s,
		       const struct msg_store *m, nsec now)
{
	const struct node_id *id = &m->record.id;
	struct msg_store *out;
	struct request_way w;
	bool has_way;

	has_way = m->registers
			  ? request_way_up(r, m->tree, s->peer, &w)
			  : request_way(r, id, m->tree,
					m->has_appointment ? &m->appointment
							   : NULL,
					s->peer, &w, now);
	if (!has_way) {
		refuse(r, s, &m->nonce, SEAT_NONE);
		return;
	}
	if (pass_on(r, s, MSG_STORE, &m->nonce, id, m->tree, m->hops_left, &w,
		    now) == NULL)
		return;
	out = &core_send(r, w.to->no, MSG_STORE)->store;
	*out = *m;
	out->hops_left--;
	out->has_appointment = w.is_over;
	if (w.is_over)
		out->appointment = w.appointment;
}

void request_handle_store(struct router *r, struct session *s,
			  const struct msg_store *m, nsec now)
{
	enum seat seat;

	if (!bucket_take(&s->peer->stores, now)) {
		r->n.n_store_rate++;
		request_refuse(r, s->no, &m->nonce, NO_RECORD_RATE);
		return;
	}
	if (m->registers && tree_is_root(r, m->tree)) {
		enlist(r, s, m, now);
		return;
	}
	seat = m->registers
		       ? SEAT_NONE
		       : seat_of(r, &m->record.id, m->tree,
				 m->has_appointment ? &m->appointment : NULL,
				 now);
	if (seat == SEAT_NONE)
		pass_store(r, s, m, now);
	else if (seat == SEAT_ROOT || seat == SEAT_MEMBER)
		keep(r, s, m, now);
	else
		refuse(r, s, &m->nonce, seat);
}

/* ---- LOOKUP ------------------------------------------------------------ */

static void send_absent(struct router *r, struct session *s,
			const struct msg_lookup *m, nsec now)
{
	struct msg_no_record *out =
		&core_send(r, s->no, MSG_NO_RECORD)->no_record;

	out->nonce = m->nonce;
	out->code = NO_RECORD_ABSENT;
	out->id = m->id;
	out->tree = m->tree;
	out->issued_ms = core_wall(r, now);
	out->replica = r->config.self.id;
	msg_no_record_seal(out);
	core_sign(r, out->sig, SIGN_NO_RECORD, out->body, sizeof out->body);
	out->has_appointment = m->has_appointment;
	out->chain_len = 0;
	if (!m->has_appointment)
		return;
	sign_as_member(r, &out->appointment, &m->appointment);
	out->chain_len = r->config.chain_len;
	memcpy(out->chain, r->config.chain, out->chain_len);
}

static bool knows_absent(struct router *r, const struct msg_lookup *m,
			 enum seat seat, nsec now)
{
	if (seat == SEAT_MEMBER)
		return part_serve(r, &m->appointment, now);
	return seat == SEAT_ROOT && records_are_settled(r, m->tree, now);
}

/* What we have: as the node itself, as its replica, or from a while ago. */
static const struct stored_record *have(struct router *r,
					const struct msg_lookup *m,
					enum seat seat, nsec now)
{
	struct stored_record *f = NULL;

	if (core_is_self(r, &m->id))
		return record_own(r);
	if (seat == SEAT_ROOT || seat == SEAT_MEMBER)
		f = record_kept(r, &m->id, now);
	return f != NULL ? f : record_fresh(r, &m->id, m->newer_than_ms, now);
}

static void pass_lookup(struct router *r, struct session *s,
			const struct msg_lookup *m, nsec now)
{
	struct msg_lookup *out;
	struct request_way w;
	struct request *q;

	if (!request_way(r, &m->id, m->tree,
			 m->has_appointment ? &m->appointment : NULL, s->peer,
			 &w, now)) {
		refuse(r, s, &m->nonce, SEAT_NONE);
		return;
	}
	q = pass_on(r, s, MSG_LOOKUP, &m->nonce, &m->id, m->tree, m->hops_left,
		    &w, now);
	if (q == NULL)
		return;
	q->newer_than_ms = m->newer_than_ms;
	out = &core_send(r, w.to->no, MSG_LOOKUP)->lookup;
	*out = *m;
	out->hops_left--;
	out->has_appointment = w.is_over;
	if (w.is_over)
		out->appointment = w.appointment;
}

void request_handle_lookup(struct router *r, struct session *s,
			   const struct msg_lookup *m, nsec now)
{
	const struct appointment *given =
		m->has_appointment ? &m->appointment : NULL;
	const struct stored_record *f;
	enum seat seat;

	if (!bucket_take(&s->peer->lookups, now)) {
		r->n.n_lookup_rate++;
		request_refuse(r, s->no, &m->nonce, NO_RECORD_RATE);
		return;
	}
	seat = seat_of(r, &m->id, m->tree, given, now);
	f = have(r, m, seat, now);
	if (f != NULL)
		request_send_found(r, s->no, &m->nonce, f,
				   seat == SEAT_MEMBER ? given : NULL);
	else if (knows_absent(r, m, seat, now))
		send_absent(r, s, m, now);
	else if (seat == SEAT_NONE)
		pass_lookup(r, s, m, now);
	else
		refuse(r, s, &m->nonce, seat);
}

void request_send_found(struct router *r, session_no to,
			const struct nonce *nonce,
			const struct stored_record *f,
			const struct appointment *as)
{
	struct msg_found *out = &core_send(r, to, MSG_FOUND)->found;

	out->nonce = *nonce;
	out->has_appointment = as != NULL;
	if (as != NULL)
		sign_as_member(r, &out->appointment, as);
	stored_read(f, &out->record);
}
