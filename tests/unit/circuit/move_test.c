/* Held destinations in networks whose nodes move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/steer_lab.h"

/* 0 - 1 - 2: there is no spare, and the attempts to find one pause for longer
 * each time. */
static void a_search_for_a_spare_hurries_when_nothing_else_is_left(void **state)
{
	struct steer_lab *l = steer_line(3);
	const struct mesh_event *up;
	nsec cut;

	(void)state;
	mesh_hold(l->m, 0, 2);
	small_pass(l->m, 4 * NS_PER_S);
	assert_true(seeks_n(mesh_router(l->m, 0)) > 0);
	cut = mesh_now(l->m);
	mesh_cut(l->m, 1);
	small_pass(l->m, 400 * NS_PER_MS);
	mesh_heal(l->m, 1);
	small_pass(l->m, 1500 * NS_PER_MS);
	up = mesh_opened(l->m, 0, 2, cut);
	assert_non_null(up);
	assert_null(mesh_fault(l->m));
	steer_lab_free(l);
}

/* 0 - 1 - 3, 0 - 2 - 3 and 0 - 4 - 3. */
static struct mesh *three_ways(void)
{
	struct mesh *m = small_nodes(5);

	for (size_t i = 1; i < 5; i++)
		if (i != 3) {
			mesh_add_link(m, 0, i, &small_link);
			mesh_add_link(m, i, 3, &small_link);
		}
	return m;
}

static const struct router_event *carries(const struct mesh *m)
{
	return &mesh_last(m, 0, ROUTER_CARRIES, 3, 0)->event;
}

/* Breaks the link between the first node of the circuit that carries and the
 * target; it is whole again a moment later. */
static void break_carrying(struct mesh *m)
{
	struct circuit_info c = small_info(m, 0, carries(m)->circuit);

	for (size_t i = 0; i < mesh_n_links(m); i++) {
		size_t a, b;

		mesh_link_ends(m, i, &a, &b);
		if (b != 3 || a != mesh_find(m, &c.hops.hop[0].id))
			continue;
		mesh_cut(m, i);
		small_pass(m, NS_PER_S);
		mesh_heal(m, i);
	}
	small_pass(m, 3 * NS_PER_S);
}

static void send(struct mesh *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		mesh_send_packet(m, 0, carries(m)->circuit, 100, i);
}

static void where_circuits_break_thin_traffic_goes_twice(void **state)
{
	struct mesh *m = three_ways();
	struct hold_info h;

	(void)state;
	mesh_hold(m, 0, 3);
	small_pass(m, 3 * NS_PER_S);
	send(m, 1);
	break_carrying(m);
	send(m, 1);
	assert_int_equal(carries(m)->also, 0);
	break_carrying(m);
	assert_true(router_hold_find(mesh_router(m, 0),
				     &mesh_identity(m, 3)->id, &h));
	assert_int_not_equal(carries(m)->also, 0);
	assert_int_equal(carries(m)->also, h.spare);
	assert_int_equal(carries(m)->circuit, h.carries);
	/* Much of it goes once, and again when it is thin. */
	for (int i = 0; i < 5; i++) {
		send(m, 9);
		small_pass(m, 100 * NS_PER_MS);
	}
	assert_int_equal(carries(m)->also, 0);
	for (int i = 0; i < 10; i++) {
		send(m, 8);
		small_pass(m, 100 * NS_PER_MS);
	}
	assert_int_not_equal(carries(m)->also, 0);
	/* After a minute of quiet it is over. */
	for (int i = 0; i < 130; i++) {
		send(m, 1);
		small_pass(m, 500 * NS_PER_MS);
	}
	assert_int_equal(carries(m)->also, 0);
	assert_null(mesh_fault(m));
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_search_for_a_spare_hurries_when_nothing_else_is_left),
		cmocka_unit_test(where_circuits_break_thin_traffic_goes_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
