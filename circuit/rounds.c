#include "circuit/rounds.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/record.h"
#include "circuit/request.h"
#include "circuit/seek_inside.h"
#include "circuit/steer.h"
#include "circuit/tree.h"
#include "proto/base/mem.h"

/* After that only the last resort is left. */
#define ROUNDS_NS (6 * NS_PER_S)
/* So often nothing but dead ends, and nobody to avoid but those before. */
#define DEAD_ENDS_MAX 2
/* The pause behind round r is drawn from 0 to 250 ms times 2^r. */
#define PAUSE_NS     (250 * NS_PER_MS)
#define PAUSE_MAX_NS (4 * NS_PER_S)
/* Transmissions of one probe in round 0, at least. */
#define ROUND_BUDGET 64u
/* What a copy may take: so often the cost of the way in the tree, so much a
 * link, and this.  Each relay keeps two round trips and 5 ms of it to itself,
 * which is four times the cost. */
#define DEADLINE_FACTOR   5
#define DEADLINE_LINK_MS  10
#define DEADLINE_SLACK_MS 300
/* The target itself, over one link, without steering. */
#define DIRECT_NS (80 * NS_PER_MS)
/* Nodes blamed before that a new attempt begins by avoiding. */
#define BLAMED_AVOIDED_MAX 16

bool rounds_apply(const struct router *r, nsec now)
{
	uint32_t n = trees_n_nodes(r, now);

	return n > 0 && n >= r->config.flood_below;
}

/* ---- whom to avoid ----------------------------------------------------- */

static bool is_in(const struct seek *k, const struct node_id *id)
{
	for (size_t i = 0; i < k->n_avoid; i++)
		if (id_equal(&k->avoid_ids[i], id))
			return true;
	return false;
}

static void avoid(const struct router *r, struct seek *k,
		  const struct node_id *id)
{
	if (core_is_self(r, id) || id_equal(id, &k->target) || is_in(k, id) ||
	    k->n_avoid == AVOID_MAX)
		return;
	k->avoid_ids[k->n_avoid++] = *id;
}

static void avoid_what_is_known(const struct router *r, struct seek *k,
				nsec now)
{
	struct node_id blamed[BLAMED_AVOIDED_MAX];
	size_t n = blames_list(r, blamed, ARRAY_LEN(blamed), now);

	for (size_t i = 0; i < n; i++)
		avoid(r, k, &blamed[i]);
	for (size_t i = 0; k->avoid != NULL && i < k->avoid->n; i++)
		avoid(r, k, &k->avoid->hop[i].id);
}

void rounds_nak(struct router *r, struct session *s, const struct ring *g,
		const struct msg *m, nsec now)
{
	if (m->nak.code != NAK_DUPLICATE && m->nak.code != NAK_RATE)
		success_note(s->peer, OUTCOME_BEYOND);
	if (m->nak.has_blame && m->nak.code == NAK_TIMEOUT)
		rounds_blame(r, s, g, m, ARRIVAL_FRESH, now);
}

static void believe(struct router *r, const struct ring *g,
		    const struct node_id *id, nsec now)
{
	struct seek *k = seek_of(r, g);

	if (core_is_self(r, id) || id_equal(id, &g->target))
		return;
	blame_add(r, id, now);
	if (k != NULL)
		avoid(r, k, id);
}

void rounds_blame(struct router *r, struct session *s, const struct ring *g,
		  const struct msg *m, enum arrival how, nsec now)
{
	const struct msg_nak *n = &m->nak;
	struct id_list missing = { 0 };

	asking_miss(r, &missing, &n->reporter, now);
	if (missing.n > 0) {
		if (how == ARRIVAL_RESUMED ||
		    !asking_park(r, s, m, &missing, now))
			r->n.n_nak_bad_signature++;
		return;
	}
	switch (core_verify(r, n->sig, &n->reporter, SIGN_NAK, n->body,
			    sizeof n->body, now)) {
	case SIGNED_OK:
		break;
	case SIGNED_BAD:
		r->n.n_nak_bad_signature++;
		return;
	case SIGNED_RATE:
		return;
	}
	r->n.n_blamed++;
	believe(r, g, &n->reporter, now);
	believe(r, g, &n->next, now);
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_BLAMED,
					     .peer = n->reporter,
					     .next = n->next },
		     NULL);
}

