#include "circuit/relay/relay_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "circuit/table.h"
#include "proto/base/mem.h"
#include "proto/packet.h"

#include <utlist.h>

enum {
	SLOT_BYTES = CIRCUIT_MTU_MAX + PACKET_HEADER_MAX,
	QUANTUM_BYTES = SLOT_BYTES,
	FLOW_CHAINS = 64,
	/* What a pool keeps for the next ones that wait: 370 KiB. */
	SLOTS_KEPT_MAX = 256,
	FLOWS_KEPT_MAX = 64,
};

struct slot {
	struct slot *next;
	nsec since;
	uint16_t len;
	uint8_t data[SLOT_BYTES];
};

/* What waits of one circuit. */
struct flow {
	struct flow *next_chain;          /* of the same hash, or kept */
	struct flow *prev, *next;         /* in its turn: new or old */
	struct flow *prev_len, *next_len; /* of those with as many packets */
	uint32_t label;
	bool is_own, is_new;
	bool is_awaited; /* its sender was told that there is no room */
	int32_t deficit;
	struct slot *first, *last;
	size_t n, n_bytes;
	struct codel codel;
};

struct relay_queue {
	struct relay_pool *pool;
	struct relay_queue *prev, *next;
	/* Not uthash: its table would come and go with each short wait. */
	struct flow *chains[FLOW_CHAINS];
	struct flow *new_flows, *old_flows;
	/* By how many packets they have, so that the longest is at hand. */
	struct flow *having[RELAY_QUEUE_MAX + 1];
	size_t longest;
	size_t n_flows, n;
	struct slot *out; /* what next() has given */
	bool has_woken;
	struct relay_counters counters;
};

struct relay_pool {
	struct relay_limits limits;
	struct table_key key;
	struct relay_queue *queues;
	struct slot *slots;
	struct flow *flows;
	size_t n_slots, n_flows; /* kept */
	size_t n;                /* packets that wait */
	struct relay_counters counters;
};

/* ---- memory ---- */

struct relay_pool *relay_pool_new(const struct relay_limits *limits,
				  const uint8_t key[RELAY_KEY_BYTES])
{
	struct relay_pool *p = mem_new(p);

	_Static_assert(RELAY_KEY_BYTES == sizeof p->key.b, "one key");
	assert(limits->n_circuit_max >= 2 &&
	       limits->n_circuit_max <= RELAY_QUEUE_MAX);
	assert(limits->n_queue_max >= 2 && limits->n_pool_max >= 2);
	p->limits = *limits;
	memcpy(p->key.b, key, sizeof p->key.b);
	return p;
}

void relay_pool_free(struct relay_pool *p)
{
	if (p == NULL)
		return;
	assert(p->queues == NULL);
	while (p->slots != NULL) {
		struct slot *s = p->slots;

		p->slots = s->next;
		free(s);
	}
	while (p->flows != NULL) {
		struct flow *f = p->flows;

		p->flows = f->next_chain;
		free(f);
	}
	free(p);
}

size_t relay_pool_n(const struct relay_pool *p)
{
	return p->n;
}

const struct relay_counters *relay_pool_counters(const struct relay_pool *p)
{
	return &p->counters;
}

static struct slot *slot_get(struct relay_queue *q)
{
	struct relay_pool *p = q->pool;
	struct slot *s = p->slots;

	q->n++;
	p->n++;
	if (s == NULL)
		return mem_new(s);
	p->slots = s->next;
	p->n_slots--;
	return s;
}

static void slot_put(struct relay_queue *q, struct slot *s)
{
	struct relay_pool *p = q->pool;

	q->n--;
	p->n--;
	if (p->n_slots == SLOTS_KEPT_MAX) {
		free(s);
		return;
	}
	s->next = p->slots;
	p->slots = s;
	p->n_slots++;
}

static struct flow *flow_get(struct relay_pool *p)
{
	struct flow *f = p->flows;

	if (f == NULL)
		return mem_new(f);
	p->flows = f->next_chain;
	p->n_flows--;
	memset(f, 0, sizeof *f);
	return f;
}

static void flow_put(struct relay_pool *p, struct flow *f)
{
	if (p->n_flows == FLOWS_KEPT_MAX) {
		free(f);
		return;
	}
	f->next_chain = p->flows;
	p->flows = f;
	p->n_flows++;
}

