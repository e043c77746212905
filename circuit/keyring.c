#include "circuit/keyring.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

struct known {
	struct identity who;
	uint8_t *chain;
	size_t chain_len;
	UT_hash_handle hh; /* by who.id */
};

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

static void known_free(struct router *r, struct known *k)
{
	HASH_DEL(r->keyring.known, k);
	free(k->chain);
	free(k);
}

static void wanted_free(struct router *r, struct wanted *w)
{
	HASH_DEL(r->keyring.wanted, w);
	free(w);
}

void keyring_deinit(struct router *r)
{
	struct known *k, *next;
	struct asked *a, *next_asked;
	struct wanted *w, *next_wanted;
	struct parked *p, *next_parked;

	HASH_ITER (hh, r->keyring.known, k, next)
		known_free(r, k);
	HASH_ITER (hh, r->keyring.asked, a, next_asked) {
		HASH_DEL(r->keyring.asked, a);
		free(a);
	}
	HASH_ITER (hh, r->keyring.wanted, w, next_wanted)
		wanted_free(r, w);
	DL_FOREACH_SAFE (r->keyring.parked, p, next_parked)
		free(p);
	DL_FOREACH_SAFE (r->keyring.ready, p, next_parked)
		free(p);
}

size_t keyring_n_known(const struct router *r)
{
	return HASH_COUNT(r->keyring.known);
}

/* ---- identities -------------------------------------------------------- */

static struct known *known_find(const struct router *r,
				const struct node_id *id)
{
	struct known *k;

	TABLE_FIND(&r->table_key, hh, r->keyring.known, id, sizeof *id, k);
	return k;
}

const struct identity *keyring_peek(const struct router *r,
				    const struct node_id *id)
{
	struct known *k = known_find(r, id);

	return k != NULL ? &k->who : NULL;
}

const uint8_t *keyring_chain(const struct router *r, const struct node_id *id,
			     size_t *len)
{
	struct known *k = known_find(r, id);

	if (core_is_self(r, id)) {
		*len = r->config.chain_len;
		return r->config.chain;
	}
	*len = k != NULL ? k->chain_len : 0;
	return k != NULL ? k->chain : NULL;
}

static bool is_valid_now(const struct router *r, const struct identity *who,
			 nsec now)
{
	int64_t wall_s = (int64_t)(core_wall(r, now) / 1000);

	return wall_s <= who->not_after_s + CERT_CLOCK_SKEW_S;
}

const struct identity *keyring_find(struct router *r, const struct node_id *id,
				    nsec now)
{
	struct known *k = known_find(r, id);

	if (core_is_self(r, id))
		return &r->config.self;
	if (k == NULL || !is_valid_now(r, &k->who, now))
		return NULL;
	/* Last in the order of insertion: evicted last. */
	HASH_DEL(r->keyring.known, k);
	TABLE_ADD(&r->table_key, hh, r->keyring.known, who.id, sizeof k->who.id,
		  k);
	return &k->who;
}

static bool has_name(const struct identity *who, const char *shortname)
{
	for (size_t i = 0; i < who->n_names; i++)
		if (strcmp(who->names[i], shortname) == 0)
			return true;
	return false;
}

