#include "circuit/search/seek.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "circuit/search/rounds.h"
#include "circuit/search/seek_inside.h"
#include "proto/base/mem.h"

/* How long a path that shares links with the one to avoid is held back. */
#define HOLD_NS (200 * NS_PER_MS)
/* How long an OPEN may take besides twice its expected time. */
#define OPEN_SLACK_NS    (300 * NS_PER_MS)
#define OPEN_WAIT_MAX_NS (3 * NS_PER_S)

static void seek_free(struct router *r, struct seek *k)
{
	HASH_DEL(r->seeks.all, k);
	timers_cancel(&r->timers, &k->timer);
	free(k->avoid);
	free(k->to);
	free(k);
}

void seeks_init(struct router *r, nsec now)
{
	bucket_init_slow(&r->seeks.floods, FLOOD_ORIGIN_NS, FLOOD_ORIGIN_BURST,
			 now);
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

nsec seek_deadline(const struct seek *k)
{
	nsec latest = k->started + PROBE_DEADLINE_MAX_MS * NS_PER_MS;

	if (k->was_heard || k->n_probes == 0 || k->way == SEEK_BY_ROUNDS ||
	    k->is_last_resort)
		return latest;
	return time_min(latest, k->probing_since + PROBE_SILENT_MS * NS_PER_MS);
}

static void arm(struct router *r, struct seek *k)
{
	nsec when = k->step_at;

	if (k->state == SEEK_PROBING)
		when = time_min(time_min(k->next_at, k->hold_at),
				seek_deadline(k));
	timers_set(&r->timers, &k->timer, when);
}

void seek_enter(struct router *r, struct seek *k, enum seek_state state,
		nsec step_at)
{
	k->state = state;
	k->step_at = step_at;
	arm(r, k);
}

/* ---- steps ------------------------------------------------------------- */

/* False if only a spare was missed, while another circuit stands. */
static bool report_unreachable(struct router *r, const struct node_id *target,
			       bool is_proved, nsec took, nsec now)
{
	if (hold_unreachable(r, target, now))
		return false;
	r->n.n_unreachable++;
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_UNREACHABLE,
					     .peer = *target,
					     .is_proved = is_proved,
					     .took = took },
		     NULL);
	return true;
}

void seek_fail(struct router *r, struct seek *k, bool is_proved, nsec now)
{
	bool is_news = report_unreachable(r, &k->target, is_proved,
					  now - k->started, now);

	k->is_proved = is_proved;
	seek_enter(r, k, SEEK_FAILED,
		   is_news ? now + UNREACHABLE_MEMORY_NS : now);
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
				   !k->takes_shared, now);
		if (route == NULL)
			return false;
		route->tried_by = k->serial;
		if (!route_verify(r, route, now))
			continue;
		wait = open_wait(route);
		k->opening = open_start(r, route, now);
		if (k->opening == 0)
			continue;
		seek_enter(r, k, SEEK_OPENING,
			   time_min(now + wait, seek_deadline(k)));
		return true;
	}
}

void seek_step(struct router *r, struct seek *k, nsec now)
{
	if (try_routes(r, k, now))
		return;
	if (k->way == SEEK_UNDECIDED)
		k->way = rounds_apply(r, now) ? SEEK_BY_ROUNDS : SEEK_BY_RINGS;
	if (k->way == SEEK_BY_ROUNDS)
		rounds_step(r, k, now);
	else
		seek_rings_step(r, k, now);
}

bool seek_is_holding(const struct seek *k)
{
	return k->hold_at != TIME_NEVER;
}

void seek_take_held(struct router *r, struct seek *k, nsec now)
{
	k->hold_at = TIME_NEVER;
	k->takes_shared = true;
	seek_step(r, k, now);
}

static void again(struct router *r, struct seek *k, nsec now)
{
	if (k->way == SEEK_BY_ROUNDS)
		rounds_again(r, k, now);
	else
		seek_rings_again(r, k, now);
}

/* ---- inputs ------------------------------------------------------------ */

void seek_start(struct router *r, const struct node_id *target,
		const struct hop_list *avoid, nsec now)
{
	struct seek *k = seek_find(r, target);

	if (k != NULL && k->state == SEEK_FAILED)
		report_unreachable(r, target, k->is_proved, 0, now);
	if (k != NULL)
		return;
	if (core_is_self(r, target) || HASH_COUNT(r->seeks.all) >= SEEKS_MAX) {
		r->n.n_seeks_full += !core_is_self(r, target);
		report_unreachable(r, target, false, 0, now);
		return;
	}
	r->n.n_connect++;
	k = mem_new(k);
	k->target = *target;
	k->serial = ++r->seeks.n_started;
	k->started = now;
	k->next_at = k->hold_at = TIME_NEVER;
	k->takes_shared = avoid == NULL;
	if (avoid != NULL) {
		k->avoid = mem_new(k->avoid);
		*k->avoid = *avoid;
	}
	k->timer.kind = TIMER_SEEK;
	TABLE_ADD(&r->table_key, hh, r->seeks.all, target, sizeof k->target, k);
	seek_step(r, k, now);
}

void seek_hurry(struct router *r, const struct node_id *target, nsec now)
{
	struct seek *k = seek_find(r, target);

	if (k == NULL || k->is_urgent)
		return;
	k->is_urgent = true;
	k->takes_shared = true;
	if (k->state == SEEK_PROBING && seek_is_holding(k))
		seek_take_held(r, k, now);
	else if (k->state == SEEK_PAUSING)
		again(r, k, now);
}

struct seek *seek_of(struct router *r, const struct ring *g)
{
	struct seek *k = seek_find(r, &g->target);

	return k != NULL && k->serial == g->serial ? k : NULL;
}

void seek_replied(struct router *r, struct ring *g, nsec now)
{
	struct seek *k = seek_of(r, g);

	if (k == NULL || k->state == SEEK_FAILED)
		return;
	k->was_heard = true;
	if (k->state != SEEK_PROBING)
		return;
	if (k->way == SEEK_BY_ROUNDS)
		rounds_replied(r, k, g, now);
	else
		seek_rings_replied(r, k, g, now);
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
	if (!k->takes_shared && !seek_is_holding(k))
		k->hold_at = now + HOLD_NS + 2 * (now - g->started);
	seek_step(r, k, now);
}

void seek_looked_up(struct router *r, const struct node_id *id,
		    enum lookup_verdict verdict, nsec now)
{
	struct seek *k = seek_find(r, id);

	if (k != NULL && k->state == SEEK_LOOKING_UP)
		rounds_looked_up(r, k, verdict, now);
}

nsec seek_circuit_up(struct router *r, const struct circuit *c, nsec now)
{
	struct seek *k = seek_find(r, &c->target);
	nsec took;

	if (k == NULL || k->opening != c->no)
		return 0;
	took = now - k->started;
	if (k->n_probes == 0)
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
	if (now >= seek_deadline(k))
		seek_fail(r, k, false, now);
	else
		seek_step(r, k, now);
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
		seek_take_held(r, k, now);
	} else if (now >= seek_deadline(k)) {
		seek_fail(r, k, false, now);
	} else if (now >= k->next_at) {
		if (k->way == SEEK_BY_ROUNDS)
			rounds_late(r, k, now);
		else
			seek_rings_late(r, k, now);
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
	case SEEK_LOOKING_UP:
		rounds_lookup_late(r, k, now);
		break;
	case SEEK_PAUSING:
		if (now >= seek_deadline(k))
			seek_fail(r, k, false, now);
		else
			again(r, k, now);
		break;
	case SEEK_FAILED:
		seek_free(r, k);
		break;
	}
}
