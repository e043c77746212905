#include "circuit/hold/hold.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/hold/hold_inside.h"
#include "circuit/path.h"
#include "circuit/neighbour/success.h"
#include "proto/base/mem.h"

/* A measured change for the better comes after so long, doubled with each. */
#define SETTLE_NS     (10 * NS_PER_S)
#define SETTLE_MAX_NS (600 * NS_PER_S)

/* ---- the table --------------------------------------------------------- */

struct hold *hold_find(const struct router *r, const struct node_id *target)
{
	struct hold *h;

	TABLE_FIND(&r->table_key, hh, r->holds.all, target, sizeof *target, h);
	return h;
}

struct hold *hold_get(struct router *r, const struct node_id *target, nsec now)
{
	struct hold *h = hold_find(r, target);

	if (h != NULL)
		return h;
	if (HASH_COUNT(r->holds.all) >= HOLDS_MAX) {
		r->n.n_holds_full++;
		return NULL;
	}
	h = mem_new(h);
	h->target = *target;
	h->next_look = h->next_glance = h->next_seek = TIME_NEVER;
	h->switched_at = h->last_traffic = h->last_got = now;
	h->settle = SETTLE_NS;
	search_cancel(&h->search);
	h->timer.kind = TIMER_HOLD;
	TABLE_ADD(&r->table_key, hh, r->holds.all, target, sizeof h->target, h);
	return h;
}

static void hold_free(struct router *r, struct hold *h)
{
	HASH_DEL(r->holds.all, h);
	timers_cancel(&r->timers, &h->timer);
	free(h->lost);
	free(h);
}

void hold_put(struct router *r, struct hold *h)
{
	if (!h->is_held && h->pinned == 0)
		hold_free(r, h);
}

void holds_deinit(struct router *r)
{
	struct hold *h, *next;

	HASH_ITER (hh, r->holds.all, h, next)
		hold_free(r, h);
	free(r->holds.avoided);
}

struct held *hold_held(struct hold *h, circuit_no no)
{
	for (unsigned i = 0; i < h->n; i++)
		if (no != 0 && h->held[i].no == no)
			return &h->held[i];
	return NULL;
}

void hold_hops(const struct router *r, const struct held *k,
	       struct hop_list *out)
{
	const struct circuit *c = circuit_find(r, k->no);

	out->n = c->n_hops;
	memcpy(out->hop, c->hops, c->n_hops * sizeof *c->hops);
}

static bool same_nodes(const struct circuit *c, const struct hop_list *path)
{
	return path_equal(c->hops, c->n_hops, path);
}

bool hold_uses(struct router *r, const struct node_id *target,
	       const struct hop_list *path)
{
	const struct hold *h = hold_find(r, target);

	for (unsigned i = 0; h != NULL && h->is_held && i < h->n; i++)
		if (same_nodes(circuit_find(r, h->held[i].no), path))
			return true;
	return false;
}

/* ---- choosing ---------------------------------------------------------- */

static nsec metric_of(const struct held *k)
{
	return gauge_metric(&k->gauge, k->expected);
}

/* What a circuit has in common with the one that carries. */
struct overlap hold_overlap(const struct router *r, const struct held *k,
			    const struct held *with, nsec now)
{
	struct hop_list a, b;

	hold_hops(r, k, &a);
	if (with == NULL)
		return route_overlap(r, &a, NULL, now);
	hold_hops(r, with, &b);
	return route_overlap(r, &a, &b, now);
}

struct held *hold_spare(const struct router *r, struct hold *h, circuit_no no,
			nsec now)
{
	struct held *best = NULL;
	struct overlap least = { 0 }, o;

	for (unsigned i = 0; i < h->n; i++) {
		struct held *k = &h->held[i];

		if (k->no == no || k->has_failed || k->gauge.n_silent > 0)
			continue;
		o = hold_overlap(r, k, hold_held(h, no), now);
		if (best != NULL && !overlap_is_less(&o, &least) &&
		    (overlap_is_less(&least, &o) ||
		     metric_of(k) >= metric_of(best)))
			continue;
		best = k;
		least = o;
	}
	return best;
}

void hold_switch(struct router *r, struct hold *h, circuit_no to, nsec now)
{
	if (h->carries == to)
		return;
	if (h->carries != 0)
		r->n.n_switches++;
	h->carries = to;
	h->also = 0;
	h->switched_at = now;
	h->better = 0;
	h->left = 0;
	h->mute_wait = 0;
	h->last_got = now;
	/* What had no answer was sent long ago, or elsewhere. */
	circuit_find(r, to)->unanswered = TIME_NEVER;
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_CARRIES,
					     .circuit = to,
					     .peer = h->target },
		     NULL);
	hold_stir(r, h, now);
}

