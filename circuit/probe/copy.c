#include "circuit/probe/copy.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "circuit/core.h"
#include "circuit/probe/seen.h"
#include "proto/base/mem.h"

struct copy *copy_new(struct router *r, struct seen *e, session_no from,
		      uint8_t tree, const struct hop_list *hops, nsec patience)
{
	struct copy *c = mem_new(c);

	c->probe = e;
	c->from = from;
	c->tree = tree;
	c->n_hops = hops->n;
	c->hops = mem_calloc(hops->n, sizeof *c->hops);
	memcpy(c->hops, hops->hop, hops->n * sizeof *c->hops);
	c->timer.kind = TIMER_COPY;
	timers_set(&r->timers, &c->timer, patience);
	DL_APPEND(e->copies, c);
	DL_APPEND2(r->floods.copies, c, all_prev, all_next);
	return c;
}

void copy_free(struct router *r, struct copy *c)
{
	DL_DELETE(c->probe->copies, c);
	DL_DELETE2(r->floods.copies, c, all_prev, all_next);
	timers_cancel(&r->timers, &c->timer);
	replies_deinit(&c->replies);
	free(c->steered);
	free(c->hops);
	free(c);
}

/* It is told; the way is known no longer. */
static void close_copy(struct router *r, struct copy *c)
{
	c->is_told = true;
	free(c->steered);
	c->steered = NULL;
	timers_set(&r->timers, &c->timer, c->probe->valid_until);
}

static void add_blame(struct msg_nak *n, const struct msg_nak *blame)
{
	n->code = blame->code;
	n->has_blame = true;
	n->reporter = blame->reporter;
	n->next = blame->next;
	memcpy(n->body, blame->body, sizeof n->body);
	memcpy(n->sig, blame->sig, sizeof n->sig);
}

void copy_end(struct router *r, struct copy *c, enum nak_code code)
{
	struct msg_nak *n;

	if (c->is_told)
		return;
	n = core_send_nak(r, c->from, &c->probe->key.origin,
			  &c->probe->key.nonce, c->tree, code);
	if (c->steered != NULL)
		n->budget = c->steered->budget;
	if (c->steered != NULL && c->steered->blame.has_blame)
		add_blame(n, &c->steered->blame);
	close_copy(r, c);
}

static void tell_if_complete(struct router *r, struct copy *c)
{
	if (c->replies.n_owed == 0)
		copy_end(r, c, replies_sum(&c->replies));
}

nsec copy_patience(const struct session *from, uint32_t deadline_ms)
{
	nsec wait = (nsec)deadline_ms * NS_PER_MS;
	nsec margin = 2 * session_rtt(from) + 5 * NS_PER_MS;

	wait = time_min(wait, PROBE_DEADLINE_MAX_MS * NS_PER_MS);
	return wait > margin ? wait - margin : 0;
}

struct msg_probe *copy_send(struct router *r, struct copy *c,
			    const struct session *to, nsec wait)
{
	struct msg_probe *p = &core_send(r, to->no, MSG_PROBE)->probe;
	const struct seen *e = c->probe;

	*p = (struct msg_probe){
		.flags = e->is_flood ? PROBE_FLAG_FLOOD : 0,
		.tree = c->tree,
		.ttl = e->ttl,
		.origin = e->key.origin,
		.target = e->target,
		.nonce = e->key.nonce,
		.issued_ms = e->issued_ms,
		.valid_ms = e->valid_ms,
		.hops.n = c->n_hops,
	};
	memcpy(p->body, e->body, sizeof p->body);
	memcpy(p->sig_origin, e->sig_origin, sizeof p->sig_origin);
	memcpy(p->hops.hop, c->hops, c->n_hops * sizeof *c->hops);
	p->deadline_ms = (uint32_t)(wait / NS_PER_MS);
	replies_expect(&c->replies, to->no, &to->told);
	if (!e->is_flood)
		telling_note_probe(to->peer);
	return p;
}

void copy_handle_nak(struct router *r, struct copy *c, session_no from,
		     enum nak_code code, nsec now)
{
	if (!replies_nak(&c->replies, from, code))
		return;
	if (c->tree == TREE_FLOOD)
		tell_if_complete(r, c);
	else
		steer_repair(r, c, code, now);
}

void copy_answered(struct router *r, struct copy *c, session_no from)
{
	replies_answer(&c->replies, from);
	if (!c->is_told)
		close_copy(r, c);
}

void copy_timeout(struct router *r, struct timer *t, nsec now)
{
	struct copy *c = container_of(t, struct copy, timer);

	if (c->is_told || now >= c->probe->valid_until)
		copy_free(r, c);
	else if (c->steered != NULL)
		steer_timeout(r, c, now);
	else
		copy_end(r, c, NAK_TIMEOUT);
}

void copies_session_down(struct router *r, session_no s, nsec now)
{
	struct copy *c, *next;

	for (c = r->floods.copies; c != NULL; c = next) {
		next = c->all_next;
		if (c->from == s)
			copy_free(r, c);
		else if (replies_is_owed(&c->replies, s))
			copy_handle_nak(r, c, s, NAK_LINK, now);
	}
}
