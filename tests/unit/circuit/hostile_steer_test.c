/* Members of the cluster that misbehave where probes are steered: each trick is
 * tried by a node on the only way, and must come to nothing. */
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
#include "tests/support/steer_lab.h"

#define COUNTER(name) offsetof(struct router_counters, name)

/* By whoever noticed. */
static uint64_t counted(const struct steer_lab *l, size_t counter)
{
	uint64_t sum = 0, n;

	for (size_t i = 0; i < mesh_n_nodes(l->m); i++) {
		memcpy(&n, (const char *)small_counters(l->m, i) + counter,
		       sizeof n);
		sum += n;
	}
	return sum;
}

/* ---- paths that are not what they seem --------------------------------- */

static void insert_a_phantom(struct steer_lab *l, struct msg *m)
{
	struct hop_list *h = &m->probe.hops;

	(void)l;
	h->hop[h->n] = h->hop[h->n - 1];
	h->hop[h->n - 1].id.b[0] ^= 0x55;
	h->n++;
}

static void leave_out_the_node_before(struct steer_lab *l, struct msg *m)
{
	struct hop_list *h = &m->probe.hops;

	(void)l;
	h->hop[h->n - 2] = h->hop[h->n - 1];
	h->n--;
}

static void cheapen_the_way_so_far(struct steer_lab *l, struct msg *m)
{
	(void)l;
	for (size_t i = 0; i < m->probe.hops.n; i++)
		m->probe.hops.hop[i].cost_100us = 1;
}

static void change_the_target(struct steer_lab *l, struct msg *m)
{
	m->probe.target = forge_id(l->m, 3);
	msg_probe_seal(&m->probe);
}

static void cheapen_its_own_link(struct steer_lab *l, struct msg *m)
{
	(void)l;
	m->answer.route.hops.hop[1].cost_100us = 1;
	route_proof_seal(&m->answer.route);
}

/* "I am next to the origin's neighbour": the nodes between are left out. */
static void truncate_the_path(struct steer_lab *l, struct msg *m)
{
	struct route_proof *p = &m->answer.route;

	(void)l;
	p->hops.hop[2] = p->hops.hop[3];
	p->hops.n = 3;
	route_proof_seal(p);
}

static void insert_a_phantom_behind(struct steer_lab *l, struct msg *m)
{
	struct route_proof *p = &m->answer.route;

	(void)l;
	p->hops.hop[4] = p->hops.hop[3];
	p->hops.hop[3].id.b[0] ^= 0x55;
	p->hops.n = 5;
	memcpy(p->sigs[3], p->sigs[2], SIG_LEN);
	route_proof_seal(p);
}

/* The far half of an answer to another probe, in this one's place: every
 * signature in it is real. */
static void splice_an_earlier_answer(struct steer_lab *l, struct msg *m)
{
	struct route_proof *p = &m->answer.route;
	const struct route_proof *old = &l->kept.answer.route;

	if (l->kept.type != MSG_ANSWER) {
		l->kept = *m;
		p->sig_target[0] ^= 1; /* this one must fail, too */
		return;
	}
	memcpy(p->sig_target, old->sig_target, SIG_LEN);
	memcpy(p->sigs, old->sigs, sizeof p->sigs);
	p->expiry_ms = old->expiry_ms;
	route_proof_seal(p);
}

static void trick(struct steer_lab *l, size_t from, enum msg_type type,
		  struct msg *m, void (*how)(struct steer_lab *, struct msg *))
{
	if (from != 2 || m->type != type)
		return;
	l->n++;
	how(l, m);
}

#define TRICK(name, type)                                                      \
	static void name##_trick(struct steer_lab *l, size_t from, size_t to,  \
				 struct msg *m)                                \
	{                                                                      \
		(void)to;                                                      \
		trick(l, from, type, m, name);                                 \
	}
