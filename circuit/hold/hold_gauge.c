#include "circuit/hold/hold_gauge.h"

#define WAIT_SLACK_NS (100 * NS_PER_MS)
#define WAIT_MIN_NS   (150 * NS_PER_MS)
#define WAIT_MAX_NS   (3 * NS_PER_S)
#define DOUBT_NS      (30 * NS_PER_MS)
/* Over the 25 ms that QUIC may hold an acknowledgement back. */
#define ECHO_NS (40 * NS_PER_MS)

/* Fewer packets than these say little. */
enum {
	DARK_AT_ONCE = 32, /* none of so many has come */
	DARK_TWICE = 6,    /* the same, in two readings */
	PARTIAL = 32,      /* half of so many, in two readings */
	CLEAN = 8,         /* at most one in so many is lost */
	UNCLEAN_MAX = 3,   /* so often in a row is usual */
	LOSS_SAMPLE = 64,
	GAP = 16,        /* one in so many */
	AHEAD_MAX = 512, /* some ms of a fast link; more is a lie */
};

/* What a loss costs: some round trips, and the timers of whoever repairs it. */
#define LOSS_ROUND_TRIPS 4
#define LOSS_NS          (100 * NS_PER_MS)

#define BETTER_BY_NS (1 * NS_PER_MS)

void gauge_rtt(struct gauge *g, nsec rtt)
{
	nsec apart = rtt > g->rtt ? rtt - g->rtt : g->rtt - rtt;

	g->n_silent = 0;
	if (g->rtt == 0) {
		g->rtt = rtt > 0 ? rtt : 1;
		g->rtt_var = rtt / 2;
		return;
	}
	g->rtt_var = (3 * g->rtt_var + apart) / 4;
	g->rtt = (7 * g->rtt + rtt) / 8;
}

struct flow {
	uint64_t in, lost, ahead;
};

