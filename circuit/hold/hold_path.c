/* Held destinations as the node sees them: holding, steering by hand, looking
 * in.  protocol.md 13.5. */
#include <stdlib.h>
#include <string.h>

#include "circuit/hold/hold_inside.h"
#include "circuit/path.h"
#include "proto/base/mem.h"

/* ---- holding ----------------------------------------------------------- */

static bool is_ours_to(const struct circuit *c, const struct node_id *target)
{
	return c->is_origin && c->state == CIRCUIT_ESTABLISHED &&
	       id_equal(&c->target, target);
}

/* Those that stand already; what carried last goes on carrying. */
static void adopt_all(struct router *r, struct hold *h, nsec now)
{
	struct circuit *c, *next, *last = NULL;

	HASH_ITER (hh, r->circuits.all, c, next)
		if (is_ours_to(c, &h->target) &&
		    (last == NULL || c->last_packet > last->last_packet))
			last = c;
	if (last != NULL)
		hold_adopt(r, h, last, now);
	HASH_ITER (hh, r->circuits.all, c, next)
		if (is_ours_to(c, &h->target))
			hold_adopt(r, h, c, now);
}

void router_hold(struct router *r, const struct node_id *target, nsec now)
{
	struct hold *h = hold_get(r, target, now);

	if (h == NULL || h->is_held)
		return;
	h->is_held = true;
	h->next_seek = now;
	h->last_traffic = now;
	adopt_all(r, h, now);
	if (h->carries != 0)
		h->next_seek = now + HOLD_SPARE_SOON_NS;
	hold_stir(r, h, now);
}

void router_release(struct router *r, const struct node_id *target, nsec now)
{
	struct hold *h = hold_find(r, target);
	circuit_no spare[HELD_MAX];
	unsigned n = 0;

	if (h == NULL || !h->is_held)
		return;
	for (unsigned i = 0; i < h->n; i++) {
		circuit_find(r, h->held[i].no)->wakes_hold = false;
		if (h->held[i].no != h->carries)
			spare[n++] = h->held[i].no;
	}
	h->is_held = false;
	h->n = 0;
	h->carries = h->spare = 0;
	h->next_seek = h->next_look = h->next_glance = TIME_NEVER;
	search_cancel(&h->search);
	timers_cancel(&r->timers, &h->timer);
	hold_put(r, h);
	while (n > 0)
		circuit_end(r, circuit_find(r, spare[--n]), CLOSE_DONE, NULL,
			    now);
}

/* ---- steering ---------------------------------------------------------- */

bool router_path_pin(struct router *r, circuit_no no, nsec now)
{
	struct circuit *c = circuit_find(r, no);
	struct hold *h;

	if (c == NULL || !c->is_origin || c->state != CIRCUIT_ESTABLISHED)
		return false;
	h = hold_get(r, &c->target, now);
	if (h == NULL)
		return false;
	h->pinned = no;
	if (!h->is_held)
		return true;
	hold_adopt(r, h, c, now);
	if (hold_held(h, no) == NULL) {
		h->pinned = 0;
		return false;
	}
	hold_held(h, no)->has_failed = false;
	if (h->search.circuit == no)
		search_cancel(&h->search);
	hold_switch(r, h, no, now);
	return true;
}

static size_t place_of(const struct router *r, const struct node_id *node)
{
	size_t i = 0;

	while (i < r->holds.n_avoided && !id_equal(&r->holds.avoided[i], node))
		i++;
	return i;
}

static bool crosses(const struct hop *hops, size_t n,
		    const struct node_id *node)
{
	return n > 0 && path_has(hops, n - 1, node);
}

bool hold_forbids(const struct router *r, const struct hop_list *path)
{
	for (size_t i = 0; i < r->holds.n_avoided; i++)
		if (crosses(path->hop, path->n, &r->holds.avoided[i]))
			return true;
	return false;
}

/* A path that stands is left as soon as there is another. */
static void leave(struct router *r, struct hold *h, const struct node_id *node,
		  nsec now)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct held *k = &h->held[i];
		const struct circuit *c = circuit_find(r, k->no);
		struct held *spare;

		if (!crosses(c->hops, c->n_hops, node) || h->pinned == k->no)
			continue;
		k->has_failed = true;
		if (h->carries != k->no)
			continue;
		spare = hold_spare(r, h, k->no, now);
		if (spare != NULL)
			hold_switch(r, h, spare->no, now);
		h->n_vain = 0;
		h->next_seek = now;
	}
	hold_stir(r, h, now);
}

bool router_path_avoid(struct router *r, const struct node_id *node, nsec now)
{
	struct hold *h, *next;

	if (core_is_self(r, node))
		return false;
	if (place_of(r, node) < r->holds.n_avoided)
		return true;
	if (r->holds.n_avoided == AVOIDED_MAX)
		return false;
	r->holds.avoided = mem_realloc(r->holds.avoided, r->holds.n_avoided + 1,
				       sizeof *r->holds.avoided);
	r->holds.avoided[r->holds.n_avoided++] = *node;
	HASH_ITER (hh, r->holds.all, h, next)
		if (h->is_held)
			leave(r, h, node, now);
	return true;
}

bool router_path_auto(struct router *r, const struct node_id *node, nsec now)
{
	struct hold *h = hold_find(r, node);
	size_t i = place_of(r, node);
	bool was_steered = i < r->holds.n_avoided;

	if (was_steered)
		r->holds.avoided[i] = r->holds.avoided[--r->holds.n_avoided];
	if (h == NULL || h->pinned == 0)
		return was_steered;
	h->pinned = 0;
	if (h->is_held)
		hold_stir(r, h, now);
	hold_put(r, h);
	return true;
}

/* ---- looking in -------------------------------------------------------- */

static void describe(struct hold *h, struct hold_info *out)
{
	const struct held *k = hold_held(h, h->carries);
	const struct held *spare = hold_held(h, h->spare);

	*out = (struct hold_info){
		.target = h->target,
		.carries = h->carries,
		.is_pinned = h->pinned != 0,
		.blamed = h->blamed,
		.blamed_next = h->blamed_next,
		.blamed_at = h->blamed_at,
	};
	if (k != NULL) {
		out->carries_rtt = k->gauge.rtt;
		out->carries_loss = k->gauge.loss;
	}
	if (spare != NULL) {
		out->spare = spare->no;
		out->spare_rtt = spare->gauge.rtt;
	}
}

bool router_hold_get(const struct router *r, size_t index,
		     struct hold_info *out)
{
	struct hold *h = r->holds.all;

	while (h != NULL && index-- > 0)
		h = h->hh.next;
	if (h == NULL)
		return false;
	describe(h, out);
	return true;
}

bool router_hold_find(const struct router *r, const struct node_id *target,
		      struct hold_info *out)
{
	struct hold *h = hold_find(r, target);

	if (h == NULL)
		return false;
	describe(h, out);
	return true;
}
