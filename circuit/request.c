#include "circuit/request.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "circuit/record_table.h"
#include "circuit/tree.h"
#include "proto/base/mem.h"

static void request_free(struct router *r, struct request *q)
{
	HASH_DEL(r->requests.all, q);
	timers_cancel(&r->timers, &q->timer);
	free(q);
}

void requests_init(struct router *r)
{
	for (unsigned i = 0; i < TREES; i++)
		r->requests.stores[i].timer.kind = TIMER_STORE;
}

void requests_deinit(struct router *r)
{
	struct request *q, *next;

	lookups_deinit(r);
	HASH_ITER (hh, r->requests.all, q, next)
		request_free(r, q);
}

static struct request *request_find(struct router *r, const struct nonce *nonce)
{
	struct request *q;

	TABLE_FIND(&r->table_key, hh, r->requests.all, nonce, sizeof *nonce, q);
	return q;
}

/* ---- sending on -------------------------------------------------------- */

/* Where requests in this tree go from here; NULL: nowhere. */
static struct session *way_up(struct router *r, unsigned tree)
{
	const struct neighbour *up = tree_parent(r, tree);

	return up != NULL ? up->best : NULL;
}

static struct request *request_add(struct router *r, enum msg_type type,
				   const struct nonce *nonce,
				   const struct node_id *id, unsigned tree,
				   const struct session *up, nsec wait,
				   nsec now)
{
	struct request *q = mem_new(q);

	q->nonce = *nonce;
	q->type = type;
	q->id = *id;
	q->replier = up->peer->id;
	q->tree = (uint8_t)tree;
	q->timer.kind = TIMER_REQUEST;
	timers_set(&r->timers, &q->timer, now + wait);
	TABLE_ADD(&r->table_key, hh, r->requests.all, nonce, sizeof q->nonce,
		  q);
	return q;
}

/* Twice the cost of the way to the root. */
static nsec own_wait(const struct router *r, unsigned tree)
{
	const struct coord *at = &trees_locator(r)->tree[tree];
	uint16_t cost = at->n > 0 ? at->hop[at->n - 1].cost : 0;

	return time_min(2 * (nsec)cost * 100 * NS_PER_US + REQUEST_SLACK_NS,
			REQUEST_WAIT_MAX_NS);
}

struct request *request_own(struct router *r, enum msg_type type,
			    const struct node_id *id, unsigned tree, nsec now)
{
	struct session *up = way_up(r, tree);
	struct nonce nonce;

	if (up == NULL)
		return NULL;
	nonce = core_nonce(r);
	return request_add(r, type, &nonce, id, tree, up, own_wait(r, tree),
			   now);
}

struct session *request_session(struct router *r, const struct request *q)
{
	return session_to(r, &q->replier);
}

static void refuse(struct router *r, session_no to, const struct nonce *nonce,
		   enum no_record_code code)
{
	core_send(r, to, MSG_NO_RECORD)->no_record =
		(struct msg_no_record){ .nonce = *nonce, .code = code };
}

/* Remembers where the request came from; NULL if it goes no further, and then
 * it was refused. */
static struct session *pass_on(struct router *r, struct session *s,
			       enum msg_type type, const struct nonce *nonce,
			       const struct node_id *id, unsigned tree,
			       unsigned hops_left, nsec now)
{
	struct session *up = way_up(r, tree);

	if (up == NULL || up->peer == s->peer || hops_left == 0 ||
	    request_find(r, nonce) != NULL) {
		r->n.n_request_failed++;
		refuse(r, s->no, nonce, NO_RECORD_UNREACHED);
		return NULL;
	}
	if (HASH_COUNT(r->requests.all) >= REQUESTS_PENDING_MAX) {
		r->n.n_request_full++;
		refuse(r, s->no, nonce, NO_RECORD_RATE);
		return NULL;
	}
	request_add(r, type, nonce, id, tree, up,
		    REQUEST_WAIT_MAX_NS + REQUEST_LATE_NS, now)
		->from = s->no;
	return up;
}

