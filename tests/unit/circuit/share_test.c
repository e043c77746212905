/* What one neighbour may take of that which all need: a hostile one beside an
 * honest one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/relay/pair.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

/* An OPEN of a member that says it relays for somebody, whom it invents. */
static struct msg invented_open(const struct mesh *m, unsigned number)
{
	struct route_proof p = { 0 };

	memcpy(p.origin.b, &number, sizeof number);
	p.origin.b[9] = 1;
	p.target = forge_id(m, 2);
	p.expiry_ms = mesh_wall(m) + ROUTE_LIFETIME_MS;
	p.hops.n = 3;
	for (size_t i = 0; i < 3; i++)
		p.hops.hop[i] = forge_hop(m, i);
	route_proof_seal(&p);
	return forge_open(m, &p, number);
}

static void open_many(struct mesh *m, unsigned n)
{
	struct msg *x = mem_new(x);

	for (unsigned i = 0; i < n; i++) {
		*x = invented_open(m, i);
		mesh_inject(m, 1, 0, x);
	}
	free(x);
}

/* However many origins it invents, and whatever they cost to look up. */
static void a_neighbour_has_a_quota_of_opens(void **state)
{
	struct mesh *m = small_line(3);
	const struct router_counters *c = small_counters(m, 1);

	(void)state;
	open_many(m, OPEN_PEER_BURST);
	assert_int_equal(c->n_open_rate_peer, 0);
	assert_int_equal(c->n_open_bad_signature, OPEN_PEER_BURST);
	open_many(m, 1);
	assert_int_equal(c->n_open_rate_peer, 1);
	assert_int_equal(c->n_open_bad_signature, OPEN_PEER_BURST);
	/* Those beyond do not even push an origin out. */
	assert_int_equal(c->n_origins_evicted,
			 OPEN_PEER_BURST - ORIGINS_PER_PEER_MAX);
	small_pass(m, NS_PER_S);
	open_many(m, 1);
	assert_int_equal(c->n_open_rate_peer, 1);
	mesh_free(m);
}

static void inject_probe(struct mesh *m, size_t node, size_t link, size_t from,
			 size_t target, uint8_t number)
{
	struct msg x = forge_probe(m, from, from, target, number);

	mesh_inject(m, node, link, &x);
}

static void opens_of_one_leave_signatures_for_others(void **state)
{
	struct mesh *m = small_line(3);
	const struct router_counters *c = small_counters(m, 1);

	(void)state;
	open_many(m, 4000);
	inject_probe(m, 1, 1, 2, 0, 7);
	assert_int_equal(c->n_verify_rate, 0);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 0)->n_received[MSG_PROBE], 1);
	mesh_free(m);
}

/* Checks signatures as if for this neighbour of node 0, until it may not. */
static unsigned check_all(struct mesh *m, struct neighbour *n)
{
	struct router *r = mesh_router(m, 0);
	unsigned i = 0;

	r->charged = n;
	while (core_take_verify(r, mesh_now(m)))
		i++;
	r->charged = NULL;
	return i;
}

static struct neighbour *peer(struct mesh *m, size_t node, size_t of)
{
	return neighbour_find(mesh_router(m, of), &mesh_identity(m, node)->id);
}

/* One takes half of what there is for all, two take it whole; what each has
 * for itself nobody takes. */
static void a_neighbour_has_a_share_of_the_signatures(void **state)
{
	struct mesh *m = small_nodes(5);
	const struct router_counters *c;

	(void)state;
	for (size_t i = 1; i < 5; i++)
		mesh_add_link(m, 0, i, &small_link);
	small_pass(m, 10 * NS_PER_S);
	c = small_counters(m, 0);
	assert_int_equal(check_all(m, peer(m, 1, 0)),
			 VERIFY_PEER_BURST + VERIFY_SHARE_BURST);
	assert_int_equal(c->n_verify_rate_peer, 1);
	assert_int_equal(check_all(m, peer(m, 2, 0)),
			 VERIFY_PEER_BURST + VERIFY_BURST - VERIFY_SHARE_BURST);
	assert_int_equal(c->n_verify_rate, 0);
	assert_int_equal(check_all(m, peer(m, 3, 0)), VERIFY_PEER_BURST);
	assert_int_equal(c->n_verify_rate, 1);
	/* And what we need for ourselves. */
	assert_int_equal(check_all(m, NULL), VERIFY_PEER_BURST);
	inject_probe(m, 0, 3, 4, 3, 7);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 3)->n_received[MSG_PROBE], 1);
	mesh_free(m);
}