const struct identity *keyring_by_name(const struct router *r,
				       const char *shortname)
{
	struct known *k, *next;

	if (has_name(&r->config.self, shortname))
		return &r->config.self;
	HASH_ITER (hh, r->keyring.known, k, next)
		if (has_name(&k->who, shortname))
			return &k->who;
	return NULL;
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

/* The timer fires at once for what has become ready: messages are handled
 * where the time is known. */
static void unpark(struct router *r, const struct node_id *id)
{
	struct parked *p, *next;

	DL_FOREACH_SAFE (r->keyring.parked, p, next) {
		if (!id_list_remove(&p->missing, id) || p->missing.n > 0)
			continue;
		DL_DELETE(r->keyring.parked, p);
		DL_APPEND(r->keyring.ready, p);
		timers_set(&r->timers, &p->timer, 0);
	}
}

bool keyring_add(struct router *r, const struct identity *who,
		 const uint8_t *chain, size_t chain_len)
{
	struct known *k = known_find(r, &who->id);

	if (core_is_self(r, &who->id) ||
	    (k != NULL && !hash_equal(&k->who.hash, &who->hash)))
		return false;
	if (k != NULL)
		known_free(r, k);
	else if (HASH_COUNT(r->keyring.known) >= IDENTITIES_MAX)
		known_free(r, r->keyring.known);
	k = mem_new(k);
	k->who = *who;
	k->chain = mem_calloc(chain_len > 0 ? chain_len : 1, 1);
	memcpy(k->chain, chain, chain_len);
	k->chain_len = chain_len;
	TABLE_ADD(&r->table_key, hh, r->keyring.known, who.id, sizeof k->who.id,
		  k);
	unpark(r, &who->id);
	return true;
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

	TABLE_FIND(&r->table_key, hh, r->keyring.asked, &key, sizeof key, a);
	return a;
}

static struct wanted *wanted_find(struct router *r, const struct node_id *id)
{
	struct wanted *w;

	TABLE_FIND(&r->table_key, hh, r->keyring.wanted, id, sizeof *id, w);
	return w;
}

static struct wanted *wanted_get(struct router *r, const struct node_id *id)
{
	struct wanted *w = wanted_find(r, id);

	if (w != NULL)
		return w;
	w = mem_new(w);
	w->id = *id;
	TABLE_ADD(&r->table_key, hh, r->keyring.wanted, id, sizeof w->id, w);
	return w;
}

static bool asked_add(struct router *r, struct session *s,
		      const struct node_id *id, nsec now)
{
	struct asked *a;

	if (s->peer->n_asked >= ASKED_PER_PEER_MAX ||
	    HASH_COUNT(r->keyring.asked) >= ASKED_MAX)
		return false;
	s->peer->n_asked++;
	a = mem_new(a);
	a->key = asked_key(s->no, id);
	a->wanted = wanted_get(r, id);
	a->wanted->n_asked++;
	a->timer.kind = TIMER_ASKED;
	timers_set(&r->timers, &a->timer, now + PARKED_MAX_NS);
	TABLE_ADD(&r->table_key, hh, r->keyring.asked, key, sizeof a->key, a);
	return true;
}

void keyring_miss(struct router *r, struct id_list *missing,
		  const struct node_id *id, nsec now)
{
	if (missing->n < PEER_QUERY_IDS_MAX && keyring_find(r, id, now) == NULL)
		missing->ids[missing->n++] = *id;
}

void keyring_ask(struct router *r, struct session *s,
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

bool keyring_park(struct router *r, struct session *s, const struct msg *m,
		  const struct id_list *missing, nsec now)
{
	struct parked *p;
	nsec wait = 4 * session_rtt(s) + PARKED_NS;

	if (r->keyring.n_parked >= PARKED_MAX ||
	    s->peer->n_parked >= PARKED_PER_PEER_MAX)
		return false;
	p = mem_new(p);
	p->from = s->no;
	p->since = now;
	p->msg = *m;
	p->missing = *missing;
	p->timer.kind = TIMER_PARKED;
	timers_set(&r->timers, &p->timer, now + time_min(wait, PARKED_MAX_NS));
	DL_APPEND(r->keyring.parked, p);
	r->keyring.n_parked++;
	s->peer->n_parked++;
	keyring_ask(r, s, missing, now);
	return true;
}

static void parked_drop(struct router *r, struct session *s, struct parked *p)
{
	if (p->missing.n == 0)
		DL_DELETE(r->keyring.ready, p);
	else
		DL_DELETE(r->keyring.parked, p);
	timers_cancel(&r->timers, &p->timer);
	r->keyring.n_parked--;
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

void keyring_parked_timeout(struct router *r, struct timer *t, nsec now)
{
	parked_end(r, TIMER_OWNER(t, struct parked, timer), now);
}

/* ---- messages ---------------------------------------------------------- */

static void send_info(struct router *r, struct session *s,
		      const struct node_id *id)
{
	struct msg_peer_info *info;
	size_t len;
	const uint8_t *chain = keyring_chain(r, id, &len);

	/* It fits a message: what was learnt came in one, or was checked. */
	if (len > CHAIN_BYTES_MAX)
		len = 0;
	if (chain == NULL || len == 0)
		r->n.n_query_unknown++;
	info = &core_send(r, s->no, MSG_PEER_INFO)->peer_info;
	info->id = *id;
	info->chain_len = len;
	if (len > 0)
		memcpy(info->chain, chain, len);
}

/* Answers those who asked us for it meanwhile. */
static void wanted_end(struct router *r, struct wanted *w)
{
	struct session *s;

	for (unsigned i = 0; i < w->n_waiting; i++) {
		s = session_find(r, w->waiting[i]);
		if (s != NULL)
			send_info(r, s, &w->id);
	}
	w->n_waiting = 0;
	if (w->n_asked == 0)
		wanted_free(r, w);
}

/* They wait on while some other session may still tell. */
static void asked_end(struct router *r, struct session *s, struct asked *a)
{
	struct wanted *w = a->wanted;

	HASH_DEL(r->keyring.asked, a);
	timers_cancel(&r->timers, &a->timer);
	free(a);
	s->peer->n_asked--;
	if (--w->n_asked == 0 || known_find(r, &w->id) != NULL)
		wanted_end(r, w);
}

void keyring_asked_timeout(struct router *r, struct timer *t, nsec now)
{
	struct asked *a = TIMER_OWNER(t, struct asked, timer);
	session_no no;

	(void)now;
	memcpy(&no, a->key.session, sizeof no);
	asked_end(r, session_find(r, no), a);
}

/* Asked for ourselves: the answer goes to `s` too when it comes. */
static bool wait_along(struct router *r, const struct session *s,
		       const struct node_id *id)
{
	struct wanted *w = wanted_find(r, id);

	if (w == NULL || w->n_waiting == ASKED_WAITING_MAX ||
	    known_find(r, id) != NULL || asked_find(r, s->no, id) != NULL)
		return false;
	w->waiting[w->n_waiting++] = s->no;
	return true;
}

/* Each id costs a token: an answer is some hundred times the question. */
void keyring_handle_query(struct router *r, struct session *s,
			  const struct msg_peer_query *q, nsec now)
{
	for (size_t i = 0; i < q->n; i++) {
		if (!bucket_take(&s->peer->queries, now)) {
			r->n.n_query_rate++;
			return;
		}
		if (!wait_along(r, s, &q->ids[i]))
			send_info(r, s, &q->ids[i]);
	}
}

/* The session does not know it either: what waits for that is given up. */
static void give_up_waiting(struct router *r, struct session *s,
			    const struct node_id *id)
{
	struct parked *p;

	DL_FOREACH (r->keyring.parked, p) {
		if (p->from != s->no)
			continue;
		for (size_t i = 0; i < p->missing.n; i++)
			if (id_equal(&p->missing.ids[i], id))
				timers_set(&r->timers, &p->timer, 0);
	}
}

static void end_ready(struct router *r, nsec now)
{
	while (r->keyring.ready != NULL)
		parked_end(r, r->keyring.ready, now);
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
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_IDENTITY,
					     .peer = who.id },
		     NULL);
	return true;
}

void keyring_handle_info(struct router *r, struct session *s,
			 const struct msg_peer_info *info, nsec now)
{
	struct asked *a = asked_find(r, s->no, &info->id);

	if (a == NULL) {
		r->n.n_info_rejected++;
		return;
	}
	if (!learn(r, info))
		give_up_waiting(r, s, &info->id);
	asked_end(r, s, a);
	end_ready(r, now);
}

void keyring_session_down(struct router *r, struct session *s)
{
	struct parked *p, *next;
	struct asked *a, *next_asked;

	DL_FOREACH_SAFE (r->keyring.parked, p, next)
		if (p->from == s->no)
			parked_drop(r, s, p);
	DL_FOREACH_SAFE (r->keyring.ready, p, next)
		if (p->from == s->no)
			parked_drop(r, s, p);
	HASH_ITER (hh, r->keyring.asked, a, next_asked)
		if (memcmp(a->key.session, &s->no, sizeof s->no) == 0)
			asked_end(r, s, a);
}