/* ---- STORE ------------------------------------------------------------- */

/* As the root.  One that we have, or that is older, needs no check. */
static void keep(struct router *r, struct session *s, const struct msg_store *m,
		 nsec now)
{
	const struct record *rec = &m->record;
	struct stored_record *have = record_kept(r, &rec->id, now);
	enum record_verdict v = RECORD_GOOD;

	if (have == NULL || have->issued_ms < rec->issued_ms) {
		v = record_check(r, rec, NULL, now);
		if (v == RECORD_GOOD && !record_keep(r, rec, now))
			v = RECORD_RATE;
	}
	if (v == RECORD_GOOD)
		core_send(r, s->no, MSG_STORED)->stored =
			(struct msg_stored){ .nonce = m->nonce };
	else
		refuse(r, s->no, &m->nonce,
		       v == RECORD_RATE ? NO_RECORD_RATE : NO_RECORD_UNREACHED);
}

void request_handle_store(struct router *r, struct session *s,
			  const struct msg_store *m, nsec now)
{
	struct session *up;
	struct msg_store *out;

	if (!bucket_take(&s->peer->stores, now)) {
		r->n.n_store_rate++;
		refuse(r, s->no, &m->nonce, NO_RECORD_RATE);
		return;
	}
	if (tree_is_root(r, m->tree) &&
	    record_is_of_tree(&m->record.id, m->tree)) {
		keep(r, s, m, now);
		return;
	}
	up = pass_on(r, s, MSG_STORE, &m->nonce, &m->record.id, m->tree,
		     m->hops_left, now);
	if (up == NULL)
		return;
	out = &core_send(r, up->no, MSG_STORE)->store;
	*out = *m;
	out->hops_left--;
}

/* ---- LOOKUP ------------------------------------------------------------ */

static void send_found(struct router *r, struct session *s,
		       const struct nonce *nonce, const struct stored_record *f)
{
	struct msg_found *out = &core_send(r, s->no, MSG_FOUND)->found;

	out->nonce = *nonce;
	out->has_appointment = false;
	stored_read(f, &out->record);
}

static void send_absent(struct router *r, struct session *s,
			const struct msg_lookup *m, nsec now)
{
	struct msg_no_record *out =
		&core_send(r, s->no, MSG_NO_RECORD)->no_record;

	*out = (struct msg_no_record){
		.nonce = m->nonce,
		.code = NO_RECORD_ABSENT,
		.id = m->id,
		.tree = m->tree,
		.issued_ms = core_wall(r, now),
		.replica = r->config.self.id,
	};
	msg_no_record_seal(out);
	core_sign(r, out->sig, SIGN_NO_RECORD, out->body, sizeof out->body);
}

/* What we have: as the node itself, as its replica, or from a while ago. */
static const struct stored_record *have(struct router *r,
					const struct msg_lookup *m, nsec now)
{
	struct stored_record *f = NULL;

	if (core_is_self(r, &m->id))
		return record_own(r);
	if (tree_is_root(r, m->tree))
		f = record_kept(r, &m->id, now);
	return f != NULL ? f : record_fresh(r, &m->id, m->newer_than_ms, now);
}

void request_handle_lookup(struct router *r, struct session *s,
			   const struct msg_lookup *m, nsec now)
{
	const struct stored_record *f;
	struct session *up;
	struct msg_lookup *out;

	if (!bucket_take(&s->peer->lookups, now)) {
		r->n.n_lookup_rate++;
		refuse(r, s->no, &m->nonce, NO_RECORD_RATE);
		return;
	}
	f = have(r, m, now);
	if (f != NULL) {
		send_found(r, s, &m->nonce, f);
		return;
	}
	if (record_is_of_tree(&m->id, m->tree) &&
	    records_are_settled(r, m->tree, now)) {
		send_absent(r, s, m, now);
		return;
	}
	up = pass_on(r, s, MSG_LOOKUP, &m->nonce, &m->id, m->tree, m->hops_left,
		     now);
	if (up == NULL)
		return;
	out = &core_send(r, up->no, MSG_LOOKUP)->lookup;
	*out = *m;
	out->hops_left--;
}