/* A copy that was asked for once is answered 3000 times, each time with other
 * bytes. */
static struct msg forged_answer(const struct mesh *m, const struct msg_probe *p,
				const struct route_proof *real,
				size_t first_sig, unsigned number)
{
	struct node_hash h = hash_of(p->body, PROBE_BODY_BYTES);
	struct msg x = { .type = MSG_ANSWER };
	struct route_proof *a = &x.answer.route;

	*a = *real;
	a->nonce = p->nonce;
	memcpy(a->probe_hash, h.b, sizeof h.b);
	a->first_sig = first_sig;
	a->expiry_ms = mesh_wall(m) + 1000 + number;
	route_proof_seal(a);
	return x;
}

static void answer_many(struct mesh *m, size_t node, const struct msg_probe *p,
			const struct route_proof *real, size_t first_sig)
{
	struct msg *x = mem_new(x);

	for (unsigned i = 0; i < 3000; i++) {
		*x = forged_answer(m, p, real, first_sig, i);
		mesh_inject(m, node, node, x);
	}
	free(x);
}

/* The path 0 - 1 - 2 - 3, whose circuit is closed again. */
static struct mesh *line_with_route(struct route_proof *out)
{
	struct mesh *m = small_line(4);

	mesh_close(m, 0, small_connect(m, 0, 3));
	small_pass(m, 5 * NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, out));
	return m;
}

static void a_relay_checks_few_answers_of_one_copy(void **state)
{
	struct route_proof *real = mem_new(real);
	struct mesh *m = line_with_route(real);
	const struct router_counters *c = small_counters(m, 1);
	struct msg x = forge_probe(m, 0, 0, 3, 9);
	uint64_t before;

	(void)state;
	mesh_inject(m, 1, 0, &x); /* goes on to node 2 */
	before = c->n_verify;
	answer_many(m, 1, &x.probe, real, 1);
	/* The one that node 2 owed, and those that it did not. */
	assert_int_equal(c->n_verify - before, 1 + PROBE_ANSWERS_MAX);
	assert_int_equal(c->n_answer_bad_signature, 1 + PROBE_ANSWERS_MAX);
	assert_int_equal(c->n_answer_limit, 3000 - 1 - PROBE_ANSWERS_MAX);
	free(real);
	mesh_free(m);
}

static bool keeps_answers(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct msg_probe *p = ctx;

	(void)from;
	(void)to;
	if (m->type == MSG_PROBE && m->probe.hops.n == 0)
		*p = m->probe;
	return m->type != MSG_ANSWER;
}

static void an_origin_checks_few_answers_of_one_probe(void **state)
{
	struct route_proof *real = mem_new(real);
	struct mesh *m = line_with_route(real);
	const struct router_counters *c = small_counters(m, 0);
	struct msg_probe *p = mem_new(p);
	uint64_t before;

	(void)state;
	small_pass(m, 2 * ROUTE_LIFETIME_MS * NS_PER_MS);
	mesh_set_filter(m, keeps_answers, p);
	mesh_connect(m, 0, 3, 0);
	small_pass(m, NS_PER_S);
	assert_true(p->ttl >= 3);
	before = c->n_verify;
	answer_many(m, 0, p, real, 0);
	assert_int_equal(c->n_verify - before, 1 + PROBE_ANSWERS_MAX);
	assert_int_equal(c->n_answer_bad_signature, 1 + PROBE_ANSWERS_MAX);
	assert_int_equal(c->n_answer_limit, 3000 - 1 - PROBE_ANSWERS_MAX);
	free(p);
	free(real);
	mesh_free(m);
}

/* 0 - 1 - 3, 0 - 2 - 3: node 1 is hostile, node 2 honest.  Link 2 joins 1 and
 * 3, link 3 joins 2 and 3; what is behind 3 comes after. */
static struct mesh *two_ways(size_t n)
{
	struct mesh *m = small_nodes(n);

	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 0, 2, &small_link);
	mesh_add_link(m, 1, 3, &small_link);
	mesh_add_link(m, 2, 3, &small_link);
	if (n > 4)
		mesh_add_link(m, 3, 4, &small_link);
	small_pass(m, NS_PER_S);
	return m;
}

/* A copy that reaches node 3 over node `via`. */
static void inject_copy(struct mesh *m, const struct msg *probe, size_t via,
			uint16_t cost)
{
	struct msg x = *probe;

	x.probe.hops.n = 1;
	x.probe.hops.hop[0] = forge_hop(m, via);
	x.probe.hops.hop[0].cost_100us = cost;
	mesh_inject(m, 3, via + 1, &x);
}

