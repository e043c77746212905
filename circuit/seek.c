#include "circuit/seek.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "circuit/path.h"
#include "proto/base/mem.h"

#define RING_TTL_FIRST 2
#define RING_TTL_LAST  HOPS_MAX
/* Per link of the ring, there and back. */
#define RING_LINK_NS (2 * 40 * NS_PER_MS)
/* How long a path that shares links with the one to avoid is held back. */
#define HOLD_NS (200 * NS_PER_MS)
/* How long an OPEN may take besides twice its expected time. */
#define OPEN_SLACK_NS    (300 * NS_PER_MS)
#define OPEN_WAIT_MAX_NS (3 * NS_PER_S)
#define RETRY_MIN_NS     (20 * NS_PER_MS)
#define RETRY_SPREAD_NS  (80 * NS_PER_MS)

enum seek_state {
	SEEK_OPENING, /* an OPEN is under way */
	SEEK_PROBING, /* a ring is out */
	SEEK_PAUSING, /* before the one more try */
	SEEK_FAILED,  /* remembered as unreachable */
};

struct seek {
	struct node_id target;
	uint64_t serial;
	enum seek_state state;
	struct hop_list *avoid; /* NULL: nothing */
	bool takes_shared;      /* routes that share links with it will do */
	bool has_retried;
	bool is_proved;
	bool was_heard; /* some reply has come */
	uint8_t ttl;
	unsigned n_rings;
	struct nonce ring;  /* the last one */
	struct nonce apart; /* its companion that leaves out the first node
			       of `avoid` */
	circuit_no opening;
	nsec started;
	nsec probing_since;
	nsec ring_at; /* the next ring starts without waiting on */
	nsec hold_at; /* a route that is held back is used */
	nsec step_at; /* the end of the open, the pause, the memory */
	struct timer timer;
	UT_hash_handle hh;
};

static void seek_free(struct router *r, struct seek *k)
{
	HASH_DEL(r->seeks.all, k);
	timers_cancel(&r->timers, &k->timer);
	free(k->avoid);
	free(k);
}

void seeks_deinit(struct router *r)
{
	struct seek *k, *next;

	HASH_ITER (hh, r->seeks.all, k, next)
		seek_free(r, k);
}

size_t seeks_n(const struct router *r)
{
	return HASH_COUNT(r->seeks.all);
}

static struct seek *seek_find(struct router *r, const struct node_id *target)
{
	struct seek *k;

	TABLE_FIND(&r->table_key, hh, r->seeks.all, target, sizeof *target, k);
	return k;
}

/* ---- deadlines --------------------------------------------------------- */

static nsec overall_deadline(const struct seek *k)
{
	nsec latest = k->started + PROBE_DEADLINE_MAX_MS * NS_PER_MS;

	if (k->was_heard || k->n_rings == 0)
		return latest;
	return time_min(latest, k->probing_since + PROBE_SILENT_MS * NS_PER_MS);
}

static void arm(struct router *r, struct seek *k)
{
	nsec when = k->step_at;

	if (k->state == SEEK_PROBING)
		when = time_min(time_min(k->ring_at, k->hold_at),
				overall_deadline(k));
	timers_set(&r->timers, &k->timer, when);
}

static void enter(struct router *r, struct seek *k, enum seek_state state,
		  nsec step_at)
{
	k->state = state;
	k->step_at = step_at;
	arm(r, k);
}

/* ---- steps ------------------------------------------------------------- */

static void report_unreachable(struct router *r, const struct node_id *target,
			       bool is_proved, nsec took)
{
	r->n.n_unreachable++;
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_UNREACHABLE,
					     .peer = *target,
					     .is_proved = is_proved,
					     .took = took },
		     NULL);
}

static void fail(struct router *r, struct seek *k, bool is_proved, nsec now)
{
	k->is_proved = is_proved;
	report_unreachable(r, &k->target, is_proved, now - k->started);
	enter(r, k, SEEK_FAILED, now + UNREACHABLE_MEMORY_NS);
}

/* Twice the round trip that the path promises, and some slack. */
static nsec open_wait(const struct route *route)
{
	nsec rtt = 2 * (nsec)route->cost * 100 * NS_PER_US;

	return time_min(2 * rtt + OPEN_SLACK_NS, OPEN_WAIT_MAX_NS);
}