/* A spare that has been better for long enough takes over. */
static void weigh(struct router *r, struct hold *h, nsec now)
{
	const struct held *carrying = hold_held(h, h->carries);
	const struct held *best = NULL;

	if (carrying == NULL || h->pinned != 0)
		return;
	for (unsigned i = 0; i < h->n; i++) {
		const struct held *k = &h->held[i];

		if (k != carrying && !k->has_failed && k->gauge.rtt != 0 &&
		    k->gauge.n_silent == 0 &&
		    gauge_is_better(metric_of(k), metric_of(carrying)) &&
		    (best == NULL || metric_of(k) < metric_of(best)))
			best = k;
	}
	if (now - h->switched_at > SETTLE_MAX_NS)
		h->settle = SETTLE_NS;
	if (best == NULL || carrying->gauge.rtt == 0) {
		h->better = 0;
		return;
	}
	if (h->better == 0)
		h->better_since = now;
	h->better = best->no;
	if (now - h->better_since < h->settle ||
	    now - h->switched_at < h->settle)
		return;
	h->settle = time_min(2 * h->settle, SETTLE_MAX_NS);
	hold_switch(r, h, best->no, now);
}

/* ---- what comes and goes ----------------------------------------------- */

void hold_stir(struct router *r, struct hold *h, nsec now)
{
	h->is_tidy = false;
	timers_set(&r->timers, &h->timer, now);
}

void hold_seek_within(struct hold *h, nsec at)
{
	h->next_seek = time_min(h->next_seek, at);
}

static void add(struct hold *h, const struct circuit *c, nsec now)
{
	struct held *k = &h->held[h->n++];

	*k = (struct held){
		.no = c->no,
		.expected = 2 * (nsec)path_cost(c->hops, c->n_hops) * 100 *
			    NS_PER_US,
		.test.due = TIME_NEVER,
		.test.doubt_at = TIME_NEVER,
		.next_test = now,
	};
	memcpy(k->seen, c->n_packets, sizeof k->seen);
	memcpy(k->tested, c->n_packets, sizeof k->tested);
}

/* The newest one shares less with the one that carries than all others do: a
 * better one yet may be had. */
static bool is_gain(struct router *r, struct hold *h, nsec now)
{
	const struct held *carrying = hold_held(h, h->carries);
	const struct held *newest = &h->held[h->n - 1];
	struct overlap least = hold_overlap(r, newest, carrying, now), o;

	for (unsigned i = 0; i + 1 < h->n; i++) {
		if (&h->held[i] == carrying || h->held[i].has_failed)
			continue;
		o = hold_overlap(r, &h->held[i], carrying, now);
		if (!overlap_is_less(&least, &o))
			return false;
	}
	return true;
}

void hold_adopt(struct router *r, struct hold *h, struct circuit *c, nsec now)
{
	const struct held *carrying = hold_held(h, h->carries);
	bool takes_over;

	if (h->n == HELD_MAX || hold_held(h, c->no) != NULL)
		return;
	takes_over =
		carrying == NULL || (carrying->has_failed && h->pinned == 0);
	add(h, c, now);
	c->wakes_hold = true;
	h->is_asked = false;
	if (takes_over)
		hold_switch(r, h, c->no, now);
	if (takes_over || is_gain(r, h, now)) {
		h->n_vain = 0;
		hold_seek_within(h, now + (hold_is_restless(h, now)
						   ? HOLD_SPARE_RESTLESS_NS
						   : HOLD_SPARE_SOON_NS));
	}
	hold_stir(r, h, now);
}

void hold_circuit_up(struct router *r, struct circuit *c, nsec now)
{
	struct hold *h = hold_find(r, &c->target);

	if (h != NULL && h->is_held)
		hold_adopt(r, h, c, now);
}

static void forget(struct hold *h, struct held *k)
{
	if (h->spare == k->no)
		h->spare = 0;
	if (h->also == k->no)
		h->also = 0;
	*k = h->held[--h->n];
}

static void remember_lost(const struct router *r, struct hold *h,
			  const struct held *k)
{
	if (h->lost == NULL)
		h->lost = mem_new(h->lost);
	hold_hops(r, k, h->lost);
}

void hold_circuit_down(struct router *r, struct circuit *c, nsec now)
{
	struct hold *h = c->is_origin ? hold_find(r, &c->target) : NULL;
	struct held *k = h != NULL ? hold_held(h, c->no) : NULL;
	struct held *spare;

	if (h == NULL)
		return;
	if (h->pinned == c->no)
		h->pinned = 0;
	if (k == NULL) {
		hold_put(r, h);
		return;
	}
	if (h->search.circuit == c->no)
		search_cancel(&h->search);
	if (h->carries == c->no) {
		spare = hold_spare(r, h, c->no, now);
		remember_lost(r, h, k);
		if (spare != NULL)
			hold_switch(r, h, spare->no, now);
		else
			h->carries = 0;
	}
	forget(h, k);
	hold_note_broken(h, now);
	h->n_vain = 0;
	hold_seek_within(h, now);
	hold_stir(r, h, now);
	hold_put(r, h);
}

