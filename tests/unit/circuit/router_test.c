/* Finding, opening and keeping paths between whole routers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/small_mesh.h"

/* 0 - 1 - 3 with links 0 and 1, and 0 - 2 - 3, a little dearer, with links 2
 * and 3. */
static struct mesh *diamond(void)
{
	struct mesh_link slow = small_link;
	struct mesh *m = small_nodes(4);

	slow.delay = 12 * NS_PER_MS;
	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 1, 3, &small_link);
	mesh_add_link(m, 0, 2, &slow);
	mesh_add_link(m, 2, 3, &slow);
	small_pass(m, NS_PER_S);
	return m;
}

static void finish(struct mesh *m)
{
	assert_null(mesh_fault(m));
	mesh_free(m);
}

/* ---- finding ----------------------------------------------------------- */

static void a_line_of_four_carries_packets_both_ways(void **state)
{
	struct mesh *m = small_line(4);
	circuit_no c = small_connect(m, 0, 3);
	const struct mesh_event *e = mesh_last(m, 3, ROUTER_CIRCUIT_UP, 0, 0);
	const struct mesh_delivery *d;
	size_t n;

	(void)state;
	assert_int_not_equal(c, 0);
	assert_non_null(e);
	assert_false(e->event.is_origin);
	assert_true(mesh_send_packet(m, 0, c, 1440, 7));
	assert_true(mesh_send_packet(m, 3, e->event.circuit, 100, 8));
	small_pass(m, NS_PER_S);
	d = mesh_deliveries(m, &n);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(d[i].n_hops, 3);
		assert_int_equal(d[i].node, d[i].tag == 7 ? 3 : 0);
	}
	finish(m);
}

static void a_neighbour_is_asked_alone_and_over_one_link(void **state)
{
	struct mesh *m = diamond();
	circuit_no c = small_connect(m, 0, 1);

	(void)state;
	assert_int_equal(small_info(m, 0, c).hops.n, 1);
	assert_int_equal(small_counters(m, 0)->n_sent[MSG_PROBE], 1);
	assert_int_equal(small_counters(m, 2)->n_received[MSG_PROBE], 0);
	finish(m);
}

static void the_cheaper_way_is_taken(void **state)
{
	struct mesh *m = diamond();
	circuit_no c = small_connect(m, 0, 3);
	struct circuit_info info = small_info(m, 0, c);

	(void)state;
	assert_int_equal(info.hops.n, 2);
	assert_int_equal(mesh_find(m, &info.hops.hop[0].id), 1);
	finish(m);
}

static void both_disjoint_ways_are_answered_and_kept(void **state)
{
	struct mesh *m = diamond();
	struct route_proof *p = mem_new(p);
	size_t n = 0;

	(void)state;
	small_connect(m, 0, 3);
	while (router_route_get(mesh_router(m, 0), n, p)) {
		assert_int_equal(p->hops.n, 2);
		assert_int_equal(mesh_find(m, &p->hops.hop[0].id), n + 1);
		n++;
	}
	assert_int_equal(n, 2);
	free(p);
	finish(m);
}

static void every_hop_costs_what_its_ends_claim(void **state)
{
	struct mesh *m = small_nodes(3);
	struct mesh_link fast = small_link, slow = small_link;
	struct circuit_info info;

	(void)state;
	fast.delay = NS_PER_MS;
	slow.delay = 30 * NS_PER_MS;
	slow.mtu = 1300;
	mesh_add_link(m, 0, 1, &fast);
	mesh_add_link(m, 1, 2, &slow);
	small_pass(m, NS_PER_S);
	info = small_info(m, 0, small_connect(m, 0, 2));
	assert_int_equal(info.hops.hop[0].cost_100us, LINK_COST_FLOOR_100US);
	assert_int_equal(info.hops.hop[1].cost_100us, 300);
	assert_int_equal(info.hops.hop[1].mtu, 1300);
	assert_int_equal(info.mtu, 1300);
	finish(m);
}

