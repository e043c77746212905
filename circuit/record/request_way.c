/* Where a request goes from here.  protocol.md 11.3 and 11.6 */
#include "circuit/core.h"
#include "circuit/record/record_part.h"
#include "circuit/tree/tree.h"

bool request_way_up(struct router *r, unsigned tree,
		    const struct neighbour *from, struct request_way *out)
{
	const struct neighbour *up = tree_parent(r, tree);

	out->is_over = out->is_handed = false;
	out->to = up != NULL && up != from ? up->best : NULL;
	return out->to != NULL;
}

/* Towards the root over this one; UINT64_MAX: it is behind us, or not in the
 * tree. */
static uint64_t cost_over(struct router *r, const struct neighbour *n,
			  unsigned tree)
{
	struct coord_ref at = tree_coord_of(r, n, tree);

	if (n->best == NULL || at.n == 0 || coord_has(at, &r->config.self.id))
		return UINT64_MAX;
	return (uint64_t)at.hop[at.n - 1].cost + session_cost(n->best);
}

/* The cheapest one that costs more than `least`, or as much and comes behind
 * `after`. */
static struct neighbour *next_dearer(struct router *r, unsigned tree,
				     uint64_t least,
				     const struct neighbour *after)
{
	struct neighbour *n, *next, *best = NULL;
	uint64_t best_cost = UINT64_MAX;
	bool is_behind = after == NULL;

	NEIGHBOURS_EACH(r, n, next)
	{
		uint64_t cost = cost_over(r, n, tree);

		if (cost < best_cost &&
		    (cost > least || (cost == least && is_behind))) {
			best = n;
			best_cost = cost;
		}
		is_behind |= n == after;
	}
	return best;
}

bool request_way_around(struct router *r, unsigned tree, unsigned nth,
			struct request_way *out)
{
	struct neighbour *n = next_dearer(r, tree, 0, NULL), *dearer;

	for (; n != NULL && nth > 0; nth--) {
		dearer = next_dearer(r, tree, cost_over(r, n, tree), n);
		n = dearer != NULL ? dearer : next_dearer(r, tree, 0, NULL);
	}
	if (n == NULL)
		return false;
	*out = (struct request_way){ .to = n->best };
	return true;
}

/* Each step is nearer to the member than the one before, so that no request
 * goes round.  Who hands it over may send it back to where it came from. */
static struct session *way_over(struct router *r, const struct appointment *a)
{
	struct coord_ref to = coord_ref(&a->at);
	struct coord_ref own = coord_ref(&trees_locator(r)->tree[a->tree]);
	struct session *best = session_to(r, &a->member);
	uint32_t limit = coord_distance(own, to);
	uint64_t best_cost = UINT64_MAX;
	struct neighbour *n, *next;

	if (best != NULL)
		return best;
	NEIGHBOURS_EACH(r, n, next)
	{
		uint32_t left =
			coord_distance(tree_coord_of(r, n, a->tree), to);

		if (n->best == NULL || left >= limit ||
		    left + (uint64_t)session_cost(n->best) >= best_cost)
			continue;
		best = n->best;
		best_cost = left + (uint64_t)session_cost(best);
	}
	return best;
}

bool request_way(struct router *r, const struct node_id *id, unsigned tree,
		 const struct appointment *given, const struct neighbour *from,
		 struct request_way *out, nsec now)
{
	out->is_handed = false;
	if (given != NULL) {
		out->is_over = true;
		out->appointment = *given;
		out->to = way_over(r, given);
		return out->to != NULL;
	}
	if (part_find(r, id, tree, &out->appointment, now)) {
		out->is_over = out->is_handed = true;
		out->to = way_over(r, &out->appointment);
		if (out->to != NULL)
			return true;
		part_failed(r, id, tree, now);
	}
	return request_way_up(r, tree, from, out);
}

bool request_ends_here(struct router *r, const struct node_id *id,
		       unsigned tree, nsec now)
{
	struct appointment a;

	return tree_is_root(r, tree) && record_is_of_tree(id, tree) &&
	       !part_find(r, id, tree, &a, now);
}

static uint64_t cost_of(const struct coord *c)
{
	return c->n > 0 ? c->hop[c->n - 1].cost : 0;
}

/* Twice the cost of the way; in a large network the root may hand it over to a
 * member as far away as we are. */
nsec request_wait(struct router *r, unsigned tree, const struct request_way *w,
		  nsec now)
{
	const struct coord *own = &trees_locator(r)->tree[tree];
	uint64_t cost = cost_of(own);
	uint32_t over;

	if (w->is_over) {
		over = coord_distance(coord_ref(own),
				      coord_ref(&w->appointment.at));
		cost = over != COORD_DISTANCE_NONE ? over : 0;
	} else if (trees_n_nodes(r, now) >= r->config.directory_from / 2) {
		cost *= 2;
	}
	return time_min(2 * cost * 100 * NS_PER_US + REQUEST_SLACK_NS,
			REQUEST_WAIT_MAX_NS);
}
