#include "circuit/hold.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/hold_inside.h"
#include "circuit/path.h"
#include "circuit/success.h"
#include "proto/base/mem.h"

/* Another attempt at what was not to be had. */
#define RESEEK_NS        (25 * NS_PER_S)
#define RESEEK_SPREAD_NS (15 * NS_PER_S)
/* The same while nothing carries as it should: doubled up to the above. */
#define URGENT_NS        (1 * NS_PER_S)
#define URGENT_DOUBLINGS 5
/* Without traffic for so long nothing is looked for. */
#define SEEK_QUIET_NS (60 * NS_PER_S)
/* A measured change for the better comes after so long, doubled with each. */
#define SETTLE_NS     (10 * NS_PER_S)
#define SETTLE_MAX_NS (600 * NS_PER_S)

/* Poor: looked for another one, though there is a spare. */
#define POOR_LOSS     13 /* 1/255 */
#define POOR_SLACK_NS (20 * NS_PER_MS)

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
	if (HASH_COUNT(r->holds.all) >= HOLDS_MAX)
		return NULL;
	h = mem_new(h);
	h->target = *target;
	h->next_look = h->next_seek = TIME_NEVER;
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

static void hops_of(const struct router *r, const struct held *k,
		    struct hop_list *out)
{
	const struct circuit *c = circuit_find(r, k->no);

	out->n = c->n_hops;
	memcpy(out->hop, c->hops, c->n_hops * sizeof *c->hops);
}

static bool same_nodes(const struct circuit *c, const struct hop_list *path)
{
	if (c->n_hops != path->n)
		return false;
	for (size_t i = 0; i < path->n; i++)
		if (!id_equal(&c->hops[i].id, &path->hop[i].id))
			return false;
	return true;
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
static struct overlap overlap_of(const struct router *r, const struct held *k,
				 const struct held *with, nsec now)
{
	struct hop_list a, b;

	hops_of(r, k, &a);
	if (with == NULL)
		return route_overlap(r, &a, NULL, now);
	hops_of(r, with, &b);
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
		o = overlap_of(r, k, hold_held(h, no), now);
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
	h->switched_at = now;
	h->better = 0;
	h->mute_wait = 0;
	h->last_got = now;
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

static void seek_within(struct hold *h, nsec at)
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
		.next_test = now,
	};
	memcpy(k->seen, c->n_packets, sizeof k->seen);
	memcpy(k->tested, c->n_packets, sizeof k->tested);
}

void hold_adopt(struct router *r, struct hold *h, struct circuit *c, nsec now)
{
	const struct held *carrying = hold_held(h, h->carries);

	if (h->n == HELD_MAX || hold_held(h, c->no) != NULL)
		return;
	add(h, c, now);
	c->wakes_hold = true;
	h->n_vain = 0;
	h->is_asked = false;
	if (carrying == NULL || (carrying->has_failed && h->pinned == 0))
		hold_switch(r, h, c->no, now);
	seek_within(h, now + HOLD_SPARE_SOON_NS);
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
	*k = h->held[--h->n];
}