static void the_worse_of_both_claims_counts(void **state)
{
	struct mesh *m = small_line(3);
	const struct msg_link bad = { .cost_100us = 500, .mtu = 1250 };
	struct circuit_info info;

	(void)state;
	/* Node 1 writes this link into the path; node 0 knows it is bad. */
	router_session_measured(mesh_router(m, 0), mesh_session(m, 0, 0), &bad,
				mesh_now(m));
	info = small_info(m, 0, small_connect(m, 0, 2));
	assert_int_equal(info.hops.hop[0].cost_100us, 500);
	assert_int_equal(info.hops.hop[0].mtu, 1250);
	assert_int_equal(info.hops.hop[1].cost_100us, 100);
	assert_int_equal(info.mtu, 1250);
	finish(m);
}

static void a_claim_is_told_anew_when_it_changes_by_a_fifth(void **state)
{
	static const struct {
		const char *why;
		struct msg_link claim;
		bool is_told;
	} cases[] = {
		{ "the same", { .cost_100us = 50, .mtu = 1440 }, false },
		{ "a fifth dearer", { .cost_100us = 60, .mtu = 1440 }, false },
		{ "more than that", { .cost_100us = 61, .mtu = 1440 }, true },
		{ "as much cheaper", { .cost_100us = 39, .mtu = 1440 }, true },
		{ "a smaller MTU", { .cost_100us = 50, .mtu = 1439 }, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mesh *m = small_line(2);

		router_session_measured(mesh_router(m, 0),
					mesh_session(m, 0, 0), &cases[i].claim,
					mesh_now(m));
		if (small_counters(m, 0)->n_sent[MSG_LINK] !=
		    1u + cases[i].is_told)
			fail_msg("%s", cases[i].why);
		finish(m);
	}
}

static void a_node_in_the_middle_may_refuse_transit(void **state)
{
	struct mesh *m = mesh_new(1);
	const struct mesh_event *e;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		mesh_add_node(m, i != 1);
	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 1, 2, &small_link);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_connect(m, 0, 2), 0);
	e = mesh_last(m, 0, ROUTER_UNREACHABLE, 2, 0);
	assert_non_null(e);
	assert_true(e->event.is_proved);
	assert_int_not_equal(small_connect(m, 0, 1), 0);
	assert_int_not_equal(small_connect(m, 1, 2), 0);
	finish(m);
}

/* ---- unreachable ------------------------------------------------------- */

static void a_node_without_a_path_is_proved_unreachable_at_once(void **state)
{
	struct mesh *m = small_nodes(5);
	const struct mesh_event *e;
	nsec start;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		mesh_add_link(m, i, i + 1, &small_link);
	small_pass(m, NS_PER_S);
	start = mesh_now(m);
	assert_int_equal(small_connect(m, 0, 4), 0);
	e = mesh_last(m, 0, ROUTER_UNREACHABLE, 4, start);
	assert_non_null(e);
	assert_true(e->event.is_proved);
	assert_true(e->event.took < 300 * NS_PER_MS);
	finish(m);
}

static void a_node_without_neighbours_knows_it_at_once(void **state)
{
	struct mesh *m = small_line(2);
	const struct mesh_event *e;

	(void)state;
	mesh_cut(m, 0);
	small_pass(m, NS_PER_S);
	mesh_connect(m, 0, 1, 0);
	e = mesh_last(m, 0, ROUTER_UNREACHABLE, 1, 0);
	assert_non_null(e);
	assert_true(e->event.is_proved);
	assert_int_equal(e->event.took, 0);
	finish(m);
}

/* Swallows what one node says. */
static bool is_silent(void *ctx, size_t from, size_t to, struct msg *m)
{
	const size_t *who = ctx;

	(void)to;
	return from != *who || m->type == MSG_LINK;
}

static void silence_is_unreachable_but_not_proved(void **state)
{
	struct mesh *m = small_line(3);
	const struct mesh_event *e;
	size_t who = 1;

	(void)state;
	mesh_set_filter(m, is_silent, &who);
	assert_int_equal(small_connect(m, 0, 2), 0);
	e = mesh_last(m, 0, ROUTER_UNREACHABLE, 2, 0);
	assert_non_null(e);
	assert_false(e->event.is_proved);
	assert_true(e->event.took >= 2 * NS_PER_S);
	assert_true(e->event.took <= PROBE_SILENT_MS * NS_PER_MS);
	mesh_free(m);
}

