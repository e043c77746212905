#include "node/api/trace.h"

#include <stdlib.h>
#include <utlist.h>

#include "node/io/loop.h"
#include "proto/base/mem.h"

enum {
	ROUNDS = 3,
};

#define ROUND_NS  (50 * NS_PER_MS)
#define SILENT_NS (2 * NS_PER_S) /* after the last round */
/* The quota of tests is short, or a hop is far: what is there by then counts.
 */
#define ASKING_NS (2 * NS_PER_S)

struct trace {
	struct trace *prev, *next;
	struct trace_set *set;
	struct loop *loop;
	struct router *router;
	circuit_no circuit;
	trace_done *done;
	void *ctx;
	struct timer timer;
	nsec began;
	unsigned n_rounds;
	/* Those of this round that the quota has left over begin here. */
	unsigned next_hop;
	unsigned n_awaited; /* receipts */
	struct trace_result result;
};

static void trace_free(struct trace *t)
{
	loop_timer_set(t->loop, &t->timer, TIME_NEVER);
	DL_DELETE(t->set->all, t);
	free(t);
}

static bool is_asking(const struct trace *t)
{
	return t->n_rounds < ROUNDS && loop_now(t->loop) - t->began < ASKING_NS;
}

static void ask(struct trace *t)
{
	nsec now = loop_now(t->loop);

	while (t->next_hop <= t->result.n_hops &&
	       router_test_hop(t->router, t->circuit, t->next_hop, now)) {
		t->next_hop++;
		t->n_awaited++;
	}
	if (t->next_hop > t->result.n_hops) {
		t->next_hop = 1;
		t->n_rounds++;
	}
	loop_timer_set(t->loop, &t->timer,
		       now + (is_asking(t) ? ROUND_NS : SILENT_NS));
}

static void timer_fired(struct timer *timer)
{
	struct trace *t = container_of(timer, struct trace, timer);
	struct circuit_info c;

	if (is_asking(t) && router_circuit_get(t->router, t->circuit, &c)) {
		ask(t);
		return;
	}
	t->done(t->ctx, &t->result);
	trace_free(t);
}

struct trace *trace_new(struct trace_set *set, struct loop *l, struct router *r,
			const struct circuit_info *c, trace_done *done,
			void *ctx)
{
	struct trace *t = mem_new(t);

	t->set = set;
	t->loop = l;
	t->router = r;
	t->circuit = c->circuit;
	t->done = done;
	t->ctx = ctx;
	t->timer.fire = timer_fired;
	t->began = loop_now(l);
	t->next_hop = 1;
	t->result.n_hops = (unsigned)c->hops.n;
	for (unsigned i = 0; i < t->result.n_hops; i++)
		t->result.hop[i].rtt = TIME_NEVER;
	DL_APPEND(set->all, t);
	loop_timer_set(l, &t->timer, loop_now(l));
	return t;
}

void trace_cancel(struct trace *t)
{
	trace_free(t);
}

/* Two traces of one circuit each take what either asked for; so the count of
 * those that are awaited is for ending early, no more. */
static void note(struct trace *t, const struct router_event *ev)
{
	struct trace_hop *h = &t->result.hop[ev->hop - 1];

	h->rtt = time_min(h->rtt, ev->took);
	h->n_packets = ev->n_packets;
	h->n_missing = ev->n_missing;
	if (t->n_awaited > 0)
		t->n_awaited--;
	if (t->n_awaited == 0 && !is_asking(t))
		loop_timer_set(t->loop, &t->timer, loop_now(t->loop));
}

void traces_handle_event(struct trace_set *set, const struct router_event *ev)
{
	struct trace *t;

	DL_FOREACH (set->all, t)
		if (t->circuit == ev->circuit && ev->hop <= t->result.n_hops)
			note(t, ev);
}
