#include "circuit/probe/steer.h"

#include <string.h>

#include <utlist.h>

#include "circuit/probe/copy.h"
#include "circuit/core.h"
#include "circuit/path.h"
#include "circuit/record/record.h"
#include "circuit/probe/seen.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

/* Percent by which a round's scores are blurred, for each round before it. */
#define NOISE_PERCENT 15
/* From this round on a relay tries two neighbours at once. */
#define ROUND_OF_TWO 3
/* A node counts as avoided so often at most. */
#define OBJECTIONS_MAX 4
/* A neighbour is silent after twice the round trip that is left, and this. */
#define SILENCE_NS (30 * NS_PER_MS)

/* ---- scores ------------------------------------------------------------ */

static uint32_t nearest_tree(struct router *r, const struct neighbour *n,
			     const struct locator *to)
{
	uint32_t best = COORD_DISTANCE_NONE;

	for (unsigned i = 0; i < TREES; i++) {
		uint32_t d = coord_distance(tree_coord_of(r, n, i),
					    coord_ref(&to->tree[i]));

		if (d < best)
			best = d;
	}
	return best;
}

static uint32_t distance(struct router *r, const struct neighbour *n,
			 const struct steering *how)
{
	if (how->tree >= TREES)
		return nearest_tree(r, n, how->to);
	return coord_distance(tree_coord_of(r, n, how->tree),
			      coord_ref(&how->to->tree[how->tree]));
}

static bool is_avoided(const struct node_id *id, const struct steering *how)
{
	uint32_t tag;

	if (how->n_avoid == 0)
		return false;
	tag = avoid_tag(how->nonce, id);
	for (size_t i = 0; i < how->n_avoid; i++)
		if (how->avoid[i] == tag)
			return true;
	return false;
}

/* Who drops is blamed again and again, an honest node beside it once. */
static unsigned n_objections(const struct router *r, const struct node_id *id,
			     const struct steering *how, nsec now)
{
	unsigned n = blame_of(r, id, now);

	if (n == 0)
		return is_avoided(id, how) ? 1 : 0;
	return n < OBJECTIONS_MAX ? n : OBJECTIONS_MAX;
}

uint32_t steer_score(struct router *r, const struct neighbour *n,
		     const struct steering *how, nsec now)
{
	uint32_t score = session_cost(n->best);
	uint32_t d;

	if (id_equal(&n->id, how->target))
		return score;
	d = distance(r, n, how);
	if (d == COORD_DISTANCE_NONE)
		return UINT32_MAX;
	score = success_weigh(n, score + d);
	for (unsigned i = n_objections(r, &n->id, how, now); i > 0; i--)
		score = blame_weigh(score);
	if (how->round > 0)
		score += (uint32_t)rng_below(
			&r->rng,
			(uint64_t)score * NOISE_PERCENT * how->round / 100 + 1);
	return score;
}

/* ---- the next hop ------------------------------------------------------ */

static bool was_tried(const struct copy *c, const struct neighbour *n)
{
	const struct session *s;

	DL_FOREACH (n->sessions, s)
		if (replies_was_sent(&c->replies, s->no))
			return true;
	return false;
}

static bool may_go_to(const struct copy *c, const struct neighbour *n)
{
	return n->best != NULL && !id_equal(&n->id, &c->probe->key.origin) &&
	       !path_has(c->hops, c->n_hops, &n->id) && !was_tried(c, n);
}

static struct neighbour *best_of(struct router *r, const struct copy *c,
				 const struct steering *how, uint32_t *score,
				 nsec now)
{
	struct neighbour *n, *next, *best = NULL;
	uint32_t s;

	*score = UINT32_MAX;
	NEIGHBOURS_EACH(r, n, next)
	{
		if (!may_go_to(c, n))
			continue;
		s = steer_score(r, n, how, now);
		if (s < *score) {
			*score = s;
			best = n;
		}
	}
	return best;
}

/* The target's own words about the way to it: a tree that we do not know as it
 * does leads on from us if we are on its path. */
static struct neighbour *along_path(struct router *r, const struct copy *c,
				    uint32_t *score)
{
	for (unsigned t = 0; t < TREES; t++) {
		const struct coord *at = &c->steered->to.tree[t];

		for (size_t i = 0; i + 1 < at->n; i++) {
			struct neighbour *n;

			if (!core_is_self(r, &at->hop[i].id))
				continue;
			n = neighbour_find(r, &at->hop[i + 1].id);
			if (n == NULL || !may_go_to(c, n))
				break;
			*score = (uint32_t)(at->hop[at->n - 1].cost -
					    at->hop[i].cost);
			return n;
		}
	}
	return NULL;
}

static struct steering steering_of(const struct copy *c)
{
	return (struct steering){
		.target = &c->probe->target,
		.nonce = &c->probe->key.nonce,
		.tree = c->tree,
		.round = c->steered->round,
		.to = &c->steered->to,
		.avoid = c->steered->avoid,
		.n_avoid = c->steered->n_avoid,
	};
}

