/* Which root, and which neighbour to be behind: protocol.md 10.3. */
#include <string.h>

#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"

/* A tree that has just got its root has other things to do than to keep apart:
 * costs change all over it.  Not all at once, or they would run into each
 * other's paths. */
#define SETTLE_NS        (2 * NS_PER_S)
#define SETTLE_SPREAD_NS (4 * NS_PER_S)

/* Until a place is verified again for want of tokens or room. */
#define CHECK_AGAIN_NS     NS_PER_S
#define FAILED_AGAIN_NS    (2 * NS_PER_S)
#define FAILED_DOUBLED_MAX 5

struct choice {
	struct neighbour *n; /* NULL: none */
	struct place *p;
	uint32_t cost;
};

/* ---- who can be a parent ----------------------------------------------- */

static bool has_living_root(const struct router *r, const struct tree *t,
			    const struct place *p, nsec now)
{
	uint64_t issued_ms = place_issued_ms(p);

	if (t->at != NULL && id_equal(&t->newest.root, &p->root.root) &&
	    t->newest.issued_ms > issued_ms)
		issued_ms = t->newest.issued_ms;
	return tree_is_alive(r, issued_ms, now) &&
	       p->root.issued_ms + TREE_LIFE_S * UINT64_C(1000) >
		       core_wall(r, now);
}

/* Renewals of a root's beacon only go forward: an older path could be one that
 * led over ourselves. */
static bool is_outdated(const struct tree *t, const struct place *p)
{
	return id_equal(&t->last_root, &p->root.root) &&
	       p->root.issued_ms < t->last_issued_ms;
}

static bool is_eligible(const struct router *r, const struct tree *t,
			const struct neighbour *n, const struct place *p,
			nsec now)
{
	return p != NULL && n->best != NULL && !p->is_loop &&
	       p->state != PLACE_CHECKING && p->state != PLACE_FAILED &&
	       p->n < TREE_PATH_MAX && p->rank < tree_own_rank(r, t) &&
	       !is_outdated(t, p) && has_living_root(r, t, p, now);
}

/* A parent in no tree before this one: what fails one of them then leaves the
 * others. */
static bool is_apart(const struct router *r, const struct tree *t,
		     const struct neighbour *n)
{
	for (unsigned i = 0; i < t->no; i++)
		if (r->trees.tree[i]->parent == n)
			return false;
	return true;
}

static struct place *place_of(const struct neighbour *n, unsigned no)
{
	return n->trees != NULL ? n->trees->branch[no].place : NULL;
}

static bool is_better(const struct choice *a, const struct choice *b)
{
	if (b->n == NULL)
		return true;
	if (a->p->rank != b->p->rank)
		return a->p->rank < b->p->rank;
	return a->cost < b->cost;
}

/* `best` is the cheapest of all.  The parent we have is judged more mildly, by
 * a fifth, so that costs that waver do not move us. */
static bool is_good_apart(const struct router *r, const struct tree *t,
			  const struct choice *c, const struct choice *best)
{
	uint32_t slack = c->n == t->parent ? best->cost / 5 : 0;

	return is_apart(r, t, c->n) && c->p->rank == best->p->rank &&
	       c->cost <= 2 * (best->cost + slack) &&
	       place_depth(c->p) < best->cost + slack;
}

/* The cheapest; with `among`, of those that are good enough beside that one and
 * apart. */
static struct choice find_best(struct router *r, struct tree *t,
			       const struct choice *among, nsec now)
{
	struct choice best = { 0 };
	struct neighbour *n, *next;

	NEIGHBOURS_EACH(r, n, next)
	{
		struct choice c = { .n = n, .p = place_of(n, t->no) };

		if (!is_eligible(r, t, n, c.p, now))
			continue;
		c.cost = place_cost(c.p, n);
		if (among != NULL && !is_good_apart(r, t, &c, among))
			continue;
		if (is_better(&c, &best))
			best = c;
	}
	return best;
}

static struct choice current(const struct router *r, const struct tree *t,
			     nsec now)
{
	struct choice c = { .n = t->parent };

	if (c.n == NULL)
		return c;
	c.p = place_of(c.n, t->no);
	if (!is_eligible(r, t, c.n, c.p, now))
		return (struct choice){ 0 };
	c.cost = place_cost(c.p, c.n);
	return c;
}

