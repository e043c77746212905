/* TEST and RECEIPT at the hops of a circuit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

static struct mesh *line_with_a_circuit(struct circuit_info *info)
{
	struct mesh *m = small_line(5);

	*info = small_info(m, 0, small_connect(m, 0, 4));
	return m;
}

static struct msg test_of(const struct circuit_info *info, unsigned hop)
{
	struct msg x = { .type = MSG_TEST };

	x.test = (struct msg_test){ .open_id = info->open_id,
				    .token = 1234,
				    .hop = (uint8_t)hop };
	return x;
}

static void tests_are_limited_for_each_neighbour(void **state)
{
	struct circuit_info info;
	struct mesh *m = line_with_a_circuit(&info);
	const struct router_counters *n = small_counters(m, 1);
	struct msg x = test_of(&info, 1);

	(void)state;
	for (unsigned i = 0; i < TEST_PEER_BURST; i++) {
		mesh_inject(m, 1, 0, &x);
		assert_int_equal(n->n_sent[MSG_RECEIPT], i + 1);
	}
	assert_int_equal(n->n_test_rate, 0);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(n->n_sent[MSG_RECEIPT], TEST_PEER_BURST);
	assert_int_equal(n->n_test_rate, 1);
	/* Another neighbour has tokens of its own. */
	x.test.hop = 3;
	mesh_inject(m, 1, 1, &x);
	assert_int_equal(n->n_sent[MSG_RECEIPT], TEST_PEER_BURST + 1);
	small_pass(m, NS_PER_S);
	x.test.hop = 1;
	for (unsigned i = 0; i < TEST_PEER_RATE + 1; i++)
		mesh_inject(m, 1, 0, &x);
	assert_int_equal(n->n_test_rate, 2);
	mesh_free(m);
}

static void receipts_are_limited_for_each_neighbour(void **state)
{
	struct circuit_info info;
	struct mesh *m = line_with_a_circuit(&info);
	const struct router_counters *n = small_counters(m, 1);
	struct msg x = { .type = MSG_RECEIPT };

	(void)state;
	x.receipt = (struct msg_receipt){ .open_id = info.open_id,
					  .token = 1,
					  .hop = 2 };
	msg_receipt_seal(&x.receipt);
	for (unsigned i = 0; i < TEST_PEER_BURST + 1; i++)
		mesh_inject(m, 1, 1, &x);
	assert_int_equal(n->n_sent[MSG_RECEIPT], TEST_PEER_BURST);
	assert_int_equal(n->n_test_rate, 1);
	/* Nobody at the end has asked for it. */
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 0)->n_receipt_unexpected,
			 TEST_PEER_BURST);
	mesh_free(m);
}

static void a_test_that_makes_no_sense_is_not_answered(void **state)
{
	struct circuit_info info;
	struct mesh *m = line_with_a_circuit(&info);
	const struct router_counters *n = small_counters(m, 2);
	struct msg x;

	(void)state;
	x = test_of(&info, 1); /* node 2 is the second hop */
	mesh_inject(m, 2, 1, &x);
	assert_int_equal(n->n_test_unexpected, 1);
	x = test_of(&info, 5); /* behind the end */
	mesh_inject(m, 2, 1, &x);
	assert_int_equal(n->n_test_unexpected, 2);
	x = test_of(&info, 2);
	x.test.open_id.b[0] ^= 1;
	mesh_inject(m, 2, 1, &x);
	assert_int_equal(n->n_test_unexpected, 3);
	assert_int_equal(n->n_sent[MSG_RECEIPT], 0);
	/* That a circuit is not there is said, at a limited rate. */
	assert_int_equal(n->n_sent[MSG_CLOSE], 1);
	for (unsigned i = 0; i < 100; i++)
		mesh_inject(m, 2, 1, &x);
	assert_int_equal(n->n_sent[MSG_CLOSE], CLOSE_UNKNOWN_BURST);
	mesh_free(m);
}

/* Both ends may ask, and each counts from itself. */
static void the_target_may_test_as_well(void **state)
{
	struct circuit_info info;
	struct mesh *m = line_with_a_circuit(&info);
	struct circuit_info at_far;
	struct forger *f;

	(void)state;
	assert_true(router_circuit_next(mesh_router(m, 4), 0, &at_far));
	for (int i = 0; i < 7; i++)
		mesh_send_packet(m, 0, info.circuit, 100, 1);
	for (int i = 0; i < 3; i++)
		mesh_send_packet(m, 4, at_far.circuit, 100, 1);
	small_pass(m, NS_PER_S);
	for (unsigned hop = 1; hop <= 4; hop++) {
		struct msg x = test_of(&info, hop);

		f = forger_new(m, 4 - hop, MSG_RECEIPT, NULL);
		/* As if node 4 had sent it. */
		mesh_inject(m, 3, 3, &x);
		small_pass(m, NS_PER_S);
		assert_int_equal(f->n, 1);
		assert_int_equal(f->kept.receipt.hop, hop);
		assert_true(id_equal(&f->kept.receipt.node,
				     &mesh_identity(m, 4 - hop)->id));
		assert_int_equal(f->kept.receipt.n_forth, 3);
		assert_int_equal(f->kept.receipt.n_back, 7);
		mesh_set_filter(m, NULL, NULL);
		free(f);
	}
	assert_int_equal(small_counters(m, 4)->n_receipt_unexpected, 4);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tests_are_limited_for_each_neighbour),
		cmocka_unit_test(receipts_are_limited_for_each_neighbour),
		cmocka_unit_test(a_test_that_makes_no_sense_is_not_answered),
		cmocka_unit_test(the_target_may_test_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
