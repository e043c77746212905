/* The life and the end of circuits between whole routers. */
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

static void finish(struct mesh *m)
{
	assert_null(mesh_fault(m));
	mesh_free(m);
}

static void a_cut_ends_the_circuit_at_both_ends(void **state)
{
	struct mesh *m = small_line(5);
	const struct mesh_event *near, *far;
	nsec cut;

	(void)state;
	small_connect(m, 0, 4);
	cut = mesh_now(m);
	mesh_cut(m, 2);
	small_pass(m, NS_PER_S);
	near = mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 4, cut);
	far = mesh_last(m, 4, ROUTER_CIRCUIT_DOWN, 0, cut);
	assert_non_null(near);
	assert_non_null(far);
	assert_int_equal(near->event.reason, CLOSE_LINK_DOWN);
	assert_true(near->event.is_origin);
	assert_false(far->event.is_origin);
	for (size_t i = 0; i < 5; i++)
		assert_null(mesh_router(m, i)->circuits.all);
	assert_int_equal(small_counters(m, 0)->n_circuits_broken, 1);
	finish(m);
}

static void closing_ends_the_circuit_everywhere(void **state)
{
	struct mesh *m = small_line(4);
	const struct mesh_event *e;

	(void)state;
	mesh_close(m, 0, small_connect(m, 0, 3));
	small_pass(m, NS_PER_S);
	e = mesh_last(m, 3, ROUTER_CIRCUIT_DOWN, 0, 0);
	assert_non_null(e);
	assert_int_equal(e->event.reason, CLOSE_DONE);
	for (size_t i = 0; i < 4; i++) {
		assert_null(mesh_router(m, i)->circuits.all);
		assert_int_equal(label_n_used(mesh_router(m, i)->labels), 0);
	}
	assert_int_equal(small_counters(m, 0)->n_circuits_broken, 0);
	finish(m);
}

static void an_idle_circuit_ends_and_a_busy_one_does_not(void **state)
{
	struct mesh *m = small_line(3);
	circuit_no c = small_connect(m, 0, 2);
	struct relay_hop hop;

	(void)state;
	for (int i = 0; i < 5; i++) {
		small_pass(m, CIRCUIT_IDLE_NS - 10 * NS_PER_S);
		assert_true(mesh_send_packet(m, 0, c, 50, 1));
	}
	/* Asking where packets would go is no packet. */
	small_pass(m, CIRCUIT_IDLE_NS - NS_PER_S);
	assert_true(
		router_circuit_out(mesh_router(m, 0), c, 0, mesh_now(m), &hop));
	assert_null(mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 2, 0));
	small_pass(m, 2 * NS_PER_S);
	assert_int_equal(
		mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 2, 0)->event.reason,
		CLOSE_IDLE);
	assert_non_null(mesh_last(m, 2, ROUTER_CIRCUIT_DOWN, 0, 0));
	finish(m);
}

/* As if node 1 had forgotten the circuit without a word to node 0. */
static bool loses_close_by_id(void *ctx, size_t from, size_t to, struct msg *m)
{
	static const struct nonce none;

	(void)ctx;
	return from != 1 || to != 0 || m->type != MSG_CLOSE ||
	       memcmp(&m->close.open_id, &none, sizeof none) == 0;
}

static void a_packet_for_an_unknown_label_ends_its_circuit(void **state)
{
	struct mesh *m = small_line(4);
	circuit_no c = small_connect(m, 0, 3);
	struct circuit_info at_1;

	(void)state;
	assert_true(router_circuit_next(mesh_router(m, 1), 0, &at_1));
	mesh_set_filter(m, loses_close_by_id, NULL);
	mesh_close(m, 1, at_1.circuit);
	small_pass(m, NS_PER_S);
	assert_null(mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 3, 0));
	assert_true(mesh_send_packet(m, 0, c, 10, 1));
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 1)->n_label_unknown, 1);
	assert_int_equal(
		mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 3, 0)->event.reason,
		CLOSE_UNKNOWN_LABEL);
	mesh_free(m);
}

/* A stream of such packets is not answered one for one. */
static void unknown_labels_are_told_of_at_a_limited_rate(void **state)
{
	struct mesh *m = small_line(2);
	struct relay_hop hop;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		router_packet_received(mesh_router(m, 1), mesh_session(m, 1, 0),
				       i + 7, 10, mesh_now(m), &hop);
	assert_int_equal(small_counters(m, 1)->n_label_unknown, 1000);
	assert_int_equal(small_counters(m, 1)->n_sent[MSG_CLOSE],
			 CLOSE_UNKNOWN_BURST);
	mesh_free(m);
}

static void a_packet_over_the_mtu_is_dropped_and_counted(void **state)
{
	struct mesh *m = small_line(3);
	circuit_no c = small_connect(m, 0, 2);
	size_t n;

	(void)state;
	assert_true(mesh_send_packet(m, 0, c, 1441, 1));
	small_pass(m, NS_PER_S);
	mesh_deliveries(m, &n);
	assert_int_equal(n, 0);
	assert_int_equal(small_counters(m, 1)->n_packet_too_big, 1);
	assert_int_equal(small_info(m, 0, c).n_packets[TOWARD_TARGET], 1);
	finish(m);
}

/* OPENED never comes: the relay gives up after its time, the origin sooner. */
static bool loses_opened(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)to;
	return m->type != MSG_OPENED && m->type != MSG_CLOSE;
}

static void a_pending_circuit_ends_in_time(void **state)
{
	struct mesh *m = small_line(3);

	(void)state;
	mesh_set_filter(m, loses_opened, NULL);
	assert_int_equal(small_connect(m, 0, 2), 0);
	assert_non_null(mesh_last(m, 0, ROUTER_UNREACHABLE, 2, 0));
	assert_null(mesh_router(m, 0)->circuits.all);
	assert_non_null(mesh_router(m, 1)->circuits.all);
	small_pass(m, CIRCUIT_PENDING_NS);
	assert_null(mesh_router(m, 1)->circuits.all);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_ends_the_circuit_at_both_ends),
		cmocka_unit_test(closing_ends_the_circuit_everywhere),
		cmocka_unit_test(an_idle_circuit_ends_and_a_busy_one_does_not),
		cmocka_unit_test(
			a_packet_for_an_unknown_label_ends_its_circuit),
		cmocka_unit_test(unknown_labels_are_told_of_at_a_limited_rate),
		cmocka_unit_test(a_packet_over_the_mtu_is_dropped_and_counted),
		cmocka_unit_test(a_pending_circuit_ends_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
