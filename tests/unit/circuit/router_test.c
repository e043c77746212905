/* Finding, opening and closing paths between whole routers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/mesh.h"

static const struct mesh_link plain = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 300 * NS_PER_MS,
};

/* Nodes 0 to n - 1 in a line; link i joins i and i + 1. */
static struct mesh *line(size_t n)
{
	struct mesh *m = mesh_new(1);

	for (size_t i = 0; i < n; i++)
		mesh_add_node(m, true);
	for (size_t i = 0; i + 1 < n; i++)
		mesh_add_link(m, i, i + 1, &plain);
	mesh_run(m, mesh_now(m) + NS_PER_S);
	return m;
}

static circuit_no connect(struct mesh *m, size_t from, size_t to)
{
	nsec start = mesh_now(m);
	const struct mesh_event *e;

	mesh_connect(m, from, to, 0);
	mesh_run(m, start + 9 * NS_PER_S);
	e = mesh_last(m, from, ROUTER_CIRCUIT_UP, to, start);
	return e != NULL ? e->event.circuit : 0;
}

static void a_line_of_four_carries_packets_both_ways(void **state)
{
	struct mesh *m = line(4);
	circuit_no c = connect(m, 0, 3);
	const struct mesh_event *e = mesh_last(m, 3, ROUTER_CIRCUIT_UP, 0, 0);
	const struct mesh_delivery *d;
	size_t n;

	(void)state;
	assert_int_not_equal(c, 0);
	assert_non_null(e);
	assert_true(mesh_send_packet(m, 0, c, 1440, 7));
	assert_true(mesh_send_packet(m, 3, e->event.circuit, 100, 8));
	mesh_run(m, mesh_now(m) + NS_PER_S);
	d = mesh_deliveries(m, &n);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(d[i].n_hops, 3);
		assert_int_equal(d[i].node, d[i].tag == 7 ? 3 : 0);
	}
	assert_null(mesh_fault(m));
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_four_carries_packets_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
