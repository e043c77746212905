/* What neighbours say of their places, and signs of life: protocol.md 10.2. */
#include <stdlib.h>
#include <string.h>

#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"

static bool take_token(struct router *r, struct session *s, nsec now)
{
	if (s->peer->trees != NULL &&
	    bucket_take(&s->peer->trees->beacons, now))
		return true;
	r->n.n_beacon_rate++;
	return false;
}

static bool is_in_time(const struct router *r, const struct tree_root *root,
		       nsec now)
{
	uint64_t wall = core_wall(r, now);

	return root->issued_ms <= wall + CLOCK_SKEW_MS &&
	       root->issued_ms + TREE_LIFE_S * UINT64_C(1000) > wall;
}

/* The one who says it is nowhere: a root without network. */
static bool is_withdrawal(const struct msg_beacon *b)
{
	return b->n == 1 && b->root.n_nodes == 0;
}

/* What a neighbour has said of a root does not go back. */
static bool is_replayed(const struct place *old, const struct msg_beacon *b)
{
	return old != NULL && id_equal(&old->root.root, &b->root.root) &&
	       b->root.issued_ms < old->root.issued_ms;
}

static bool is_acceptable(struct router *r, struct session *s,
			  const struct tree_branch *branch,
			  const struct msg_beacon *b, nsec now)
{
	if (!id_equal(&b->hop[b->n - 1].id, &s->peer->id)) {
		r->n.n_beacon_bad_signature++;
		return false;
	}
	if (!is_withdrawal(b) &&
	    (!is_in_time(r, &b->root, now) || is_replayed(branch->place, b))) {
		r->n.n_beacon_stale++;
		return false;
	}
	return true;
}

/* Those that we do not use are verified now and then, so that a liar is found
 * out before we need him. */
static void sample(struct router *r, struct tree *t, struct neighbour *n,
		   nsec now)
{
	struct place *p = n->trees->branch[t->no].place;
	struct id_list missing = { 0 };

	if (p == NULL || p->state != PLACE_NEW || p->is_loop ||
	    rng_below(&r->rng, TREE_SAMPLE) != 0)
		return;
	place_missing(r, p, &missing, now);
	if (missing.n > 0)
		return;
	switch (place_verify(r, p, now)) {
	case SIGNED_OK:
		p->state = PLACE_GOOD;
		break;
	case SIGNED_BAD:
		r->n.n_beacon_bad_signature++;
		tree_drop_place(t, n);
		break;
	case SIGNED_RATE:
		break;
	}
}

/* It does not know of our root, or holds it for dead: what shows the contrary
 * may have been lost. */
static void remind(struct router *r, struct tree *t, struct neighbour *n,
		   const struct place *p, nsec now)
{
	if (t->at != NULL && (p == NULL || p->rank > t->at->rank))
		tree_beat_to(r, t, n, now);
}

/* The old place keeps what was heard of its root since. */
static void replace(struct tree_branch *b, struct place *p)
{
	struct place *old = b->place;

	if (old != NULL && p != NULL &&
	    id_equal(&old->root.root, &p->root.root)) {
		p->beat = old->beat;
		old->beat = NULL;
	}
	place_free(old);
	b->place = p;
}

static void store(struct router *r, struct tree *t, struct neighbour *n,
		  const struct msg_beacon *m, nsec now)
{
	struct tree_branch *b = &n->trees->branch[t->no];
	struct place *p = is_withdrawal(m) ? NULL : place_new(r, m);

	if (p != NULL && p->is_loop)
		r->n.n_beacon_loop++;
	if (p != NULL && b->place != NULL && b->place->state != PLACE_FAILED &&
	    place_is_alike(b->place, p)) {
		place_free(p);
		return;
	}
	replace(b, p);
	if (n == t->parent || (p != NULL && tree_matters(r, t, n, p)))
		tree_choose(r, t, now);
	sample(r, t, n, now);
	remind(r, t, n, b->place, now);
}

/* The identities are there for which it waited. */
static void resume(struct router *r, struct tree *t, struct neighbour *n,
		   const struct msg_beacon *m, nsec now)
{
	struct place *p = n->trees->branch[t->no].place;

	if (!place_awaits(p, m))
		return;
	p->state = PLACE_NEW;
	tree_choose(r, t, now);
}

void tree_handle_beacon(struct router *r, struct session *s,
			const struct msg *m, enum arrival how, nsec now)
{
	const struct msg_beacon *b = &m->beacon;
	struct tree *t = r->trees.tree[b->root.tree];
	struct tree_peer *peer = s->peer->trees;

	if (how == ARRIVAL_RESUMED) {
		resume(r, t, s->peer, b, now);
		return;
	}
	if (take_token(r, s, now) &&
	    is_acceptable(r, s, &peer->branch[t->no], b, now))
		store(r, t, s->peer, b, now);
}

/* ---- signs of life ----------------------------------------------------- */

/* Of our own root: passed on to our children. */
static void beat_of_ours(struct router *r, struct tree *t,
			 const struct tree_root *root, nsec now)
{
	switch (core_verify(r, root->sig, &root->root, SIGN_TREE_ROOT,
			    root->body, sizeof root->body, now)) {
	case SIGNED_OK:
		t->newest = *root;
		tree_set_timer(r, t, now);
		tree_beat_children(r, t, now);
		break;
	case SIGNED_BAD:
		r->n.n_beat_bad_signature++;
		break;
	case SIGNED_RATE:
		break;
	}
}

/* Of another root: kept beside the path, and verified with it. */
static void beat_of_other(struct router *r, struct tree *t, struct place *p,
			  const struct tree_root *root, nsec now)
{
	if (p->beat == NULL)
		p->beat = mem_new(p->beat);
	*p->beat = *root;
	if (p->state == PLACE_GOOD)
		p->state = PLACE_NEW;
	if (p->rank < tree_own_rank(r, t))
		tree_choose(r, t, now);
}

void tree_handle_beat(struct router *r, struct session *s,
		      const struct msg_beat *m, nsec now)
{
	const struct tree_root *root = &m->root;
	struct tree *t = r->trees.tree[root->tree];
	bool is_ours = t->at != NULL && id_equal(&t->newest.root, &root->root);
	struct place *p;

	if (!take_token(r, s, now))
		return;
	p = s->peer->trees->branch[t->no].place;
	if (p == NULL || !id_equal(&p->root.root, &root->root) ||
	    root->issued_ms <= place_issued_ms(p) ||
	    (is_ours && root->issued_ms <= t->newest.issued_ms) ||
	    !is_in_time(r, root, now)) {
		r->n.n_beat_stale++;
		return;
	}
	if (core_is_self(r, &root->root))
		return;
	if (is_ours)
		beat_of_ours(r, t, root, now);
	else
		beat_of_other(r, t, p, root, now);
}
