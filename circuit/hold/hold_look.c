/* Held circuits under test: when to test, and what follows from it.
 * protocol.md 13.3. */
#include <string.h>

#include "circuit/hold/hold_inside.h"
#include "circuit/hold/pathtest.h"
#include "circuit/neighbour/success.h"

/* How often the packet counters are looked at while there is traffic. */
#define LOOK_NS (100 * NS_PER_MS)
/* And how often whether what was sent has an echo. */
#define GLANCE_NS (25 * NS_PER_MS)
/* A circuit that carries much, little or nothing is tested after so long. */
#define TEST_BUSY_NS     (500 * NS_PER_MS)
#define TEST_NS          (5 * NS_PER_S)
#define TEST_IDLE_NS     (35 * NS_PER_S)
#define TEST_IDLE_SPREAD (10 * NS_PER_S)
#define TEST_DOUBT_NS    (250 * NS_PER_MS)
/* Nothing has come for two round trips and this, though something was sent; not
 * sooner after the last test. */
#define TEST_MUTE_NS (100 * NS_PER_MS)
/* Without a packet for so long there is no traffic. */
#define QUIET_NS (5 * NS_PER_S)

/* We come late to look whether a receipt has come: so may others. */
#define LATE_NS (20 * NS_PER_MS)

#define BUSY_PACKETS 64
/* So many that came at one look are not expected to stop. */
#define STREAM_PACKETS 8
#define MISSED         2

/* A node whose circuits do well is forgiven, now and then. */
#define RELIEVE_NS (60 * NS_PER_S)

/* ---- tests ------------------------------------------------------------- */

static nsec wait_of(const struct held *k)
{
	return gauge_wait(&k->gauge, k->expected);
}

static void begin_test(struct router *r, struct held *k, nsec now)
{
	struct circuit *c = circuit_find(r, k->no);
	uint64_t token = rng_u64(&r->rng) | 1;

	if (!pathtest_send(r, c, (unsigned)c->n_hops, token, now)) {
		k->next_test = now + TEST_DOUBT_NS;
		return;
	}
	k->test = (struct test){
		.token = token,
		.sent_at = now,
		.due = now + wait_of(k),
		.doubt_at = now + gauge_doubt(&k->gauge, k->expected),
		.n_sent = c->n_packets[TOWARD_TARGET],
	};
	k->tested_at = now;
	k->next_test = TIME_NEVER;
	memcpy(k->tested, c->n_packets, sizeof k->tested);
}

static void plan_test(struct router *r, const struct hold *h, struct held *k,
		      nsec now)
{
	if (h->next_look != TIME_NEVER)
		k->next_test = now + TEST_NS;
	else
		k->next_test = now + TEST_IDLE_NS +
			       rng_below(&r->rng, TEST_IDLE_SPREAD);
}

/* Nothing has come for longer than what was sent takes to be answered. */
static bool is_mute(const struct router *r, const struct hold *h,
		    const struct held *k, nsec now)
{
	const struct circuit *c = circuit_find(r, k->no);

	return now - h->last_got >= TEST_MUTE_NS + 2 * k->gauge.rtt ||
	       (h->also == 0 && c->unanswered != TIME_NEVER &&
		now - c->unanswered >= gauge_echo(&k->gauge));
}

/* ---- failing ----------------------------------------------------------- */

static void fail(struct router *r, struct hold *h, struct held *k,
		 enum search_kind kind, nsec now)
{
	struct held *spare;

	k->next_test = TIME_NEVER;
	if (h->pinned == k->no) {
		/* By hand: whatever is measured. */
		k->gauge.n_silent = 0;
		plan_test(r, h, k, now);
		return;
	}
	k->has_failed = true;
	if (h->search.phase == SEARCH_IDLE)
		search_start(r, h, k, kind, now);
	if (h->carries == k->no) {
		spare = hold_spare(r, h, k->no, now);
		if (spare != NULL)
			hold_switch(r, h, spare->no, now);
		h->next_seek = now;
	}
	hold_stir(r, h, now);
}

