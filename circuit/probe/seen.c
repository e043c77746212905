#include "circuit/probe/seen.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "circuit/probe/copy.h"
#include "circuit/core.h"
#include "circuit/path.h"
#include "proto/base/mem.h"

struct seen *seen_find(struct router *r, const struct node_id *origin,
		       const struct nonce *nonce)
{
	struct seen_key key = { .origin = *origin, .nonce = *nonce };
	struct seen *e;

	TABLE_FIND(&r->table_key, hh, r->floods.seen, &key, sizeof key, e);
	return e;
}

/* When a probe stops being passed on, in our time. */
static nsec valid_until(const struct router *r, const struct msg_probe *p,
			nsec now)
{
	uint64_t end = p->issued_ms + p->valid_ms;
	uint64_t wall = core_wall(r, now);

	return now + (end > wall ? (end - wall) * NS_PER_MS : 0);
}

struct seen *seen_add(struct router *r, const struct msg_probe *p,
		      struct neighbour *from, nsec now)
{
	struct seen *e;

	if (from->n_seen >= PROBES_SEEN_PER_PEER_MAX ||
	    !share_is_left(HASH_COUNT(r->floods.seen), PROBES_SEEN_MAX,
			   from->n_seen)) {
		r->n.n_probes_seen_full++;
		return NULL;
	}
	e = mem_new(e);
	e->key = (struct seen_key){ .origin = p->origin, .nonce = p->nonce };
	memcpy(e->body, p->body, sizeof e->body);
	memcpy(e->sig_origin, p->sig_origin, sizeof e->sig_origin);
	e->is_flood = (p->flags & PROBE_FLAG_FLOOD) != 0;
	e->ttl = p->ttl;
	e->target = p->target;
	e->issued_ms = p->issued_ms;
	e->valid_ms = p->valid_ms;
	e->valid_until = valid_until(r, p, now);
	e->charged = from;
	from->n_seen++;
	e->timer.kind = TIMER_SEEN;
	timers_set(&r->timers, &e->timer, now + PROBE_SEEN_NS);
	TABLE_ADD(&r->table_key, hh, r->floods.seen, key, sizeof e->key, e);
	return e;
}

void seen_note_forwarded(struct seen *e, uint32_t cost)
{
	if (e->n_forwarded++ == 0 || (!e->is_flood && cost < e->relayed_cost))
		e->relayed_cost = cost;
}

/* The node before the last one. */
static const struct node_id *last_relay(const struct seen *e,
					const struct hop *hops, size_t n)
{
	return n > 1 ? &hops[n - 2].id : &e->key.origin;
}

bool seen_was_forwarded_from(const struct seen *e, const struct hop_list *path)
{
	const struct node_id *from = last_relay(e, path->hop, path->n);
	const struct copy *c;

	/* A copy that came to a dead end was sent to nobody. */
	DL_FOREACH (e->copies, c)
		if (c->replies.n > 0 &&
		    id_equal(last_relay(e, c->hops, c->n_hops), from))
			return true;
	return false;
}

bool seen_are_of_one(const struct seen *e, const struct hop_list *a,
		     const struct hop_list *b)
{
	return id_equal(last_relay(e, a->hop, a->n),
			last_relay(e, b->hop, b->n));
}

bool seen_are_apart(const struct seen *e, const struct hop_list *a,
		    const struct hop_list *b)
{
	return !seen_are_of_one(e, a, b) && path_is_apart(a, b);
}

void seen_free(struct router *r, struct seen *e)
{
	while (e->copies != NULL)
		copy_free(r, e->copies);
	HASH_DEL(r->floods.seen, e);
	timers_cancel(&r->timers, &e->timer);
	e->charged->n_seen--;
	neighbour_release(r, e->charged);
	free(e->answered);
	free(e->passed);
	free(e);
}

void seen_timeout(struct router *r, struct timer *t, nsec now)
{
	(void)now;
	seen_free(r, container_of(t, struct seen, timer));
}
