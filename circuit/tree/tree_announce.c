/* Telling neighbours where we are, and children that the root lives:
 * protocol.md 10.4. */
#include <string.h>

#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"

/* A node with thousands of neighbours has a signature to make for each, and
 * must do other things meanwhile. */
#define SOON_NS   (2 * NS_PER_MS)
#define SPREAD_NS (200 * NS_PER_US) /* a neighbour */
#define REMIND_NS NS_PER_S
#define LEVELS    11
/* A change that concerns all comes in several steps: so many are not slowed. */
#define LEVELS_QUICK 4
/* Changes with less between them than twice the hold-down lengthen it, and more
 * than four times shorten it; and at least these times. */
#define PAUSE_SHORT_NS (6 * NS_PER_S)
#define PAUSE_LONG_NS  (12 * NS_PER_S)

static struct tree_branch *branch_of(const struct neighbour *n,
				     const struct tree *t)
{
	return &n->trees->branch[t->no];
}

static nsec soon(struct router *r, nsec now)
{
	nsec spread = HASH_COUNT(r->neighbours.all) * SPREAD_NS;

	return now + SOON_NS + rng_below(&r->rng, spread);
}

/* ---- hold-down --------------------------------------------------------- */

static nsec hold_of_level(unsigned level)
{
	if (level < LEVELS_QUICK)
		return TREE_HOLD_MIN_NS;
	return time_min(NS_PER_S << (level - LEVELS_QUICK), TREE_HOLD_MAX_NS);
}

/* Of a better root there can be news only so often: between two of them it is
 * lost, and that is held down. */
static bool is_better_root(const struct tree *t, const struct tree_branch *b)
{
	return t->at->rank < b->told_rank;
}

static nsec longer(nsec a, nsec b)
{
	return a > b ? a : b;
}

static nsec hold_of(const struct tree *t, const struct tree_branch *b)
{
	return is_better_root(t, b) ? TREE_HOLD_MIN_NS
				    : hold_of_level(b->level);
}

/* Whoever has withdrawn a place gives what he withdraws time to spread, lest
 * his next place be one that is void already. */
static nsec held_until(const struct tree *t, const struct tree_branch *b)
{
	nsec when = 0;

	if (b->told_at != 0)
		when = b->told_at + hold_of(t, b);
	if (b->gone_at != 0)
		when = longer(when, b->gone_at + TREE_HOLD_MIN_NS);
	return when;
}

static bool is_short_pause(unsigned level, nsec pause)
{
	return pause < longer(2 * hold_of_level(level), PAUSE_SHORT_NS);
}

static nsec long_pause(unsigned level)
{
	return longer(4 * hold_of_level(level), PAUSE_LONG_NS);
}

static void note_told(const struct tree *t, struct tree_branch *b, nsec now)
{
	nsec pause = now - b->told_at;

	if (b->told_at != 0 && b->level + 1 < LEVELS && !is_better_root(t, b) &&
	    is_short_pause(b->level, pause))
		b->level++;
	for (; b->level > 0 && pause > long_pause(b->level); b->level--)
		pause -= long_pause(b->level);
	b->told_at = now;
}

/* ---- what a neighbour should know -------------------------------------- */

/* Who does not relay is of use to nobody but the parent, which has to know its
 * children. */
static bool is_to_know(const struct router *r, const struct tree *t,
		       const struct neighbour *n)
{
	return t->at != NULL && (r->config.transit || n == t->parent);
}

static bool has_moved(uint16_t old, uint16_t new)
{
	uint32_t apart = old > new ? old - new : new - old;

	return apart * 5 > old;
}

static bool is_behind(const struct router *r, const struct tree *t,
		      const struct neighbour *n)
{
	const struct tree_branch *b = branch_of(n, t);

	if (!is_to_know(r, t, n))
		return b->told == TOLD_PLACE;
	return b->told != TOLD_PLACE || b->told_version != t->version ||
	       has_moved(b->told_link, session_cost(n->best));
}

/* ---- sending ----------------------------------------------------------- */

static void send_beat(struct router *r, struct tree *t, struct neighbour *n,
		      nsec now)
{
	branch_of(n, t)->beat_at = now;
	core_send(r, n->best->no, MSG_BEAT)->beat.root = t->newest;
}

static void send_gone(struct router *r, struct tree *t, struct neighbour *n,
		      nsec now)
{
	struct msg_beacon *m = &core_send(r, n->best->no, MSG_BEACON)->beacon;
	struct tree_branch *b = branch_of(n, t);

	memset(m, 0, sizeof *m);
	m->root = (struct tree_root){ .tree = (uint8_t)t->no,
				      .root = r->config.self.id,
				      .issued_ms = core_wall(r, now) };
	tree_root_seal(&m->root);
	m->n = 1;
	m->hop[0].id = r->config.self.id;
	b->told = TOLD_GONE;
	b->gone_at = now;
}

