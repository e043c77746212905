#include "circuit/hold/hold_search.h"

#include "circuit/hold/hold_inside.h"
#include "circuit/hold/pathtest.h"

/* Fewer packets than these are no evidence. */
#define LOST_MIN       6
#define DRAIN_SLACK_NS (50 * NS_PER_MS)
#define QUOTA_WAIT_NS  (100 * NS_PER_MS)
#define ANEW_MAX       3

void search_cancel(struct search *s)
{
	*s = (struct search){ .due = TIME_NEVER };
}

static uint64_t draw_token(struct router *r)
{
	uint64_t token;

	do
		token = rng_u64(&r->rng);
	while (token == 0);
	return token;
}

static void ask(struct router *r, struct search *s, unsigned hop, nsec now)
{
	const struct circuit *c = circuit_find(r, s->circuit);

	s->hop = hop;
	s->token = draw_token(r);
	s->n_sent = c->n_packets[TOWARD_TARGET];
	if (pathtest_send(r, c, hop, s->token, now)) {
		s->due = now + s->wait;
		return;
	}
	s->token = 0;
	s->due = now + QUOTA_WAIT_NS;
}

/* A receipt was only late, and what is missing is missing still. */
static bool begins_anew(struct router *r, struct search *s, nsec now)
{
	if (s->kind != SEARCH_SILENCE || s->began_as == SEARCH_SILENCE ||
	    s->n_anew == ANEW_MAX)
		return false;
	s->n_anew++;
	s->kind = s->began_as;
	s->lo = 0;
	s->lost_lo = 0;
	s->hi = (unsigned)circuit_find(r, s->circuit)->n_hops;
	s->phase = SEARCH_FAR;
	ask(r, s, s->hi, now);
	return true;
}

static void finish(struct router *r, struct hold *h, int near, nsec now)
{
	if (near < 0 && begins_anew(r, &h->search, now))
		return;
	/* The circuit stays named until it is dealt with. */
	h->search.phase = SEARCH_IDLE;
	h->search.due = TIME_NEVER;
	hold_searched(r, h, near, now);
	search_cancel(&h->search);
}

/* Both ends of the link are asked once more, the near one first: a count that
 * has grown meanwhile clears the far one. */
static void confirm(struct router *r, struct search *s, nsec now)
{
	if (s->kind != SEARCH_SILENCE && s->lo > 0) {
		s->phase = SEARCH_NEAR_AGAIN;
		ask(r, s, s->lo, now);
	} else {
		s->phase = SEARCH_FAR_AGAIN;
		ask(r, s, s->hi, now);
	}
}

static void halve(struct router *r, struct search *s, nsec now)
{
	s->phase = SEARCH_HALVING;
	if (s->hi - s->lo == 1)
		confirm(r, s, now);
	else
		ask(r, s, (s->lo + s->hi) / 2, now);
}

/* Of what went in.  A count that is too high hides what its owner lost, and
 * shows up behind it. */
static int64_t missing(uint64_t in, uint64_t out)
{
	return in > out && in - out < INT64_MAX ? (int64_t)(in - out) : 0;
}

void search_start(struct router *r, struct hold *h, const struct held *k,
		  enum search_kind kind, nsec now)
{
	const struct gauge_reading *clean = &k->gauge.clean;
	struct search *s = &h->search;

	*s = (struct search){
		.kind = kind,
		.began_as = kind,
		.circuit = k->no,
		.hi = (unsigned)circuit_find(r, k->no)->n_hops,
	};
	s->wait = gauge_wait(&(struct gauge){ .rtt = k->gauge.rtt,
					      .rtt_var = k->gauge.rtt_var },
			     k->expected);
	if (kind == SEARCH_SILENCE) {
		halve(r, s, now);
		return;
	}
	s->lost_before = kind == SEARCH_FORTH
				 ? missing(clean->sent, clean->n_forth)
				 : missing(clean->n_back, clean->received);
	s->phase = SEARCH_DRAINING;
	s->due = now + k->gauge.rtt + DRAIN_SLACK_NS;
}