static void a_silent_node_further_on_is_timed_out_by_its_neighbour(void **state)
{
	struct mesh *m = small_line(4);
	const struct mesh_event *e;
	size_t who = 2;

	(void)state;
	mesh_set_filter(m, is_silent, &who);
	assert_int_equal(small_connect(m, 0, 3), 0);
	e = mesh_last(m, 0, ROUTER_UNREACHABLE, 3, 0);
	assert_non_null(e);
	assert_false(e->event.is_proved);
	assert_true(e->event.took <= PROBE_DEADLINE_MAX_MS * NS_PER_MS);
	assert_true(small_counters(m, 1)->n_sent[MSG_NAK] > 0);
	mesh_free(m);
}

static void unreachable_is_remembered_until_a_neighbour_comes(void **state)
{
	struct mesh *m = small_line(3);
	uint64_t n_probes;

	(void)state;
	mesh_cut(m, 1);
	small_pass(m, NS_PER_S);
	mesh_connect(m, 0, 2, 0);
	small_pass(m, NS_PER_S);
	n_probes = small_counters(m, 0)->n_sent[MSG_PROBE];
	mesh_connect(m, 0, 2, 0);
	assert_int_equal(small_counters(m, 0)->n_unreachable, 2);
	assert_int_equal(small_counters(m, 0)->n_sent[MSG_PROBE], n_probes);
	small_pass(m, UNREACHABLE_MEMORY_NS);
	mesh_connect(m, 0, 2, 0);
	assert_true(small_counters(m, 0)->n_sent[MSG_PROBE] > n_probes);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 0)->n_unreachable, 3);
	/* Nobody knows what is behind a new session. */
	mesh_add_link(m, 0, 1, &small_link);
	n_probes = small_counters(m, 0)->n_sent[MSG_PROBE];
	mesh_connect(m, 0, 2, 0);
	assert_true(small_counters(m, 0)->n_sent[MSG_PROBE] > n_probes);
	finish(m);
}

static void a_probe_is_offered_to_a_neighbour_that_comes_later(void **state)
{
	struct mesh *m = small_line(4);
	nsec healed;

	(void)state;
	mesh_cut(m, 2);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_connect(m, 0, 3), 0);
	assert_non_null(mesh_last(m, 0, ROUTER_UNREACHABLE, 3, 0));
	healed = mesh_now(m);
	mesh_heal(m, 2);
	small_pass(m, NS_PER_S);
	/* Nobody asked again: the answer to the old probe made this route. */
	assert_int_equal(small_counters(m, 0)->n_connect, 1);
	assert_non_null(mesh_last(m, 0, ROUTER_ROUTE_ADDED, 3, healed));
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_int_equal(small_counters(m, 0)->n_connect_reused, 1);
	finish(m);
}

static void a_probe_of_ours_is_offered_to_a_neighbour_of_ours(void **state)
{
	struct mesh *m = small_nodes(4);
	nsec start;

	(void)state;
	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 2, 3, &small_link);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_connect(m, 0, 3), 0);
	start = mesh_now(m);
	mesh_add_link(m, 0, 2, &small_link);
	small_pass(m, NS_PER_S);
	assert_non_null(mesh_last(m, 0, ROUTER_ROUTE_ADDED, 3, start));
	finish(m);
}

/* ---- keeping ----------------------------------------------------------- */

static void a_stored_route_is_opened_without_a_probe(void **state)
{
	struct mesh *m = small_line(4);
	uint64_t n_probes;

	(void)state;
	mesh_close(m, 0, small_connect(m, 0, 3));
	small_pass(m, NS_PER_S);
	n_probes = small_counters(m, 0)->n_sent[MSG_PROBE];
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_int_equal(small_counters(m, 0)->n_sent[MSG_PROBE], n_probes);
	assert_int_equal(small_counters(m, 0)->n_connect_reused, 1);
	finish(m);
}

static void routes_outlive_restarts_of_all_nodes(void **state)
{
	struct mesh *m = small_line(4);

	(void)state;
	small_connect(m, 0, 3);
	for (size_t i = 0; i < 4; i++) {
		mesh_kill(m, i);
		small_pass(m, NS_PER_S);
		mesh_revive(m, i);
		small_pass(m, NS_PER_S);
	}
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_int_equal(small_counters(m, 0)->n_sent[MSG_PROBE], 0);
	assert_int_equal(small_counters(m, 0)->n_connect_reused, 1);
	finish(m);
}