TRICK(insert_a_phantom, MSG_PROBE)
TRICK(leave_out_the_node_before, MSG_PROBE)
TRICK(cheapen_the_way_so_far, MSG_PROBE)
TRICK(change_the_target, MSG_PROBE)
TRICK(cheapen_its_own_link, MSG_ANSWER)
TRICK(truncate_the_path, MSG_ANSWER)
TRICK(insert_a_phantom_behind, MSG_ANSWER)
TRICK(splice_an_earlier_answer, MSG_ANSWER)

/* Node 2 of a line of five. */
static void no_trick_on_the_way_makes_a_route(void **state)
{
	static const struct {
		const char *why;
		void (*alter)(struct steer_lab *, size_t, size_t, struct msg *);
		size_t counter;
	} cases[] = {
		/* The answer comes back to it, and its path is not the one that
		 * it has passed on. */
		{ "a phantom in the probe", insert_a_phantom_trick,
		  COUNTER(n_answer_unexpected) },
		{ "a node left out of the probe",
		  leave_out_the_node_before_trick,
		  COUNTER(n_answer_unexpected) },
		{ "the way so far made cheaper", cheapen_the_way_so_far_trick,
		  COUNTER(n_answer_altered) },
		{ "another target", change_the_target_trick,
		  COUNTER(n_probe_bad_signature) },
		{ "its own link made cheaper", cheapen_its_own_link_trick,
		  COUNTER(n_answer_altered) },
		{ "a path cut short", truncate_the_path_trick,
		  COUNTER(n_answer_bad_signature) },
		{ "a phantom in the answer", insert_a_phantom_behind_trick,
		  COUNTER(n_answer_bad_signature) },
		{ "an answer spliced from two", splice_an_earlier_answer_trick,
		  COUNTER(n_answer_bad_signature) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct steer_lab *l = steer_line(5);
		const struct mesh_event *e;

		l->alter = cases[i].alter;
		assert_int_equal(small_connect(l->m, 0, 4), 0);
		e = mesh_last(l->m, 0, ROUTER_UNREACHABLE, 4, 0);
		if (l->n < 2 || small_counters(l->m, 0)->n_rounds < 2 ||
		    counted(l, cases[i].counter) == 0 ||
		    small_has_route(l->m, 0) || e == NULL || e->event.is_proved)
			fail_msg("%s", cases[i].why);
		steer_lab_free(l);
	}
}

/* A liar that answers for its own lie (it skips its own check) is caught by the
 * one before it. */
static void lie_both_ways(struct steer_lab *l, size_t from, size_t to,
			  struct msg *m)
{
	(void)to;
	if (from != 2)
		return;
	if (m->type == MSG_PROBE) {
		l->n++;
		m->probe.hops.hop[0].cost_100us = 1;
	}
}

static void a_cost_lie_about_the_link_of_another_is_caught(void **state)
{
	struct steer_lab *l = steer_line(5);
	struct msg x;
	struct route_proof *p = &x.answer.route;

	(void)state;
	l->alter = lie_both_ways;
	mesh_connect(l->m, 0, 4, 0);
	small_pass(l->m, 300 * NS_PER_MS);
	/* What the target said of the lied path, as node 2 would pass it on. */
	for (size_t i = 0; i < l->n_seen; i++)
		if (l->seen[i].msg.type == MSG_ANSWER && l->seen[i].from == 3)
			x = l->seen[i].msg;
	assert_true(l->n > 0);
	assert_int_equal(p->hops.hop[0].cost_100us, 1);
	p->first_sig = 1;
	steer_inject(l, 2, 1, &x);
	assert_int_equal(small_counters(l->m, 1)->n_answer_altered, 1);
	small_pass(l->m, 9 * NS_PER_S);
	assert_false(small_has_route(l->m, 0));
	steer_lab_free(l);
}

/* ---- probes again ------------------------------------------------------ */

static void a_probe_works_once(void **state)
{
	struct steer_lab *l = steer_line(5);
	struct msg x = steer_probe(l, 0, 4, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;

	(void)state;
	steer_inject(l, 0, 1, &x);
	small_pass(l->m, NS_PER_S);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL), 1);
	steer_inject(l, 0, 1, &x);
	assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 1);
	assert_int_equal(sent->msg.nak.code, NAK_DEAD_END);
	/* Nor on another tree. */
	x.probe.tree = 0;
	steer_inject(l, 0, 1, &x);
	assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 2);
	assert_int_equal(sent->msg.nak.code, NAK_DUPLICATE);
	/* When it is forgotten, it is too old. */
	small_pass(l->m, PROBE_SEEN_NS + NS_PER_S);
	steer_inject(l, 0, 1, &x);
	assert_int_equal(small_counters(l->m, 1)->n_probe_expired, 1);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL), 1);
	steer_lab_free(l);
}

