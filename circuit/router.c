#include "circuit/router.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "circuit/probe/answer.h"
#include "circuit/core.h"
#include "circuit/path.h"
#include "circuit/hold/pathtest.h"
#include "proto/base/mem.h"

struct router *router_new(const struct router_config *config, nsec now)
{
	struct router *r = mem_new(r);

	r->config = *config;
	if (r->config.crypto == NULL)
		r->config.crypto = &core_ed25519;
	if (r->config.directory_from == 0)
		r->config.directory_from = DIRECTORY_FROM;
	core_init_secrets(r);
	router_set_wall(r, config->wall_ms, now);
	bucket_init(&r->verify, VERIFY_RATE, VERIFY_BURST, now);
	verify_quota_init(&r->own_verify, now);
	seeks_init(r, now);
	r->labels = label_table_new(&r->rng);
	trees_init(r, now);
	records_init(r, now);
	requests_init(r);
	return r;
}

void router_free(struct router *r)
{
	if (r == NULL)
		return;
	sodium_memzero(r->secret, sizeof r->secret);
	timers_deinit(&r->timers);
	trees_deinit(r);
	holds_deinit(r);
	traces_deinit(r);
	circuits_deinit(r);
	open_ids_deinit(r);
	requests_deinit(r);
	records_deinit(r);
	seeks_deinit(r);
	rings_deinit(r);
	routes_deinit(r);
	floods_deinit(r);
	asking_deinit(r);
	keyring_deinit(r);
	neighbours_deinit(r);
	scores_deinit(r);
	blames_deinit(r);
	label_table_free(r->labels);
	outbox_deinit(&r->out);
	free(r);
}

void router_set_transit(struct router *r, bool transit)
{
	r->config.transit = transit;
	trees_transit_changed(r);
}

void router_set_wall(struct router *r, uint64_t wall_ms, nsec now)
{
	r->wall_ms = wall_ms;
	r->wall_at = now;
}

/* ---- sessions ---------------------------------------------------------- */

void router_session_up(struct router *r, session_no no,
		       const struct identity *peer, const uint8_t *chain,
		       size_t chain_len, const struct msg_link *ours, nsec now)
{
	bool is_new = session_to(r, &peer->id) == NULL;
	struct session *s;

	assert(no != 0 && session_find(r, no) == NULL);
	keyring_add(r, peer, chain, chain_len);
	s = session_add(r, no, &peer->id, ours, now);
	seeks_session_up(r);
	holds_session_up(r, now);
	if (!is_new) {
		trees_cost_changed(r, s->peer, now);
		return;
	}
	trees_neighbour_up(r, s->peer, now);
	flood_offer(r, s, now);
	rings_offer(r, s, now);
}

void router_session_measured(struct router *r, session_no no,
			     const struct msg_link *ours, nsec now)
{
	struct session *s = session_find(r, no);

	if (s == NULL)
		return;
	session_set_ours(r, s, ours);
	trees_cost_changed(r, s->peer, now);
}

/* First it leaves every index, so that what fails does not start anew on it. */
void router_session_down(struct router *r, session_no no, nsec now)
{
	struct session *s = session_find(r, no);

	if (s == NULL)
		return;
	session_unlink(r, s);
	if (s->peer->best == NULL)
		trees_neighbour_down(r, s->peer, now);
	else
		trees_cost_changed(r, s->peer, now);
	asking_session_down(r, s);
	copies_session_down(r, no, now);
	circuits_session_down(r, s, now);
	rings_session_down(r, no, now);
	requests_session_down(r, s, now);
	outbox_session_down(&r->out, no);
	session_free(r, s);
}

/* A claim may have us choose parents anew. */
static void handle_link(struct router *r, struct session *s,
			const struct msg_link *m, nsec now)
{
	if (!bucket_take(&s->peer->links, now)) {
		r->n.n_link_rate++;
		return;
	}
	session_set_theirs(s, m);
	trees_cost_changed(r, s->peer, now);
}

/* ---- messages ---------------------------------------------------------- */

