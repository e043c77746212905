/* Members of the cluster that misbehave about circuits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

static void an_open_works_once(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e = forger_new(m, 2, MSG_OPEN, NULL);
	circuit_no c = small_connect(m, 0, 4);

	(void)state;
	assert_int_not_equal(c, 0);
	assert_true(e->has_kept);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(small_counters(m, 3)->n_open_stale, 1);
	small_pass(m, NS_PER_S);
	assert_null(mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 4, 0));
	mesh_close(m, 0, c);
	small_pass(m, NS_PER_S);
	assert_null(mesh_router(m, 3)->circuits.all);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(small_counters(m, 3)->n_open_stale, 2);
	/* When the open_id is forgotten the OPEN is too old. */
	small_pass(m, 2 * OPEN_SEEN_NS);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(small_counters(m, 3)->n_open_stale, 3);
	assert_null(mesh_router(m, 3)->circuits.all);
	mesh_free(m);
	free(e);
}

/* A new open_id needs the origin's signature. */
static void forge_an_open_id(struct msg_open *o)
{
	o->open_id.b[0] ^= 1;
	msg_open_seal(o);
}

static void only_the_origin_opens_its_routes(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e = forger_new(m, 2, MSG_OPEN, NULL);

	(void)state;
	assert_int_not_equal(small_connect(m, 0, 4), 0);
	forge_an_open_id(&e->kept.open);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(small_counters(m, 3)->n_open_bad_signature, 1);
	mesh_free(m);
	free(e);
}

/* A relay's own place is checked before anything else. */
static void an_open_that_skips_a_node_is_refused(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e = forger_new(m, 2, MSG_OPEN, NULL);

	(void)state;
	assert_int_not_equal(small_connect(m, 0, 4), 0);
	forge_an_open_id(&e->kept.open);
	/* It comes from the wrong side, and to a node before the sender. */
	mesh_inject(m, 3, 3, &e->kept);
	mesh_inject(m, 1, 1, &e->kept);
	assert_int_equal(small_counters(m, 3)->n_open_refused, 1);
	assert_int_equal(small_counters(m, 1)->n_open_refused, 1);
	mesh_free(m);
	free(e);
}

static void change_the_path_of_an_open(struct forger *e, struct msg *m)
{
	(void)e;
	m->open.route.hops.hop[0].cost_100us++;
	route_proof_seal(&m->open.route);
	msg_open_seal(&m->open);
}

static void a_path_that_was_not_signed_is_not_opened(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e =
		forger_new(m, 2, MSG_OPEN, change_the_path_of_an_open);

	(void)state;
	assert_int_equal(small_connect(m, 0, 4), 0);
	assert_true(small_counters(m, 3)->n_open_bad_signature > 0);
	assert_null(mesh_last(m, 4, ROUTER_CIRCUIT_UP, 0, 0));
	mesh_free(m);
	free(e);
}

/* An origin that signs what relays and target never did. */
static void a_node_opens_only_what_it_signed_itself(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p);
	struct msg x;

	(void)state;
	mesh_close(m, 0, small_connect(m, 0, 2));
	small_pass(m, NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	p->hops.hop[1].cost_100us++;
	route_proof_seal(p);
	x = forge_open(m, p, 1);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(small_counters(m, 1)->n_open_bad_signature, 1);
	assert_null(mesh_router(m, 1)->circuits.all);
	free(p);
	mesh_free(m);
}

static void change_a_signature_in_an_open(struct forger *e, struct msg *m)
{
	(void)e;
	m->open.route.sigs[0][3] ^= 1;
}

/* The relays behind look at their own signatures only. */
static void the_target_checks_the_signatures_of_all(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e =
		forger_new(m, 2, MSG_OPEN, change_a_signature_in_an_open);

	(void)state;
	assert_int_equal(small_connect(m, 0, 4), 0);
	assert_int_equal(small_counters(m, 3)->n_open_bad_signature, 0);
	assert_true(small_counters(m, 4)->n_open_bad_signature > 0);
	assert_null(mesh_last(m, 4, ROUTER_CIRCUIT_UP, 0, 0));
	mesh_free(m);
	free(e);
}

static void shrink_open(struct forger *e, struct msg *m)
{
	(void)e;
	m->open.mtu = CIRCUIT_MTU_MIN - 1;
}