/* Packets have no echo, and now the test has none either, or says that they do
 * not arrive: traffic need not wait for the proof. */
static void leave_early(struct router *r, struct hold *h, const struct held *k,
			nsec now)
{
	const struct held *spare;

	if (h->carries != k->no || h->pinned != 0 || !is_mute(r, h, k, now))
		return;
	spare = hold_spare(r, h, k->no, now);
	if (spare == NULL || spare->gauge.rtt == 0)
		return;
	hold_switch(r, h, spare->no, now);
	h->left = k->no;
}

/* It was only slow to answer. */
static void come_back(struct router *r, struct hold *h, const struct held *k,
		      nsec now)
{
	const struct held *carrying = hold_held(h, h->carries);

	h->left = 0;
	if (carrying != NULL && carrying != k && h->pinned == 0 &&
	    gauge_is_better(gauge_metric(&k->gauge, k->expected),
			    gauge_metric(&carrying->gauge, carrying->expected)))
		hold_switch(r, h, k->no, now);
}

/* Whether we are in time to say that no receipt has come by `*at`; else it is
 * put off, once. */
static bool is_in_time(struct test *t, nsec *at, nsec now)
{
	if (now - *at < LATE_NS || t->is_late)
		return true;
	t->is_late = true;
	*at = now + LATE_NS;
	return false;
}

static void doubt(struct router *r, struct hold *h, struct held *k, nsec now)
{
	if (!is_in_time(&k->test, &k->test.doubt_at, now))
		return;
	k->test.doubt_at = TIME_NEVER;
	leave_early(r, h, k, now);
}

static void silent(struct router *r, struct hold *h, struct held *k, nsec now)
{
	if (!is_in_time(&k->test, &k->test.due, now))
		return;
	r->n.n_receipt_lost++;
	leave_early(r, h, k, now);
	k->late = k->test;
	k->test.token = 0;
	k->test.due = k->test.doubt_at = TIME_NEVER;
	if (++k->gauge.n_silent < 2)
		begin_test(r, k, now);
	else
		fail(r, h, k, SEARCH_SILENCE, now);
}

/* ---- receipts ---------------------------------------------------------- */

static void relieve(struct router *r, struct held *k, const struct circuit *c,
		    nsec now)
{
	if (now - k->relieved_at < RELIEVE_NS)
		return;
	if (k->relieved_at != 0)
		for (size_t i = 0; i + 1 < c->n_hops; i++)
			blame_relieve(r, &c->hops[i].id, now);
	k->relieved_at = now;
}

/* Something is missing, though not enough to tell. */
static bool may_have_begun(const struct router *r, const struct hold *h,
			   const struct held *k, nsec now)
{
	const struct gauge *g = &k->gauge;

	if (g->n_lost < MISSED)
		return g->n_lost > 0 && is_mute(r, h, k, now);
	return h->n_got == 0 || g->n_lost * STREAM_PACKETS >= g->n_in;
}

static nsec again_after(const struct router *r, const struct hold *h,
			const struct held *k, nsec now)
{
	bool hurts = k->no == h->carries && is_mute(r, h, k, now);

	return hurts ? TEST_MUTE_NS : TEST_DOUBT_NS;
}

static enum search_kind lost_more(const struct gauge *g)
{
	return g->lost[0] > g->lost[1] ? SEARCH_FORTH : SEARCH_BACK;
}