static enum msg_verdict handle(struct router *r, struct session *s,
			       const struct msg *m, enum arrival how, nsec now)
{
	switch (m->type) {
	case MSG_LINK:
		handle_link(r, s, &m->link, now);
		break;
	case MSG_PROBE:
		return flood_handle_probe(r, s, m, how, now);
	case MSG_ANSWER:
		if (core_is_self(r, &m->answer.route.origin))
			ring_handle_answer(r, s, m, how, now);
		else
			answer_handle(r, s, &m->answer.route, now);
		break;
	case MSG_NAK:
		if (core_is_self(r, &m->nak.origin))
			ring_handle_nak(r, s, m, how, now);
		else
			flood_handle_nak(r, s, &m->nak, now);
		break;
	case MSG_OPEN:
		open_handle(r, s, m, how, now);
		break;
	case MSG_OPENED:
		open_handle_opened(r, s, &m->opened, now);
		break;
	case MSG_CLOSE:
		open_handle_close(r, s, &m->close, now);
		break;
	case MSG_TEST:
		pathtest_handle_test(r, s, &m->test, now);
		break;
	case MSG_RECEIPT:
		pathtest_handle_receipt(r, s, &m->receipt, now);
		break;
	case MSG_PEER_QUERY:
		asking_handle_query(r, s, &m->peer_query, now);
		break;
	case MSG_PEER_INFO:
		asking_handle_info(r, s, &m->peer_info, now);
		break;
	case MSG_BEACON:
		tree_handle_beacon(r, s, m, how, now);
		break;
	case MSG_BEAT:
		tree_handle_beat(r, s, &m->beat, now);
		break;
	case MSG_STORE:
		request_handle_store(r, s, &m->store, now);
		break;
	case MSG_STORED:
		request_handle_stored(r, s, &m->stored, now);
		break;
	case MSG_LOOKUP:
		request_handle_lookup(r, s, &m->lookup, now);
		break;
	case MSG_FOUND:
		request_handle_found(r, s, &m->found, now);
		break;
	case MSG_NO_RECORD:
		request_handle_no_record(r, s, m, now);
		break;
	default: /* HELLO and PING are the session's */
		return MSG_UNKNOWN;
	}
	return MSG_OK;
}

/* What it makes us check is charged to whoever sent it.  One that waited may
 * be handled within another. */
static enum msg_verdict dispatch(struct router *r, struct session *s,
				 const struct msg *m, enum arrival how,
				 nsec now)
{
	struct neighbour *before = r->charged;
	enum msg_verdict v;

	r->charged = s->peer;
	v = handle(r, s, m, how, now);
	r->charged = before;
	return v;
}

enum msg_verdict router_handle_message(struct router *r, session_no no,
				       const struct msg *m, nsec now)
{
	struct session *s = session_find(r, no);

	if (s == NULL || m->type >= MSG_TYPES)
		return MSG_UNKNOWN;
	r->n.n_received[m->type]++;
	return dispatch(r, s, m, ARRIVAL_FRESH, now);
}

void core_resume(struct router *r, struct session *s, const struct msg *m,
		 nsec now)
{
	dispatch(r, s, m, ARRIVAL_RESUMED, now);
}

void core_give_up(struct router *r, struct session *s, const struct msg *m,
		  nsec now)
{
	switch (m->type) {
	case MSG_PROBE:
		flood_give_up(r, s, &m->probe);
		break;
	case MSG_ANSWER:
		ring_give_up(r, s, &m->answer, now);
		break;
	case MSG_NAK:
		/* Counted already; it blames nobody whom we know. */
		r->n.n_nak_bad_signature++;
		break;
	case MSG_OPEN:
		open_give_up(r, s, &m->open);
		break;
	case MSG_BEACON:
		tree_give_up(r, s, &m->beacon, now);
		break;
	case MSG_NO_RECORD:
		request_give_up(r, s, &m->no_record, now);
		break;
	default:
		assert(!"only these are parked");
	}
}

/* ---- our own paths ----------------------------------------------------- */

void router_connect(struct router *r, const struct node_id *target,
		    circuit_no avoid, nsec now)
{
	struct hop_list hops;
	bool avoids = avoid != 0 && circuit_path(r, avoid, &hops);

	hold_asked(r, target);
	seek_start(r, target, avoids ? &hops : NULL, now);
}

