/* Hops of a circuit asked by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/small_mesh.h"

#define ENDLESS_MAX 1000

/* The n-th ROUTER_HOP of node 0, counted from 0; NULL: there are not so many.
 */
static const struct router_event *hop_event(const struct mesh *m, unsigned n)
{
	size_t n_events;
	const struct mesh_event *e = mesh_events(m, 0, &n_events);

	for (size_t i = 0; i < n_events; i++)
		if (e[i].event.type == ROUTER_HOP && n-- == 0)
			return &e[i].event;
	return NULL;
}

static bool ask(struct mesh *m, circuit_no c, unsigned hop)
{
	bool rv = router_test_hop(mesh_router(m, 0), c, hop, mesh_now(m));

	mesh_pump(m, 0);
	return rv;
}

static void each_hop_tells_what_came_through(void **state)
{
	struct mesh *m = small_line(4);
	circuit_no c = small_connect(m, 0, 3);
	const struct router_event *ev;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		mesh_send_packet(m, 0, c, 100, 1);
	small_pass(m, NS_PER_S);
	for (unsigned hop = 1; hop <= 3; hop++) {
		assert_true(ask(m, c, hop));
		small_pass(m, NS_PER_S);
		ev = hop_event(m, hop - 1);
		assert_non_null(ev);
		assert_int_equal(ev->circuit, c);
		assert_int_equal(ev->hop, hop);
		assert_true(id_equal(&ev->peer, &mesh_identity(m, hop)->id));
		/* Links of 5 ms. */
		assert_in_range(ev->took, 10 * NS_PER_MS * hop,
				10 * NS_PER_MS * hop + 5 * NS_PER_MS);
		assert_int_equal(ev->n_packets, 10);
		assert_int_equal(ev->n_missing, 0);
	}
	mesh_free(m);
}

static void what_is_no_hop_is_not_asked(void **state)
{
	struct mesh *m = small_line(3);
	circuit_no c = small_connect(m, 0, 2);

	(void)state;
	assert_false(ask(m, c, 0));
	assert_false(ask(m, c, 3));
	assert_false(ask(m, c + 1000, 1));
	assert_int_equal(small_counters(m, 0)->n_tests, 0);
	mesh_free(m);
}

static bool forges(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	(void)to;
	if (m->type == MSG_RECEIPT && from == 2)
		m->receipt.sig[0] ^= 1;
	return true;
}

static void a_receipt_that_is_not_signed_tells_nothing(void **state)
{
	struct mesh *m = small_line(3);
	circuit_no c = small_connect(m, 0, 2);

	(void)state;
	mesh_set_filter(m, forges, NULL);
	assert_true(ask(m, c, 2));
	small_pass(m, NS_PER_S);
	assert_null(hop_event(m, 0));
	assert_int_equal(small_counters(m, 0)->n_receipt_bad_signature, 1);
	mesh_free(m);
}

static bool swallows(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)to;
	return m->type != MSG_TEST;
}

/* The quota of tests, then the number of those under way; what is not answered
 * is forgotten. */
static void so_many_are_under_way(void **state)
{
	struct mesh *m = small_line(3);
	circuit_no c = small_connect(m, 0, 2);
	unsigned n = 0;

	(void)state;
	small_pass(m, 10 * NS_PER_S);
	mesh_set_filter(m, swallows, NULL);
	while (n < ENDLESS_MAX && ask(m, c, 1))
		n++;
	assert_int_equal(n, TEST_OWN_BURST);
	small_pass(m, 2 * NS_PER_S);
	while (n < ENDLESS_MAX && ask(m, c, 1))
		n++;
	assert_int_equal(n, 256);
	small_pass(m, 8 * NS_PER_S);
	/* The first are too old by now. */
	assert_true(ask(m, c, 1));
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hop_tells_what_came_through),
		cmocka_unit_test(what_is_no_hop_is_not_asked),
		cmocka_unit_test(a_receipt_that_is_not_signed_tells_nothing),
		cmocka_unit_test(so_many_are_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
