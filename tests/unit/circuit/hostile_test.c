/* Members of the cluster that misbehave while a path is found: what they alter,
 * invent or repeat is rejected, and a counter says so. */
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

#define COUNTER(name) offsetof(struct router_counters, name)

static void cheapen_own_hop(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.hops.hop[1].cost_100us = 1;
	route_proof_seal(&m->answer.route);
}

static void cheapen_the_hop_of_another(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.hops.hop[0].cost_100us = 1;
	route_proof_seal(&m->answer.route);
}

static void lengthen_the_life(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.expiry_ms += 3600000;
	route_proof_seal(&m->answer.route);
}

static void change_a_signature_of_the_target(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.sig_target[9] ^= 1;
}

static void change_a_signature_of_a_relay(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.sigs[2][9] ^= 1;
}

static void leave_a_signature_out(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.first_sig = 2;
}

static void leave_out_the_node_behind(struct forger *e, struct msg *m)
{
	struct hop_list *h = &m->answer.route.hops;

	(void)e;
	h->hop[2] = h->hop[3];
	h->n = 3;
	route_proof_seal(&m->answer.route);
}

static void leave_itself_out(struct forger *e, struct msg *m)
{
	struct hop_list *h = &m->answer.route.hops;

	(void)e;
	memmove(&h->hop[1], &h->hop[2], 2 * sizeof h->hop[0]);
	h->n = 3;
	m->answer.route.first_sig = 1;
	route_proof_seal(&m->answer.route);
}

static void name_another_probe(struct forger *e, struct msg *m)
{
	(void)e;
	m->answer.route.probe_hash[0] ^= 1;
	route_proof_seal(&m->answer.route);
}

/* The whole path, invented: every signature is the attacker's. */
static void sign_for_all(struct forger *e, struct msg *m)
{
	struct route_proof *p = &m->answer.route;
	uint8_t digest[HASH_LEN];

	p->hops.hop[2].cost_100us = 1;
	route_proof_seal(p);
	key_sign(p->sig_target, mesh_key(e->m, 2), SIGN_ANSWER_TARGET,
		 mesh_ca(e->m), p->body, p->body_len);
	route_proof_digest(digest, p);
	for (size_t i = p->first_sig; i < 3; i++)
		key_sign(p->sigs[i], mesh_key(e->m, 2), SIGN_ANSWER_HOP,
			 mesh_ca(e->m), digest, sizeof digest);
}

