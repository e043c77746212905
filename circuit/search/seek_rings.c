#include "circuit/core.h"
#include "circuit/search/seek_inside.h"

#define RING_TTL_FIRST 2
#define RING_TTL_LAST  HOPS_MAX
/* Per link of the ring, there and back. */
#define RING_LINK_NS    (2 * 40 * NS_PER_MS)
#define RETRY_MIN_NS    (20 * NS_PER_MS)
#define RETRY_SPREAD_NS (80 * NS_PER_MS)

/* A neighbour is asked alone, over one link; not if that link is what we are
 * to avoid. */
static struct session *shortcut(struct router *r, const struct seek *k)
{
	if (k->n_probes > 0 || (k->avoid != NULL && k->avoid->n == 1))
		return NULL;
	return session_to(r, &k->target);
}

/* A ring of its own that does not begin as the path to avoid does: relays pass
 * on what comes first, which would mostly be copies from that path. */
static void start_apart(struct router *r, struct seek *k,
			struct ring_plan *plan, nsec now)
{
	struct ring *g;

	if (k->takes_shared || plan->only != NULL)
		return;
	plan->except = &k->avoid->hop[0].id;
	g = ring_start(r, plan, now);
	if (g == NULL)
		return;
	g->is_last = false;
	k->apart = g->nonce;
}

static void start(struct router *r, struct seek *k, uint8_t ttl, nsec now)
{
	struct ring_plan plan = { .target = k->target,
				  .serial = k->serial,
				  .ttl = ttl,
				  .only = shortcut(r, k) };
	struct ring *g = ring_find(r, &k->probe);

	if (!neighbours_any_up(r)) {
		seek_fail(r, k, true, now);
		return;
	}
	/* What leads here may be handled before the timer that is due. */
	if (now >= seek_deadline(k)) {
		seek_fail(r, k, false, now);
		return;
	}
	if (g != NULL)
		g->is_last = false;
	if (k->n_probes++ == 0)
		k->probing_since = now;
	if (plan.only != NULL)
		plan.ttl = 1;
	plan.wait = seek_deadline(k) - now;
	g = ring_start(r, &plan, now);
	if (g == NULL) {
		seek_fail(r, k, false, now);
		return;
	}
	k->probe = g->nonce;
	k->ttl = plan.ttl;
	k->next_at = TIME_NEVER;
	if (k->ttl < RING_TTL_LAST)
		k->next_at =
			now + k->ttl * RING_LINK_NS +
			(plan.only != NULL ? 2 * session_rtt(plan.only) : 0);
	start_apart(r, k, &plan, now);
	seek_enter(r, k, SEEK_PROBING, TIME_NEVER);
}

static void start_larger(struct router *r, struct seek *k, nsec now)
{
	unsigned ttl = k->n_probes == 0 ? RING_TTL_FIRST : 2u * k->ttl;

	start(r, k, (uint8_t)(ttl < RING_TTL_LAST ? ttl : RING_TTL_LAST), now);
}

/* Whether a larger ring may find more than these. */
static bool is_cut(const struct seek *k, const struct ring *g,
		   const struct ring *apart)
{
	return k->ttl < RING_TTL_LAST &&
	       (replies_have(&g->replies, NAK_TTL) ||
		(apart != NULL && replies_have(&apart->replies, NAK_TTL)));
}

/* All copies of the last ring are back, and no route is left to try. */
static void exhausted(struct router *r, struct seek *k, const struct ring *g,
		      nsec now)
{
	if (!g->replies.has_answer && !replies_have(&g->replies, NAK_TTL) &&
	    !replies_are_flawed(&g->replies)) {
		seek_fail(r, k, true, now);
		return;
	}
	if (k->has_retried) {
		seek_fail(r, k, false, now);
		return;
	}
	k->has_retried = true;
	seek_enter(r, k, SEEK_PAUSING,
		   now + RETRY_MIN_NS + rng_below(&r->rng, RETRY_SPREAD_NS));
}

void seek_rings_step(struct router *r, struct seek *k, nsec now)
{
	const struct ring *g, *apart;
	bool is_holding = seek_is_holding(k);

	g = k->n_probes > 0 ? ring_find(r, &k->probe) : NULL;
	if (g == NULL) {
		start_larger(r, k, now);
		return;
	}
	apart = k->takes_shared ? NULL : ring_find(r, &k->apart);
	if (g->replies.n_owed > 0 ||
	    (is_holding && apart != NULL && apart->replies.n_owed > 0))
		seek_enter(r, k, SEEK_PROBING, TIME_NEVER);
	else if (g->is_partial || is_cut(k, g, is_holding ? apart : NULL))
		start_larger(r, k, now);
	else if (is_holding)
		seek_take_held(r, k, now);
	else
		exhausted(r, k, g, now);
}

/* An earlier ring is complete: it may prove by itself that there is no path. */
static bool is_proof(const struct ring *g)
{
	return g->replies.n_owed == 0 && !g->is_partial &&
	       !g->replies.has_answer && !replies_have(&g->replies, NAK_TTL) &&
	       !replies_are_flawed(&g->replies);
}

void seek_rings_replied(struct router *r, struct seek *k, const struct ring *g,
			nsec now)
{
	if ((g->is_last || g->is_partial) && g->replies.n_owed == 0)
		seek_step(r, k, now);
	else if (is_proof(g) && !seek_is_holding(k))
		seek_fail(r, k, true, now);
	else
		seek_enter(r, k, SEEK_PROBING, TIME_NEVER);
}

void seek_rings_late(struct router *r, struct seek *k, nsec now)
{
	start_larger(r, k, now);
}

void seek_rings_last_resort(struct router *r, struct seek *k, nsec now)
{
	k->way = SEEK_BY_RINGS;
	k->is_last_resort = true;
	k->has_retried = true;
	k->takes_shared = true;
	start(r, k, RING_TTL_LAST, now);
}

void seek_rings_again(struct router *r, struct seek *k, nsec now)
{
	start(r, k, k->ttl, now);
}
