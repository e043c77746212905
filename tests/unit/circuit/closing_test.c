/* CLOSE: who signs it, and what the ends make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/neighbour/success.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

static struct mesh *line_with_a_circuit(struct circuit_info *info)
{
	struct mesh *m = small_line(5);

	*info = small_info(m, 0, small_connect(m, 0, 4));
	return m;
}

static struct msg forged_close(const struct mesh *m, const struct nonce *id,
			       size_t reporter, size_t next, size_t by)
{
	struct msg x = { .type = MSG_CLOSE };

	x.close = (struct msg_close){
		.open_id = *id,
		.reason = CLOSE_LINK_DOWN,
		.reporter = mesh_identity(m, reporter)->id,
		.next = mesh_identity(m, next)->id,
		.is_signed = true,
	};
	msg_close_seal(&x.close);
	key_sign(x.close.sig, mesh_key(m, by), SIGN_CLOSE, mesh_ca(m),
		 x.close.body, sizeof x.close.body);
	return x;
}

/* Whoever can tell sees through it; nobody can have others blamed, but the
 * circuit is gone. */
static void a_forged_close_blames_nobody(void **state)
{
	static const struct {
		const char *why;
		size_t reporter, next, by;
		size_t at; /* who gets it, from the next node */
	} cases[] = {
		{ "in the name of another", 3, 4, 2, 1 },
		{ "about a link that is not on the path", 2, 4, 2, 1 },
		{ "by a node that is not on the path", 2, 2, 2, 1 },
		{ "to the origin, in the name of another", 2, 3, 1, 0 },
		{ "to the origin, about no link", 1, 3, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct circuit_info info;
		struct mesh *m = line_with_a_circuit(&info);
		struct router *r = mesh_router(m, 0);
		struct msg x = forged_close(m, &info.open_id, cases[i].reporter,
					    cases[i].next, cases[i].by);
		struct forger *f = forger_new(m, 1, MSG_CLOSE, NULL);

		print_message("%s\n", cases[i].why);
		assert_int_equal(mesh_inject(m, cases[i].at, cases[i].at, &x),
				 MSG_OK);
		small_pass(m, NS_PER_S);
		for (size_t k = 0; k < 2; k++)
			assert_int_equal(
				small_counters(m, k)->n_close_bad_signature,
				k == cases[i].at);
		if (cases[i].at == 1) {
			/* What goes on is the relay's own word. */
			assert_int_equal(f->n, 1);
			assert_true(id_equal(&f->kept.close.reporter,
					     &mesh_identity(m, 1)->id));
		}
		free(f);
		assert_null(circuit_find(r, info.circuit));
		for (size_t k = 1; k < 5; k++)
			assert_int_equal(blame_of(r, &mesh_identity(m, k)->id,
						  mesh_now(m)),
					 0);
		mesh_free(m);
	}
}

static void a_close_is_signed_by_the_hop_that_saw_the_link_go(void **state)
{
	struct circuit_info info;
	struct mesh *m = line_with_a_circuit(&info);
	struct forger *f = forger_new(m, 1, MSG_CLOSE, NULL);

	(void)state;
	mesh_cut(m, 2);
	small_pass(m, NS_PER_S);
	assert_int_equal(f->n, 1);
	assert_true(f->kept.close.is_signed);
	assert_true(
		id_equal(&f->kept.close.reporter, &mesh_identity(m, 2)->id));
	assert_true(id_equal(&f->kept.close.next, &mesh_identity(m, 3)->id));
	assert_int_equal(small_counters(m, 0)->n_close_bad_signature, 0);
	assert_int_equal(small_counters(m, 4)->n_close_bad_signature, 0);
	for (size_t k = 1; k < 5; k++)
		assert_int_equal(blame_of(mesh_router(m, 0),
					  &mesh_identity(m, k)->id,
					  mesh_now(m)),
				 0);
	free(f);
	mesh_free(m);
}

/* What its neighbour did not sign, a relay signs as what it has heard. */
static void a_relay_vouches_for_a_close_without_signature(void **state)
{
	struct circuit_info info;
	struct mesh *m = line_with_a_circuit(&info);
	struct forger *f = forger_new(m, 1, MSG_CLOSE, NULL);
	struct msg x = { .type = MSG_CLOSE };

	(void)state;
	x.close = (struct msg_close){ .open_id = info.open_id,
				      .reason = CLOSE_LIMIT,
				      .reporter = mesh_identity(m, 4)->id };
	mesh_inject(m, 2, 2, &x);
	small_pass(m, NS_PER_S);
	assert_int_equal(f->n, 1);
	assert_true(
		id_equal(&f->kept.close.reporter, &mesh_identity(m, 2)->id));
	assert_true(id_equal(&f->kept.close.next, &mesh_identity(m, 3)->id));
	assert_int_equal(
		mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 4, 0)->event.reason,
		CLOSE_LIMIT);
	free(f);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_forged_close_blames_nobody),
		cmocka_unit_test(
			a_close_is_signed_by_the_hop_that_saw_the_link_go),
		cmocka_unit_test(a_relay_vouches_for_a_close_without_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