static bool is_much_cheaper(uint32_t new, uint32_t old)
{
	return new * 5 < old * 4;
}

static struct choice pick(struct router *r, struct tree *t, nsec now)
{
	struct choice best = find_best(r, t, NULL, now);
	struct choice cur = current(r, t, now);
	struct choice apart = { 0 };

	if (best.n == NULL)
		return best;
	if (t->no > 0 && t->settled <= now)
		apart = find_best(r, t, &best, now);
	if (cur.n == NULL || cur.p->rank != best.p->rank)
		return apart.n != NULL ? apart : best;
	if (apart.n != NULL && (!is_good_apart(r, t, &cur, &best) ||
				is_much_cheaper(apart.cost, cur.cost)))
		return apart;
	if (t->no > 0 && is_good_apart(r, t, &cur, &best))
		return cur;
	return is_much_cheaper(best.cost, cur.cost) ? best : cur;
}

bool tree_matters(const struct router *r, const struct tree *t,
		  const struct neighbour *n, const struct place *p)
{
	uint32_t cost;

	if (n == t->parent || t->at == NULL)
		return true;
	if (p->is_loop || p->rank >= tree_own_rank(r, t) ||
	    p->rank > t->at->rank)
		return false;
	if (p->rank < t->at->rank)
		return true;
	cost = place_cost(t->at, t->parent);
	if (is_much_cheaper(place_cost(p, n), cost))
		return true;
	return t->no > 0 && is_apart(r, t, n) && !is_apart(r, t, t->parent);
}

/* ---- checking ---------------------------------------------------------- */

void tree_drop_place(struct tree *t, struct neighbour *n)
{
	struct tree_branch *b = &n->trees->branch[t->no];

	place_free(b->place);
	b->place = NULL;
}

static void look_again(struct router *r, struct tree *t, struct place *p,
		       enum place_state state, nsec when, nsec now)
{
	p->state = state;
	p->retry = when;
	t->retry = time_min(t->retry, when);
	tree_set_timer(r, t, now);
}

static void ask(struct router *r, struct tree *t, struct choice *c,
		const struct id_list *missing, nsec now)
{
	struct msg *m = mem_new(m);
	nsec when = now + CHECK_AGAIN_NS;

	m->type = MSG_BEACON;
	place_write(&m->beacon, c->p);
	if (asking_park(r, c->n->best, m, missing, now))
		when += PARKED_MAX_NS;
	look_again(r, t, c->p, PLACE_CHECKING, when, now);
	free(m);
}

static void check(struct router *r, struct tree *t, struct choice *c, nsec now)
{
	struct id_list missing = { 0 };

	place_missing(r, c->p, &missing, now);
	if (missing.n > 0) {
		ask(r, t, c, &missing, now);
		return;
	}
	switch (place_verify(r, c->p, now)) {
	case SIGNED_OK:
		c->p->state = PLACE_GOOD;
		break;
	case SIGNED_BAD:
		r->n.n_beacon_bad_signature++;
		tree_drop_place(t, c->n);
		break;
	case SIGNED_RATE:
		look_again(r, t, c->p, PLACE_CHECKING, now + CHECK_AGAIN_NS,
			   now);
		break;
	}
}

void tree_check_again(struct router *r, struct tree *t, nsec now)
{
	struct neighbour *n, *next;

	if (t->retry > now)
		return;
	t->retry = TIME_NEVER;
	NEIGHBOURS_EACH(r, n, next)
	{
		struct place *p = place_of(n, t->no);

		if (p == NULL || p->state == PLACE_GOOD ||
		    p->state == PLACE_NEW)
			continue;
		if (p->retry <= now)
			p->state = PLACE_NEW;
		else
			t->retry = time_min(t->retry, p->retry);
	}
}

void tree_give_up(struct router *r, struct session *s,
		  const struct msg_beacon *b, nsec now)
{
	struct tree *t = r->trees.tree[b->root.tree];
	struct place *p = place_of(s->peer, t->no);
	unsigned doubled;

	if (!place_awaits(p, b))
		return;
	doubled = p->n_failed < FAILED_DOUBLED_MAX ? p->n_failed
						   : FAILED_DOUBLED_MAX;
	p->n_failed++;
	look_again(r, t, p, PLACE_FAILED, now + (FAILED_AGAIN_NS << doubled),
		   now);
	tree_choose(r, t, now);
}