static bool try_routes(struct router *r, struct seek *k, nsec now)
{
	struct route *route;
	nsec wait;

	for (;;) {
		route = route_best(r, &k->target, k->serial, k->avoid,
				   !k->takes_shared);
		if (route == NULL)
			return false;
		route->tried_by = k->serial;
		if (!route_verify(r, route, now))
			continue;
		wait = open_wait(route);
		k->opening = open_start(r, route, now);
		if (k->opening == 0)
			continue;
		enter(r, k, SEEK_OPENING,
		      time_min(now + wait, overall_deadline(k)));
		return true;
	}
}

static bool has_neighbours(struct router *r)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	if (n->best != NULL)
		return true;
	return false;
}

/* A neighbour is asked alone, over one link; not if that link is what we are
 * to avoid. */
static struct session *shortcut(struct router *r, const struct seek *k)
{
	if (k->n_rings > 0 || (k->avoid != NULL && k->avoid->n == 1))
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

static void start_ring(struct router *r, struct seek *k, uint8_t ttl, nsec now)
{
	struct ring_plan plan = { .target = k->target,
				  .serial = k->serial,
				  .ttl = ttl,
				  .only = shortcut(r, k) };
	struct ring *g = ring_find(r, &k->ring);

	if (!has_neighbours(r)) {
		fail(r, k, true, now);
		return;
	}
	if (g != NULL)
		g->is_last = false;
	if (k->n_rings++ == 0)
		k->probing_since = now;
	if (plan.only != NULL)
		plan.ttl = 1;
	plan.wait = overall_deadline(k) - now;
	g = ring_start(r, &plan, now);
	if (g == NULL) {
		fail(r, k, false, now);
		return;
	}
	k->ring = g->nonce;
	k->ttl = plan.ttl;
	k->ring_at = TIME_NEVER;
	if (k->ttl < RING_TTL_LAST)
		k->ring_at =
			now + k->ttl * RING_LINK_NS +
			(plan.only != NULL ? 2 * session_rtt(plan.only) : 0);
	start_apart(r, k, &plan, now);
	enter(r, k, SEEK_PROBING, TIME_NEVER);
}

static void start_larger_ring(struct router *r, struct seek *k, nsec now)
{
	unsigned ttl = k->n_rings == 0 ? RING_TTL_FIRST : 2u * k->ttl;

	start_ring(r, k, (uint8_t)(ttl < RING_TTL_LAST ? ttl : RING_TTL_LAST),
		   now);
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
static void ring_exhausted(struct router *r, struct seek *k,
			   const struct ring *g, nsec now)
{
	if (!g->replies.has_answer && !replies_have(&g->replies, NAK_TTL) &&
	    !replies_are_flawed(&g->replies)) {
		fail(r, k, true, now);
		return;
	}
	if (k->has_retried) {
		fail(r, k, false, now);
		return;
	}
	k->has_retried = true;
	enter(r, k, SEEK_PAUSING,
	      now + RETRY_MIN_NS + rng_below(&r->rng, RETRY_SPREAD_NS));
}

static void take_held(struct router *r, struct seek *k, nsec now);

/* What to do next when nothing is being opened. */
static void step(struct router *r, struct seek *k, nsec now)
{
	const struct ring *g, *apart;
	bool is_holding = k->hold_at != TIME_NEVER;

	if (try_routes(r, k, now))
		return;
	g = k->n_rings > 0 ? ring_find(r, &k->ring) : NULL;
	if (g == NULL) {
		start_larger_ring(r, k, now);
		return;
	}
	apart = k->takes_shared ? NULL : ring_find(r, &k->apart);
	if (g->replies.n_owed > 0 ||
	    (is_holding && apart != NULL && apart->replies.n_owed > 0))
		enter(r, k, SEEK_PROBING, TIME_NEVER);
	else if (g->is_partial || is_cut(k, g, is_holding ? apart : NULL))
		start_larger_ring(r, k, now);
	else if (is_holding)
		take_held(r, k, now);
	else
		ring_exhausted(r, k, g, now);
}

static void take_held(struct router *r, struct seek *k, nsec now)
{
	k->hold_at = TIME_NEVER;
	k->takes_shared = true;
	step(r, k, now);
}

/* ---- inputs ------------------------------------------------------------ */

void seek_start(struct router *r, const struct node_id *target,
		const struct hop_list *avoid, nsec now)
{
	struct seek *k = seek_find(r, target);

	if (k != NULL && k->state == SEEK_FAILED)
		report_unreachable(r, target, k->is_proved, 0);
	if (k != NULL)
		return;
	if (core_is_self(r, target) || HASH_COUNT(r->seeks.all) >= SEEKS_MAX) {
		report_unreachable(r, target, false, 0);
		return;
	}
	r->n.n_connect++;
	k = mem_new(k);
	k->target = *target;
	k->serial = ++r->seeks.n_started;
	k->started = now;
	k->ring_at = k->hold_at = TIME_NEVER;
	k->takes_shared = avoid == NULL;
	if (avoid != NULL) {
		k->avoid = mem_new(k->avoid);
		*k->avoid = *avoid;
	}
	k->timer.kind = TIMER_SEEK;
	TABLE_ADD(&r->table_key, hh, r->seeks.all, target, sizeof k->target, k);
	step(r, k, now);
}

static struct seek *seek_of(struct router *r, const struct ring *g)
{
	struct seek *k = seek_find(r, &g->target);

	return k != NULL && k->serial == g->serial ? k : NULL;
}

/* An earlier ring is complete: it may prove by itself that there is no path. */
static bool is_proof(const struct ring *g)
{
	return g->replies.n_owed == 0 && !g->is_partial &&
	       !g->replies.has_answer && !replies_have(&g->replies, NAK_TTL) &&
	       !replies_are_flawed(&g->replies);
}

void seek_replied(struct router *r, struct ring *g, nsec now)
{
	struct seek *k = seek_of(r, g);

	if (k == NULL || k->state == SEEK_FAILED)
		return;
	k->was_heard = true;
	if (k->state != SEEK_PROBING)
		return;
	if ((g->is_last || g->is_partial) && g->replies.n_owed == 0)
		step(r, k, now);
	else if (is_proof(g) && k->hold_at == TIME_NEVER)
		fail(r, k, true, now);
	else
		arm(r, k);
}

void seek_answered(struct router *r, struct ring *g, nsec now)
{
	struct seek *k = seek_find(r, &g->target);

	if (k == NULL)
		return;
	if (k->state == SEEK_FAILED) {
		seek_free(r, k);
		return;
	}
	k->was_heard = true;
	if (k->state == SEEK_OPENING)
		return;
	if (!k->takes_shared && k->hold_at == TIME_NEVER)
		k->hold_at = now + HOLD_NS + 2 * (now - g->started);
	step(r, k, now);
}

nsec seek_circuit_up(struct router *r, const struct circuit *c, nsec now)
{
	struct seek *k = seek_find(r, &c->target);
	nsec took;

	if (k == NULL || k->opening != c->no)
		return 0;
	took = now - k->started;
	if (k->n_rings == 0)
		r->n.n_connect_reused++;
	seek_free(r, k);
	return took;
}

void seek_circuit_failed(struct router *r, const struct node_id *target,
			 circuit_no c, nsec now)
{
	struct seek *k = seek_find(r, target);

	if (k == NULL || k->state != SEEK_OPENING || k->opening != c)
		return;
	k->opening = 0;
	if (now >= overall_deadline(k))
		fail(r, k, false, now);
	else
		step(r, k, now);
}

void seeks_session_up(struct router *r)
{
	struct seek *k, *next;

	HASH_ITER (hh, r->seeks.all, k, next)
		if (k->state == SEEK_FAILED)
			seek_free(r, k);
}

static void probing_timeout(struct router *r, struct seek *k, nsec now)
{
	if (now >= k->hold_at) {
		take_held(r, k, now);
	} else if (now >= overall_deadline(k)) {
		fail(r, k, false, now);
	} else if (now >= k->ring_at) {
		start_larger_ring(r, k, now);
	} else {
		arm(r, k);
	}
}

void seek_timeout(struct router *r, struct timer *t, nsec now)
{
	struct seek *k = container_of(t, struct seek, timer);

	switch (k->state) {
	case SEEK_OPENING:
		/* Ends in seek_circuit_failed(). */
		circuit_give_up(r, circuit_find(r, k->opening), now);
		break;
	case SEEK_PROBING:
		probing_timeout(r, k, now);
		break;
	case SEEK_PAUSING:
		if (now >= overall_deadline(k))
			fail(r, k, false, now);
		else
			start_ring(r, k, k->ttl, now);
		break;
	case SEEK_FAILED:
		seek_free(r, k);
		break;
	}
}
