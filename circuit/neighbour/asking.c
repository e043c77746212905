#include "circuit/neighbour/asking.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

/* No padding: it is hashed. */
struct asked_key {
	uint8_t session[sizeof(session_no)];
	struct node_id id;
};

/* An identity that some sessions were asked for, and others ask us for. */
struct wanted {
	struct node_id id;
	unsigned n_asked;
	session_no waiting[ASKED_WAITING_MAX];
	unsigned n_waiting;
	UT_hash_handle hh;
};

struct asked {
	struct asked_key key;
	struct wanted *wanted;
	struct timer timer;
	UT_hash_handle hh;
};

struct parked {
	session_no from;
	nsec since;
	struct id_list missing;
	struct timer timer;
	struct parked *prev, *next;
	struct msg msg;
};

static void wanted_free(struct router *r, struct wanted *w)
{
	HASH_DEL(r->asking.wanted, w);
	free(w);
}

void asking_deinit(struct router *r)
{
	struct asked *a, *next_asked;
	struct wanted *w, *next_wanted;
	struct parked *p, *next_parked;

	HASH_ITER (hh, r->asking.asked, a, next_asked) {
		HASH_DEL(r->asking.asked, a);
		free(a);
	}
	HASH_ITER (hh, r->asking.wanted, w, next_wanted)
		wanted_free(r, w);
	DL_FOREACH_SAFE (r->asking.parked, p, next_parked)
		free(p);
	DL_FOREACH_SAFE (r->asking.ready, p, next_parked)
		free(p);
}

static bool id_list_remove(struct id_list *l, const struct node_id *id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!id_equal(&l->ids[i], id))
			continue;
		l->ids[i] = l->ids[--l->n];
		return true;
	}
	return false;
}

void asking_learnt(struct router *r, const struct node_id *id)
{
	struct parked *p, *next;

	DL_FOREACH_SAFE (r->asking.parked, p, next) {
		if (!id_list_remove(&p->missing, id) || p->missing.n > 0)
			continue;
		DL_DELETE(r->asking.parked, p);
		DL_APPEND(r->asking.ready, p);
		timers_set(&r->timers, &p->timer, 0);
	}
}

/* ---- asking ------------------------------------------------------------ */

static struct asked_key asked_key(session_no s, const struct node_id *id)
{
	struct asked_key key;

	memcpy(key.session, &s, sizeof s);
	key.id = *id;
	return key;
}

static struct asked *asked_find(struct router *r, session_no s,
				const struct node_id *id)
{
	struct asked_key key = asked_key(s, id);
	struct asked *a;

	TABLE_FIND(&r->table_key, hh, r->asking.asked, &key, sizeof key, a);
	return a;
}

static struct wanted *wanted_find(struct router *r, const struct node_id *id)
{
	struct wanted *w;

	TABLE_FIND(&r->table_key, hh, r->asking.wanted, id, sizeof *id, w);
	return w;
}

static struct wanted *wanted_get(struct router *r, const struct node_id *id)
{
	struct wanted *w = wanted_find(r, id);

	if (w != NULL)
		return w;
	w = mem_new(w);
	w->id = *id;
	TABLE_ADD(&r->table_key, hh, r->asking.wanted, id, sizeof w->id, w);
	return w;
}

static bool asked_add(struct router *r, struct session *s,
		      const struct node_id *id, nsec now)
{
	struct asked *a;

	if (s->peer->n_asked >= ASKED_PER_PEER_MAX ||
	    HASH_COUNT(r->asking.asked) >= ASKED_MAX) {
		r->n.n_asked_full++;
		return false;
	}
	s->peer->n_asked++;
	a = mem_new(a);
	a->key = asked_key(s->no, id);
	a->wanted = wanted_get(r, id);
	a->wanted->n_asked++;
	a->timer.kind = TIMER_ASKED;
	timers_set(&r->timers, &a->timer, now + PARKED_MAX_NS);
	TABLE_ADD(&r->table_key, hh, r->asking.asked, key, sizeof a->key, a);
	return true;
}

void asking_send(struct router *r, struct session *s,
		 const struct id_list *missing, nsec now)
{
	struct msg_peer_query q = { 0 };

	for (size_t i = 0; i < missing->n; i++)
		if (asked_find(r, s->no, &missing->ids[i]) == NULL &&
		    asked_add(r, s, &missing->ids[i], now))
			q.ids[q.n++] = missing->ids[i];
	if (q.n > 0)
		core_send(r, s->no, MSG_PEER_QUERY)->peer_query = q;
}

