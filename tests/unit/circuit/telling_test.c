/* Certificates that go before an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/key.h"
#include "tests/support/forge.h"
#include "tests/support/steer_lab.h"

#define N_NODES 8

/* Each node knows its neighbours alone, and has told them nothing. */
static void forget_others(const struct steer_lab *l)
{
	for (size_t i = 0; i < N_NODES; i++) {
		struct router *r = mesh_router(l->m, i);
		struct neighbour *n, *next;

		keyring_deinit(r);
		NEIGHBOURS_EACH(r, n, next)
		{
			size_t far = mesh_find(l->m, &n->id);

			n->telling = (struct telling){ 0 };
			assert_true(keyring_add(r, mesh_identity(l->m, far),
						mesh_key(l->m, far)->public.b,
						KEY_LEN));
		}
		r->learnt.n = 0;
	}
}

static struct steer_lab *line_of_strangers(void)
{
	struct steer_lab *l = steer_line(N_NODES);

	forget_others(l);
	return l;
}

static uint64_t n_told(const struct steer_lab *l)
{
	uint64_t n = 0;

	for (size_t i = 0; i < N_NODES; i++)
		n += small_counters(l->m, i)->n_told;
	return n;
}

static void the_origin_need_not_ask_who_has_signed(void **state)
{
	struct steer_lab *l = line_of_strangers();
	const struct router_counters *origin = small_counters(l->m, 0);
	uint64_t n_queries = origin->n_sent[MSG_PEER_QUERY];

	(void)state;
	assert_int_not_equal(small_connect(l->m, 0, N_NODES - 1), 0);
	assert_int_equal(origin->n_sent[MSG_PEER_QUERY], n_queries);
	for (size_t i = 1; i < N_NODES; i++)
		assert_non_null(keyring_peek(mesh_router(l->m, 0),
					     &mesh_identity(l->m, i)->id));
	assert_int_equal(origin->n_info_rejected, 0);
	steer_lab_free(l);
}

static void nobody_is_told_twice(void **state)
{
	struct steer_lab *l = line_of_strangers();
	circuit_no c = small_connect(l->m, 0, N_NODES - 1);
	size_t n_answers;
	uint64_t n;

	(void)state;
	n = n_told(l);
	assert_true(n > 0);
	steer_forget(l);
	small_connect_avoiding(l->m, 0, N_NODES - 1, c);
	n_answers = steer_count(l, 1, MSG_ANSWER, NULL);
	assert_true(n_answers > 0);
	assert_int_equal(n_told(l), n);
	steer_lab_free(l);
}

/* Who has lost what it was told asks, as ever. */
static void what_was_told_and_lost_can_be_asked_for(void **state)
{
	struct steer_lab *l = line_of_strangers();
	struct router *r = mesh_router(l->m, 0);
	circuit_no c = small_connect(l->m, 0, N_NODES - 1);
	size_t one = 1;
	uint64_t n = small_counters(l->m, 0)->n_sent[MSG_PEER_QUERY];

	(void)state;
	keyring_deinit(r);
	assert_true(keyring_add(r, mesh_identity(l->m, one),
				mesh_key(l->m, one)->public.b, KEY_LEN));
	assert_int_not_equal(small_connect_avoiding(l->m, 0, N_NODES - 1, c),
			     0);
	assert_true(small_counters(l->m, 0)->n_sent[MSG_PEER_QUERY] > n);
	steer_lab_free(l);
}

/* The certificate of somebody new, from node 0 to node 1. */
static struct msg stranger(uint8_t number)
{
	struct msg x = { .type = MSG_PEER_INFO };
	struct sign_key key;
	struct node_hash h;

	sign_key_from_seed(&key, (const uint8_t[32]){ 9, number });
	h = hash_of_key(&key.public);
	x.peer_info.id = id_of_hash(&h);
	x.peer_info.chain_len = KEY_LEN;
	memcpy(x.peer_info.chain, key.public.b, KEY_LEN);
	return x;
}

static struct neighbour *zero_of_1(const struct mesh *m)
{
	struct node_id id = forge_id(m, 0);

	return neighbour_find(mesh_router(m, 1), &id);
}

static bool takes(struct mesh *m, uint8_t number)
{
	struct msg x = stranger(number);

	mesh_inject(m, 1, 0, &x);
	return keyring_peek(mesh_router(m, 1), &x.peer_info.id) != NULL;
}

static void a_probe_allows_for_so_many(void **state)
{
	struct mesh *m = small_line(2);

	(void)state;
	assert_false(takes(m, 100));
	telling_note_probe(zero_of_1(m));
	for (uint8_t i = 0; i < TELL_PER_PROBE; i++)
		assert_true(takes(m, i));
	assert_int_equal(small_counters(m, 1)->n_info_rejected, 1);
	assert_false(takes(m, TELL_PER_PROBE));
	assert_int_equal(small_counters(m, 1)->n_info_rejected, 2);
	mesh_free(m);
}

static void many_probes_allow_for_no_more_than_the_cap(void **state)
{
	struct mesh *m = small_line(2);

	(void)state;
	for (unsigned i = 0; i < 2 * TELL_MAX; i++)
		telling_note_probe(zero_of_1(m));
	for (uint8_t i = 0; i < TELL_MAX; i++)
		assert_true(takes(m, i));
	assert_false(takes(m, TELL_MAX));
	mesh_free(m);
}

/* What is known already costs the teller nothing, and us nothing. */
static void a_certificate_that_is_known_is_left(void **state)
{
	struct mesh *m = small_line(2);
	uint64_t n_verify;

	(void)state;
	telling_note_probe(zero_of_1(m));
	assert_true(takes(m, 1));
	n_verify = zero_of_1(m)->verify.own.level_ns;
	assert_true(takes(m, 1));
	assert_int_equal(zero_of_1(m)->verify.own.level_ns, n_verify);
	assert_int_equal(zero_of_1(m)->telling.credit, TELL_PER_PROBE - 1);
	assert_int_equal(small_counters(m, 1)->n_info_rejected, 1);
	mesh_free(m);
}

static void each_costs_a_token_for_signatures(void **state)
{
	struct mesh *m = small_line(2);
	struct router *r = mesh_router(m, 1);

	(void)state;
	telling_note_probe(zero_of_1(m));
	while (bucket_take(&r->verify, mesh_now(m)))
		continue;
	/* Its own are used up before the common ones. */
	while (bucket_take(&zero_of_1(m)->verify.own, mesh_now(m)))
		continue;
	assert_false(takes(m, 1));
	assert_int_equal(small_counters(m, 1)->n_verify_rate, 1);
	mesh_free(m);
}

static void a_chain_of_another_key_is_refused(void **state)
{
	struct mesh *m = small_line(2);
	struct msg x = stranger(1);

	(void)state;
	telling_note_probe(zero_of_1(m));
	x.peer_info.chain[0] ^= 1;
	mesh_inject(m, 1, 0, &x);
	assert_null(keyring_peek(mesh_router(m, 1), &x.peer_info.id));
	assert_int_equal(small_counters(m, 1)->n_info_rejected, 1);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_origin_need_not_ask_who_has_signed),
		cmocka_unit_test(nobody_is_told_twice),
		cmocka_unit_test(what_was_told_and_lost_can_be_asked_for),
		cmocka_unit_test(a_probe_allows_for_so_many),
		cmocka_unit_test(many_probes_allow_for_no_more_than_the_cap),
		cmocka_unit_test(a_certificate_that_is_known_is_left),
		cmocka_unit_test(each_costs_a_token_for_signatures),
		cmocka_unit_test(a_chain_of_another_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