static void test_answered(struct router *r, struct hold *h, struct held *k,
			  const struct circuit *c, const struct msg_receipt *m,
			  nsec now)
{
	struct gauge_reading reading = {
		.sent = k->test.n_sent,
		.received = c->n_packets[TOWARD_ORIGIN],
		.n_forth = m->n_forth,
		.n_back = m->n_back,
	};

	gauge_rtt(&k->gauge, now - k->test.sent_at);
	k->test.token = 0;
	k->test.due = k->test.doubt_at = TIME_NEVER;
	k->late.token = 0;
	plan_test(r, h, k, now);
	switch (gauge_read(&k->gauge, &reading)) {
	case GAUGE_GOOD:
		if (k->no == h->left && gauge_has_gap(&k->gauge)) {
			fail(r, h, k, lost_more(&k->gauge), now);
			break;
		}
		if (k->no == h->left)
			come_back(r, h, k, now);
		if (k->no != h->carries)
			break;
		relieve(r, k, c, now);
		if (may_have_begun(r, h, k, now))
			k->next_test = now + again_after(r, h, k, now);
		break;
	case GAUGE_DOUBTFUL:
		k->next_test = now + again_after(r, h, k, now);
		if (k->gauge.is_dark)
			leave_early(r, h, k, now);
		break;
	case GAUGE_FAILS_FORTH:
		fail(r, h, k, SEARCH_FORTH, now);
		break;
	case GAUGE_FAILS_BACK:
		fail(r, h, k, SEARCH_BACK, now);
		break;
	}
	hold_stir(r, h, now);
}

/* Later than we waited for it: the far end lives, and the way is longer. */
static void late_answered(struct held *k, nsec now)
{
	gauge_rtt(&k->gauge, now - k->late.sent_at);
	k->late.token = 0;
	if (k->test.token != 0)
		k->test.due = k->test.sent_at + wait_of(k);
}

static bool is_of(const struct test *t, const struct circuit *c,
		  const struct msg_receipt *m)
{
	return t->token != 0 && t->token == m->token && m->hop == c->n_hops;
}

void hold_handle_receipt(struct router *r, struct circuit *c,
			 const struct msg_receipt *m, nsec now)
{
	struct hold *h = c->is_origin ? hold_find(r, &c->target) : NULL;
	struct held *k = h != NULL ? hold_held(h, c->no) : NULL;
	bool is_search = k != NULL && search_awaits(&h->search, c->no, m);

	if (k == NULL ||
	    (!is_search && !is_of(&k->test, c, m) && !is_of(&k->late, c, m))) {
		r->n.n_receipt_unexpected++;
		return;
	}
	switch (pathtest_check(r, c, m, now)) {
	case RECEIPT_GOOD:
		break;
	case RECEIPT_BAD:
		r->n.n_receipt_bad_signature++;
		return;
	case RECEIPT_UNKNOWN:
		return;
	}
	c->last_packet = now;
	if (is_search)
		search_handle_receipt(r, h, c, m, now);
	else if (is_of(&k->test, c, m))
		test_answered(r, h, k, c, m, now);
	else
		late_answered(k, now);
}

/* ---- traffic ----------------------------------------------------------- */

void hold_traffic(struct router *r, struct circuit *c, nsec now)
{
	struct hold *h = hold_find(r, &c->target);
	struct held *k = h != NULL ? hold_held(h, c->no) : NULL;

	c->wakes_hold = false;
	if (k == NULL || h->next_look != TIME_NEVER)
		return;
	h->last_traffic = h->last_got = now;
	h->next_look = now + LOOK_NS;
	h->next_glance = now + GLANCE_NS;
	for (unsigned i = 0; i < h->n; i++)
		h->held[i].next_test =
			time_min(h->held[i].next_test, now + TEST_NS);
	timers_set(&r->timers, &h->timer,
		   time_min(h->timer.when, now + GLANCE_NS));
}

/* What came in streams has all but stopped, be it done or lost. */
static bool has_collapsed(const struct hold *h, uint64_t got)
{
	return h->n_peak >= STREAM_PACKETS && got * STREAM_PACKETS <= h->n_peak;
}

/* Whether it is worth a test, once that is possible; said once. */
static bool note_rate(struct hold *h, uint64_t got, bool can_test)
{
	if (has_collapsed(h, got) && !can_test)
		return false;
	if (has_collapsed(h, got)) {
		h->n_peak = got;
		return true;
	}
	h->n_peak = h->n_peak * 7 / 8;
	if (got > h->n_peak)
		h->n_peak = got;
	return false;
}

static void lose_patience(struct hold *h)
{
	h->mute_wait = time_min(2 * h->mute_wait + LOOK_NS, TEST_NS);
}

/* Whether the one that carries is due, by what has passed since the last look
 * and since the last test. */