static void an_answer_that_was_altered_makes_no_route(void **state)
{
	static const struct {
		const char *why;
		void (*alter)(struct forger *e, struct msg *m);
		size_t where; /* who notices, and counts so */
		size_t counter;
	} cases[] = {
		{ "its own cost", cheapen_own_hop, 1,
		  COUNTER(n_answer_altered) },
		{ "the cost of the next relay", cheapen_the_hop_of_another, 1,
		  COUNTER(n_answer_altered) },
		{ "the expiry", lengthen_the_life, 1,
		  COUNTER(n_answer_altered) },
		{ "the target's signature", change_a_signature_of_the_target, 1,
		  COUNTER(n_answer_bad_signature) },
		{ "a relay's signature", change_a_signature_of_a_relay, 0,
		  COUNTER(n_answer_bad_signature) },
		{ "a signature is missing", leave_a_signature_out, 1,
		  COUNTER(n_answer_altered) },
		{ "a node behind is left out", leave_out_the_node_behind, 1,
		  COUNTER(n_answer_bad_signature) },
		{ "the attacker is left out", leave_itself_out, 1,
		  COUNTER(n_answer_unexpected) },
		{ "it answers another probe", name_another_probe, 1,
		  COUNTER(n_answer_altered) },
		{ "all is forged", sign_for_all, 1,
		  COUNTER(n_answer_bad_signature) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mesh *m = small_line(5);
		struct forger *e = forger_new(m, 2, MSG_ANSWER, cases[i].alter);
		const struct mesh_event *un;
		uint64_t n;

		assert_int_equal(small_connect(m, 0, 4), 0);
		un = mesh_last(m, 0, ROUTER_UNREACHABLE, 4, 0);
		memcpy(&n,
		       (const char *)small_counters(m, cases[i].where) +
			       cases[i].counter,
		       sizeof n);
		if (n == 0 || small_has_route(m, 0) || un == NULL ||
		    un->event.is_proved)
			fail_msg("%s", cases[i].why);
		mesh_free(m);
		free(e);
	}
}

/* Node 2 acts as if node 1 had never claimed anything. */
static bool ignores_the_claim(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	return from != 1 || to != 2 || m->type != MSG_LINK;
}

static void a_link_made_cheap_by_its_far_end_makes_no_route(void **state)
{
	const struct msg_link bad = { .cost_100us = 500, .mtu = 1440 };
	struct mesh *m = small_line(4);

	(void)state;
	mesh_set_filter(m, ignores_the_claim, NULL);
	router_session_measured(mesh_router(m, 1), mesh_session(m, 1, 1), &bad,
				mesh_now(m));
	assert_int_equal(small_connect(m, 0, 3), 0);
	assert_true(small_counters(m, 1)->n_answer_altered > 0);
	/* Likewise if it is the first link of the path. */
	assert_int_equal(small_connect(m, 1, 3), 0);
	assert_false(small_has_route(m, 1));
	mesh_free(m);
}

static void insert_a_phantom(struct forger *e, struct msg *m)
{
	struct hop_list *h = &m->probe.hops;

	(void)e;
	h->hop[h->n] = h->hop[h->n - 1];
	h->hop[h->n - 1].id.b[0] ^= 0x55;
	h->n++;
}

static void drop_the_hop_before(struct forger *e, struct msg *m)
{
	struct hop_list *h = &m->probe.hops;

	(void)e;
	h->hop[h->n - 2] = h->hop[h->n - 1];
	h->n--;
}

/* The lie travels to the target and back; the first honest node before the
 * liar does not find its own path in the answer. */
static void hops_invented_or_left_out_of_a_probe_make_no_route(void **state)
{
	static void (*const alters[])(struct forger *,
				      struct msg *) = { insert_a_phantom,
							drop_the_hop_before };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mesh *m = small_line(5);
		struct forger *e = forger_new(m, 2, MSG_PROBE, alters[i]);

		assert_int_equal(small_connect(m, 0, 4), 0);
		assert_true(e->n > 0);
		assert_true(small_counters(m, 4)->n_sent[MSG_ANSWER] > 0);
		assert_true(small_counters(m, 2)->n_answer_unexpected > 0);
		assert_false(small_has_route(m, 0));
		mesh_free(m);
		free(e);
	}
}

static void change_the_target(struct forger *e, struct msg *m)
{
	m->probe.target = forge_id(e->m, 3);
	msg_probe_seal(&m->probe);
}

static void a_probe_whose_body_was_changed_is_not_passed_on(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e = forger_new(m, 2, MSG_PROBE, change_the_target);

	(void)state;
	assert_int_equal(small_connect(m, 0, 4), 0);
	assert_true(small_counters(m, 3)->n_probe_bad_signature > 0);
	assert_int_equal(small_counters(m, 3)->n_sent[MSG_PROBE], 0);
	assert_int_equal(small_counters(m, 3)->n_sent[MSG_ANSWER], 0);
	mesh_free(m);
	free(e);
}

/* ---- what is invented -------------------------------------------------- */

