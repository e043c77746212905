#include "circuit/relay/circuit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "circuit/relay/closing.h"
#include "circuit/core.h"
#include "circuit/relay/pair.h"
#include "circuit/path.h"
#include "proto/base/mem.h"

struct circuit *circuit_find(const struct router *r, circuit_no no)
{
	struct circuit *c;

	TABLE_FIND(&r->table_key, hh, r->circuits.all, &no, sizeof no, c);
	return c;
}

struct circuit *circuit_by_open_id(struct router *r,
				   const struct nonce *open_id)
{
	struct circuit *c;

	TABLE_FIND(&r->table_key, hh_id, r->circuits.by_open_id, open_id,
		   sizeof *open_id, c);
	return c;
}

static struct circuit_side *side_by_out(struct router *r, session_no s,
					uint32_t label)
{
	struct side_key key = { .session = s, .label = label };
	struct circuit_side *side;

	TABLE_FIND(&r->table_key, hh, r->circuits.by_label_out, &key,
		   sizeof key, side);
	return side;
}

struct circuit *circuit_by_label_out(struct router *r, const struct session *s,
				     uint32_t label)
{
	struct circuit_side *side = side_by_out(r, s->no, label);

	return side != NULL ? side->circuit : NULL;
}

/* ---- making ------------------------------------------------------------ */

static bool side_attach(struct router *r, struct circuit *c, unsigned i,
			struct session *s, nsec now)
{
	struct circuit_side *side = &c->side[i];

	side->circuit = c;
	if (s == NULL)
		return true;
	side->label_in =
		label_add(r->labels,
			  &(struct label_use){
				  .session = s->no, .circuit = c, .side = i },
			  now);
	if (side->label_in == 0)
		return false;
	side->session = s;
	side->out.session = s->no;
	s->peer->n_circuits++;
	DL_APPEND(s->circuits, side);
	return true;
}

static void side_detach(struct router *r, struct circuit_side *side, nsec now)
{
	struct session *s = side->session;

	if (s == NULL)
		return;
	if (side->out.label != 0)
		HASH_DEL(r->circuits.by_label_out, side);
	label_remove(r->labels, side->label_in, now);
	DL_DELETE(s->circuits, side);
	s->peer->n_circuits--;
	side->session = NULL;
}

static bool is_peer_full(const struct session *s)
{
	return s != NULL && s->peer->n_circuits >= CIRCUITS_PER_PEER_MAX;
}

/* Each cap with its counter.  Nobody who asks fills a link to others. */
static bool has_room(struct router *r, const struct session *asker,
		     const struct session *next)
{
	uint64_t *full = NULL;

	if (HASH_COUNT(r->circuits.all) >= CIRCUITS_MAX)
		full = &r->n.n_circuits_full;
	else if (is_peer_full(asker) || is_peer_full(next))
		full = &r->n.n_circuits_full_peer;
	else if (pair_is_full(r, asker, next))
		full = &r->n.n_circuits_full_pair;
	else if (asker != NULL &&
		 asker->peer->n_pending >= CIRCUITS_PENDING_MAX)
		full = &r->n.n_circuits_full_pending;
	if (full != NULL)
		++*full;
	return full == NULL;
}

static void set_path(struct circuit *c, const struct route_proof *p)
{
	c->origin = p->origin;
	c->target = p->target;
	route_proof_digest(c->digest, p);
	c->n_hops = p->hops.n;
	c->hops = mem_calloc(c->n_hops, sizeof *c->hops);
	memcpy(c->hops, p->hops.hop, c->n_hops * sizeof *c->hops);
}

static void circuit_free(struct router *r, struct circuit *c, nsec now)
{
	struct circuit_side *from = &c->side[TOWARD_ORIGIN];

	if (c->state == CIRCUIT_PENDING && from->session != NULL)
		from->session->peer->n_pending--;
	pair_leave(r, c->pair);
	side_detach(r, &c->side[TOWARD_ORIGIN], now);
	side_detach(r, &c->side[TOWARD_TARGET], now);
	timers_cancel(&r->timers, &c->timer);
	HASH_DEL(r->circuits.all, c);
	HASH_DELETE(hh_id, r->circuits.by_open_id, c);
	free(c->hops);
	free(c);
}

struct circuit *circuit_add(struct router *r, const struct route_proof *p,
			    const struct nonce *open_id,
			    struct session *toward_origin,
			    struct session *toward_target, nsec now)
{
	struct circuit *c;