static void a_stored_route_with_a_bad_signature_is_thrown_away(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p);
	const struct mesh_event *e;

	(void)state;
	small_connect(m, 0, 2);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	p->sigs[0][5] ^= 1;
	mesh_kill(m, 0);
	small_pass(m, NS_PER_S);
	mesh_revive(m, 0);
	/* The one that the node kept is good; this one looks like a newer. */
	p->expiry_ms++;
	route_proof_seal(p);
	assert_true(router_route_add(mesh_router(m, 0), p, mesh_now(m)));
	assert_int_not_equal(small_connect(m, 0, 2), 0);
	e = mesh_last(m, 0, ROUTER_ROUTE_GONE, 2, 0);
	assert_non_null(e);
	assert_int_equal(small_counters(m, 0)->n_connect_reused, 0);
	free(p);
	finish(m);
}

static void routes_of_others_and_dead_ones_are_not_taken(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p), *bad = mem_new(bad);

	(void)state;
	small_connect(m, 0, 2);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	assert_false(router_route_add(mesh_router(m, 1), p, mesh_now(m)));
	*bad = *p;
	bad->expiry_ms = mesh_wall(m);
	assert_false(router_route_add(mesh_router(m, 0), bad, mesh_now(m)));
	bad->expiry_ms = mesh_wall(m) + ROUTE_LIFETIME_MS + CLOCK_SKEW_MS + 1;
	assert_false(router_route_add(mesh_router(m, 0), bad, mesh_now(m)));
	*bad = *p;
	bad->hops.hop[0].id = bad->hops.hop[1].id;
	assert_false(router_route_add(mesh_router(m, 0), bad, mesh_now(m)));
	*bad = *p;
	bad->first_sig = 1;
	assert_false(router_route_add(mesh_router(m, 0), bad, mesh_now(m)));
	free(bad);
	free(p);
	finish(m);
}

static void a_route_over_a_link_that_is_down_is_forgotten(void **state)
{
	struct mesh *m = small_line(4);
	struct route_proof *p = mem_new(p);

	(void)state;
	small_connect(m, 0, 3);
	mesh_cut(m, 2);
	small_pass(m, NS_PER_S);
	assert_non_null(mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 3, 0));
	assert_false(router_route_get(mesh_router(m, 0), 0, p));
	/* Of our own links we know ourselves when they are back. */
	mesh_heal(m, 2);
	small_connect(m, 0, 3);
	mesh_cut(m, 0);
	small_pass(m, NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	free(p);
	finish(m);
}

static void a_route_goes_when_its_proof_expires(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p);

	(void)state;
	small_connect(m, 0, 2);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	small_pass(m, ROUTE_LIFETIME_MS * NS_PER_MS);
	assert_false(router_route_get(mesh_router(m, 0), 0, p));
	assert_non_null(mesh_last(m, 0, ROUTER_ROUTE_GONE, 2, 0));
	free(p);
	finish(m);
}

/* ---- two circuits ------------------------------------------------------ */

static void a_second_circuit_avoids_the_links_of_the_first(void **state)
{
	struct mesh *m = diamond();
	circuit_no first = small_connect(m, 0, 3);
	circuit_no second = small_connect_avoiding(m, 0, 3, first);
	struct circuit_info info = small_info(m, 0, second);

	(void)state;
	assert_int_equal(info.hops.n, 2);
	assert_int_equal(mesh_find(m, &info.hops.hop[0].id), 2);
	finish(m);
}

/* Node 2 hears of the probe through node 1 first, and would pass on nothing
 * else. */
static void a_second_way_is_found_in_the_shadow_of_the_first(void **state)
{
	struct mesh *m = small_nodes(6);
	struct mesh_link slow = small_link;
	circuit_no first, second;
	struct circuit_info info;

	(void)state;
	slow.delay = 60 * NS_PER_MS;
	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 1, 4, &small_link);
	mesh_add_link(m, 4, 3, &small_link);
	mesh_add_link(m, 1, 2, &small_link);
	mesh_add_link(m, 0, 2, &slow);
	mesh_add_link(m, 2, 5, &small_link);
	mesh_add_link(m, 5, 3, &small_link);
	small_pass(m, NS_PER_S);
	first = small_connect(m, 0, 3);
	assert_int_equal(small_first(m, 0, first), 1);
	second = small_connect_avoiding(m, 0, 3, first);
	info = small_info(m, 0, second);
	assert_int_equal(info.hops.n, 3);
	assert_int_equal(mesh_find(m, &info.hops.hop[0].id), 2);
	assert_int_equal(mesh_find(m, &info.hops.hop[1].id), 5);
	finish(m);
}