/* ---- circuits ---- */

static struct flow **chain_of(struct relay_queue *q, uint32_t label)
{
	return &q->chains[table_hash(&q->pool->key, &label, sizeof label) %
			  FLOW_CHAINS];
}

static struct flow *flow_find(struct relay_queue *q, uint32_t label)
{
	struct flow *f = *chain_of(q, label);

	while (f != NULL && f->label != label)
		f = f->next_chain;
	return f;
}

static struct flow *flow_add(struct relay_queue *q, uint32_t label, bool is_own)
{
	struct flow **chain = chain_of(q, label);
	struct flow *f = flow_get(q->pool);

	f->label = label;
	f->is_own = is_own;
	f->is_new = true;
	f->deficit = QUANTUM_BYTES;
	f->next_chain = *chain;
	*chain = f;
	DL_APPEND(q->new_flows, f);
	DL_APPEND2(q->having[0], f, prev_len, next_len);
	q->n_flows++;
	return f;
}

static void flow_unlist(struct relay_queue *q, struct flow *f)
{
	if (f->is_new)
		DL_DELETE(q->new_flows, f);
	else
		DL_DELETE(q->old_flows, f);
}

static void flow_turn_old(struct relay_queue *q, struct flow *f)
{
	flow_unlist(q, f);
	f->is_new = false;
	DL_APPEND(q->old_flows, f);
}

/* Only an empty one: so nobody waits for its room. */
static void flow_remove(struct relay_queue *q, struct flow *f)
{
	struct flow **at = chain_of(q, f->label);

	while (*at != f)
		at = &(*at)->next_chain;
	*at = f->next_chain;
	flow_unlist(q, f);
	DL_DELETE2(q->having[0], f, prev_len, next_len);
	q->n_flows--;
	flow_put(q->pool, f);
}

/* How many packets of our own circuit may wait.  Half of the equal part, as
 * there may soon be twice as many circuits. */
static size_t room(const struct relay_queue *q)
{
	const struct relay_limits *l = &q->pool->limits;
	size_t half = l->n_circuit_max / 2;
	size_t part = l->n_queue_max / (2 * q->n_flows);

	part = part < half ? part : half;
	return part > 0 ? part : 1;
}

static void set_n(struct relay_queue *q, struct flow *f, size_t n)
{
	DL_DELETE2(q->having[f->n], f, prev_len, next_len);
	f->n = n;
	DL_APPEND2(q->having[n], f, prev_len, next_len);
	/* It changes by one at a time: no search. */
	if (n > q->longest)
		q->longest = n;
	else if (q->having[q->longest] == NULL)
		q->longest--;
}

static void push(struct relay_queue *q, struct flow *f, struct slot *s)
{
	s->next = NULL;
	if (f->first == NULL)
		f->first = s;
	else
		f->last->next = s;
	f->last = s;
	f->n_bytes += s->len;
	set_n(q, f, f->n + 1);
}

static struct slot *shift(struct relay_queue *q, struct flow *f)
{
	struct slot *s = f->first;

	f->first = s->next;
	f->n_bytes -= s->len;
	set_n(q, f, f->n - 1);
	/* Some packets at once are less work than one each time. */
	if (f->is_awaited && f->n <= room(q) / 2) {
		f->is_awaited = false;
		q->has_woken = true;
	}
	return s;
}

/* ---- limits ---- */

static void drop_head(struct relay_queue *q, struct flow *f)
{
	q->counters.n_full++;
	q->pool->counters.n_full++;
	slot_put(q, shift(q, f));
}

/* The queue with the most packets of the pool.  A search, but one of hundreds
 * of sessions at most and only while thousands of packets wait. */
static struct relay_queue *longest_queue(const struct relay_pool *p)
{
	struct relay_queue *longest = p->queues;

	for (struct relay_queue *q = p->queues; q != NULL; q = q->next) {
		if (q->n > longest->n)
			longest = q;
	}
	return longest;
}

/* Nothing, if all that there is was given out to be sent. */
static void drop_longest(struct relay_queue *q)
{
	if (q->longest > 0)
		drop_head(q, q->having[q->longest]);
}