/* ---- replies ----------------------------------------------------------- */

/* NULL: nobody awaits this from there. */
static struct request *awaited(struct router *r, const struct session *s,
			       const struct nonce *nonce)
{
	struct request *q = request_find(r, nonce);

	if (q == NULL || !id_equal(&q->replier, &s->peer->id)) {
		r->n.n_request_unexpected++;
		return NULL;
	}
	return q;
}

/* It brought nothing. */
static void fail(struct router *r, struct request *q, enum no_record_code code,
		 nsec now)
{
	r->n.n_request_failed++;
	if (q->from != 0)
		refuse(r, q->from, &q->nonce, code);
	else if (q->type == MSG_STORE)
		store_failed(r, q, now);
	else
		lookup_failed(r, q, now);
	request_free(r, q);
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
	if (q->from != 0)
		core_send(r, q->from, MSG_STORED)->stored = *m;
	else
		store_acknowledged(r, q);
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
	if (v == RECORD_BAD || v == RECORD_STALE) {
		fail(r, q, NO_RECORD_UNREACHED, now);
		return;
	}
	if (v == RECORD_GOOD)
		record_cache(r, &m->record, now);
	if (q->from != 0) {
		core_send(r, q->from, MSG_FOUND)->found = *m;
	} else if (v == RECORD_GOOD) {
		keyring_add(r, &who, m->record.chain, m->record.chain_len);
		lookup_found(r, q, now);
	} else {
		fail(r, q, NO_RECORD_RATE, now);
		return;
	}
	request_free(r, q);
}

/* Whether the replica of this tree, as we know it, has signed that it has no
 * such record. */
static bool proves_absence(struct router *r, const struct request *q,
			   const struct msg_no_record *m, nsec now)
{
	const struct node_id *root = tree_root(r, q->tree);

	return q->type == MSG_LOOKUP && m->tree == q->tree &&
	       id_equal(&m->id, &q->id) && root != NULL &&
	       id_equal(&m->replica, root) &&
	       core_is_fresh(r, m->issued_ms, now) &&
	       core_verify(r, m->sig, &m->replica, SIGN_NO_RECORD, m->body,
			   sizeof m->body, now) == SIGNED_OK;
}

static bool must_ask(struct router *r, struct session *s, const struct msg *m,
		     nsec now)
{
	struct id_list missing = { 0 };

	asking_miss(r, &missing, &m->no_record.replica, now);
	return missing.n > 0 && asking_park(r, s, m, &missing, now);
}

/* Only the one who asked can use a proof, and checks it. */
void request_handle_no_record(struct router *r, struct session *s,
			      const struct msg *msg, nsec now)
{
	const struct msg_no_record *m = &msg->no_record;
	struct request *q = awaited(r, s, &m->nonce);

	if (q == NULL)
		return;
	if (m->code != NO_RECORD_ABSENT) {
		fail(r, q, m->code, now);
		return;
	}
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
			 id_equal(&q->replier, &s->peer->id))
			fail(r, q, NO_RECORD_UNREACHED, now);
	}
}

/* One of our own may still be replied to after we have tried another way. */
void request_timeout(struct router *r, struct timer *t, nsec now)
{
	struct request *q = container_of(t, struct request, timer);

	if (q->from != 0 || q->is_late) {
		request_free(r, q);
		return;
	}
	q->is_late = true;
	timers_set(&r->timers, &q->timer, now + REQUEST_LATE_NS);
	if (q->type == MSG_STORE)
		store_failed(r, q, now);
	else
		lookup_failed(r, q, now);
}