	if (!has_room(r, toward_origin, toward_target))
		return NULL;
	c = mem_new(c);
	c->no = ++r->circuits.n_numbers;
	c->open_id = *open_id;
	c->is_origin = toward_origin == NULL;
	c->is_target = toward_target == NULL;
	c->mtu = CIRCUIT_MTU_MAX; /* the links that it uses will tell */
	c->opened = c->last_packet = now;
	c->unanswered = TIME_NEVER;
	set_path(c, p);
	c->timer.kind = TIMER_CIRCUIT;
	timers_set(&r->timers, &c->timer, now + CIRCUIT_PENDING_NS);
	TABLE_ADD(&r->table_key, hh, r->circuits.all, no, sizeof c->no, c);
	TABLE_ADD(&r->table_key, hh_id, r->circuits.by_open_id, open_id,
		  sizeof c->open_id, c);
	if (toward_origin != NULL)
		toward_origin->peer->n_pending++;
	c->pair = pair_join(r, toward_origin, toward_target);
	if (side_attach(r, c, TOWARD_ORIGIN, toward_origin, now) &&
	    side_attach(r, c, TOWARD_TARGET, toward_target, now))
		return c;
	/* No label was left; side 0 may be attached or not. */
	if (toward_origin != NULL && c->side[TOWARD_ORIGIN].session == NULL)
		toward_origin->peer->n_pending--;
	circuit_free(r, c, now);
	return NULL;
}

bool circuit_set_label_out(struct router *r, struct circuit *c, unsigned i,
			   uint32_t label)
{
	struct circuit_side *side = &c->side[i];

	if (label == 0 || side->out.label != 0 ||
	    side_by_out(r, side->out.session, label) != NULL)
		return false;
	side->out.label = label;
	TABLE_ADD(&r->table_key, hh, r->circuits.by_label_out, out,
		  sizeof side->out, side);
	return true;
}

void circuit_establish(struct router *r, struct circuit *c, nsec now)
{
	struct router_event ev = {
		.type = ROUTER_CIRCUIT_UP,
		.circuit = c->no,
		.peer = c->is_origin ? c->target : c->origin,
		.is_origin = c->is_origin,
	};

	assert(c->state == CIRCUIT_PENDING);
	c->state = CIRCUIT_ESTABLISHED;
	if (c->is_origin)
		record_worked(r, &c->target);
	c->last_packet = now;
	timers_set(&r->timers, &c->timer, now + CIRCUIT_IDLE_NS);
	if (c->side[TOWARD_ORIGIN].session != NULL)
		c->side[TOWARD_ORIGIN].session->peer->n_pending--;
	if (!c->is_origin && !c->is_target)
		return;
	r->n.n_circuits_opened++;
	if (c->is_origin)
		ev.took = seek_circuit_up(r, c, now);
	outbox_event(&r->out, &ev, NULL);
	if (c->is_origin)
		hold_circuit_up(r, c, now);
}

/* ---- ending ------------------------------------------------------------ */

static void remember_path(struct router *r, const struct circuit *c)
{
	struct circuit_past *p =
		&r->circuits.past[r->circuits.n_past++ % CIRCUITS_PAST];

	p->no = c->no;
	p->n_hops = c->n_hops;
	p->hops = mem_realloc(p->hops, p->n_hops, sizeof *p->hops);
	memcpy(p->hops, c->hops, p->n_hops * sizeof *p->hops);
}

static bool is_broken(enum close_reason reason)
{
	return reason == CLOSE_LINK_DOWN || reason == CLOSE_REFUSED ||
	       reason == CLOSE_UNKNOWN_LABEL;
}

/* A route that a node on it refuses, or whose link is down somewhere beyond
 * our own, is not tried again, nor are others over that link; our own links we
 * know. */
static void judge_route(struct router *r, const struct circuit *c,
			const struct closing *why)
{
	struct route *route;

	if (why->reason != CLOSE_REFUSED &&
	    (why->reason != CLOSE_LINK_DOWN || core_is_self(r, &why->reporter)))
		return;
	route = route_find(r, &c->target, c->digest);
	if (route != NULL)
		route_remove(r, route);
	if (why->is_proved && why->reason == CLOSE_LINK_DOWN)
		routes_drop_link(r, &c->target, &why->reporter, &why->next);
}

static void report_down(struct router *r, const struct circuit *c,
			enum close_reason reason)
{
	if (is_broken(reason))
		r->n.n_circuits_broken++;
	outbox_event(&r->out,
		     &(struct router_event){
			     .type = ROUTER_CIRCUIT_DOWN,
			     .circuit = c->no,
			     .peer = c->is_origin ? c->target : c->origin,
			     .is_origin = c->is_origin,
			     .reason = reason,
		     },
		     NULL);
}

/* Its neighbours know, or are being told. */
static void end(struct router *r, struct circuit *c, const struct closing *why,
		nsec now)
{
	bool is_end = c->is_origin || c->is_target;
	bool was_attempt = c->is_origin && c->state == CIRCUIT_PENDING;
	struct node_id target = c->target;
	circuit_no no = c->no;

	if (c->is_origin) {
		remember_path(r, c);
		judge_route(r, c, why);
	}
	if (is_end && c->state == CIRCUIT_ESTABLISHED) {
		hold_circuit_down(r, c, now);
		report_down(r, c, why->reason);
	}
	circuit_free(r, c, now);
	if (was_attempt)
		seek_circuit_failed(r, &target, no, now);
}

static void send_close(struct router *r, const struct circuit *c,
		       const struct session *told, const struct msg_close *m)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct session *s = c->side[i].session;

		if (s != NULL && s != told)
			core_send(r, s->no, MSG_CLOSE)->close = *m;
	}
}