/* Probes come unasked: they leave room for what somebody waits for. */
static bool has_room(const struct router *r, const struct session *s,
		     const struct msg *m)
{
	return r->asking.n_parked < PARKED_MAX &&
	       s->peer->n_parked < PARKED_PER_PEER_MAX &&
	       (m->type != MSG_PROBE ||
		r->asking.n_parked_probes < PARKED_PROBES_MAX);
}

bool asking_park(struct router *r, struct session *s, const struct msg *m,
		 const struct id_list *missing, nsec now)
{
	struct parked *p;
	nsec wait = 4 * session_rtt(s) + PARKED_NS;

	if (!has_room(r, s, m)) {
		r->n.n_parked_full++;
		return false;
	}
	p = mem_new(p);
	p->from = s->no;
	p->since = now;
	p->msg = *m;
	p->missing = *missing;
	p->timer.kind = TIMER_PARKED;
	timers_set(&r->timers, &p->timer, now + time_min(wait, PARKED_MAX_NS));
	DL_APPEND(r->asking.parked, p);
	r->asking.n_parked++;
	r->asking.n_parked_probes += m->type == MSG_PROBE;
	s->peer->n_parked++;
	asking_send(r, s, missing, now);
	return true;
}

static void parked_drop(struct router *r, struct session *s, struct parked *p)
{
	if (p->missing.n == 0)
		DL_DELETE(r->asking.ready, p);
	else
		DL_DELETE(r->asking.parked, p);
	timers_cancel(&r->timers, &p->timer);
	r->asking.n_parked--;
	r->asking.n_parked_probes -= p->msg.type == MSG_PROBE;
	s->peer->n_parked--;
	free(p);
}

/* What the sender of a probe still waits. */
static void age(struct msg_probe *p, nsec waited)
{
	nsec ms = waited / NS_PER_MS;

	p->deadline_ms =
		ms < p->deadline_ms ? p->deadline_ms - (uint32_t)ms : 0;
}

/* Frees first: handling may park the message again. */
static void parked_end(struct router *r, struct parked *p, nsec now)
{
	struct session *s = session_find(r, p->from);
	bool is_ready = p->missing.n == 0;
	struct msg *m = mem_new(m);

	*m = p->msg;
	if (m->type == MSG_PROBE)
		age(&m->probe, now - p->since);
	parked_drop(r, s, p);
	if (is_ready)
		core_resume(r, s, m, now);
	else
		core_give_up(r, s, m, now);
	free(m);
}

void asking_parked_timeout(struct router *r, struct timer *t, nsec now)
{
	parked_end(r, container_of(t, struct parked, timer), now);
}

/* ---- messages ---------------------------------------------------------- */

void asking_send_info(struct router *r, struct session *s,
		      const struct node_id *id)
{
	struct msg_peer_info *info;
	size_t len;
	const uint8_t *chain = keyring_chain(r, id, &len);

	if (chain == NULL || len == 0)
		r->n.n_query_unknown++;
	info = &core_send(r, s->no, MSG_PEER_INFO)->peer_info;
	info->id = *id;
	info->chain_len = len;
	if (len == 0)
		return;
	memcpy(info->chain, chain, len);
	telling_note_told(s->peer, id);
}

/* Answers those who asked us for it meanwhile. */
static void wanted_end(struct router *r, struct wanted *w)
{
	struct session *s;

	for (unsigned i = 0; i < w->n_waiting; i++) {
		s = session_find(r, w->waiting[i]);
		if (s != NULL)
			asking_send_info(r, s, &w->id);
	}
	w->n_waiting = 0;
	if (w->n_asked == 0)
		wanted_free(r, w);
}

/* They wait on while some other session may still tell. */
static void asked_end(struct router *r, struct session *s, struct asked *a)
{
	struct wanted *w = a->wanted;

	HASH_DEL(r->asking.asked, a);
	timers_cancel(&r->timers, &a->timer);
	free(a);
	s->peer->n_asked--;
	if (--w->n_asked == 0 || keyring_peek(r, &w->id) != NULL)
		wanted_end(r, w);
}