static void one_neighbour_gets_a_part_of_the_answers(void **state)
{
	struct mesh *m = two_ways(4);
	struct msg x = forge_probe(m, 0, 0, 3, 9);
	const struct router_counters *c = small_counters(m, 3);

	(void)state;
	for (unsigned i = 0; i < PROBE_ANSWERS_MAX; i++)
		inject_copy(m, &x, 1, (uint16_t)(60000 >> i));
	assert_int_equal(c->n_sent[MSG_ANSWER], PROBE_ANSWERS_VIA_MAX);
	assert_int_equal(c->n_probe_duplicate,
			 PROBE_ANSWERS_MAX - PROBE_ANSWERS_VIA_MAX);
	inject_copy(m, &x, 2, 100);
	assert_int_equal(c->n_sent[MSG_ANSWER], PROBE_ANSWERS_VIA_MAX + 1);
	mesh_free(m);
}

/* Neither a flood nor a steered probe. */
static void one_neighbour_does_not_take_all_forwards(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct mesh *m = two_ways(5);
		struct msg x = forge_probe(m, 0, 0, 4, 9);
		const struct router_counters *c = small_counters(m, 3);

		if (i == 1) {
			x.probe.flags = 0;
			x.probe.tree = TREE_ANY;
			x.probe.budget = 64;
			forge_probe_sign(m, 0, &x.probe);
		}
		for (unsigned k = 0; k < STEER_COPIES_MAX; k++)
			inject_copy(m, &x, 1, (uint16_t)(60000 >> k));
		assert_int_equal(c->n_probe_duplicate, STEER_COPIES_MAX - 1);
		inject_copy(m, &x, 2, 100);
		assert_int_equal(c->n_probe_duplicate, STEER_COPIES_MAX - 1);
		small_pass(m, NS_PER_S);
		assert_int_equal(small_counters(m, 4)->n_received[MSG_PROBE],
				 2);
		mesh_free(m);
	}
	(void)state;
}

static bool loses_opened(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)to;
	return m->type != MSG_OPENED && m->type != MSG_CLOSE;
}

static void inject_open(struct mesh *m, const struct route_proof *p, unsigned n)
{
	struct msg x = forge_open(m, p, n);

	mesh_inject(m, 1, 0, &x);
}

/* 0 - 1 - 2, and 3 - 1: node 0 asks for half of what goes from 1 to 2. */
static void an_asker_has_half_of_the_places_of_a_link(void **state)
{
	struct mesh *m = small_nodes(4);
	struct route_proof *p = mem_new(p);
	const struct router_counters *c;
	struct circuit_pair *pair;
	circuit_no other;

	(void)state;
	assert_int_equal(2 * CIRCUITS_PER_PAIR_MAX, CIRCUITS_PER_PEER_MAX);
	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 1, 2, &small_link);
	mesh_add_link(m, 3, 1, &small_link);
	small_pass(m, NS_PER_S);
	c = small_counters(m, 1);
	mesh_close(m, 0, small_connect(m, 0, 2));
	small_pass(m, NS_PER_S);
	assert_null(mesh_router(m, 1)->circuits.pairs);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	mesh_set_filter(m, loses_opened, NULL);
	inject_open(m, p, 1);
	pair = mesh_router(m, 1)->circuits.pairs;
	assert_int_equal(pair->n, 1);
	pair->n = CIRCUITS_PER_PAIR_MAX - 1;
	inject_open(m, p, 2);
	assert_int_equal(pair->n, CIRCUITS_PER_PAIR_MAX);
	assert_int_equal(c->n_circuits_full_pair, 0);
	inject_open(m, p, 3);
	assert_int_equal(pair->n, CIRCUITS_PER_PAIR_MAX);
	assert_int_equal(c->n_circuits_full_pair, 1);
	assert_int_equal(c->n_open_limit, 1);
	small_pass(m, NS_PER_S);
	/* Another has the other half, and node 1 itself needs no place. */
	mesh_set_filter(m, NULL, NULL);
	mesh_connect(m, 3, 2, 0);
	small_pass(m, 2 * NS_PER_S);
	assert_non_null(mesh_opened(m, 3, 2, 0));
	other = mesh_opened(m, 3, 2, 0)->event.circuit;
	assert_int_equal(pair->n, CIRCUITS_PER_PAIR_MAX);
	pair->n = 2;
	assert_int_not_equal(small_connect(m, 1, 2), 0);
	mesh_close(m, 3, other);
	small_pass(m, CIRCUIT_PENDING_NS + NS_PER_S);
	assert_null(mesh_router(m, 1)->circuits.pairs);
	free(p);
	mesh_free(m);
}