static void shrink_opened(struct forger *e, struct msg *m)
{
	(void)e;
	m->opened.mtu = CIRCUIT_MTU_MIN - 1;
}

static void a_circuit_too_narrow_for_quic_is_none(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e = forger_new(m, 2, MSG_OPEN, shrink_open);

	(void)state;
	assert_int_equal(small_connect(m, 0, 4), 0);
	assert_true(small_counters(m, 3)->n_open_refused > 0);
	e->type = MSG_OPENED;
	e->alter = shrink_opened;
	small_pass(m, 30 * NS_PER_S);
	assert_int_equal(small_connect(m, 0, 4), 0);
	assert_true(small_counters(m, 1)->n_opened_unexpected > 0);
	for (size_t i = 0; i < 5; i++)
		assert_null(mesh_router(m, i)->circuits.all);
	mesh_free(m);
	free(e);
}

static void circuits_are_closed_by_those_on_them_only(void **state)
{
	struct mesh *m = mesh_new(1);
	struct circuit_info info;
	struct msg x = { .type = MSG_CLOSE };
	circuit_no c;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		mesh_add_node(m, true);
	for (size_t i = 0; i < 3; i++)
		mesh_add_link(m, 1, i == 0 ? 0 : i + 1, &small_link);
	small_pass(m, NS_PER_S);
	c = small_connect(m, 0, 2);
	assert_true(router_circuit_next(mesh_router(m, 1), 0, &info));
	/* Node 3 is a neighbour of the relay, but not on the circuit. */
	x.close = (struct msg_close){ .open_id = info.open_id,
				      .reason = CLOSE_DONE };
	mesh_inject(m, 1, 2, &x);
	x.close = (struct msg_close){ .label = info.label_out[0],
				      .reason = CLOSE_DONE };
	mesh_inject(m, 1, 2, &x);
	assert_int_equal(small_counters(m, 1)->n_close_unexpected, 2);
	/* What has ended here need not be kept there. */
	x.type = MSG_OPENED;
	x.opened = (struct msg_opened){ .open_id = { { 9 } },
					.label = 77,
					.mtu = 1440 };
	mesh_inject(m, 1, 2, &x);
	assert_int_equal(small_counters(m, 1)->n_sent[MSG_CLOSE], 1);
	x.opened = (struct msg_opened){ .open_id = info.open_id,
					.label = 77,
					.mtu = 1440 };
	mesh_inject(m, 1, 2, &x);
	mesh_inject(m, 1, 1, &x);
	assert_int_equal(small_counters(m, 1)->n_opened_unexpected, 3);
	assert_int_equal(small_counters(m, 1)->n_sent[MSG_CLOSE], 1);
	small_pass(m, NS_PER_S);
	assert_true(router_circuit_get(mesh_router(m, 0), c, &info));
	assert_true(info.is_established);
	mesh_free(m);
}

static void labels_of_another_session_carry_nothing(void **state)
{
	struct mesh *m = small_line(4);
	struct circuit_info info;
	struct relay_hop hop;

	(void)state;
	small_connect(m, 0, 3);
	assert_true(router_circuit_next(mesh_router(m, 1), 0, &info));
	assert_int_equal(router_packet_received(mesh_router(m, 1),
						mesh_session(m, 1, 1),
						info.label_in[TOWARD_ORIGIN],
						10, mesh_now(m), &hop),
			 RELAY_UNKNOWN);
	assert_int_equal(router_packet_received(mesh_router(m, 1),
						mesh_session(m, 1, 0),
						info.label_in[TOWARD_ORIGIN],
						10, mesh_now(m), &hop),
			 RELAY_FORWARD);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_works_once),
		cmocka_unit_test(only_the_origin_opens_its_routes),
		cmocka_unit_test(an_open_that_skips_a_node_is_refused),
		cmocka_unit_test(a_path_that_was_not_signed_is_not_opened),
		cmocka_unit_test(a_node_opens_only_what_it_signed_itself),
		cmocka_unit_test(the_target_checks_the_signatures_of_all),
		cmocka_unit_test(a_circuit_too_narrow_for_quic_is_none),
		cmocka_unit_test(circuits_are_closed_by_those_on_them_only),
		cmocka_unit_test(labels_of_another_session_carry_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