/* The origin is a member whom nobody has heard of before; its probe comes from
 * node 2, which tells nobody's names. */
static void the_chain_in_a_probe_is_checked(void **state)
{
	enum {
		NONE,
		OWN,
		OTHER
	};
	static const struct {
		const char *why;
		int chain;
		int signature;
		bool passes;
	} cases[] = {
		{ "as it should be", OWN, OWN, true },
		{ "of another node", OTHER, OWN, false },
		{ "signed by another node", OWN, OTHER, false },
		{ "none", NONE, OWN, false },
	};
	struct sign_key key;
	struct node_hash h;

	(void)state;
	sign_key_from_seed(&key, (const uint8_t[32]){ 9 });
	h = hash_of_key(&key.public);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct steer_lab *l = steer_line(5);
		struct msg x = steer_probe(l, 4, 0, TREE_ANY, 1);
		struct msg_probe *p = &x.probe;

		p->origin = id_of_hash(&h);
		msg_probe_seal(p);
		key_sign(p->sig_origin,
			 cases[i].signature == OWN ? &key : mesh_key(l->m, 2),
			 SIGN_PROBE_ORIGIN, mesh_ca(l->m), p->body,
			 sizeof p->body);
		p->hops.n = 1;
		p->hops.hop[0] = forge_hop(l->m, 2);
		p->chain_len = cases[i].chain == NONE ? 0 : KEY_LEN;
		memcpy(p->chain,
		       cases[i].chain == OWN ? key.public.b
					     : mesh_key(l->m, 2)->public.b,
		       KEY_LEN);
		l->is_silent[2] = true;
		steer_inject(l, 2, 1, &x);
		small_pass(l->m, 3 * NS_PER_S);
		if ((steer_count(l, 0, MSG_ANSWER, NULL) > 0) !=
		    cases[i].passes)
			fail_msg("%s", cases[i].why);
		steer_lab_free(l);
	}
}

static void an_answer_works_once(void **state)
{
	struct steer_lab *l = steer_line(5);
	const struct steer_seen *sent = NULL;
	struct msg from_2, from_1;
	size_t n;

	(void)state;
	assert_int_not_equal(small_connect(l->m, 0, 4), 0);
	assert_int_equal(steer_count(l, 2, MSG_ANSWER, &sent), 1);
	from_2 = sent->msg;
	n = steer_count(l, 1, MSG_ANSWER, &sent);
	from_1 = sent->msg;
	for (unsigned i = 1; i <= 2; i++) {
		steer_inject(l, 2, 1, &from_2);
		steer_inject(l, 1, 0, &from_1);
		assert_int_equal(small_counters(l->m, 1)->n_answer_unexpected,
				 i);
		assert_int_equal(small_counters(l->m, 0)->n_answer_unexpected,
				 i);
		assert_int_equal(steer_count(l, 1, MSG_ANSWER, NULL), n);
		/* And long after. */
		small_pass(l->m, 2 * PROBE_SEEN_NS);
	}
	steer_lab_free(l);
}

/* ---- blame ------------------------------------------------------------- */

static void forge_the_signature(struct msg_nak *n, const struct mesh *m)
{
	(void)m;
	n->sig[5] ^= 1;
}