/* ---- being somewhere --------------------------------------------------- */

static void set_locator(struct router *r, struct tree *t, nsec now)
{
	struct coord c = { 0 };
	const struct place *p = t->at;

	if (p != NULL) {
		if (p->n > 0)
			memcpy(c.hop, p->coord, p->n * sizeof *p->coord);
		c.n = p->n + 1;
		c.hop[p->n].id = r->config.self.id;
		c.hop[p->n].cost = place_end(p);
	}
	t->version++;
	if (coord_equal(coord_ref(&c), coord_ref(&r->trees.at.tree[t->no])))
		return;
	r->trees.at.tree[t->no] = c;
	r->trees.version++;
	records_moved(r, now);
}

void tree_move(struct router *r, struct tree *t, struct place *at,
	       struct neighbour *parent, nsec now)
{
	if (parent != t->parent)
		r->n.n_parent_changes++;
	place_free(t->at);
	t->at = at;
	t->parent = parent;
	set_locator(r, t, now);
}

static void note_root(struct router *r, struct tree *t, const struct choice *c,
		      nsec now)
{
	const struct tree_root *root = &c->p->root;
	bool is_same = id_equal(&t->newest.root, &root->root);

	if (c->p->beat != NULL && c->p->beat->issued_ms > root->issued_ms)
		root = c->p->beat;
	if (!is_same) {
		r->n.n_root_changes++;
		t->settled =
			now + SETTLE_NS + rng_below(&r->rng, SETTLE_SPREAD_NS);
	}
	if (!is_same || root->issued_ms > t->newest.issued_ms)
		t->newest = *root;
	t->last_root = c->p->root.root;
	t->last_issued_ms = c->p->root.issued_ms;
}

/* Whether we go because we have to: the parent has no place any more, or leads
 * to a worse root.  Else the way that we had is still there. */
static bool is_driven(struct router *r, const struct tree *t,
		      const struct choice *c, nsec now)
{
	return t->parent != NULL &&
	       (c->p->rank > t->at->rank || current(r, t, now).n == NULL);
}

static void adopt(struct router *r, struct tree *t, struct choice *c, nsec now)
{
	struct place *old =
		t->parent != NULL ? place_of(t->parent, t->no) : NULL;

	if (old != NULL)
		old->is_ours = false;
	if (is_driven(r, t, c, now))
		tree_void(r, t);
	note_root(r, t, c, now);
	c->p->is_ours = true;
	t->wait = t->beat = t->refresh = TIME_NEVER;
	tree_move(r, t, place_copy(c->p), c->n, now);
	tree_set_timer(r, t, now);
	tree_announce(r, t, now);
}

static void lose(struct router *r, struct tree *t, nsec now)
{
	if (t->at == NULL || (t->parent == NULL && r->config.transit))
		return;
	t->beat = t->refresh = TIME_NEVER;
	tree_move(r, t, NULL, NULL, now);
	tree_await_root(r, t, now);
	tree_announce(r, t, now);
}

void tree_leave(struct router *r, struct tree *t, nsec now)
{
	t->wait = t->beat = t->refresh = TIME_NEVER;
	if (t->at != NULL)
		tree_move(r, t, NULL, NULL, now);
	timers_cancel(&r->timers, &t->timer);
}

/* What the parent says now is being verified: until then we stay. */
static bool is_checking_parent(const struct tree *t)
{
	const struct place *p =
		t->parent != NULL ? place_of(t->parent, t->no) : NULL;

	return p != NULL && p->state == PLACE_CHECKING;
}

static void choose_in(struct router *r, struct tree *t, nsec now)
{
	struct choice c;

	for (;;) {
		if (is_checking_parent(t))
			return;
		c = pick(r, t, now);
		if (c.n == NULL) {
			lose(r, t, now);
			return;
		}
		if (c.p->state == PLACE_GOOD)
			break;
		check(r, t, &c, now);
	}
	if (c.n != t->parent || !c.p->is_ours)
		adopt(r, t, &c, now);
}

void tree_choose(struct router *r, struct tree *t, nsec now)
{
	for (unsigned i = t->no; i < TREES; i++) {
		const struct neighbour *parent = r->trees.tree[i]->parent;

		choose_in(r, r->trees.tree[i], now);
		if (r->trees.tree[i]->parent == parent && i == t->no)
			break;
	}
}