/* Probes of nobody, from four neighbours, as many as may wait. */
static void probes_leave_room_for_others_to_wait(void **state)
{
	struct mesh *m = small_nodes(6);
	const struct router_counters *c;
	struct router *r;
	struct msg x;

	(void)state;
	for (size_t i = 1; i < 6; i++)
		mesh_add_link(m, 0, i, &small_link);
	small_pass(m, 30 * NS_PER_S);
	r = mesh_router(m, 0);
	c = small_counters(m, 0);
	for (unsigned i = 0; i < PARKED_MAX; i++) {
		size_t via = 1 + i % 4;

		x = forge_probe(m, via, via, 5, 1);
		x.probe.hops.n = 1;
		x.probe.hops.hop[0] = forge_hop(m, via);
		memset(x.probe.origin.b, (int)i + 1, sizeof x.probe.origin.b);
		msg_probe_seal(&x.probe);
		assert_int_equal(c->n_parked_full,
				 i > PARKED_PROBES_MAX ? i - PARKED_PROBES_MAX
						       : 0);
		mesh_inject(m, 0, via - 1, &x);
	}
	assert_int_equal(r->asking.n_parked, PARKED_PROBES_MAX);
	/* What answers us waits: a root that nobody knows says there is no
	 * record. */
	x = (struct msg){ .type = MSG_NO_RECORD };
	assert_true(
		asking_park(r, session_find(r, mesh_session(m, 0, 4)), &x,
			    &(struct id_list){ .n = 1, .ids = { { { 9 } } } },
			    mesh_now(m)));
	assert_int_equal(r->asking.n_parked, PARKED_PROBES_MAX + 1);
	small_pass(m, 5 * NS_PER_S);
	assert_int_equal(r->asking.n_parked, 0);
	assert_int_equal(r->asking.n_parked_probes, 0);
	mesh_free(m);
}

static struct msg lookup(unsigned tree, unsigned number)
{
	struct msg x = { .type = MSG_LOOKUP };

	x.lookup.tree = (uint8_t)tree;
	x.lookup.hops_left = REQUEST_HOPS_MAX;
	memcpy(x.lookup.nonce.b, &number, sizeof number);
	x.lookup.id.b[0] = 1;
	return x;
}

/* Nodes 1 and 2 ask node 0, which is not the root of some tree. */
static void a_neighbour_has_a_share_of_the_requests(void **state)
{
	struct mesh *m = small_nodes(4);
	const struct router_counters *c;
	struct neighbour *n;
	struct tree_info t;
	unsigned tree;
	struct msg x;

	(void)state;
	for (size_t i = 1; i < 4; i++)
		mesh_add_link(m, 0, i, &small_link);
	small_pass(m, 30 * NS_PER_S);
	for (tree = 0; tree < TREES; tree++)
		if (router_tree_get(mesh_router(m, 0), tree, &t) &&
		    t.has_parent && mesh_find(m, &t.parent) == 3)
			break;
	c = small_counters(m, 0);
	n = peer(m, 1, 0);
	if (tree == TREES)
		fail_msg("no tree leads from node 0 to node 3");
	x = lookup(tree, 1);
	n->n_requests = REQUESTS_PER_PEER_MAX;
	mesh_inject(m, 0, 0, &x);
	assert_int_equal(c->n_request_full, 1);
	n->n_requests = REQUESTS_PER_PEER_MAX - 1;
	mesh_inject(m, 0, 0, &x);
	assert_int_equal(c->n_request_full, 1);
	assert_int_equal(n->n_requests, REQUESTS_PER_PEER_MAX);
	x = lookup(tree, 2);
	mesh_inject(m, 0, 1, &x);
	assert_int_equal(c->n_request_full, 1);
	n->n_requests = 1;
	small_pass(m, 10 * NS_PER_S);
	assert_int_equal(n->n_requests, 0);
	assert_int_equal(peer(m, 2, 0)->n_requests, 0);
	mesh_free(m);
}

static void the_second_half_of_a_table_is_in_equal_shares(void **state)
{
	unsigned max = 2 * PEERS_MAX * 8;

	(void)state;
	assert_true(share_is_left(max / 2 - 1, max, max / 2 - 1));
	assert_false(share_is_left(max / 2, max, max / 2));
	assert_false(share_is_left(max / 2, max, 8));
	assert_true(share_is_left(max / 2, max, 7));
	assert_true(share_is_left(max - 1, max, 0));
	assert_false(share_is_left(max, max, 0));
	/* Nobody's table has shares of nothing. */
	assert_true(PROBES_SEEN_MAX / 2 / PEERS_MAX >= 64);
	assert_true(REQUESTS_PENDING_MAX / 2 / PEERS_MAX >= 16);
}