/* On its tree; else, as that one is unknown here, by what we know of the target
 * ourselves. */
static struct neighbour *next_hop(struct router *r, const struct copy *c,
				  uint32_t *score, nsec now)
{
	struct steering how = steering_of(c);
	struct neighbour *n = best_of(r, c, &how, score, now);
	const struct record *rec;

	if (n == NULL)
		n = along_path(r, c, score);
	if (n != NULL)
		return n;
	rec = record_cached(r, how.target, now);
	if (rec == NULL)
		return NULL;
	how.to = &rec->at;
	how.tree = TREE_ANY;
	return best_of(r, c, &how, score, now);
}

/* ---- sending ----------------------------------------------------------- */

void steer_write(const struct router *r, struct msg_probe *p,
		 const struct steering *how, uint16_t budget)
{
	const uint8_t *chain =
		core_is_self(r, &p->origin)
			? r->config.chain
			: keyring_chain(r, &p->origin, &p->chain_len);

	if (chain == r->config.chain)
		p->chain_len = r->config.chain_len;
	if (chain == NULL)
		p->chain_len = 0;
	else
		memcpy(p->chain, chain, p->chain_len);
	p->tree = (uint8_t)how->tree;
	p->round = (uint8_t)how->round;
	p->budget = budget;
	for (unsigned t = 0; t < TREES; t++)
		if (how->tree == t || how->tree == TREE_ANY)
			p->to.tree[t] = how->to->tree[t];
	p->n_avoid = how->n_avoid;
	if (how->n_avoid > 0)
		memcpy(p->avoid, how->avoid, how->n_avoid * sizeof *p->avoid);
}

static void arm(struct router *r, struct copy *c)
{
	timers_set(&r->timers, &c->timer,
		   time_min(c->steered->silent_at, c->steered->patience));
}

static void send(struct router *r, struct copy *c, const struct neighbour *n,
		 uint16_t give, uint32_t score, nsec now)
{
	struct steered *w = c->steered;
	struct steering how = steering_of(c);
	nsec rtt = 2 * (nsec)score * 100 * NS_PER_US;
	struct msg_probe *p;

	w->budget = (uint16_t)(w->budget - 1 - give);
	if (give > w->given)
		w->given = give;
	w->silent_at = now + 2 * rtt + SILENCE_NS;
	p = copy_send(r, c, n->best, w->patience - now);
	steer_write(r, p, &how, give);
	arm(r, c);
}

/* Whether a reply can be here in time.  One that is not the target needs some
 * to look further; else it would be blamed for being silent. */
static bool has_time(const struct copy *c, const struct neighbour *n, nsec now)
{
	nsec until = c->steered->patience;
	nsec left = until > now ? until - now : 0;

	if (id_equal(&n->id, &c->probe->target))
		return left > session_rtt(n->best);
	return copy_patience(n->best, (uint32_t)(left / NS_PER_MS)) > 0;
}

/* To one neighbour more; `shares` leaves half of the budget for the next. */
static bool forward(struct router *r, struct copy *c, bool shares, nsec now)
{
	struct neighbour *n;
	uint32_t score;
	unsigned give;

	if (c->steered->budget == 0) {
		r->n.n_probe_budget++;
		replies_note(&c->replies, NAK_BUDGET);
		return false;
	}
	n = next_hop(r, c, &score, now);
	if (n == NULL) {
		replies_note(&c->replies, NAK_DEAD_END);
		return false;
	}
	if (!has_time(c, n, now)) {
		replies_note(&c->replies, NAK_TIMEOUT);
		return false;
	}
	give = c->steered->budget - 1u;
	send(r, c, n, (uint16_t)(shares ? give / 2 : give), score, now);
	return true;
}

/* ---- relaying ---------------------------------------------------------- */

/* Unlike all copies that were passed on: another node before us, and at most
 * half of the nodes before us in common with any of them. */
static bool is_apart(const struct seen *e, const struct hop_list *path)
{
	const struct copy *c;

	DL_FOREACH (e->copies, c) {
		struct hop_list other = { .n = c->n_hops };

		memcpy(other.hop, c->hops, c->n_hops * sizeof *c->hops);
		if (!seen_are_apart(e, path, &other))
			return false;
	}
	return true;
}

bool steer_wants(const struct seen *e, const struct hop_list *path)
{
	if (e->n_forwarded == 0)
		return true;
	if (e->n_forwarded >= STEER_COPIES_MAX)
		return false;
	return !seen_was_forwarded_from(e, path) &&
	       (path_cost(path->hop, path->n) * 10 < e->relayed_cost * 9 ||
		is_apart(e, path));
}

enum nak_code steer_unwanted(const struct seen *e, unsigned tree)
{
	const struct copy *c;

	DL_FOREACH (e->copies, c)
		if (c->tree == tree)
			return NAK_DEAD_END;
	return NAK_DUPLICATE;
}

