#include "circuit/hold/trace.h"

#include <stdlib.h>

#include <utlist.h>

#include "circuit/core.h"
#include "circuit/hold/pathtest.h"
#include "proto/base/mem.h"

/* A receipt that takes longer is not waited for. */
#define PATIENCE_NS (10 * NS_PER_S)

enum {
	TESTS_MAX = 256, /* under way */
};

struct trace_test {
	struct trace_test *prev, *next;
	circuit_no circuit;
	unsigned hop;
	uint64_t token;
	uint64_t n_sent; /* packets, before it */
	nsec sent_at;
};

static void drop(struct traces *all, struct trace_test *t)
{
	DL_DELETE(all->tests, t);
	all->n--;
	free(t);
}

void traces_deinit(struct router *r)
{
	while (r->traces.tests != NULL)
		drop(&r->traces, r->traces.tests);
}

bool router_test_hop(struct router *r, circuit_no no, unsigned hop, nsec now)
{
	const struct circuit *c = circuit_find(r, no);
	struct traces *all = &r->traces;
	struct trace_test *t;

	while (all->tests != NULL && all->tests->sent_at + PATIENCE_NS <= now)
		drop(all, all->tests);
	if (c == NULL || !c->is_origin || c->state != CIRCUIT_ESTABLISHED ||
	    hop < 1 || hop > c->n_hops || all->n == TESTS_MAX)
		return false;
	t = mem_new(t);
	*t = (struct trace_test){
		.circuit = no,
		.hop = hop,
		.token = rng_u64(&r->rng) | 1,
		.n_sent = c->n_packets[TOWARD_TARGET],
		.sent_at = now,
	};
	if (!pathtest_send(r, c, hop, t->token, now)) {
		free(t);
		return false;
	}
	DL_APPEND(all->tests, t);
	all->n++;
	return true;
}

static uint64_t missing(uint64_t in, uint64_t out)
{
	return in > out ? in - out : 0;
}

static void tell(struct router *r, const struct circuit *c,
		 const struct trace_test *t, const struct msg_receipt *m,
		 nsec now)
{
	uint64_t received = c->n_packets[TOWARD_ORIGIN];

	outbox_event(&r->out,
		     &(struct router_event){
			     .type = ROUTER_HOP,
			     .circuit = t->circuit,
			     .peer = m->node,
			     .hop = t->hop,
			     .took = now - t->sent_at,
			     .n_packets = t->n_sent + m->n_back,
			     .n_missing = missing(t->n_sent, m->n_forth) +
					  missing(m->n_back, received),
		     },
		     NULL);
}

bool trace_handle_receipt(struct router *r, const struct circuit *c,
			  const struct msg_receipt *m, nsec now)
{
	struct trace_test *t;

	DL_FOREACH (r->traces.tests, t)
		if (t->circuit == c->no && t->token == m->token &&
		    t->hop == m->hop)
			break;
	if (t == NULL)
		return false;
	switch (pathtest_check(r, c, m, now)) {
	case RECEIPT_GOOD:
		tell(r, c, t, m, now);
		break;
	case RECEIPT_BAD:
		r->n.n_receipt_bad_signature++;
		return true; /* the true one may still come */
	case RECEIPT_UNKNOWN:
		break;
	}
	drop(&r->traces, t);
	return true;
}