/* ---- one round --------------------------------------------------------- */

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

/* The link to the target itself is what is to be avoided. */
static bool is_link_avoided(const struct seek *k)
{
	return k->avoid != NULL && k->avoid->n == 1;
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
		if (n->best == NULL ||
		    (is_link_avoided(k) && id_equal(&n->id, &k->target)))
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

static void send_copies(struct router *r, struct seek *k, struct ring *g,
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

static struct ring *new_probe(struct router *r, struct seek *k, nsec now)
{
	struct ring *g = ring_find(r, &k->probe);

	if (g != NULL)
		g->is_last = false;
	g = ring_start_steered(r, &k->target, k->serial, now);
	if (g == NULL) {
		seek_fail(r, k, false, now);
		return NULL;
	}
	if (k->n_probes++ == 0)
		k->probing_since = now;
	k->probe = g->nonce;
	k->next_at = TIME_NEVER;
	return g;
}

static void round_over(struct router *r, struct seek *k, struct ring *g,
		       nsec now);

static void start_round(struct router *r, struct seek *k, nsec now)
{
	struct ring *g = new_probe(r, k, now);

	if (g == NULL)
		return;
	k->n_avoid_before = k->n_avoid;
	send_copies(r, k, g, now);
	k->round++;
	r->n.n_rounds++;
	if (g->replies.n > 0)
		seek_enter(r, k, SEEK_PROBING, TIME_NEVER);
	else
		round_over(r, k, g, now);
}

/* ---- from round to round ----------------------------------------------- */

static void look_up(struct router *r, struct seek *k, nsec now)
{
	k->is_stale = false;
	seek_enter(r, k, SEEK_LOOKING_UP, k->started + ROUNDS_NS);
	lookup_start(r, &k->target, now);
}

/* Steering has led nowhere.  A flood finds the target or proves that it cannot
 * be reached, if there may be one. */
static void last_resort(struct router *r, struct seek *k, nsec now)
{
	if (!bucket_take(&r->seeks.floods, now)) {
		r->n.n_flood_rate++;
		seek_fail(r, k, false, now);
		return;
	}
	r->n.n_flood_last_resort++;
	seek_rings_last_resort(r, k, now);
}

static void pause(struct router *r, struct seek *k, nsec now)
{
	nsec most = time_min(PAUSE_NS << (k->round - 1), PAUSE_MAX_NS);
	nsec until = now + rng_below(&r->rng, most);

	seek_enter(r, k, SEEK_PAUSING, time_min(until, k->started + ROUNDS_NS));
}

/* Perhaps there is no other way than the one to be avoided. */
static void avoid_less(struct router *r, struct seek *k, nsec now)
{
	k->takes_shared = true;
	free(k->avoid);
	k->avoid = NULL;
	k->n_avoid = 0;
	avoid_what_is_known(r, k, now);
}

/* No copy is out any more, and no route is left to try. */
static void round_over(struct router *r, struct seek *k, struct ring *g,
		       nsec now)
{
	bool has_answer = g->replies.has_answer;
	bool is_new = replies_are_flawed(&g->replies) ||
		      k->n_avoid != k->n_avoid_before;

	k->next_at = TIME_NEVER;
	if (seek_is_holding(k) && k->round > 1) {
		seek_take_held(r, k, now);
		return;
	}
	k->n_dead_ends = has_answer || is_new ? 0 : k->n_dead_ends + 1;
	if (!has_answer) {
		record_forget(r, &k->target, now);
		k->is_stale = true;
	}
	if (!has_answer && k->avoid != NULL)
		avoid_less(r, k, now);
	if (k->n_dead_ends >= DEAD_ENDS_MAX || k->round >= ROUNDS_MAX ||
	    now >= k->started + ROUNDS_NS)
		last_resort(r, k, now);
	else if (seek_is_holding(k))
		start_round(r, k, now);
	else
		pause(r, k, now);
}

static bool has_neighbours(struct router *r)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	if (n->best != NULL)
		return true;
	return false;
}

/* A neighbour is asked alone, over one link. */
static void ask_directly(struct router *r, struct seek *k,
			 const struct session *s, nsec now)
{
	static const struct locator nowhere;
	struct ring *g = new_probe(r, k, now);
	struct steering how = { .target = &k->target,
				.tree = TREE_ANY,
				.to = &nowhere };

	if (g == NULL)
		return;
	k->is_direct = true;
	how.nonce = &g->nonce;
	k->next_at = now + 2 * session_rtt(s) + DIRECT_NS;
	ring_send_steered(r, g, s, &how, 1, k->next_at - now);
	seek_enter(r, k, SEEK_PROBING, TIME_NEVER);
}

static void begin(struct router *r, struct seek *k, nsec now)
{
	struct session *s = session_to(r, &k->target);

	if (!has_neighbours(r)) {
		seek_fail(r, k, true, now);
		return;
	}
	avoid_what_is_known(r, k, now);
	if (s != NULL && !is_link_avoided(k))
		ask_directly(r, k, s, now);
	else
		look_up(r, k, now);
}

static void over(struct router *r, struct seek *k, struct ring *g, nsec now)
{
	if (!k->is_direct) {
		round_over(r, k, g, now);
		return;
	}
	k->is_direct = false;
	k->next_at = TIME_NEVER;
	look_up(r, k, now);
}

/* ---- driven by seek.c -------------------------------------------------- */

void rounds_step(struct router *r, struct seek *k, nsec now)
{
	struct ring *g = k->n_probes > 0 ? ring_find(r, &k->probe) : NULL;

	if (g == NULL)
		begin(r, k, now);
	else if (g->replies.n_owed > 0 && now < k->next_at)
		seek_enter(r, k, SEEK_PROBING, TIME_NEVER);
	else
		over(r, k, g, now);
}

void rounds_replied(struct router *r, struct seek *k, const struct ring *g,
		    nsec now)
{
	if (g->is_last && g->replies.n_owed == 0)
		seek_step(r, k, now);
}

/* Those who owe a reply have kept silent towards us. */
void rounds_late(struct router *r, struct seek *k, nsec now)
{
	struct ring *g = ring_find(r, &k->probe);
	const struct session *s;

	for (size_t i = 0; i < g->replies.n; i++) {
		if (!g->replies.sent[i].is_owed)
			continue;
		replies_note(&g->replies, NAK_TIMEOUT);
		s = session_find(r, g->replies.sent[i].session);
		if (s == NULL)
			continue;
		success_note(s->peer, OUTCOME_SILENT);
		avoid(r, k, &s->peer->id);
	}
	over(r, k, g, now);
}

void rounds_again(struct router *r, struct seek *k, nsec now)
{
	if (k->is_stale)
		look_up(r, k, now);
	else
		start_round(r, k, now);
}

void rounds_lookup_late(struct router *r, struct seek *k, nsec now)
{
	last_resort(r, k, now);
}

void rounds_looked_up(struct router *r, struct seek *k,
		      enum lookup_verdict verdict, nsec now)
{
	const struct record *rec;

	switch (verdict) {
	case LOOKUP_ABSENT:
		seek_fail(r, k, true, now);
		return;
	case LOOKUP_FOUND:
		rec = record_cached(r, &k->target, now);
		if (rec == NULL)
			break;
		if (k->to == NULL)
			k->to = mem_new(k->to);
		*k->to = rec->at;
		break;
	case LOOKUP_FAILED:
		break;
	}
	if (k->to != NULL)
		start_round(r, k, now);
	else
		last_resort(r, k, now);
}