static bool wants_test(const struct router *r, struct hold *h, struct held *k,
		       const struct circuit *c, uint64_t got, nsec now)
{
	uint64_t put = c->n_packets[TOWARD_TARGET] - k->seen[TOWARD_TARGET];
	uint64_t since_test =
		c->n_packets[0] - k->tested[0] + c->n_packets[1] - k->tested[1];
	nsec ago = now - k->tested_at;

	if (got > 0) {
		h->mute_wait = TEST_MUTE_NS;
		h->last_got = now;
	}
	if (note_rate(h, got, k->test.token == 0 && ago >= TEST_MUTE_NS))
		return true;
	if (since_test >= BUSY_PACKETS && ago >= TEST_BUSY_NS)
		return true;
	if (put > 0 && is_mute(r, h, k, now) && ago >= h->mute_wait) {
		lose_patience(h);
		return true;
	}
	return since_test > 0 && ago >= TEST_NS;
}

/* What has come in since the last look: the echo of what goes over two circuits
 * comes over either. */
static uint64_t count_got(const struct router *r, struct hold *h)
{
	circuit_no both[] = { h->carries, h->also };
	uint64_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		struct held *k = hold_held(h, both[i]);
		const uint64_t *is;

		if (k == NULL)
			continue;
		is = circuit_find(r, k->no)->n_packets;
		n += is[TOWARD_ORIGIN] - k->seen[TOWARD_ORIGIN];
		if (i > 0)
			memcpy(k->seen, is, sizeof k->seen);
	}
	return n;
}

static void look(struct router *r, struct hold *h, nsec now)
{
	struct held *k = hold_held(h, h->carries);
	const struct circuit *c;
	uint64_t got;

	h->next_look = now + LOOK_NS;
	if (k == NULL) {
		h->next_look = h->next_glance = TIME_NEVER;
		return;
	}
	c = circuit_find(r, k->no);
	if (memcmp(k->seen, c->n_packets, sizeof k->seen) != 0)
		h->last_traffic = now;
	got = count_got(r, h);
	if (!k->has_failed && wants_test(r, h, k, c, got, now) &&
	    k->test.token == 0)
		k->next_test = now;
	h->n_got = got;
	h->n_put = c->n_packets[TOWARD_TARGET] - k->seen[TOWARD_TARGET];
	memcpy(k->seen, c->n_packets, sizeof k->seen);
	if (k->gauge.n_silent > 0)
		leave_early(r, h, k, now);
	if (now - h->last_traffic < QUIET_NS)
		return;
	h->next_look = h->next_glance = TIME_NEVER;
	for (unsigned i = 0; i < h->n; i++)
		circuit_find(r, h->held[i].no)->wakes_hold = true;
}

void hold_glance(struct router *r, struct hold *h, nsec now)
{
	struct held *k = hold_held(h, h->carries);
	const struct circuit *c = k != NULL ? circuit_find(r, k->no) : NULL;
	nsec at;

	if (now < h->next_glance)
		return;
	h->next_glance = c != NULL ? now + GLANCE_NS : TIME_NEVER;
	/* The answer to what goes over two may come over the other one. */
	if (c == NULL || c->unanswered == TIME_NEVER || h->also != 0)
		return;
	at = c->unanswered + gauge_echo(&k->gauge);
	if (now < at) {
		h->next_glance = time_min(h->next_glance, at);
		return;
	}
	if (!k->has_failed && k->test.token == 0 &&
	    now - k->tested_at >= h->mute_wait) {
		lose_patience(h);
		k->next_test = now;
	}
}

void hold_tests_timeout(struct router *r, struct hold *h, nsec now)
{
	if (now >= h->next_look)
		look(r, h, now);
	for (unsigned i = 0; i < h->n; i++) {
		struct held *k = &h->held[i];

		if (now >= k->test.due)
			silent(r, h, k, now);
		else if (now >= k->test.doubt_at)
			doubt(r, h, k, now);
		else if (!k->has_failed && k->test.token == 0 &&
			 now >= k->next_test)
			begin_test(r, k, now);
	}
}