/* Whoever is as long as the longest pays for its packet itself. */
static void make_room(struct relay_queue *q, struct flow *f)
{
	const struct relay_limits *l = &q->pool->limits;

	if (f->n == l->n_circuit_max ||
	    (q->n == l->n_queue_max && f->n > 0 && f->n == q->longest))
		drop_head(q, f);
	else if (q->n == l->n_queue_max)
		drop_longest(q);
	else if (q->pool->n == l->n_pool_max)
		drop_longest(longest_queue(q->pool));
}

/* ---- the queue ---- */

struct relay_queue *relay_queue_new(struct relay_pool *p)
{
	struct relay_queue *q = mem_new(q);

	q->pool = p;
	DL_APPEND(p->queues, q);
	return q;
}

void relay_queue_free(struct relay_queue *q)
{
	if (q == NULL)
		return;
	relay_queue_sent(q);
	for (size_t i = 0; i < FLOW_CHAINS; i++) {
		while (q->chains[i] != NULL) {
			struct flow *f = q->chains[i];

			while (f->n > 0)
				slot_put(q, shift(q, f));
			flow_remove(q, f);
		}
	}
	DL_DELETE(q->pool->queues, q);
	free(q);
}

void relay_queue_add(struct relay_queue *q, uint32_t label, bool is_own,
		     struct relay_bytes header, struct relay_bytes payload,
		     nsec now)
{
	struct flow *f = flow_find(q, label);
	struct slot *s;

	assert(header.len >= LABEL_BYTES);
	assert(header.len + payload.len <= SLOT_BYTES);
	if (f == NULL)
		f = flow_add(q, label, is_own);
	make_room(q, f);
	s = slot_get(q);
	s->since = now;
	s->len = (uint16_t)(header.len + payload.len);
	memcpy(s->data, header.data, header.len);
	memcpy(s->data + header.len, payload.data, payload.len);
	push(q, f, s);
}

/* CoDel's word that the circuit is too fast: a mark tells it as well as a loss
 * does.  False: it has to be a loss. */
static bool mark(struct relay_queue *q, struct slot *s)
{
	if (!packet_mark(s->data))
		return false;
	q->counters.n_marked++;
	q->pool->counters.n_marked++;
	return true;
}

/* The first packet which CoDel leaves, or NULL. */
static struct slot *take(struct relay_queue *q, struct flow *f, nsec now)
{
	while (f->n > 0) {
		struct slot *s = shift(q, f);

		if (f->is_own ||
		    !codel_drops(&f->codel, &q->pool->limits.codel,
				 now - s->since, f->n_bytes <= SLOT_BYTES,
				 now) ||
		    mark(q, s))
			return s;
		q->counters.n_late++;
		q->pool->counters.n_late++;
		slot_put(q, s);
	}
	return NULL;
}

static struct slot *choose(struct relay_queue *q, nsec now)
{
	struct flow *f;

	while ((f = q->new_flows != NULL ? q->new_flows : q->old_flows) !=
	       NULL) {
		struct slot *s;

		if (f->deficit <= 0) {
			f->deficit += QUANTUM_BYTES;
			flow_turn_old(q, f);
			continue;
		}
		s = take(q, f, now);
		if (s != NULL) {
			f->deficit -= s->len;
			return s;
		}
		/* A new one waits a round for its next packet: else it
		 * would come back as new each time, before all others. */
		if (f->is_new && q->old_flows != NULL)
			flow_turn_old(q, f);
		else
			flow_remove(q, f);
	}
	return NULL;
}

bool relay_queue_next(struct relay_queue *q, nsec now, struct relay_bytes *out)
{
	if (q->out == NULL)
		q->out = choose(q, now);
	if (q->out == NULL)
		return false;
	*out = (struct relay_bytes){ q->out->data, q->out->len };
	return true;
}

void relay_queue_sent(struct relay_queue *q)
{
	if (q->out == NULL)
		return;
	slot_put(q, q->out);
	q->out = NULL;
}

size_t relay_queue_n(const struct relay_queue *q)
{
	return q->n;
}

bool relay_queue_has_room(struct relay_queue *q, uint32_t label)
{
	struct flow *f = flow_find(q, label);

	if (f == NULL || f->n < room(q))
		return true;
	f->is_awaited = true;
	return false;
}

bool relay_queue_woke(struct relay_queue *q)
{
	bool has_woken = q->has_woken;

	q->has_woken = false;
	return has_woken;
}

const struct relay_counters *relay_queue_counters(const struct relay_queue *q)
{
	return &q->counters;
}