/* ---- what comes of a test ---------------------------------------------- */

/* Packets lost between us and the hop, ever. */
static int64_t lost_up_to(const struct search *s, const struct circuit *c,
			  const struct msg_receipt *m)
{
	return s->kind == SEARCH_FORTH
		       ? missing(s->n_sent, m->n_forth)
		       : missing(m->n_back, c->n_packets[TOWARD_ORIGIN]);
}

static void far_answered(struct router *r, struct hold *h, int64_t lost,
			 nsec now)
{
	struct search *s = &h->search;

	s->lost_hi = lost;
	s->lost_new = lost - s->lost_before;
	if (s->lost_new < LOST_MIN)
		finish(r, h, -1, now);
	else
		halve(r, s, now);
}

static void middle_answered(struct router *r, struct search *s, int64_t lost,
			    nsec now)
{
	if (s->kind != SEARCH_SILENCE &&
	    lost - s->lost_lo > s->lost_hi - lost) {
		s->hi = s->hop;
		s->lost_hi = lost;
	} else {
		s->lo = s->hop;
		s->lost_lo = lost;
	}
	halve(r, s, now);
}

/* Old losses may all have been on one link: what is new must show above them.
 */
static bool is_proved(const struct search *s)
{
	return s->lost_hi - s->lost_lo >= s->lost_before + s->lost_new / 2;
}

static void answered(struct router *r, struct hold *h, int64_t lost, nsec now)
{
	struct search *s = &h->search;

	switch (s->phase) {
	case SEARCH_FAR:
		far_answered(r, h, lost, now);
		break;
	case SEARCH_HALVING:
		middle_answered(r, s, lost, now);
		break;
	case SEARCH_NEAR_AGAIN:
		s->lost_lo = lost;
		s->phase = SEARCH_FAR_AGAIN;
		ask(r, s, s->hi, now);
		break;
	case SEARCH_FAR_AGAIN:
		s->lost_hi = lost;
		finish(r, h,
		       s->kind != SEARCH_SILENCE && is_proved(s) ? (int)s->lo
								 : -1,
		       now);
		break;
	default:
		break;
	}
}

static void silent(struct router *r, struct hold *h, nsec now)
{
	struct search *s = &h->search;

	r->n.n_receipt_lost++;
	switch (s->phase) {
	case SEARCH_FAR:
		s->kind = SEARCH_SILENCE;
		halve(r, s, now);
		break;
	case SEARCH_HALVING:
		/* Everything up to `lo` has answered. */
		s->kind = SEARCH_SILENCE;
		s->hi = s->hop;
		halve(r, s, now);
		break;
	case SEARCH_FAR_AGAIN:
		finish(r, h, (int)s->lo, now);
		break;
	case SEARCH_NEAR_AGAIN:
		/* It did answer before: now the silence is to be explained. */
		s->kind = SEARCH_SILENCE;
		s->hi = s->lo;
		s->lo = 0;
		halve(r, s, now);
		break;
	default:
		break;
	}
}

bool search_awaits(const struct search *s, circuit_no c,
		   const struct msg_receipt *m)
{
	return s->phase != SEARCH_IDLE && s->circuit == c && s->token != 0 &&
	       s->token == m->token && s->hop == m->hop;
}

void search_handle_receipt(struct router *r, struct hold *h,
			   const struct circuit *c, const struct msg_receipt *m,
			   nsec now)
{
	struct search *s = &h->search;

	s->token = 0;
	s->due = TIME_NEVER;
	answered(r, h, lost_up_to(s, c, m), now);
}

void search_timeout(struct router *r, struct hold *h, nsec now)
{
	struct search *s = &h->search;

	if (s->phase == SEARCH_DRAINING) {
		s->phase = SEARCH_FAR;
		ask(r, s, s->hi, now);
	} else if (s->token == 0) {
		ask(r, s, s->hop, now);
	} else {
		silent(r, h, now);
	}
}