static uint64_t over(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Between two readings of one direction.  A counter that falls, or that says
 * more than was put in, is taken for what it can be at best.  Packets may
 * overtake the test which counts them: `ahead` of those that were put in now
 * had arrived at the reading before. */
static struct flow flow_between(uint64_t in, uint64_t in_then, uint64_t out,
				uint64_t out_then, uint64_t ahead)
{
	struct flow f = { .in = over(over(in, in_then), ahead) };
	uint64_t arrived = over(out, out_then);

	f.lost = over(f.in, arrived);
	f.ahead = over(arrived, f.in);
	if (f.ahead > AHEAD_MAX)
		f.ahead = AHEAD_MAX;
	return f;
}

static struct flow forth(const struct gauge_reading *now,
			 const struct gauge_reading *then, uint64_t ahead)
{
	return flow_between(now->sent, then->sent, now->n_forth, then->n_forth,
			    ahead);
}

static struct flow back(const struct gauge_reading *now,
			const struct gauge_reading *then, uint64_t ahead)
{
	return flow_between(now->n_back, then->n_back, now->received,
			    then->received, ahead);
}

static bool is_bad(struct flow f)
{
	return f.in >= 2 && 2 * f.lost >= f.in;
}

/* Nothing arrives any more.  What was lost just before counts: the end of what
 * arrived may lie within a reading that was good as a whole. */
static bool is_dark(struct flow f, struct flow since_clean)
{
	return f.in >= 2 && f.lost == f.in && since_clean.lost >= DARK_TWICE;
}

/* `is_more`: packets have been put in since the last reading, if that was bad.
 * A burst that a queue had no room for does not become worse by being counted
 * twice. */
static bool has_failed(struct flow f, struct flow since_clean, unsigned n_bad,
		       bool is_more)
{
	if (n_bad == 0)
		return false;
	if (f.lost == f.in)
		return f.in >= DARK_AT_ONCE ||
		       (n_bad >= 2 && is_dark(f, since_clean));
	return n_bad >= 2 && is_more && f.in >= PARTIAL;
}

static void smooth_loss(struct gauge *g, const struct gauge_reading *now)
{
	struct flow a = forth(now, &g->mark, 0), b = back(now, &g->mark, 0);
	uint64_t sample = 0;
	int apart;

	if (a.in < LOSS_SAMPLE && b.in < LOSS_SAMPLE)
		return;
	if (a.in > 0)
		sample += 255 * a.lost / a.in;
	if (b.in > 0)
		sample += 255 * b.lost / b.in;
	apart = (int)(sample > 255 ? 255 : sample) - g->loss;
	/* Rounded away from where it is, so that it arrives. */
	g->loss = (uint8_t)(g->loss + (apart + (apart > 0 ? 3 : -3)) / 4);
	g->mark = *now;
}

/* The last reading, with what it says of both ways, is where the next one
 * begins. */
static enum gauge_verdict good(struct gauge *g, struct flow a, struct flow b)
{
	bool is_clean = g->n_lost * CLEAN <= g->n_in;

	/* What is unusual may be the beginning of the end. */
	if (g->n_in > 0 && (is_clean || ++g->n_unclean >= UNCLEAN_MAX)) {
		g->clean = g->last;
		g->n_unclean = 0;
	}
	g->good = g->last;
	g->ahead[0] = a.ahead;
	g->ahead[1] = b.ahead;
	g->n_bad[0] = g->n_bad[1] = 0;
	g->n_doubted = 0;
	return GAUGE_GOOD;
}

enum gauge_verdict gauge_read(struct gauge *g, const struct gauge_reading *now)
{
	struct flow a = forth(now, &g->good, g->ahead[0]);
	struct flow b = back(now, &g->good, g->ahead[1]);
	struct flow more_a = forth(now, &g->clean, 0);
	struct flow more_b = back(now, &g->clean, 0);
	bool is_more = a.in + b.in != g->n_doubted;

	g->last = *now;
	smooth_loss(g, now);
	g->n_in = a.in + b.in;
	g->n_lost = a.lost + b.lost;
	g->lost[0] = a.lost;
	g->lost[1] = b.lost;
	g->is_dark = false;
	g->n_bad[0] = is_bad(a) ? g->n_bad[0] + 1 : 0;
	g->n_bad[1] = is_bad(b) ? g->n_bad[1] + 1 : 0;
	if (has_failed(a, more_a, g->n_bad[0], is_more))
		return GAUGE_FAILS_FORTH;
	if (has_failed(b, more_b, g->n_bad[1], is_more))
		return GAUGE_FAILS_BACK;
	if (g->n_bad[0] == 0 && g->n_bad[1] == 0)
		return good(g, a, b);
	/* Without more packets it will not become any clearer. */
	if (!is_more)
		return good(g, a, b);
	g->n_doubted = a.in + b.in;
	g->is_dark = is_dark(a, more_a) || is_dark(b, more_b);
	return GAUGE_DOUBTFUL;
}

bool gauge_has_gap(const struct gauge *g)
{
	return g->n_lost >= DARK_AT_ONCE && g->n_lost * GAP >= g->n_in;
}

void gauge_forgive(struct gauge *g)
{
	g->n_silent = 0;
	good(g, forth(&g->last, &g->good, g->ahead[0]),
	     back(&g->last, &g->good, g->ahead[1]));
}

nsec gauge_wait(const struct gauge *g, nsec expected)
{
	nsec wait = g->rtt != 0 ? g->rtt + 4 * g->rtt_var : 2 * expected;

	wait = (wait + WAIT_SLACK_NS) << (g->n_silent > 0 ? 2 : 0);
	if (wait < WAIT_MIN_NS)
		return WAIT_MIN_NS;
	return time_min(wait, WAIT_MAX_NS);
}

nsec gauge_doubt(const struct gauge *g, nsec expected)
{
	if (g->rtt == 0)
		return gauge_wait(g, expected);
	return g->rtt + 4 * g->rtt_var + DOUBT_NS;
}

nsec gauge_echo(const struct gauge *g)
{
	return g->rtt + 2 * g->rtt_var + ECHO_NS;
}

nsec gauge_metric(const struct gauge *g, nsec expected)
{
	nsec rtt = g->rtt != 0 ? g->rtt : expected;

	return rtt + g->loss * (LOSS_ROUND_TRIPS * rtt + LOSS_NS) / 255;
}

bool gauge_is_better(nsec metric, nsec than)
{
	return metric + metric / 5 + BETTER_BY_NS < than;
}