static void send_place(struct router *r, struct tree *t, struct neighbour *n,
		       nsec now)
{
	struct msg_beacon *m = &core_send(r, n->best->no, MSG_BEACON)->beacon;
	struct tree_branch *b = branch_of(n, t);
	uint8_t payload[TREE_HOP_PAYLOAD_BYTES];
	struct tree_hop *own;

	place_write(m, t->at);
	own = &m->hop[m->n++];
	own->id = r->config.self.id;
	own->cost = session_cost(n->best);
	tree_hop_payload(payload, t->at->chain, &n->id, own->cost);
	core_sign(r, own->sig, SIGN_TREE_HOP, payload, sizeof payload);
	note_told(t, b, now);
	b->told = TOLD_PLACE;
	b->is_void = false;
	b->told_link = own->cost;
	b->told_rank = t->at->rank;
	b->told_version = t->version;
	r->n.n_beacon_sent++;
	if (t->newest.issued_ms > t->at->root.issued_ms)
		send_beat(r, t, n, now);
}

/* Says what may be said now; when to look again. */
static nsec tell(struct router *r, struct tree *t, struct neighbour *n,
		 nsec now)
{
	struct tree_branch *b = branch_of(n, t);

	if (!is_behind(r, t, n))
		return TIME_NEVER;
	if (b->told == TOLD_PLACE && (b->is_void || !is_to_know(r, t, n)))
		send_gone(r, t, n, now);
	if (!is_to_know(r, t, n))
		return TIME_NEVER;
	if (held_until(t, b) > now)
		return held_until(t, b);
	send_place(r, t, n, now);
	return TIME_NEVER;
}

/* ---- timers ------------------------------------------------------------ */

static void set_timer(struct router *r, struct tree_peer *p)
{
	nsec when = TIME_NEVER;

	for (unsigned i = 0; i < TREES; i++)
		when = time_min(when, time_min(p->branch[i].due,
					       p->branch[i].beat_due));
	timers_set(&r->timers, &p->timer, when);
}

void tree_peer_timeout(struct router *r, struct timer *timer, nsec now)
{
	struct tree_peer *p = container_of(timer, struct tree_peer, timer);

	for (unsigned i = 0; i < TREES; i++) {
		struct tree *t = r->trees.tree[i];
		struct tree_branch *b = &p->branch[i];

		if (b->due <= now)
			b->due = tell(r, t, p->n, now);
		if (b->beat_due > now)
			continue;
		b->beat_due = TIME_NEVER;
		if (t->at != NULL && b->told == TOLD_PLACE)
			send_beat(r, t, p->n, now);
	}
	set_timer(r, p);
}

void tree_announce_to(struct router *r, struct tree *t, struct neighbour *n,
		      nsec now)
{
	struct tree_branch *b;
	nsec when;

	if (n->trees == NULL || !is_behind(r, t, n))
		return;
	b = branch_of(n, t);
	when = soon(r, now);
	if (is_to_know(r, t, n) && !(b->told == TOLD_PLACE && b->is_void) &&
	    held_until(t, b) > when)
		when = held_until(t, b);
	if (b->due > when)
		b->due = when;
	set_timer(r, n->trees);
}

void tree_void(struct router *r, struct tree *t)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	if (n->trees != NULL)
		branch_of(n, t)->is_void = true;
}

void tree_announce(struct router *r, struct tree *t, nsec now)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	tree_announce_to(r, t, n, now);
}

static void beat_soon(struct router *r, struct tree *t, struct neighbour *n,
		      nsec now)
{
	struct tree_branch *b = branch_of(n, t);

	if (b->beat_due == TIME_NEVER)
		b->beat_due = soon(r, now);
	set_timer(r, n->trees);
}

void tree_beat_to(struct router *r, struct tree *t, struct neighbour *n,
		  nsec now)
{
	const struct tree_branch *b = branch_of(n, t);

	if (b->told == TOLD_PLACE && now - b->told_at > REMIND_NS &&
	    now - b->beat_at > REMIND_NS &&
	    t->newest.issued_ms > t->at->root.issued_ms)
		beat_soon(r, t, n, now);
}

void tree_beat_children(struct router *r, struct tree *t, nsec now)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	{
		const struct place *p =
			n->trees != NULL ? branch_of(n, t)->place : NULL;

		if (n->trees != NULL &&
		    (p == NULL || p->is_child || p->rank > t->at->rank))
			beat_soon(r, t, n, now);
	}
}