/* Node 1 of a line of three gets them from node 0; nothing may reach 2. */
static void probes_are_checked_in_every_field(void **state)
{
	enum {
		HONEST,
		OLD,
		FUTURE,
		LONG,
		FOREIGN,
		GAP,
		WRONG_LAST,
		LOOP,
		TWICE,
		SPENT,
		UNKNOWN_FLAG
	};
	static const struct {
		const char *why;
		int what;
		enum msg_verdict verdict;
		size_t counter;
		bool passes;
	} cases[] = {
		{ "honest", HONEST, MSG_OK, 0, true },
		{ "issued too long ago", OLD, MSG_OK, COUNTER(n_probe_expired),
		  false },
		{ "issued in the future", FUTURE, MSG_OK,
		  COUNTER(n_probe_expired), false },
		{ "valid for too long", LONG, MSG_OK, COUNTER(n_probe_expired),
		  false },
		{ "signed by another", FOREIGN, MSG_OK,
		  COUNTER(n_probe_bad_signature), false },
		{ "an origin that is no neighbour, without hops", GAP,
		  MSG_INVALID, 0, false },
		{ "the last hop is not the sender", WRONG_LAST, MSG_INVALID, 0,
		  false },
		{ "we are in the list already", LOOP, MSG_OK,
		  COUNTER(n_probe_loop), false },
		{ "another is in the list twice", TWICE, MSG_OK,
		  COUNTER(n_probe_loop), false },
		{ "more hops than its ttl", SPENT, MSG_INVALID, 0, false },
		{ "an unknown way of probing", UNKNOWN_FLAG, MSG_OK,
		  COUNTER(n_probe_not_flood), false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mesh *m = small_line(4);
		struct msg x = forge_probe(m, 0, 0, 3, 1);
		struct msg_probe *p = &x.probe;
		uint64_t n = 1;
		enum msg_verdict v;

		switch (cases[i].what) {
		case OLD:
			p->issued_ms -= CLOCK_SKEW_MS;
			forge_probe_sign(m, 0, p);
			break;
		case FUTURE:
			p->issued_ms += CLOCK_SKEW_MS;
			forge_probe_sign(m, 0, p);
			break;
		case LONG:
			p->valid_ms++;
			forge_probe_sign(m, 0, p);
			break;
		case FOREIGN:
			forge_probe_sign(m, 2, p);
			break;
		case GAP:
			p->origin = forge_id(m, 3);
			p->target = forge_id(m, 2);
			forge_probe_sign(m, 3, p);
			break;
		case WRONG_LAST:
			p->hops.n = 1;
			p->hops.hop[0] = forge_hop(m, 2);
			break;
		case LOOP:
			p->origin = forge_id(m, 2);
			forge_probe_sign(m, 2, p);
			p->hops.n = 2;
			p->hops.hop[0] = forge_hop(m, 1);
			p->hops.hop[1] = forge_hop(m, 0);
			break;
		case TWICE:
			p->origin = forge_id(m, 2);
			forge_probe_sign(m, 2, p);
			p->hops.n = 3;
			p->hops.hop[0] = p->hops.hop[2] = forge_hop(m, 0);
			p->hops.hop[1] = forge_hop(m, 3);
			break;
		case SPENT:
			p->ttl = 1;
			p->origin = forge_id(m, 2);
			forge_probe_sign(m, 2, p);
			p->hops.n = 1;
			p->hops.hop[0] = forge_hop(m, 0);
			break;
		case UNKNOWN_FLAG:
			p->flags |= 0x80;
			forge_probe_sign(m, 0, p);
			break;
		default:
			break;
		}
		v = mesh_inject(m, 1, 0, &x);
		small_pass(m, NS_PER_S);
		if (cases[i].counter != 0)
			memcpy(&n,
			       (const char *)small_counters(m, 1) +
				       cases[i].counter,
			       sizeof n);
		if (v != cases[i].verdict || n != 1 ||
		    (small_counters(m, 2)->n_received[MSG_PROBE] > 0) !=
			    cases[i].passes)
			fail_msg("%s", cases[i].why);
		mesh_free(m);
	}
}

static void naks_that_nobody_owes_change_nothing(void **state)
{
	struct mesh *m = small_line(4);
	struct msg nak = { .type = MSG_NAK };
	struct forger *e = forger_new(m, 2, MSG_PROBE, NULL);

	(void)state;
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_true(e->has_kept);
	nak.nak = (struct msg_nak){ .origin = e->kept.probe.origin,
				    .nonce = e->kept.probe.nonce,
				    .tree = TREE_FLOOD,
				    .code = NAK_DEAD_END };
	/* From below once more, from above, and for a probe unheard of. */
	mesh_inject(m, 1, 1, &nak);
	mesh_inject(m, 1, 0, &nak);
	mesh_inject(m, 0, 0, &nak);
	nak.nak.nonce.b[3] ^= 1;
	mesh_inject(m, 1, 1, &nak);
	mesh_inject(m, 0, 0, &nak);
	assert_int_equal(small_counters(m, 1)->n_nak_unexpected, 3);
	assert_int_equal(small_counters(m, 0)->n_nak_unexpected, 2);
	mesh_free(m);
	free(e);
}

static void certificates_that_nobody_asked_for_are_not_taken(void **state)
{
	struct mesh *m = small_line(3);
	struct msg x = { .type = MSG_PEER_INFO };
	struct sign_key key;
	struct node_hash h;

	(void)state;
	sign_key_from_seed(&key, (const uint8_t[32]){ 9 });
	h = hash_of_key(&key.public);
	x.peer_info.id = id_of_hash(&h);
	x.peer_info.chain_len = KEY_LEN;
	memcpy(x.peer_info.chain, key.public.b, KEY_LEN);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(small_counters(m, 1)->n_info_rejected, 1);
	assert_null(router_identity_find(mesh_router(m, 1), &x.peer_info.id));
	mesh_free(m);
}

/* The certificate of another node than the one asked for. */
static void swap_the_certificate(struct forger *e, struct msg *m)
{
	memcpy(m->peer_info.chain, mesh_key(e->m, 2)->public.b, KEY_LEN);
	m->peer_info.chain_len = KEY_LEN;
}

static void a_certificate_of_another_node_is_not_taken(void **state)
{
	struct mesh *m = small_nodes(5);
	struct forger *e;

	(void)state;
	for (size_t i = 0; i + 1 < 5; i++)
		mesh_add_link(m, i, i + 1, &small_link);
	/* From the start: the trees ask for certificates, too. */
	e = forger_new(m, 2, MSG_PEER_INFO, swap_the_certificate);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_connect(m, 0, 4), 0);
	assert_true(small_counters(m, 1)->n_info_rejected +
			    small_counters(m, 3)->n_info_rejected >
		    0);
	mesh_free(m);
	free(e);
}

