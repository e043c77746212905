/* Rounds: the copies of one.  protocol.md 12.2 */
#include "circuit/core.h"
#include "circuit/search/rounds.h"
#include "circuit/search/seek_inside.h"
#include "circuit/probe/steer.h"
#include "circuit/tree/tree.h"

/* Transmissions of one probe in round 0, at least. */
#define ROUND_BUDGET 64u
/* What a copy may take: so often the cost of the way in the tree, so much a
 * link, and this.  Each relay keeps two round trips and 5 ms of it to itself,
 * which is four times the cost. */
#define DEADLINE_FACTOR   5
#define DEADLINE_LINK_MS  10
#define DEADLINE_SLACK_MS 300
/* The way in the tree from us to the target; in all of them the shortest. */
struct distance {
	uint32_t cost;
	uint32_t links;
};

static struct distance distance(const struct router *r, const struct seek *k,
				unsigned tree)
{
	struct distance d = { COORD_DISTANCE_NONE, 0 };

	for (unsigned t = 0; t < TREES; t++) {
		struct coord_ref own = coord_ref(&trees_locator(r)->tree[t]);
		struct coord_ref to = coord_ref(&k->to->tree[t]);
		uint32_t cost = coord_distance(own, to);

		if ((tree != t && tree != TREE_ANY) || cost >= d.cost)
			continue;
		d.cost = cost;
		d.links = coord_links(own, to);
	}
	return d;
}

static uint16_t budget_of(const struct seek *k, struct distance d)
{
	uint32_t share = (ROUND_BUDGET << k->round) / (TREES + 1);
	uint32_t need = 2 * d.links + 4;
	uint32_t budget = share > need ? share : need;

	return (uint16_t)(budget < PROBE_BUDGET_MAX ? budget
						    : PROBE_BUDGET_MAX);
}

static nsec patience_of(const struct seek *k, struct distance d, nsec now)
{
	uint64_t ms = DEADLINE_SLACK_MS + d.links * DEADLINE_LINK_MS +
		      (uint64_t)d.cost * DEADLINE_FACTOR / 10;
	nsec left = seek_deadline(k) > now ? seek_deadline(k) - now : 0;

	if (ms < PROBE_DEADLINE_MIN_MS)
		ms = PROBE_DEADLINE_MIN_MS;
	if (ms > PROBE_DEADLINE_MAX_MS)
		ms = PROBE_DEADLINE_MAX_MS;
	return time_min(ms * NS_PER_MS, left);
}

bool rounds_link_is_avoided(const struct seek *k)
{
	return k->avoid != NULL && k->avoid->n == 1;
}

/* No path of ours may begin there. */
static bool is_forbidden(const struct router *r, const struct seek *k,
			 const struct node_id *id)
{
	if (id_equal(id, &k->target))
		return rounds_link_is_avoided(k);
	for (size_t i = 0; i < r->holds.n_avoided; i++)
		if (id_equal(id, &r->holds.avoided[i]))
			return true;
	return false;
}

/* The best first hop, or one that has no copy of this round yet and is not much
 * worse.  NULL: none, or all that would do have one; a second one would be a
 * duplicate there. */
static struct neighbour *first_hop(struct router *r, const struct seek *k,
				   const struct ring *g,
				   const struct steering *how, nsec now)
{
	struct neighbour *n, *next, *unused = NULL;
	uint32_t best = UINT32_MAX, best_unused = UINT32_MAX, s;

	NEIGHBOURS_EACH(r, n, next)
	{
		if (n->best == NULL || is_forbidden(r, k, &n->id))
			continue;
		s = steer_score(r, n, how, now);
		if (s < best)
			best = s;
		if (s >= best_unused ||
		    replies_was_sent(&g->replies, n->best->no))
			continue;
		best_unused = s;
		unused = n;
	}
	if (unused == NULL || best_unused > best + best / 2 + 100)
		return NULL;
	return unused;
}

static void send_copy(struct router *r, struct seek *k, struct ring *g,
		      const struct steering *how, nsec now)
{
	struct distance d = distance(r, k, how->tree);
	struct neighbour *n;
	nsec wait;

	if (d.cost == COORD_DISTANCE_NONE)
		return;
	n = first_hop(r, k, g, how, now);
	if (n == NULL)
		return;
	wait = patience_of(k, d, now);
	ring_send_steered(r, g, n->best, how, budget_of(k, d), wait);
	if (k->next_at == TIME_NEVER || now + wait > k->next_at)
		k->next_at = now + wait;
}

void rounds_send_copies(struct router *r, struct seek *k, struct ring *g,
			nsec now)
{
	uint32_t tags[AVOID_MAX];
	struct steering how = { .target = &k->target,
				.nonce = &g->nonce,
				.tree = TREE_ANY,
				.round = k->round,
				.to = k->to,
				.avoid = tags,
				.n_avoid = k->n_avoid };

	for (size_t i = 0; i < k->n_avoid; i++)
		tags[i] = avoid_tag(&g->nonce, &k->avoid_ids[i]);
	send_copy(r, k, g, &how, now);
	for (how.tree = 0; how.tree < TREES; how.tree++)
		send_copy(r, k, g, &how, now);
}
