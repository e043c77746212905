/* Held destinations between whole routers: spares, switching, ranking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/path.h"
#include "proto/base/mem.h"
#include "tests/support/flow.h"
#include "tests/support/small_mesh.h"

static const struct mesh_link quick_link = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 20 * NS_PER_MS,
};

/* Two ways from node 0 to the last one, each over `n_relays` nodes of its own:
 * 1, 3, 5 … and 2, 4, 6 … */
static struct mesh *fork_of(size_t n_relays, const struct mesh_link *link)
{
	size_t far = 2 * n_relays + 1;
	struct mesh *m = small_nodes(far + 1);

	for (size_t way = 1; way <= 2; way++) {
		size_t at = 0;

		for (size_t i = 0; i < n_relays; i++) {
			mesh_add_link(m, at, 2 * i + way, link);
			at = 2 * i + way;
		}
		mesh_add_link(m, at, far, link);
	}
	small_pass(m, NS_PER_S);
	return m;
}

static struct hold_info hold_info(const struct mesh *m, size_t from, size_t to)
{
	struct hold_info info;

	assert_true(router_hold_find(mesh_router(m, from),
				     &mesh_identity(m, to)->id, &info));
	return info;
}

static size_t n_shared(const struct mesh *m, circuit_no a, circuit_no b)
{
	struct circuit_info x = small_info(m, 0, a), y = small_info(m, 0, b);

	return path_n_shared(&mesh_identity(m, 0)->id, &x.hops, &y.hops);
}

static void finish(struct mesh *m)
{
	assert_null(mesh_fault(m));
	mesh_free(m);
}

/* ---- spares ------------------------------------------------------------ */

static void two_circuits_that_share_no_link_are_kept(void **state)
{
	struct mesh *m = fork_of(1, &quick_link);
	struct hold_info info;
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 3, 10 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	info = hold_info(m, 0, 3);
	assert_int_equal(info.carries, f.carries);
	assert_int_not_equal(info.spare, 0);
	assert_int_equal(n_shared(m, info.carries, info.spare), 0);
	assert_in_range(info.carries_rtt, 20 * NS_PER_MS, 21 * NS_PER_MS);
	assert_in_range(info.spare_rtt, 20 * NS_PER_MS, 21 * NS_PER_MS);
	assert_int_equal(info.carries_loss, 0);
	finish(m);
}

/* Both ways over {1, 2} and {3, 4} share a node or not, never a link. */
static void a_spare_shares_no_node_if_the_graph_has_such_a_path(void **state)
{
	static const size_t links[][2] = { { 0, 1 }, { 0, 2 }, { 1, 3 },
					   { 1, 4 }, { 2, 3 }, { 2, 4 },
					   { 3, 5 }, { 4, 5 } };

	(void)state;
	for (unsigned seed = 1; seed <= 10; seed++) {
		struct mesh *m = mesh_new(seed);
		struct circuit_info a, b;
		struct hold_info info;
		struct flow f;

		for (size_t i = 0; i < 6; i++)
			mesh_add_node(m, true);
		for (size_t i = 0; i < ARRAY_LEN(links); i++)
			mesh_add_link(m, links[i][0], links[i][1], &quick_link);
		small_pass(m, NS_PER_S);
		flow_start(&f, m, 0, 5, 10 * NS_PER_MS, 1);
		flow_run(&f, 5 * NS_PER_S);
		info = hold_info(m, 0, 5);
		assert_int_not_equal(info.spare, 0);
		a = small_info(m, 0, info.carries);
		b = small_info(m, 0, info.spare);
		assert_int_equal(a.hops.n, 3);
		for (size_t i = 0; i + 1 < a.hops.n; i++)
			assert_false(path_has(b.hops.hop, b.hops.n,
					      &a.hops.hop[i].id));
		finish(m);
	}
}

static void releasing_ends_the_spare_alone(void **state)
{
	struct mesh *m = fork_of(2, &quick_link);
	struct hold_info info;
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 5, 10 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	info = hold_info(m, 0, 5);
	mesh_release(m, 0, 5);
	small_pass(m, NS_PER_S);
	small_info(m, 0, info.carries);
	assert_null(circuit_find(mesh_router(m, 0), info.spare));
	assert_false(router_hold_find(mesh_router(m, 0),
				      &mesh_identity(m, 5)->id, &info));
	assert_null(mesh_router(m, 0)->holds.all);
	finish(m);
}

/* ---- switching --------------------------------------------------------- */