static struct steered *steered_of(const struct msg_probe *p, nsec patience)
{
	struct steered *w = mem_new(w);

	w->round = p->round;
	w->budget = p->budget;
	if (w->budget > PROBE_BUDGET_MAX)
		w->budget = PROBE_BUDGET_MAX;
	w->silent_at = TIME_NEVER;
	w->patience = patience;
	w->to = p->to;
	w->n_avoid = p->n_avoid;
	memcpy(w->avoid, p->avoid, p->n_avoid * sizeof *w->avoid);
	return w;
}

static void refuse(struct router *r, const struct session *s,
		   const struct msg_probe *p, enum nak_code code)
{
	core_send_nak(r, s->no, &p->origin, &p->nonce, p->tree, code)->budget =
		p->budget;
}

void steer_relay(struct router *r, struct session *s, struct seen *e,
		 const struct msg_probe *p, const struct hop_list *path,
		 nsec now)
{
	nsec wait = copy_patience(s, p->deadline_ms);
	bool is_double = p->round >= ROUND_OF_TWO;
	struct copy *c;

	if (path->n >= e->ttl) {
		r->n.n_probe_ttl++;
		refuse(r, s, p, NAK_TTL);
		return;
	}
	if (wait == 0) {
		refuse(r, s, p, NAK_TIMEOUT);
		return;
	}
	c = copy_new(r, e, s->no, p->tree, path, now + wait);
	c->steered = steered_of(p, now + wait);
	if (!forward(r, c, is_double, now)) {
		copy_end(r, c, replies_sum(&c->replies));
		copy_free(r, c);
		return;
	}
	seen_note_forwarded(e, path_cost(path->hop, path->n));
	if (is_double)
		forward(r, c, false, now);
}

static void ask_for_reporter(struct router *r, struct session *s,
			     const struct msg_nak *n, nsec now)
{
	struct id_list missing = { 0 };

	asking_miss(r, &missing, &n->reporter, now);
	asking_send(r, s, &missing, now);
}

/* A lost copy has failed, a duplicate and a quota say nothing of the way. */
static bool is_failure(enum nak_code code)
{
	return code != NAK_DUPLICATE && code != NAK_RATE;
}

void steer_nak(struct router *r, struct session *s, struct copy *c,
	       const struct msg_nak *n, nsec now)
{
	struct steered *w = c->steered;

	if (is_failure(n->code))
		success_note(s->peer, OUTCOME_BEYOND);
	if (w == NULL)
		return;
	w->budget = (uint16_t)(w->budget +
			       (n->budget < w->given ? n->budget : w->given));
	w->given = 0;
	if (n->has_blame && n->code == NAK_TIMEOUT && !w->blame.has_blame) {
		w->blame = *n;
		ask_for_reporter(r, s, n, now);
	}
}

void steer_repair(struct router *r, struct copy *c, enum nak_code code,
		  nsec now)
{
	struct steered *w = c->steered;

	if (c->is_told)
		return;
	/* What went with it is lost, or half of it. */
	if (code == NAK_LINK) {
		w->budget = (uint16_t)(w->budget + w->given / 2);
		w->given = 0;
	}
	if (code != NAK_DUPLICATE && now < w->patience &&
	    forward(r, c, false, now)) {
		r->n.n_repairs++;
		return;
	}
	if (c->replies.n_owed == 0)
		copy_end(r, c, replies_sum(&c->replies));
}

/* The one that has been silent for longest, and with whom we say so. */
static void blame_silent(struct router *r, struct copy *c)
{
	struct msg_nak *b = &c->steered->blame;
	struct session *s;

	*b = (struct msg_nak){ 0 };
	for (size_t i = 0; i < c->replies.n; i++) {
		const struct reply_owed *o = &c->replies.sent[i];

		s = o->is_owed ? session_find(r, o->session) : NULL;
		if (s == NULL)
			continue;
		success_note(s->peer, OUTCOME_SILENT);
		if (b->has_blame)
			continue;
		*b = (struct msg_nak){
			.origin = c->probe->key.origin,
			.nonce = c->probe->key.nonce,
			.tree = c->tree,
			.code = NAK_TIMEOUT,
			.has_blame = true,
			.reporter = r->config.self.id,
			.next = s->peer->id,
		};
	}
	if (!b->has_blame)
		return;
	msg_nak_seal(b);
	core_sign(r, b->sig, SIGN_NAK, b->body, sizeof b->body);
}

void steer_timeout(struct router *r, struct copy *c, nsec now)
{
	struct steered *w = c->steered;

	if (now >= w->patience) {
		blame_silent(r, c);
		copy_end(r, c, NAK_TIMEOUT);
		return;
	}
	w->silent_at = TIME_NEVER;
	w->budget = (uint16_t)(w->budget + w->given / 2);
	w->given = 0;
	if (forward(r, c, false, now))
		r->n.n_repairs++;
	else
		arm(r, c);
}