static void remember_lost(const struct router *r, struct hold *h,
			  const struct held *k)
{
	if (h->lost == NULL)
		h->lost = mem_new(h->lost);
	hops_of(r, k, h->lost);
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
	h->n_vain = 0;
	seek_within(h, now);
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
	hops_of(r, k, &path);
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

/* Closing one comes back to hold_circuit_down(), which takes it out and has the
 * others looked at again. */
static void tidy(struct router *r, struct hold *h, nsec now)
{
	h->is_tidy = true;
	for (unsigned i = 0; h->is_held && i < h->n; i++) {
		if (!is_surplus(r, h, &h->held[i], now))
			continue;
		circuit_end(r, circuit_find(r, h->held[i].no), CLOSE_DONE, NULL,
			    now);
		return;
	}
}

static bool is_poor(const struct hold *h, const struct held *k)
{
	nsec least = k->expected;

	for (unsigned i = 0; i < h->n; i++)
		if (h->held[i].gauge.rtt != 0)
			least = time_min(least, h->held[i].gauge.rtt);
	return k->gauge.loss >= POOR_LOSS ||
	       k->gauge.rtt > 2 * least + POOR_SLACK_NS;
}

/* A route that is known would make a spare that shares fewer nodes. */
static bool is_outdone(struct router *r, const struct hold *h,
		       const struct held *carrying, const struct overlap *spare,
		       nsec now)
{
	const struct route *route;
	struct hop_list hops;
	struct overlap o;

	hops_of(r, carrying, &hops);
	route = route_best(r, &h->target, UINT64_MAX, &hops, true, now);
	if (route == NULL)
		return false;
	o = route_overlap(r, &route->proof.hops, &hops, now);
	return overlap_is_less(&o, spare);
}

/* Whether nothing more is to be wished for. */
static bool is_content(struct router *r, struct hold *h, nsec now)
{
	const struct held *k = hold_held(h, h->carries);
	const struct held *spare;
	struct overlap o;

	if (k == NULL || k->has_failed)
		return false;
	spare = hold_spare(r, h, h->carries, now);
	if (spare == NULL)
		return false;
	o = overlap_of(r, spare, k, now);
	return o.n_links == 0 && !is_poor(h, k) &&
	       (o.n_nodes == 0 || !is_outdone(r, h, k, &o, now));
}

static void seek(struct router *r, struct hold *h, nsec now)
{
	const struct held *k = hold_held(h, h->carries);
	bool is_urgent = k == NULL || k->has_failed;
	struct hop_list avoid;

	h->next_seek = TIME_NEVER;
	if (!h->is_held || is_content(r, h, now) ||
	    (!is_urgent && now - h->last_traffic > SEEK_QUIET_NS))
		return;
	h->next_seek = now + RESEEK_NS + rng_below(&r->rng, RESEEK_SPREAD_NS);
	if (is_urgent && h->n_vain < URGENT_DOUBLINGS)
		h->next_seek = now + (URGENT_NS << h->n_vain);
	h->n_vain++;
	if (k != NULL)
		hops_of(r, k, &avoid);
	seek_start(r, &h->target, k != NULL ? &avoid : h->lost, now);
}

void hold_asked(struct router *r, const struct node_id *target)
{
	struct hold *h = hold_find(r, target);

	if (h != NULL)
		h->is_asked = true;
}

bool hold_unreachable(struct router *r, const struct node_id *target, nsec now)
{
	struct hold *h = hold_find(r, target);
	struct held *k = h != NULL ? hold_held(h, h->carries) : NULL;
	bool was_asked;

	if (k == NULL)
		return false;
	/* The one that failed is all there is: it is judged anew. */
	if (k->has_failed && h->search.circuit != k->no) {
		k->has_failed = false;
		k->gauge.n_silent = 0;
		k->next_test = now;
		hold_stir(r, h, now);
	}
	was_asked = h->is_asked;
	h->is_asked = false;
	return !was_asked;
}

void holds_session_up(struct router *r, nsec now)
{
	struct hold *h, *next;

	HASH_ITER (hh, r->holds.all, h, next) {
		if (!h->is_held || is_content(r, h, now))
			continue;
		seek_within(h, now + HOLD_SPARE_SOON_NS);
		hold_stir(r, h, now);
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
		k->gauge.n_silent = 0;
		k->gauge.n_bad[0] = k->gauge.n_bad[1] = 0;
		k->next_test = now;
	}
	h->n_vain = 0;
	seek_within(h, now);
	hold_stir(r, h, now);
}

/* ---- time -------------------------------------------------------------- */

static nsec deadline(const struct hold *h)
{
	nsec at = time_min(time_min(h->next_look, h->next_seek), h->search.due);

	for (unsigned i = 0; i < h->n; i++) {
		const struct held *k = &h->held[i];

		if (k->test.token != 0)
			at = time_min(at, k->test.due);
		else if (!k->has_failed)
			at = time_min(at, k->next_test);
	}
	return at;
}

void hold_timeout(struct router *r, struct timer *t, nsec now)
{
	struct hold *h = container_of(t, struct hold, timer);
	const struct held *spare;

	if (now >= h->search.due)
		search_timeout(r, h, now);
	hold_tests_timeout(r, h, now);
	weigh(r, h, now);
	while (!h->is_tidy)
		tidy(r, h, now);
	if (now >= h->next_seek)
		seek(r, h, now);
	spare = hold_spare(r, h, h->carries, now);
	h->spare = spare != NULL ? spare->no : 0;
	timers_set(&r->timers, &h->timer, h->is_tidy ? deadline(h) : now);
}
