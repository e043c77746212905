#include "circuit/search/rounds.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "circuit/record/record.h"
#include "circuit/record/request.h"
#include "circuit/search/seek_inside.h"
#include "circuit/probe/steer.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

/* After that only the last resort is left. */
#define ROUNDS_NS (6 * NS_PER_S)
/* So often nothing but dead ends, and nobody to avoid but those before. */
#define DEAD_ENDS_MAX 2
/* The pause behind round r is drawn from 0 to 250 ms times 2^r. */
#define PAUSE_NS     (250 * NS_PER_MS)
#define PAUSE_MAX_NS (4 * NS_PER_S)
/* The same while nothing carries to a target that is held. */
#define PAUSE_URGENT_NS (25 * NS_PER_MS)
/* Nodes: in larger networks two signatures are proof enough. */
#define ABSENT_FLOOD_BELOW 1024
/* The target itself, over one link, without steering. */
#define DIRECT_NS (80 * NS_PER_MS)

bool rounds_apply(const struct router *r, nsec now)
{
	uint32_t n = trees_n_nodes(r, now);

	return n > 0 && n >= r->config.flood_below;
}

/* ---- one round --------------------------------------------------------- */

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
	rounds_send_copies(r, k, g, now);
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

/* Two replicas have no record.  That is so, too, if what the target sent them
 * was lost, or has not come yet: where a flood costs little it has the last
 * word. */
static void absent(struct router *r, struct seek *k, nsec now)
{
	if (trees_n_nodes(r, now) >= ABSENT_FLOOD_BELOW ||
	    !bucket_take(&r->seeks.floods, now)) {
		seek_fail(r, k, true, now);
		return;
	}
	r->n.n_flood_last_resort++;
	seek_rings_last_resort(r, k, now);
}

static void pause(struct router *r, struct seek *k, nsec now)
{
	nsec first = k->is_urgent ? PAUSE_URGENT_NS : PAUSE_NS;
	nsec most = time_min(first << (k->round - 1), PAUSE_MAX_NS);
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
	rounds_avoid_known(r, k, now);
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

/* Where circuits break often the target may have moved: to ask for its record
 * takes less than to look for it where it is not. */
static void forget_old(struct router *r, const struct seek *k, nsec now)
{
	const struct record *rec = record_cached(r, &k->target, now);

	if (rec != NULL && hold_breaks_often(r, &k->target, now) &&
	    rec->issued_ms + RECORD_SPACING_NS / NS_PER_MS <= core_wall(r, now))
		record_forget(r, &k->target, now);
}

static void begin(struct router *r, struct seek *k, nsec now)
{
	struct session *s = session_to(r, &k->target);

	if (!neighbours_any_up(r)) {
		seek_fail(r, k, true, now);
		return;
	}
	rounds_avoid_known(r, k, now);
	forget_old(r, k, now);
	if (s != NULL && !rounds_link_is_avoided(k))
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
		rounds_avoid(r, k, &s->peer->id);
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
		absent(r, k, now);
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