/* ---- keeping what is needed -------------------------------------------- */

/* What is over the nodes of an older one, or not one of the two best spares:
 * that which shares least, and of the others that which measures best. */
static bool is_surplus(struct router *r, struct hold *h, const struct held *k,
		       nsec now)
{
	const struct held *apart = hold_spare(r, h, h->carries, now);
	struct hop_list path;

	if (k->no == h->carries || k->no == h->pinned ||
	    k->no == h->search.circuit)
		return false;
	if (k->has_failed)
		return true;
	hold_hops(r, k, &path);
	for (unsigned i = 0; i < h->n; i++) {
		const struct held *o = &h->held[i];

		if (o != k && (o->no < k->no || o->no == h->carries) &&
		    same_nodes(circuit_find(r, o->no), &path))
			return true;
		if (o == k || o == apart || k == apart || o->has_failed ||
		    o->no == h->carries)
			continue;
		if (metric_of(o) < metric_of(k) ||
		    (metric_of(o) == metric_of(k) && o->no < k->no))
			return true;
	}
	return false;
}

/* What is closed here is no loss (hold_circuit_down): nothing is looked for in
 * its place.  The others are looked at again. */
static void tidy(struct router *r, struct hold *h, nsec now)
{
	h->is_tidy = true;
	for (unsigned i = 0; h->is_held && i < h->n; i++) {
		circuit_no no = h->held[i].no;

		if (!is_surplus(r, h, &h->held[i], now))
			continue;
		forget(h, &h->held[i]);
		circuit_end(r, circuit_find(r, no), CLOSE_DONE, NULL, now);
		h->is_tidy = false;
		return;
	}
}

/* A link that was found to swallow packets.  Neither we nor the target can be
 * avoided. */
static void blame(struct router *r, struct hold *h, const struct node_id *near,
		  const struct node_id *far, nsec now)
{
	h->blamed = *near;
	h->blamed_next = *far;
	h->blamed_at = now;
	r->n.n_localised++;
	if (!core_is_self(r, near))
		blame_add(r, near, now);
	if (!id_equal(far, &h->target))
		blame_add(r, far, now);
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_BLAMED,
					     .circuit = h->search.circuit,
					     .peer = *near,
					     .next = *far },
		     NULL);
}

void hold_searched(struct router *r, struct hold *h, int near, nsec now)
{
	struct held *k = hold_held(h, h->search.circuit);
	const struct circuit *c = circuit_find(r, k->no);

	if (near >= 0) {
		blame(r, h, circuit_node(c, (size_t)near),
		      circuit_node(c, (size_t)near + 1), now);
	} else {
		/* Whatever it was, it has passed. */
		k->has_failed = false;
		gauge_forgive(&k->gauge);
		k->next_test = now;
	}
	h->n_vain = 0;
	hold_seek_within(h, now);
	hold_stir(r, h, now);
}

/* ---- time -------------------------------------------------------------- */

static nsec deadline(const struct hold *h)
{
	nsec at = time_min(time_min(h->next_look, h->next_seek), h->search.due);

	for (unsigned i = 0; i < h->n; i++) {
		const struct held *k = &h->held[i];

		if (k->test.token != 0)
			at = time_min(at,
				      time_min(k->test.doubt_at, k->test.due));
		else if (!k->has_failed)
			at = time_min(at, k->next_test);
	}
	return at;
}

void hold_timeout(struct router *r, struct timer *t, nsec now)
{
	struct hold *h = container_of(t, struct hold, timer);
	const struct held *spare;

	hold_glance(r, h, now);
	if (h->is_tidy && deadline(h) > now) {
		timers_set(&r->timers, &h->timer,
			   time_min(deadline(h), h->next_glance));
		return;
	}
	if (now >= h->search.due)
		search_timeout(r, h, now);
	hold_tests_timeout(r, h, now);
	weigh(r, h, now);
	while (!h->is_tidy)
		tidy(r, h, now);
	if (now >= h->next_seek)
		hold_seek(r, h, now);
	spare = hold_spare(r, h, h->carries, now);
	h->spare = spare != NULL ? spare->no : 0;
	hold_twice(r, h, now);
	timers_set(&r->timers, &h->timer,
		   h->is_tidy ? time_min(deadline(h), h->next_glance) : now);
}
