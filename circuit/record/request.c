#include "circuit/record/request.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

void request_charge(struct request *q, const struct session *from)
{
	q->from = from->no;
	q->charged = from->peer;
	q->charged->n_requests++;
}

static void request_free(struct router *r, struct request *q)
{
	if (q->charged != NULL)
		q->charged->n_requests--;
	HASH_DEL(r->requests.all, q);
	timers_cancel(&r->timers, &q->timer);
	free(q);
}

void requests_init(struct router *r)
{
	stores_init(r);
}

void requests_deinit(struct router *r)
{
	struct request *q, *next;

	lookups_deinit(r);
	HASH_ITER (hh, r->requests.all, q, next)
		request_free(r, q);
}

struct request *request_find(struct router *r, const struct nonce *nonce,
			     const struct node_id *replier)
{
	struct request_key key = { .nonce = *nonce, .replier = *replier };
	struct request *q;

	TABLE_FIND(&r->table_key, hh, r->requests.all, &key, sizeof key, q);
	return q;
}

struct request *request_add(struct router *r, enum msg_type type,
			    const struct nonce *nonce, const struct node_id *id,
			    unsigned tree, const struct request_way *w,
			    nsec wait, nsec now)
{
	struct request *q = mem_new(q);

	q->key = (struct request_key){ .nonce = *nonce,
				       .replier = w->to->peer->id };
	q->type = type;
	q->id = *id;
	q->tree = (uint8_t)tree;
	q->is_handed = w->is_handed;
	q->timer.kind = TIMER_REQUEST;
	timers_set(&r->timers, &q->timer, now + wait);
	TABLE_ADD(&r->table_key, hh, r->requests.all, key, sizeof q->key, q);
	return q;
}

struct request *request_own(struct router *r, enum msg_type type,
			    const struct node_id *id, unsigned tree,
			    const struct request_way *w, nsec now)
{
	struct nonce nonce = core_nonce(r);

	r->n.n_handed_over += w->is_handed;
	return request_add(r, type, &nonce, id, tree, w,
			   request_wait(r, tree, w, now), now);
}

void request_refuse(struct router *r, session_no to, const struct nonce *nonce,
		    enum no_record_code code)
{
	core_send(r, to, MSG_NO_RECORD)->no_record =
		(struct msg_no_record){ .nonce = *nonce, .code = code };
}

/* ---- replies ----------------------------------------------------------- */

/* NULL: nobody awaits this from there. */
static struct request *awaited(struct router *r, const struct session *s,
			       const struct nonce *nonce)
{
	struct request *q = request_find(r, nonce, &s->peer->id);

	if (q == NULL)
		r->n.n_request_unexpected++;
	return q;
}

/* The root may have it from before it handed its records over. */
static const struct stored_record *left_over(struct router *r,
					     const struct request *q, nsec now)
{
	const struct stored_record *f = NULL;

	if (q->type == MSG_LOOKUP && q->is_handed && tree_is_root(r, q->tree))
		f = record_kept(r, &q->id, now);
	return f != NULL && f->issued_ms > q->newer_than_ms ? f : NULL;
}

/* It brought nothing: those who wait are told. */
static void give_up(struct router *r, struct request *q,
		    enum no_record_code code, nsec now)
{
	const struct stored_record *f = left_over(r, q, now);

	if (q->is_handed && code != NO_RECORD_UNSETTLED)
		part_failed(r, &q->id, q->tree, now);
	if (q->from != 0 && f != NULL)
		request_send_found(r, q->from, &q->key.nonce, f, NULL);
	else if (q->from != 0)
		request_refuse(r, q->from, &q->key.nonce, code);
	else if (q->type == MSG_STORE)
		store_failed(r, q, now);
	else
		lookup_failed(r, q, now);
}

/* The member that we have handed a lookup over to cannot tell: the root may
 * know another, or have the record itself. */