static bool is_told_alone(const struct circuit *c, const struct session *told)
{
	for (unsigned i = 0; i < 2; i++)
		if (c->side[i].session != NULL && c->side[i].session != told)
			return false;
	return true;
}

void circuit_end(struct router *r, struct circuit *c, enum close_reason reason,
		 const struct session *lost, nsec now)
{
	struct closing why = { .reason = reason,
			       .reporter = r->config.self.id };
	struct msg_close m;

	if (lost != NULL)
		why.next = lost->peer->id;
	if (!is_told_alone(c, lost)) {
		closing_make(r, &m, &c->open_id, reason,
			     lost != NULL ? &lost->peer->id : NULL);
		send_close(r, c, lost, &m);
	}
	end(r, c, &why, now);
}

/* What nobody has signed, or not truly, goes no further than one link: the next
 * node vouches for having heard it. */
void circuit_closed(struct router *r, struct circuit *c,
		    const struct msg_close *m, const struct session *from,
		    nsec now)
{
	struct closing why;

	if (!c->is_origin && !c->is_target && !closing_may_pass(r, c, m, now)) {
		circuit_end(r, c, m->reason, from, now);
		return;
	}
	send_close(r, c, from, m);
	if (c->is_origin || c->is_target)
		why = closing_judge(r, c, m, from, now);
	else
		why = (struct closing){ .reason = m->reason };
	end(r, c, &why, now);
}

/* Nothing says where it stuck: the route stands for all of it. */
void circuit_give_up(struct router *r, struct circuit *c, nsec now)
{
	struct closing why = { .reason = CLOSE_LINK_DOWN,
			       .reporter = c->hops[0].id };
	struct msg_close m;

	closing_make(r, &m, &c->open_id, CLOSE_LINK_DOWN, NULL);
	send_close(r, c, NULL, &m);
	end(r, c, &why, now);
}

void circuits_session_down(struct router *r, struct session *s, nsec now)
{
	while (s->circuits != NULL)
		circuit_end(r, s->circuits->circuit, CLOSE_LINK_DOWN, s, now);
}

/* Packets only note the time, so that they cost no timer. */
void circuit_timeout(struct router *r, struct timer *t, nsec now)
{
	struct circuit *c = container_of(t, struct circuit, timer);
	nsec idle_at = c->last_packet + CIRCUIT_IDLE_NS;

	if (c->state == CIRCUIT_ESTABLISHED && now < idle_at)
		timers_set(&r->timers, &c->timer, idle_at);
	else
		circuit_end(r, c, CLOSE_IDLE, NULL, now);
}

void circuits_deinit(struct router *r)
{
	struct circuit *c, *next;

	HASH_ITER (hh, r->circuits.all, c, next)
		circuit_free(r, c, 0);
	for (size_t i = 0; i < CIRCUITS_PAST; i++)
		free(r->circuits.past[i].hops);
}

/* ---- looking in -------------------------------------------------------- */

const struct node_id *circuit_node(const struct circuit *c, size_t i)
{
	return i == 0 ? &c->origin : &c->hops[i - 1].id;
}

size_t circuit_place(const struct router *r, const struct circuit *c)
{
	size_t i = 0;

	while (i < c->n_hops && !core_is_self(r, circuit_node(c, i)))
		i++;
	return i;
}

bool circuit_path(const struct router *r, circuit_no no, struct hop_list *out)
{
	const struct circuit *c = circuit_find(r, no);
	const struct circuit_past *p = r->circuits.past;

	if (c != NULL) {
		out->n = c->n_hops;
		memcpy(out->hop, c->hops, c->n_hops * sizeof *c->hops);
		return true;
	}
	for (size_t i = 0; i < CIRCUITS_PAST; i++, p++) {
		if (no == 0 || p->no != no)
			continue;
		out->n = p->n_hops;
		memcpy(out->hop, p->hops, p->n_hops * sizeof *p->hops);
		return true;
	}
	return false;
}

void circuit_describe(const struct circuit *c, struct circuit_info *out)
{
	*out = (struct circuit_info){
		.circuit = c->no,
		.origin = c->origin,
		.target = c->target,
		.open_id = c->open_id,
		.is_origin = c->is_origin,
		.is_target = c->is_target,
		.is_established = c->state == CIRCUIT_ESTABLISHED,
		.mtu = c->mtu,
		.opened = c->opened,
		.last_packet = c->last_packet,
	};
	out->toward_origin = c->side[TOWARD_ORIGIN].out.session;
	out->toward_target = c->side[TOWARD_TARGET].out.session;
	for (int i = 0; i < 2; i++) {
		out->label_in[i] = c->side[i].label_in;
		out->label_out[i] = c->side[i].out.label;
		out->n_packets[i] = c->n_packets[i];
		out->n_bytes[i] = c->n_bytes[i];
	}
	out->hops.n = c->n_hops;
	memcpy(out->hops.hop, c->hops, c->n_hops * sizeof *c->hops);
}