/* Node 1 puts the blame on two others, in the name of one of them. */
static void blame_others(struct msg_nak *n, const struct mesh *m)
{
	n->reporter = forge_id(m, 3);
	n->next = forge_id(m, 4);
	msg_nak_seal(n);
	key_sign(n->sig, mesh_key(m, 1), SIGN_NAK, mesh_ca(m), n->body,
		 sizeof n->body);
}

static void change_whom(struct msg_nak *n, const struct mesh *m)
{
	struct node_id third = forge_id(m, 3);

	n->next = id_equal(&n->next, &third) ? forge_id(m, 2) : third;
	msg_nak_seal(n);
}

static void (*change_nak)(struct msg_nak *n, const struct mesh *m);

static void alter_nak(struct steer_lab *l, size_t from, size_t to,
		      struct msg *m)
{
	(void)to;
	if (from == 1 && m->type == MSG_NAK && m->nak.has_blame) {
		l->n++;
		change_nak(&m->nak, l->m);
	}
}

static void blame_that_nobody_signed_is_not_believed(void **state)
{
	static void (*const changes[])(struct msg_nak *,
				       const struct mesh *) = {
		forge_the_signature,
		blame_others,
		change_whom,
	};

	(void)state;
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		struct steer_lab *l = steer_diamond();
		struct router *r = mesh_router(l->m, 0);

		change_nak = changes[i];
		l->alter = alter_nak;
		l->is_silent[2] = l->is_silent[3] = true;
		assert_int_equal(small_connect(l->m, 0, 5), 0);
		assert_true(l->n > 0);
		assert_true(small_counters(l->m, 0)->n_nak_bad_signature > 0);
		assert_int_equal(small_counters(l->m, 0)->n_blamed, 0);
		assert_null(steer_event(l, 0, ROUTER_BLAMED));
		for (size_t k = 1; k < 6; k++) {
			struct node_id id = forge_id(l->m, k);

			assert_int_equal(blame_of(r, &id, mesh_now(l->m)), 0);
		}
		steer_lab_free(l);
	}
}

/* It is true, but of another probe. */
static void blame_of_before_is_not_believed(void **state)
{
	struct steer_lab *l = steer_diamond();
	const struct steer_seen *sent = NULL;
	struct msg old;
	uint64_t n;

	(void)state;
	l->is_silent[2] = l->is_silent[3] = true;
	mesh_connect(l->m, 0, 5, 0);
	small_pass(l->m, 60 * NS_PER_S);
	assert_true(steer_count(l, 1, MSG_NAK, &sent) > 0);
	old = sent->msg;
	n = small_counters(l->m, 0)->n_blamed;
	assert_true(n > 0);
	steer_inject(l, 1, 0, &old);
	assert_int_equal(small_counters(l->m, 0)->n_blamed, n);
	assert_true(small_counters(l->m, 0)->n_nak_unexpected > 0);
	steer_lab_free(l);
}

/* Whoever blames is blamed, too: it cannot push others out for nothing. */
static void a_false_reporter_blames_itself(void **state)
{
	struct steer_lab *l = steer_line(6);
	struct router *r = mesh_router(l->m, 0);
	struct node_id liar = forge_id(l->m, 2);
	const struct steer_seen *sent = NULL;
	struct msg x = { .type = MSG_NAK };

	(void)state;
	l->is_silent[2] = true;
	mesh_connect(l->m, 0, 5, 0);
	small_pass(l->m, 100 * NS_PER_MS);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent), 1);
	x.nak = (struct msg_nak){
		.origin = forge_id(l->m, 0),
		.nonce = sent->msg.probe.nonce,
		.tree = sent->msg.probe.tree,
		.code = NAK_TIMEOUT,
		.has_blame = true,
		.reporter = liar,
		.next = forge_id(l->m, 3),
	};
	msg_nak_seal(&x.nak);
	key_sign(x.nak.sig, mesh_key(l->m, 2), SIGN_NAK, mesh_ca(l->m),
		 x.nak.body, sizeof x.nak.body);
	steer_inject(l, 2, 1, &x);
	small_pass(l->m, 200 * NS_PER_MS);
	assert_int_equal(blame_of(r, &liar, mesh_now(l->m)), 1);
	steer_lab_free(l);
}

