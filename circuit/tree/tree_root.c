/* Being the root of a tree, and the time that roots live: protocol.md 10.5. */
#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"

/* A root repeats its first beats sooner: its estimate of the network grows, and
 * whoever came late learns of it. */
#define BEAT_FIRST_NS (5 * NS_PER_S)

/* While a better one is being verified. */
#define WAIT_CHECK_NS (200 * NS_PER_MS)

bool tree_is_alive(const struct router *r, uint64_t issued_ms, nsec now)
{
	return issued_ms + TREE_ROOT_DEAD_MS > core_wall(r, now);
}

uint64_t tree_own_rank(const struct router *r, const struct tree *t)
{
	return r->config.transit ? t->own_rank : UINT64_MAX;
}

/* The time that a tree without root waits for us is the longer, the better
 * others are fit: so few announce themselves. */
void tree_await_root(struct router *r, struct tree *t, nsec now)
{
	t->wait = TIME_NEVER;
	if (r->config.transit)
		t->wait = now + ((t->own_rank >> 32) * TREE_ROOT_WAIT_NS >> 32);
	tree_set_timer(r, t, now);
}

/* By the records that it keeps; at least itself and its neighbours, which it
 * knows for certain. */
static uint32_t estimate(const struct router *r)
{
	uint32_t n = records_n_nodes(r);
	uint32_t sure = HASH_COUNT(r->neighbours.all) + 1;

	return n > sure ? n : sure;
}

/* Never twice the same time: it tells which statement is newer. */
static void sign_root(struct router *r, struct tree *t, struct tree_root *out,
		      nsec now)
{
	uint64_t wall = core_wall(r, now);

	if (t->own_issued_ms >= wall)
		wall = t->own_issued_ms + 1;
	t->own_issued_ms = wall;
	*out = (struct tree_root){
		.tree = (uint8_t)t->no,
		.root = r->config.self.id,
		.issued_ms = wall,
		.n_nodes = estimate(r),
	};
	tree_root_seal(out);
	core_sign(r, out->sig, SIGN_TREE_ROOT, out->body, sizeof out->body);
}

static void become_root(struct router *r, struct tree *t, nsec now)
{
	sign_root(r, t, &t->newest, now);
	r->n.n_root_changes++;
	t->wait = TIME_NEVER;
	t->beat_gap = BEAT_FIRST_NS;
	t->beat = now + t->beat_gap;
	t->refresh = now + TREE_REFRESH_NS;
	t->last_root = r->config.self.id;
	t->last_issued_ms = t->newest.issued_ms;
	tree_move(r, t, place_of_root(&t->newest, t->own_rank), NULL, now);
	tree_announce(r, t, now);
}

static void refresh(struct router *r, struct tree *t, nsec now)
{
	sign_root(r, t, &t->newest, now);
	t->refresh = now + TREE_REFRESH_NS;
	t->beat = now + t->beat_gap;
	tree_move(r, t, place_of_root(&t->newest, t->own_rank), NULL, now);
	tree_announce(r, t, now);
}

static void beat(struct router *r, struct tree *t, nsec now)
{
	sign_root(r, t, &t->newest, now);
	t->beat_gap = time_min(2 * t->beat_gap, TREE_BEAT_NS);
	t->beat = now + t->beat_gap;
	tree_beat_children(r, t, now);
}

/* ---- time -------------------------------------------------------------- */

/* When the root we follow is dead if nothing is heard of it until then. */
static nsec death(const struct router *r, const struct tree *t, nsec now)
{
	uint64_t wall = core_wall(r, now);
	uint64_t dead = t->newest.issued_ms + TREE_ROOT_DEAD_MS;
	uint64_t old = t->at->root.issued_ms + TREE_LIFE_S * UINT64_C(1000);

	dead = dead < old ? dead : old;
	/* Overdue, but the parent's last word is still being verified. */
	if (dead <= wall)
		return now + NS_PER_S;
	return now + (dead - wall) * NS_PER_MS;
}

void tree_set_timer(struct router *r, struct tree *t, nsec now)
{
	nsec when = t->retry;

	if (t->settled > now)
		when = time_min(when, t->settled);
	if (t->at == NULL)
		when = time_min(when, t->wait);
	else if (t->parent == NULL)
		when = time_min(when, time_min(t->beat, t->refresh));
	else
		when = time_min(when, death(r, t, now));
	timers_set(&r->timers, &t->timer, when);
}

/* Somebody better is heard of, but has not been verified yet. */
static bool is_checking(struct router *r, const struct tree *t)
{
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	{
		const struct place *p =
			n->trees != NULL ? n->trees->branch[t->no].place : NULL;

		if (p != NULL && p->state == PLACE_CHECKING &&
		    p->rank < tree_own_rank(r, t))
			return true;
	}
	return false;
}

static void wait_over(struct router *r, struct tree *t, nsec now)
{
	if (is_checking(r, t))
		t->wait = now + WAIT_CHECK_NS;
	else
		become_root(r, t, now);
}

void tree_timeout(struct router *r, struct timer *timer, nsec now)
{
	struct tree *t = container_of(timer, struct tree, timer);

	tree_check_again(r, t, now);
	tree_choose(r, t, now);
	if (t->at == NULL && t->wait == TIME_NEVER)
		tree_await_root(r, t, now);
	else if (t->at == NULL && t->wait <= now)
		wait_over(r, t, now);
	else if (t->refresh <= now)
		refresh(r, t, now);
	else if (t->beat <= now)
		beat(r, t, now);
	tree_announce(r, t, now);
	tree_set_timer(r, t, now);
}