void asking_timeout(struct router *r, struct timer *t, nsec now)
{
	struct asked *a = container_of(t, struct asked, timer);
	session_no no;

	(void)now;
	memcpy(&no, a->key.session, sizeof no);
	asked_end(r, session_find(r, no), a);
}

static bool is_waiting(const struct wanted *w, const struct session *s)
{
	for (unsigned i = 0; i < w->n_waiting; i++)
		if (w->waiting[i] == s->no)
			return true;
	return false;
}

/* Asked for ourselves: the answer goes to `s` too when it comes, once.  Without
 * room it gets none: it would take it for one that is not known. */
static bool wait_along(struct router *r, const struct session *s,
		       const struct node_id *id)
{
	struct wanted *w = wanted_find(r, id);

	if (w == NULL || keyring_peek(r, id) != NULL ||
	    asked_find(r, s->no, id) != NULL)
		return false;
	if (is_waiting(w, s))
		return true;
	if (w->n_waiting == ASKED_WAITING_MAX)
		r->n.n_asked_waiting_full++;
	else
		w->waiting[w->n_waiting++] = s->no;
	return true;
}

/* Each id costs a token: an answer is some hundred times the question. */
void asking_handle_query(struct router *r, struct session *s,
			 const struct msg_peer_query *q, nsec now)
{
	for (size_t i = 0; i < q->n; i++) {
		if (!bucket_take(&s->peer->queries, now)) {
			r->n.n_query_rate++;
			return;
		}
		if (!wait_along(r, s, &q->ids[i]))
			asking_send_info(r, s, &q->ids[i]);
	}
}

/* The session does not know it either: what waits for that is given up. */
static void give_up_waiting(struct router *r, struct session *s,
			    const struct node_id *id)
{
	struct parked *p;

	DL_FOREACH (r->asking.parked, p) {
		if (p->from != s->no)
			continue;
		for (size_t i = 0; i < p->missing.n; i++)
			if (id_equal(&p->missing.ids[i], id))
				timers_set(&r->timers, &p->timer, 0);
	}
}

static void end_ready(struct router *r, nsec now)
{
	while (r->asking.ready != NULL)
		parked_end(r, r->asking.ready, now);
}

/* True if the certificate is that of `id`, and is now known. */
static bool learn(struct router *r, const struct msg_peer_info *info)
{
	struct identity who;

	if (info->chain_len == 0)
		return false;
	if (!r->config.check(r->config.check_ctx, info->chain, info->chain_len,
			     &who) ||
	    !id_equal(&who.id, &info->id) ||
	    !keyring_add(r, &who, info->chain, info->chain_len)) {
		r->n.n_info_rejected++;
		return false;
	}
	telling_learnt(r, &info->id);
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_IDENTITY,
					     .peer = who.id },
		     NULL);
	return true;
}

static void take_unasked(struct router *r, struct session *s,
			 const struct msg_peer_info *info, nsec now)
{
	if (keyring_peek(r, &info->id) != NULL ||
	    !telling_accepts(r, s->peer, now)) {
		r->n.n_info_rejected++;
		return;
	}
	if (learn(r, info))
		end_ready(r, now);
}

void asking_handle_info(struct router *r, struct session *s,
			const struct msg_peer_info *info, nsec now)
{
	struct asked *a = asked_find(r, s->no, &info->id);

	if (a == NULL) {
		take_unasked(r, s, info, now);
		return;
	}
	if (!learn(r, info))
		give_up_waiting(r, s, &info->id);
	asked_end(r, s, a);
	end_ready(r, now);
}

void asking_session_down(struct router *r, struct session *s)
{
	struct parked *p, *next;
	struct asked *a, *next_asked;

	DL_FOREACH_SAFE (r->asking.parked, p, next)
		if (p->from == s->no)
			parked_drop(r, s, p);
	DL_FOREACH_SAFE (r->asking.ready, p, next)
		if (p->from == s->no)
			parked_drop(r, s, p);
	HASH_ITER (hh, r->asking.asked, a, next_asked)
		if (memcmp(a->key.session, &s->no, sizeof s->no) == 0)
			asked_end(r, s, a);
}
void asking_miss(struct router *r, struct id_list *missing,
		 const struct node_id *id, nsec now)
{
	if (missing->n < PEER_QUERY_IDS_MAX && keyring_find(r, id, now) == NULL)
		missing->ids[missing->n++] = *id;
}