/* Node 0 asks node 1 for somebody, and is asked for him by the others: first
 * many times by node 2. */
static void one_session_waits_in_one_place(void **state)
{
	struct mesh *m = small_nodes(3 + ASKED_WAITING_MAX);
	struct id_list nobody = { .n = 1, .ids = { { { 9 } } } };
	struct msg x = { .type = MSG_PEER_QUERY };
	const struct router_counters *c;
	struct router *r;
	uint64_t before;

	(void)state;
	for (size_t i = 1; i < 3 + ASKED_WAITING_MAX; i++)
		mesh_add_link(m, 0, i, &small_link);
	small_pass(m, 30 * NS_PER_S);
	r = mesh_router(m, 0);
	c = small_counters(m, 0);
	before = c->n_sent[MSG_PEER_INFO];
	asking_send(r, session_find(r, mesh_session(m, 0, 0)), &nobody,
		    mesh_now(m));
	x.peer_query.n = 1;
	x.peer_query.ids[0] = nobody.ids[0];
	for (unsigned i = 0; i < ASKED_WAITING_MAX; i++)
		mesh_inject(m, 0, 1, &x);
	for (unsigned i = 0; i + 1 < ASKED_WAITING_MAX; i++) {
		mesh_inject(m, 0, 2 + i, &x);
		assert_int_equal(c->n_asked_waiting_full, 0);
	}
	/* One more is told nothing for now. */
	mesh_inject(m, 0, 1 + ASKED_WAITING_MAX, &x);
	assert_int_equal(c->n_asked_waiting_full, 1);
	assert_int_equal(c->n_sent[MSG_PEER_INFO], before);
	x = (struct msg){ .type = MSG_PEER_INFO };
	x.peer_info.id = nobody.ids[0];
	mesh_inject(m, 0, 0, &x);
	assert_int_equal(c->n_sent[MSG_PEER_INFO], before + ASKED_WAITING_MAX);
	mesh_free(m);
}

static void inject_link(struct mesh *m, uint16_t cost)
{
	struct msg x = { .type = MSG_LINK };

	x.link = (struct msg_link){ .cost_100us = cost, .mtu = 1440 };
	mesh_inject(m, 0, 0, &x);
}

/* What is beyond it changes nothing. */
static void a_neighbour_has_a_quota_of_claims(void **state)
{
	struct mesh *m = small_line(2);
	const struct router_counters *c;
	struct session *s;

	(void)state;
	small_pass(m, 30 * NS_PER_S);
	c = small_counters(m, 0);
	s = session_find(mesh_router(m, 0), mesh_session(m, 0, 0));
	for (unsigned i = 0; i < LINK_PEER_BURST; i++)
		inject_link(m, i % 2 == 0 ? 60000 : 100);
	assert_int_equal(c->n_link_rate, 0);
	assert_int_equal(session_cost(s), 100);
	inject_link(m, 60000);
	assert_int_equal(c->n_link_rate, 1);
	assert_int_equal(session_cost(s), 100);
	small_pass(m, NS_PER_S);
	inject_link(m, 60000);
	assert_int_equal(c->n_link_rate, 1);
	assert_int_equal(session_cost(s), 60000);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_neighbour_has_a_quota_of_opens),
		cmocka_unit_test(opens_of_one_leave_signatures_for_others),
		cmocka_unit_test(a_neighbour_has_a_share_of_the_signatures),
		cmocka_unit_test(a_relay_checks_few_answers_of_one_copy),
		cmocka_unit_test(an_origin_checks_few_answers_of_one_probe),
		cmocka_unit_test(one_neighbour_gets_a_part_of_the_answers),
		cmocka_unit_test(one_neighbour_does_not_take_all_forwards),
		cmocka_unit_test(an_asker_has_half_of_the_places_of_a_link),
		cmocka_unit_test(probes_leave_room_for_others_to_wait),
		cmocka_unit_test(one_session_waits_in_one_place),
		cmocka_unit_test(a_neighbour_has_a_quota_of_claims),
		cmocka_unit_test(a_neighbour_has_a_share_of_the_requests),
		cmocka_unit_test(the_second_half_of_a_table_is_in_equal_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