static void the_spare_carries_at_once_when_a_hop_dies(void **state)
{
	(void)state;
	for (size_t relay = 0; relay < 3; relay++) {
		struct mesh *m = fork_of(3, &quick_link);
		struct circuit_info carries;
		struct hold_info info;
		struct flow f;

		flow_start(&f, m, 0, 7, NS_PER_MS, 1);
		flow_run(&f, 2 * NS_PER_S);
		carries = small_info(m, 0, f.carries);
		info = hold_info(m, 0, 7);
		assert_int_not_equal(info.spare, 0);
		flow_reset(&f);
		mesh_kill(m, mesh_find(m, &carries.hops.hop[relay].id));
		flow_run(&f, NS_PER_S);
		/* 40 ms there and back, 20 ms until it is noticed. */
		assert_in_range(f.gap, 0, (40 + 20 + 100) * NS_PER_MS);
		assert_int_equal(f.n_carries, 1);
		assert_int_equal(f.carries, info.spare);
		assert_int_equal(small_counters(m, 0)->n_switches, 1);
		assert_int_equal(small_counters(m, 0)->n_localised, 0);
		mesh_free(m);
	}
}

static void a_new_spare_is_looked_for_when_one_is_lost(void **state)
{
	static const size_t links[][2] = { { 0, 1 }, { 1, 4 }, { 0, 2 },
					   { 2, 4 }, { 0, 3 }, { 3, 4 } };
	struct mesh *m = small_nodes(5);
	struct hold_info before, after;
	struct flow f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		mesh_add_link(m, links[i][0], links[i][1], &quick_link);
	small_pass(m, NS_PER_S);
	flow_start(&f, m, 0, 4, NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	before = hold_info(m, 0, 4);
	flow_reset(&f);
	mesh_kill(m, small_first(m, 0, before.spare));
	flow_run(&f, NS_PER_S);
	after = hold_info(m, 0, 4);
	assert_int_equal(after.carries, before.carries);
	assert_int_equal(f.n_carries, 0);
	assert_int_not_equal(after.spare, 0);
	assert_int_not_equal(after.spare, before.spare);
	assert_int_equal(n_shared(m, after.carries, after.spare), 0);
	mesh_free(m);
}

/* A spare that comes and goes is no business of what is carried. */
static void a_flapping_spare_moves_no_traffic(void **state)
{
	struct mesh *m = fork_of(2, &quick_link);
	size_t spare_link;
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 5, 5 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	spare_link = small_first(m, 0, f.carries) == 1 ? 4 : 1;
	flow_reset(&f);
	for (int i = 0; i < 20; i++) {
		mesh_cut(m, spare_link);
		flow_run(&f, 2 * NS_PER_S);
		mesh_heal(m, spare_link);
		flow_run(&f, 2 * NS_PER_S);
	}
	assert_int_equal(f.n_carries, 0);
	assert_in_range(f.n_came_back, f.n_sent - 10, f.n_sent);
	mesh_free(m);
}

/* ---- ranking ----------------------------------------------------------- */

static struct mesh *uneven_fork(const struct mesh_link *first,
				const struct mesh_link *second)
{
	struct mesh *m = small_nodes(4);

	mesh_add_link(m, 0, 1, first);
	mesh_add_link(m, 1, 3, first);
	mesh_add_link(m, 0, 2, second);
	mesh_add_link(m, 2, 3, second);
	small_pass(m, NS_PER_S);
	return m;
}

/* What a link claims says one thing, what is measured another. */
static void loss_moves_traffic_but_blames_nobody(void **state)
{
	struct mesh_link lossy = quick_link, clean = quick_link;
	struct mesh *m;
	struct flow f;

	(void)state;
	lossy.loss_permille = 50;
	clean.delay = 12 * NS_PER_MS;
	m = uneven_fork(&lossy, &clean);
	flow_start(&f, m, 0, 3, 5 * NS_PER_MS, 1);
	flow_run(&f, NS_PER_S);
	assert_int_equal(small_first(m, 0, f.carries), 1);
	flow_run(&f, 60 * NS_PER_S);
	assert_int_equal(small_first(m, 0, f.carries), 2);
	/* Not back again, though the other has the shorter round trip. */
	flow_reset(&f);
	flow_run(&f, 120 * NS_PER_S);
	assert_int_equal(f.n_carries, 0);
	assert_int_equal(small_counters(m, 0)->n_localised, 0);
	finish(m);
}

/* Nothing to choose between them: traffic stays where it is. */
static void equal_circuits_do_not_take_turns(void **state)
{
	struct mesh_link link = quick_link;
	struct mesh *m;
	struct flow f;

	(void)state;
	link.jitter = 4 * NS_PER_MS;
	m = uneven_fork(&link, &link);
	flow_start(&f, m, 0, 3, 5 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	flow_reset(&f);
	flow_run(&f, 300 * NS_PER_S);
	assert_int_equal(f.n_carries, 0);
	assert_int_equal(small_counters(m, 0)->n_localised, 0);
	finish(m);
}

/* ---- by hand ----------------------------------------------------------- */

static void what_is_pinned_carries_whatever_is_measured(void **state)
{
	struct mesh_link slow = quick_link;
	struct hold_info info;
	struct mesh *m;
	struct flow f;

	(void)state;
	slow.delay = 100 * NS_PER_MS;
	m = uneven_fork(&quick_link, &slow);
	flow_start(&f, m, 0, 3, 5 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	info = hold_info(m, 0, 3);
	assert_int_equal(small_first(m, 0, info.spare), 2);
	assert_true(
		router_path_pin(mesh_router(m, 0), info.spare, mesh_now(m)));
	mesh_pump(m, 0);
	flow_run(&f, 60 * NS_PER_S);
	assert_int_equal(f.carries, info.spare);
	assert_true(hold_info(m, 0, 3).is_pinned);
	assert_true(router_path_auto(mesh_router(m, 0),
				     &mesh_identity(m, 3)->id, mesh_now(m)));
	mesh_pump(m, 0);
	flow_run(&f, 60 * NS_PER_S);
	assert_int_equal(f.carries, info.carries);
	assert_false(router_path_auto(mesh_router(m, 0),
				      &mesh_identity(m, 3)->id, mesh_now(m)));
	assert_false(router_path_pin(mesh_router(m, 0), 77777, mesh_now(m)));
	finish(m);
}

static void a_pin_ends_with_its_circuit(void **state)
{
	struct mesh *m = fork_of(2, &quick_link);
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 5, 5 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	assert_true(router_path_pin(mesh_router(m, 0), f.carries, mesh_now(m)));
	flow_reset(&f);
	mesh_kill(m, small_first(m, 0, f.carries));
	flow_run(&f, NS_PER_S);
	assert_int_equal(f.n_carries, 1);
	assert_false(hold_info(m, 0, 5).is_pinned);
	assert_in_range(f.gap, 0, 200 * NS_PER_MS);
	mesh_free(m);
}

static void a_node_that_is_avoided_is_left_and_not_crossed_again(void **state)
{
	struct mesh *m = fork_of(1, &quick_link);
	struct node_id bad;
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 3, 5 * NS_PER_MS, 1);
	flow_run(&f, 2 * NS_PER_S);
	bad = mesh_identity(m, small_first(m, 0, f.carries))->id;
	assert_true(router_path_avoid(mesh_router(m, 0), &bad, mesh_now(m)));
	mesh_pump(m, 0);
	flow_run(&f, 60 * NS_PER_S);
	assert_true(mesh_find(m, &bad) != small_first(m, 0, f.carries));
	/* There is no other path, so there is no spare. */
	assert_int_equal(hold_info(m, 0, 3).spare, 0);
	assert_true(router_path_auto(mesh_router(m, 0), &bad, mesh_now(m)));
	flow_run(&f, 60 * NS_PER_S);
	assert_int_not_equal(hold_info(m, 0, 3).spare, 0);
	finish(m);
}

/* Without another path none is had at all: that is what was asked for. */
static void avoiding_the_only_relay_leaves_no_path(void **state)
{
	struct mesh *m = small_line(3);
	struct node_id relay = mesh_identity(m, 1)->id;

	(void)state;
	assert_true(router_path_avoid(mesh_router(m, 0), &relay, mesh_now(m)));
	assert_int_equal(small_connect(m, 0, 2), 0);
	assert_true(router_path_auto(mesh_router(m, 0), &relay, mesh_now(m)));
	assert_int_not_equal(small_connect(m, 0, 2), 0);
	/* It may be reached itself. */
	assert_true(router_path_avoid(mesh_router(m, 0),
				      &mesh_identity(m, 1)->id, mesh_now(m)));
	assert_int_not_equal(small_connect(m, 0, 1), 0);
	finish(m);
}

static void so_many_nodes_can_be_avoided_and_no_more(void **state)
{
	struct mesh *m = small_line(2);
	struct router *r = mesh_router(m, 0);
	struct node_id id = { { 9 } };

	(void)state;
	for (unsigned i = 0; i < AVOIDED_MAX; i++) {
		id.b[1] = (uint8_t)i;
		assert_true(router_path_avoid(r, &id, mesh_now(m)));
	}
	assert_true(router_path_avoid(r, &id, mesh_now(m)));
	id.b[2] = 1;
	assert_false(router_path_avoid(r, &id, mesh_now(m)));
	id.b[2] = 0;
	assert_true(router_path_auto(r, &id, mesh_now(m)));
	id.b[2] = 1;
	assert_true(router_path_avoid(r, &id, mesh_now(m)));
	assert_false(
		router_path_avoid(r, &mesh_identity(m, 0)->id, mesh_now(m)));
	finish(m);
}

/* ---- cost -------------------------------------------------------------- */

struct meter {
	uint64_t n_bytes, n_probes;
};

static bool measure(void *ctx, size_t from, size_t to, struct msg *m)
{
	static uint8_t out[20000];
	struct meter *meter = ctx;

	(void)from;
	(void)to;
	/* Trees and records cost the same with and without. */
	if (m->type < MSG_BEACON || m->type > MSG_NO_RECORD)
		meter->n_bytes += msg_write(out, sizeof out, m);
	meter->n_probes += m->type == MSG_PROBE;
	return true;
}

static void holding_without_traffic_costs_little(void **state)
{
	struct mesh *m = fork_of(3, &quick_link);
	struct meter meter = { 0 };
	struct hold_info info;
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 7, 5 * NS_PER_MS, 1);
	flow_run(&f, 10 * NS_PER_S);
	info = hold_info(m, 0, 7);
	small_pass(m, 60 * NS_PER_S);
	mesh_set_filter(m, measure, &meter);
	small_pass(m, 1000 * NS_PER_S);
	/* Over all links of both paths together: 8 of them. */
	print_message("idle: %.1f bytes/s in all\n",
		      (double)meter.n_bytes / 1000);
	assert_in_range(meter.n_bytes, 1, 1000 * 50);
	assert_int_equal(meter.n_probes, 0);
	/* Both are kept alive by it. */
	assert_int_equal(hold_info(m, 0, 7).carries, info.carries);
	assert_int_equal(hold_info(m, 0, 7).spare, info.spare);
	mesh_free(m);
}

static void a_line_without_a_spare_is_probed_rarely(void **state)
{
	struct mesh *m = small_line(4);
	struct meter meter = { 0 };
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, 3, 10 * NS_PER_MS, 1);
	flow_run(&f, 10 * NS_PER_S);
	mesh_set_filter(m, measure, &meter);
	flow_reset(&f);
	flow_run(&f, 300 * NS_PER_S);
	print_message("no spare: %.1f bytes/s in all, %u probes\n",
		      (double)meter.n_bytes / 300, (unsigned)meter.n_probes);
	assert_in_range(meter.n_probes, 1, 12 * 40);
	assert_int_equal(f.n_carries, 0);
	assert_null(mesh_last(m, 0, ROUTER_UNREACHABLE, 3, 0));
	assert_in_range(f.gap, 0, 100 * NS_PER_MS);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_circuits_that_share_no_link_are_kept),
		cmocka_unit_test(
			a_spare_shares_no_node_if_the_graph_has_such_a_path),
		cmocka_unit_test(releasing_ends_the_spare_alone),
		cmocka_unit_test(the_spare_carries_at_once_when_a_hop_dies),
		cmocka_unit_test(a_new_spare_is_looked_for_when_one_is_lost),
		cmocka_unit_test(a_flapping_spare_moves_no_traffic),
		cmocka_unit_test(loss_moves_traffic_but_blames_nobody),
		cmocka_unit_test(equal_circuits_do_not_take_turns),
		cmocka_unit_test(what_is_pinned_carries_whatever_is_measured),
		cmocka_unit_test(a_pin_ends_with_its_circuit),
		cmocka_unit_test(
			a_node_that_is_avoided_is_left_and_not_crossed_again),
		cmocka_unit_test(avoiding_the_only_relay_leaves_no_path),
		cmocka_unit_test(so_many_nodes_can_be_avoided_and_no_more),
		cmocka_unit_test(holding_without_traffic_costs_little),
		cmocka_unit_test(a_line_without_a_spare_is_probed_rarely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