void router_circuit_close(struct router *r, circuit_no no,
			  enum close_reason reason, nsec now)
{
	struct circuit *c = circuit_find(r, no);

	if (c != NULL)
		circuit_end(r, c, reason, NULL, now);
}

bool router_route_add(struct router *r, const struct route_proof *p, nsec now)
{
	if (!core_is_self(r, &p->origin) || p->hops.n == 0 ||
	    p->first_sig != 0 ||
	    !id_equal(&p->hops.hop[p->hops.n - 1].id, &p->target) ||
	    !path_is_simple(&p->origin, p->hops.hop, p->hops.n) ||
	    p->expiry_ms >
		    core_wall(r, now) + ROUTE_LIFETIME_MS + CLOCK_SKEW_MS)
		return false;
	return route_add(r, p, false, now) != NULL;
}

void router_identity_add(struct router *r, const struct identity *who,
			 const uint8_t *chain, size_t chain_len)
{
	keyring_add(r, who, chain, chain_len);
}

const struct identity *router_identity_find(const struct router *r,
					    const struct node_id *id)
{
	return core_is_self(r, id) ? &r->config.self : keyring_peek(r, id);
}

const struct identity *router_identity_by_name(const struct router *r,
					       const char *shortname)
{
	return keyring_by_name(r, shortname);
}

const uint8_t *router_chain_find(const struct router *r,
				 const struct node_id *id, size_t *len)
{
	return keyring_chain(r, id, len);
}

/* ---- time -------------------------------------------------------------- */

typedef void timer_handler(struct router *r, struct timer *t, nsec now);

static timer_handler *const on_timeout[TIMER_KINDS] = {
	[TIMER_ASKED] = asking_timeout,
	[TIMER_PARKED] = asking_parked_timeout,
	[TIMER_SEEN] = seen_timeout,
	[TIMER_COPY] = copy_timeout,
	[TIMER_RING] = ring_timeout,
	[TIMER_SEEK] = seek_timeout,
	[TIMER_ROUTE] = route_timeout,
	[TIMER_CIRCUIT] = circuit_timeout,
	[TIMER_OPEN_ID] = open_id_timeout,
	[TIMER_TREE] = tree_timeout,
	[TIMER_TREE_PEER] = tree_peer_timeout,
	[TIMER_RECORD] = record_timeout,
	[TIMER_REQUEST] = request_timeout,
	[TIMER_STORE] = store_timeout,
	[TIMER_HOLD] = hold_timeout,
};

nsec router_deadline(const struct router *r)
{
	return timers_deadline(&r->timers);
}

void router_handle_timeout(struct router *r, nsec now)
{
	struct timer *t;

	while ((t = timers_pop(&r->timers, now)) != NULL)
		on_timeout[t->kind](r, t, now);
}

/* ---- outputs ----------------------------------------------------------- */

bool router_next_send(struct router *r, struct router_send *out)
{
	return outbox_next(&r->out, out);
}

bool router_next_event(struct router *r, struct router_event *out)
{
	return outbox_next_event(&r->out, out);
}

/* ---- looking in -------------------------------------------------------- */

bool router_circuit_next(const struct router *r, circuit_no after,
			 struct circuit_info *out)
{
	const struct circuit *c = circuit_find(r, after);

	/* In the order of insertion, which is that of the numbers. */
	c = c != NULL ? c->hh.next : r->circuits.all;
	while (c != NULL && c->no <= after)
		c = c->hh.next;
	if (c == NULL)
		return false;
	circuit_describe(c, out);
	return true;
}

bool router_circuit_get(const struct router *r, circuit_no no,
			struct circuit_info *out)
{
	const struct circuit *c = circuit_find(r, no);

	if (c == NULL)
		return false;
	circuit_describe(c, out);
	return true;
}

bool router_route_get(const struct router *r, size_t index,
		      struct route_proof *out)
{
	const struct route_set *set = r->routes.sets;
	const struct route *route;

	for (; set != NULL; set = set->hh.next) {
		if (index >= set->n) {
			index -= set->n;
			continue;
		}
		for (route = set->routes; index > 0; index--)
			route = route->next;
		*out = route->proof;
		return true;
	}
	return false;
}

const struct router_counters *router_counters(const struct router *r)
{
	return &r->n;
}