/* ---- answers again --------------------------------------------------------
 */

static void an_answer_works_once(void **state)
{
	struct mesh *m = small_line(5);
	struct forger *e = forger_new(m, 2, MSG_ANSWER, NULL);
	uint64_t n_sent;

	(void)state;
	assert_int_not_equal(small_connect(m, 0, 4), 0);
	assert_true(e->has_kept);
	n_sent = small_counters(m, 1)->n_sent[MSG_ANSWER];
	mesh_inject(m, 1, 1, &e->kept);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 1)->n_answer_unexpected, 1);
	assert_int_equal(small_counters(m, 1)->n_sent[MSG_ANSWER], n_sent);
	/* And long after. */
	small_pass(m, 2 * PROBE_SEEN_NS);
	mesh_inject(m, 1, 1, &e->kept);
	assert_int_equal(small_counters(m, 1)->n_answer_unexpected, 2);
	mesh_free(m);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_was_altered_makes_no_route),
		cmocka_unit_test(
			a_link_made_cheap_by_its_far_end_makes_no_route),
		cmocka_unit_test(
			hops_invented_or_left_out_of_a_probe_make_no_route),
		cmocka_unit_test(
			a_probe_whose_body_was_changed_is_not_passed_on),
		cmocka_unit_test(probes_are_checked_in_every_field),
		cmocka_unit_test(naks_that_nobody_owes_change_nothing),
		cmocka_unit_test(
			certificates_that_nobody_asked_for_are_not_taken),
		cmocka_unit_test(a_certificate_of_another_node_is_not_taken),
		cmocka_unit_test(an_answer_works_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