/* ---- quotas ------------------------------------------------------------ */

static void floods_have_a_quota_for_each_origin(void **state)
{
	struct steer_lab *l = steer_line(4);
	struct msg x;

	(void)state;
	for (uint8_t i = 0; i <= FLOOD_ORIGIN_BURST; i++) {
		x = forge_probe(l->m, 0, 0, 3, i);
		assert_int_equal(small_counters(l->m, 1)->n_flood_rate, 0);
		steer_inject(l, 0, 1, &x);
	}
	assert_int_equal(small_counters(l->m, 1)->n_flood_rate, 1);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL),
			 FLOOD_ORIGIN_BURST);
	/* Steered probes go on. */
	x = steer_probe(l, 0, 3, TREE_ANY, 99);
	steer_inject(l, 0, 1, &x);
	assert_int_equal(small_counters(l->m, 1)->n_flood_rate, 1);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL),
			 FLOOD_ORIGIN_BURST + 1);
	/* One more after ten seconds, and only one. */
	small_pass(l->m, FLOOD_ORIGIN_NS);
	for (uint8_t i = 0; i < 2; i++) {
		x = forge_probe(l->m, 0, 0, 3, (uint8_t)(50 + i));
		steer_inject(l, 0, 1, &x);
	}
	assert_int_equal(small_counters(l->m, 1)->n_flood_rate, 2);
	steer_lab_free(l);
}

/* In the names of many origins, each within its own quota. */
static void floods_have_a_quota_for_each_neighbour(void **state)
{
	struct steer_lab *l = steer_line(4);
	struct msg x = forge_probe(l->m, 0, 0, 3, 1);

	(void)state;
	x.probe.hops.n = 1;
	x.probe.hops.hop[0] = forge_hop(l->m, 0);
	for (unsigned i = 0; i <= FLOOD_PEER_BURST; i++) {
		assert_int_equal(small_counters(l->m, 1)->n_flood_rate, 0);
		memcpy(x.probe.origin.b, &i, sizeof i);
		msg_probe_seal(&x.probe);
		steer_inject(l, 0, 1, &x);
	}
	assert_int_equal(small_counters(l->m, 1)->n_flood_rate, 1);
	steer_lab_free(l);
}

static void steered_probes_have_the_quotas_of_probes(void **state)
{
	struct steer_lab *l = steer_line(4);

	(void)state;
	for (unsigned i = 0; i <= PROBE_ORIGIN_BURST; i++) {
		struct msg x = steer_probe(l, 0, 3, TREE_ANY, (uint8_t)i);

		assert_int_equal(small_counters(l->m, 1)->n_probe_rate_origin,
				 0);
		steer_inject(l, 0, 1, &x);
	}
	assert_int_equal(small_counters(l->m, 1)->n_probe_rate_origin, 1);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL),
			 PROBE_ORIGIN_BURST);
	steer_lab_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_trick_on_the_way_makes_a_route),
		cmocka_unit_test(
			a_cost_lie_about_the_link_of_another_is_caught),
		cmocka_unit_test(a_probe_works_once),
		cmocka_unit_test(an_answer_works_once),
		cmocka_unit_test(the_chain_in_a_probe_is_checked),
		cmocka_unit_test(blame_that_nobody_signed_is_not_believed),
		cmocka_unit_test(blame_of_before_is_not_believed),
		cmocka_unit_test(a_false_reporter_blames_itself),
		cmocka_unit_test(floods_have_a_quota_for_each_origin),
		cmocka_unit_test(floods_have_a_quota_for_each_neighbour),
		cmocka_unit_test(steered_probes_have_the_quotas_of_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
