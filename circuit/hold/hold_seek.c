/* When a held destination needs another circuit, and looking for it.
 * protocol.md 13.1. */
#include "circuit/hold/hold_inside.h"

/* Between two, while something carries. */
#define SEEK_APART_NS     (1 * NS_PER_S)
#define APART_RESTLESS_NS (250 * NS_PER_MS)
/* Another attempt at what was not to be had. */
#define RESEEK_NS        (25 * NS_PER_S)
#define RESEEK_SPREAD_NS (15 * NS_PER_S)
/* The same while nothing carries as it should: doubled up to the above. */
#define URGENT_NS        (1 * NS_PER_S)
#define URGENT_DOUBLINGS 5
/* Without traffic for so long nothing is looked for. */
#define SEEK_QUIET_NS (60 * NS_PER_S)
/* Poor: looked for another one, though there is a spare. */
#define POOR_LOSS     13 /* 1/255 */
#define POOR_SLACK_NS (20 * NS_PER_MS)

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

	hold_hops(r, carrying, &hops);
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
	o = hold_overlap(r, spare, k, now);
	return o.n_links == 0 && !is_poor(h, k) &&
	       (o.n_nodes == 0 || !is_outdone(r, h, k, &o, now));
}

void hold_seek(struct router *r, struct hold *h, nsec now)
{
	const struct held *k = hold_held(h, h->carries);
	bool is_urgent = k == NULL || k->has_failed;
	struct hop_list avoid;
	nsec apart;

	h->next_seek = TIME_NEVER;
	if (!h->is_held || is_content(r, h, now) ||
	    (!is_urgent && now - h->last_traffic > SEEK_QUIET_NS))
		return;
	/* What is found may be no better than what there is, and be closed:
	 * that must not begin the next one at once. */
	apart = hold_is_restless(h, now) ? APART_RESTLESS_NS : SEEK_APART_NS;
	if (!is_urgent && h->sought != 0 && now - h->sought < apart) {
		h->next_seek = h->sought + apart;
		return;
	}
	h->sought = now;
	h->next_seek = now + RESEEK_NS + rng_below(&r->rng, RESEEK_SPREAD_NS);
	if (is_urgent && h->n_vain < URGENT_DOUBLINGS)
		h->next_seek = now + (URGENT_NS << h->n_vain);
	h->n_vain++;
	if (k != NULL)
		hold_hops(r, k, &avoid);
	seek_start(r, &h->target, k != NULL ? &avoid : h->lost, now);
	if (k == NULL)
		seek_hurry(r, &h->target, now);
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
		hold_seek_within(h, now + HOLD_SPARE_SOON_NS);
		hold_stir(r, h, now);
	}
}