static bool ask_the_root(struct router *r, const struct request *q, nsec now)
{
	struct request_way w;
	struct request *again;

	if (q->type != MSG_LOOKUP || !q->is_handed || q->is_late ||
	    !request_way_up(r, q->tree, NULL, &w) ||
	    request_find(r, &q->key.nonce, &w.to->peer->id) != NULL)
		return false;
	again = request_add(r, q->type, &q->key.nonce, &q->id, q->tree, &w,
			    q->from == 0
				    ? request_wait(r, q->tree, &w, now)
				    : REQUEST_WAIT_MAX_NS + REQUEST_LATE_NS,
			    now);
	if (q->from != 0)
		request_charge(again, session_find(r, q->from));
	again->newer_than_ms = q->newer_than_ms;
	core_send(r, w.to->no, MSG_LOOKUP)->lookup =
		(struct msg_lookup){ .nonce = q->key.nonce,
				     .tree = q->tree,
				     .hops_left = REQUEST_HOPS_MAX,
				     .id = q->id,
				     .newer_than_ms = q->newer_than_ms };
	return true;
}

static void fail(struct router *r, struct request *q, enum no_record_code code,
		 nsec now)
{
	r->n.n_request_failed++;
	if (ask_the_root(r, q, now)) {
		if (code != NO_RECORD_UNSETTLED)
			part_failed(r, &q->id, q->tree, now);
	} else {
		give_up(r, q, code, now);
	}
	request_free(r, q);
}

/* The member has shown that it was appointed. */
static void note_member(struct router *r, const struct request *q,
			const struct appointment *a, uint32_t n_kept, nsec now)
{
	if (tree_is_root(r, q->tree) && q->is_handed)
		office_replied(r, q->tree, record_part(&q->id), &a->member,
			       n_kept);
	else
		part_learn(r, &q->id, q->tree, a, now);
}

void request_handle_stored(struct router *r, struct session *s,
			   const struct msg_stored *m, nsec now)
{
	struct request *q = awaited(r, s, &m->nonce);

	if (q == NULL)
		return;
	if (q->type != MSG_STORE) {
		r->n.n_request_unexpected++;
		fail(r, q, NO_RECORD_UNREACHED, now);
		return;
	}
	if (m->has_appointment)
		note_member(r, q, &m->appointment, m->n_kept, now);
	if (q->from != 0)
		core_send(r, q->from, MSG_STORED)->stored = *m;
	else
		store_acknowledged(r, q);
	request_free(r, q);
}

/* Ours is worth nothing unless it was checked. */
static void deliver(struct router *r, struct request *q,
		    const struct msg_found *m, const struct identity *who,
		    nsec now)
{
	if (q->from != 0) {
		core_send(r, q->from, MSG_FOUND)->found = *m;
	} else {
		keyring_add(r, who, m->record.chain, m->record.chain_len);
		lookup_found(r, q, now);
	}
	request_free(r, q);
}

/* A relay checks it too: it keeps it for those who ask next, and a forged one
 * goes no further. */
void request_handle_found(struct router *r, struct session *s,
			  const struct msg_found *m, nsec now)
{
	struct request *q = awaited(r, s, &m->nonce);
	struct identity who;
	enum record_verdict v;

	if (q == NULL)
		return;
	if (q->type != MSG_LOOKUP || !id_equal(&m->record.id, &q->id)) {
		r->n.n_request_unexpected++;
		fail(r, q, NO_RECORD_UNREACHED, now);
		return;
	}
	v = record_check(r, &m->record, &who, now);
	if (v == RECORD_GOOD)
		record_cache(r, &m->record, now);
	if (m->has_appointment && v == RECORD_GOOD)
		note_member(r, q, &m->appointment, 0, now);
	if (v == RECORD_GOOD || (v == RECORD_RATE && q->from != 0))
		deliver(r, q, m, &who, now);
	else
		fail(r, q,
		     v == RECORD_RATE ? NO_RECORD_RATE : NO_RECORD_UNREACHED,
		     now);
}

/* Whether the signer is the root of this tree, as we know it, or the member
 * that it has appointed. */