static void a_path_that_is_to_be_avoided_is_better_than_none(void **state)
{
	struct mesh *m = small_line(3);
	circuit_no first = small_connect(m, 0, 2);
	nsec start = mesh_now(m);
	circuit_no second = small_connect_avoiding(m, 0, 2, first);

	(void)state;
	assert_int_not_equal(second, 0);
	assert_int_not_equal(second, first);
	assert_true(mesh_opened(m, 0, 2, start)->at - start < NS_PER_S);
	finish(m);
}

static void a_direct_link_that_is_to_be_avoided_is_gone_round(void **state)
{
	struct mesh *m = small_nodes(3);
	circuit_no first, second;

	(void)state;
	mesh_add_link(m, 0, 1, &small_link);
	mesh_add_link(m, 0, 2, &small_link);
	mesh_add_link(m, 2, 1, &small_link);
	small_pass(m, NS_PER_S);
	first = small_connect(m, 0, 1);
	second = small_connect_avoiding(m, 0, 1, first);
	assert_int_equal(small_info(m, 0, first).hops.n, 1);
	assert_int_equal(small_info(m, 0, second).hops.n, 2);
	finish(m);
}

static void a_broken_circuit_is_avoided_after_its_end(void **state)
{
	struct mesh *m = diamond();
	circuit_no first = small_connect(m, 0, 3);
	circuit_no second;

	(void)state;
	mesh_cut(m, 1);
	small_pass(m, NS_PER_S);
	assert_non_null(mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 3, 0));
	second = small_connect_avoiding(m, 0, 3, first);
	assert_int_equal(small_first(m, 0, second), 2);
	finish(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_four_carries_packets_both_ways),
		cmocka_unit_test(a_neighbour_is_asked_alone_and_over_one_link),
		cmocka_unit_test(the_cheaper_way_is_taken),
		cmocka_unit_test(both_disjoint_ways_are_answered_and_kept),
		cmocka_unit_test(every_hop_costs_what_its_ends_claim),
		cmocka_unit_test(the_worse_of_both_claims_counts),
		cmocka_unit_test(
			a_claim_is_told_anew_when_it_changes_by_a_fifth),
		cmocka_unit_test(a_node_in_the_middle_may_refuse_transit),
		cmocka_unit_test(
			a_node_without_a_path_is_proved_unreachable_at_once),
		cmocka_unit_test(a_node_without_neighbours_knows_it_at_once),
		cmocka_unit_test(silence_is_unreachable_but_not_proved),
		cmocka_unit_test(
			a_silent_node_further_on_is_timed_out_by_its_neighbour),
		cmocka_unit_test(
			unreachable_is_remembered_until_a_neighbour_comes),
		cmocka_unit_test(
			a_probe_is_offered_to_a_neighbour_that_comes_later),
		cmocka_unit_test(
			a_probe_of_ours_is_offered_to_a_neighbour_of_ours),
		cmocka_unit_test(a_stored_route_is_opened_without_a_probe),
		cmocka_unit_test(routes_outlive_restarts_of_all_nodes),
		cmocka_unit_test(
			a_stored_route_with_a_bad_signature_is_thrown_away),
		cmocka_unit_test(routes_of_others_and_dead_ones_are_not_taken),
		cmocka_unit_test(a_route_over_a_link_that_is_down_is_forgotten),
		cmocka_unit_test(a_route_goes_when_its_proof_expires),
		cmocka_unit_test(
			a_second_circuit_avoids_the_links_of_the_first),
		cmocka_unit_test(
			a_second_way_is_found_in_the_shadow_of_the_first),
		cmocka_unit_test(
			a_path_that_is_to_be_avoided_is_better_than_none),
		cmocka_unit_test(
			a_direct_link_that_is_to_be_avoided_is_gone_round),
		cmocka_unit_test(a_broken_circuit_is_avoided_after_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