static bool is_replica(struct router *r, const struct request *q,
		       const struct msg_no_record *m, nsec now)
{
	const struct node_id *root = tree_root(r, q->tree);

	if (m->has_appointment)
		return part_check(r, &q->id, q->tree, &m->appointment, now) ==
		       PART_GOOD;
	return root != NULL && id_equal(&m->replica, root);
}

static bool proves_absence(struct router *r, const struct request *q,
			   const struct msg_no_record *m, nsec now)
{
	return m->tree == q->tree && id_equal(&m->id, &q->id) &&
	       is_replica(r, q, m, now) &&
	       core_is_fresh(r, m->issued_ms, now) &&
	       core_verify(r, m->sig, &m->replica, SIGN_NO_RECORD, m->body,
			   sizeof m->body, now) == SIGNED_OK;
}

/* A member brings its chain; the root is known to all who have its beacon. */
static bool must_ask(struct router *r, struct session *s, const struct msg *m,
		     nsec now)
{
	const struct msg_no_record *a = &m->no_record;
	struct id_list missing = { 0 };
	struct identity who;

	asking_miss(r, &missing, &a->replica, now);
	if (missing.n > 0 && a->chain_len > 0 &&
	    r->config.check(r->config.check_ctx, a->chain, a->chain_len,
			    &who) &&
	    id_equal(&who.id, &a->replica) &&
	    keyring_add(r, &who, a->chain, a->chain_len))
		return false;
	return missing.n > 0 && asking_park(r, s, m, &missing, now);
}

/* Only the one who asked can use a proof, and checks it. */
static void handle_absent(struct router *r, struct session *s,
			  struct request *q, const struct msg *msg, nsec now)
{
	const struct msg_no_record *m = &msg->no_record;

	if (q->type != MSG_LOOKUP) {
		r->n.n_request_unexpected++;
		fail(r, q, NO_RECORD_UNREACHED, now);
		return;
	}
	if (m->has_appointment)
		note_member(r, q, &m->appointment, 0, now);
	if (q->from != 0) {
		core_send(r, q->from, MSG_NO_RECORD)->no_record = *m;
		request_free(r, q);
		return;
	}
	if (must_ask(r, s, msg, now))
		return;
	if (!proves_absence(r, q, m, now)) {
		fail(r, q, NO_RECORD_UNREACHED, now);
		return;
	}
	lookup_absent(r, q, &m->replica, now);
	request_free(r, q);
}

void request_handle_no_record(struct router *r, struct session *s,
			      const struct msg *m, nsec now)
{
	struct request *q = awaited(r, s, &m->no_record.nonce);

	if (q == NULL)
		return;
	if (m->no_record.code == NO_RECORD_ABSENT)
		handle_absent(r, s, q, m, now);
	else
		fail(r, q, m->no_record.code, now);
}

void request_give_up(struct router *r, struct session *s,
		     const struct msg_no_record *m, nsec now)
{
	struct request *q = awaited(r, s, &m->nonce);

	if (q != NULL)
		fail(r, q, NO_RECORD_UNREACHED, now);
}

/* ---- ends -------------------------------------------------------------- */

void requests_session_down(struct router *r, struct session *s, nsec now)
{
	struct request *q, *next;

	HASH_ITER (hh, r->requests.all, q, next) {
		if (q->from == s->no)
			request_free(r, q);
		else if (s->peer->best == NULL &&
			 id_equal(&q->key.replier, &s->peer->id))
			fail(r, q, NO_RECORD_UNREACHED, now);
	}
}

/* One of our own may still be replied to after we have tried another way; who
 * handed it over answers for the member. */
void request_timeout(struct router *r, struct timer *t, nsec now)
{
	struct request *q = container_of(t, struct request, timer);

	if (q->is_late || (q->from != 0 && !q->is_handed)) {
		request_free(r, q);
		return;
	}
	if (q->from != 0) {
		fail(r, q, NO_RECORD_UNREACHED, now);
		return;
	}
	q->is_late = true;
	timers_set(&r->timers, &q->timer, now + REQUEST_LATE_NS);
	give_up(r, q, NO_RECORD_UNREACHED, now);
}
