/* What a relay does with steered copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "circuit/core.h"
#include "circuit/probe/copy.h"
#include "circuit/probe/seen.h"
#include "circuit/probe/steer.h"
#include "tests/support/forge.h"
#include "tests/support/steer_lab.h"

static const struct router_counters *counters(const struct steer_lab *l,
					      size_t node)
{
	return small_counters(l->m, node);
}

/* ---- scores ------------------------------------------------------------ */

struct view_of_1 {
	struct steer_lab *l;
	struct router *r;
	struct neighbour *n[4];
	struct node_id target;
	struct nonce nonce;
	struct steering how;
};

/* Node 1 of the diamond, which knows two ways to 5. */
static struct view_of_1 look_from_1(void)
{
	struct view_of_1 v = { .l = steer_diamond() };

	v.r = mesh_router(v.l->m, 1);
	for (size_t i = 2; i < 4; i++) {
		struct node_id id = forge_id(v.l->m, i);

		v.n[i] = neighbour_find(v.r, &id);
	}
	v.target = forge_id(v.l->m, 5);
	return v;
}

static void steer_by(struct view_of_1 *v, unsigned tree)
{
	v->how = (struct steering){
		.target = &v->target,
		.nonce = &v->nonce,
		.tree = tree,
		.to = trees_locator(mesh_router(v->l->m, 5)),
	};
}

static uint32_t score(struct view_of_1 *v, size_t node)
{
	return steer_score(v->r, v->n[node], &v->how, mesh_now(v->l->m));
}

/* Links over 2 cost 10 ms (the floor), those over 3 cost 20 ms. */
static void the_nearest_neighbour_scores_best(void **state)
{
	struct view_of_1 v = look_from_1();

	(void)state;
	steer_by(&v, TREE_ANY);
	assert_int_equal(score(&v, 2), 300);
	assert_int_equal(score(&v, 3), 500);
	steer_lab_free(v.l);
}

static void what_failed_before_scores_worse(void **state)
{
	struct view_of_1 v = look_from_1();
	struct node_id two = forge_id(v.l->m, 2);
	uint32_t tag;

	(void)state;
	steer_by(&v, TREE_ANY);
	tag = avoid_tag(&v.nonce, &two);
	v.how.avoid = &tag;
	v.how.n_avoid = 1;
	assert_int_equal(score(&v, 2), 300 * 3 + 600);
	assert_int_equal(score(&v, 3), 500);
	v.nonce.b[0] ^= 1; /* the tag says nothing in another probe */
	assert_int_equal(score(&v, 2), 300);
	v.how.n_avoid = 0;
	blame_add(v.r, &two, mesh_now(v.l->m));
	assert_int_equal(score(&v, 2), 300 * 3 + 600);
	blame_relieve(v.r, &two, mesh_now(v.l->m));
	blame_relieve(v.r, &two, mesh_now(v.l->m));
	v.n[2]->success = 0;
	assert_int_equal(score(&v, 2), 300 * 7 + 1000);
	steer_lab_free(v.l);
}

static void later_rounds_are_noisier(void **state)
{
	struct view_of_1 v = look_from_1();

	(void)state;
	steer_by(&v, TREE_ANY);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		uint32_t low = UINT32_MAX, high = 0;

		v.how.round = round;
		for (int i = 0; i < 400; i++) {
			uint32_t s = score(&v, 2);

			low = s < low ? s : low;
			high = s > high ? s : high;
		}
		assert_in_range(low, 300, 300 + 3 * round);
		assert_in_range(high, 300 + 42 * round, 300 + 45 * round);
	}
	steer_lab_free(v.l);
}

static void a_tree_that_is_not_shared_leads_nowhere(void **state)
{
	struct view_of_1 v = look_from_1();
	struct locator other;

	(void)state;
	steer_by(&v, 0);
	other = *v.how.to;
	other.tree[0].hop[0].id.b[0] ^= 1;
	v.how.to = &other;
	assert_int_equal(score(&v, 2), UINT32_MAX);
	v.how.tree = TREE_ANY;
	assert_int_not_equal(score(&v, 2), UINT32_MAX);
	/* The target itself needs no coordinates. */
	v.target = v.n[2]->id;
	v.how.tree = 0;
	assert_int_equal(score(&v, 2), 100);
	steer_lab_free(v.l);
}

/* ---- copies that are wanted -------------------------------------------- */

/* A node for each letter; the last one is the relay. */
static struct hop_list path(const char *letters, uint16_t cost)
{
	struct hop_list h = { .n = strlen(letters) };

	for (size_t i = 0; i < h.n; i++)
		h.hop[i] = (struct hop){ .id = { { (uint8_t)letters[i] } },
					 .cost_100us = LINK_COST_FLOOR_100US };
	h.hop[0].cost_100us =
		(uint16_t)(cost - (h.n - 1) * LINK_COST_FLOOR_100US);
	return h;
}

static void the_rule_of_copies(void **state)
{
	static const struct {
		const char *why;
		unsigned n_forwarded;
		const char *before;
		const char *path;
		uint16_t cost;
		bool want;
	} cases[] = {
		{ "the first", 0, "abr", "abr", 1000, true },
		{ "the same again", 1, "abr", "abr", 1000, false },
		{ "a tenth cheaper, not quite", 1, "abr", "abr", 900, false },
		{ "a tenth cheaper, of another", 1, "abr", "acr", 899, true },
		{ "that, not quite", 1, "abdr", "abcr", 900, false },
		{ "more than a tenth cheaper", 1, "abdr", "abcr", 899, true },
		{ "that, of one neighbour", 1, "abr", "cbr", 500, false },
		{ "apart, though dearer", 1, "abr", "cdr", 5000, true },
		{ "apart but for the node before", 1, "abcr", "decr", 1000,
		  false },
		{ "more than half in common", 1, "abcr", "abdr", 1000, false },
		{ "half in common", 1, "abr", "adr", 1000, true },
		{ "one below the limit", STEER_COPIES_MAX - 1, "abr", "cdr",
		  1000, true },
		{ "at the limit", STEER_COPIES_MAX, "abr", "cdr", 500, false },
		{ "over the limit", STEER_COPIES_MAX + 1, "abr", "cdr", 500,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hop_list before = path(cases[i].before, 1000);
		struct hop_list next = path(cases[i].path, cases[i].cost);
		struct copy c = { .tree = 2,
				  .replies = { .n = 1 },
				  .n_hops = before.n,
				  .hops = before.hop };
		struct seen e = { .n_forwarded = cases[i].n_forwarded,
				  .relayed_cost = 1000 };

		DL_APPEND(e.copies, &c);
		if (steer_wants(&e, &next) != cases[i].want)
			fail_msg("%s", cases[i].why);
		assert_int_equal(steer_unwanted(&e, 2), NAK_DEAD_END);
		assert_int_equal(steer_unwanted(&e, 1), NAK_DUPLICATE);
	}
}

/* ---- passing on -------------------------------------------------------- */

static void a_copy_goes_to_one_neighbour_with_what_is_left(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;
	const struct msg_probe *p;

	(void)state;
	x.probe.n_avoid = 1;
	x.probe.avoid[0] = 4711;
	l->is_silent[2] = true;
	steer_inject(l, 0, 1, &x);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent), 1);
	p = &sent->msg.probe;
	assert_int_equal(sent->to, 2);
	assert_int_equal(p->budget, 19);
	/* Two round trips of the link that it came over, and 5 ms. */
	assert_int_equal(p->deadline_ms, 1000 - 2 * 10 - 5);
	assert_int_equal(p->tree, TREE_ANY);
	assert_int_equal(p->n_avoid, 1);
	assert_int_equal(p->avoid[0], 4711);
	assert_true(p->chain_len > 0);
	assert_int_equal(p->hops.n, 1);
	assert_memory_equal(p->body, x.probe.body, sizeof p->body);
	steer_lab_free(l);
}

static void avoided_nodes_are_left_aside(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	struct node_id two = forge_id(l->m, 2);
	const struct steer_seen *sent = NULL;

	(void)state;
	x.probe.n_avoid = 1;
	x.probe.avoid[0] = avoid_tag(&x.probe.nonce, &two);
	steer_inject(l, 0, 1, &x);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent), 1);
	assert_int_equal(sent->to, 3);
	steer_lab_free(l);
}

static void later_rounds_try_two_neighbours_at_once(void **state)
{
	(void)state;
	for (uint8_t round = 2; round <= 3; round++) {
		struct steer_lab *l = steer_diamond();
		struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
		const struct steer_seen *sent = NULL;

		x.probe.round = round;
		steer_inject(l, 0, 1, &x);
		assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent),
				 round == 3 ? 2 : 1);
		assert_int_equal(sent->msg.probe.budget, round == 3 ? 9 : 19);
		steer_lab_free(l);
	}
}

static struct msg nak_of(const struct msg *x, enum nak_code code,
			 uint16_t budget)
{
	struct msg n = { .type = MSG_NAK };

	n.nak = (struct msg_nak){ .origin = x->probe.origin,
				  .nonce = x->probe.nonce,
				  .tree = x->probe.tree,
				  .code = code,
				  .budget = budget };
	return n;
}

static void a_copy_is_repaired_where_it_failed(void **state)
{
	static const struct {
		const char *why;
		enum nak_code code;
		uint16_t returned;
		size_t n_sent; /* in all */
		uint16_t budget;
	} cases[] = {
		{ "a dead end", NAK_DEAD_END, 10, 2, 9 },
		{ "no budget further on", NAK_BUDGET, 1, 2, 0 },
		{ "nothing is left", NAK_DEAD_END, 0, 1, 0 },
		{ "more comes back than was given", NAK_DEAD_END, 500, 2, 18 },
		{ "a quota further on", NAK_RATE, 10, 2, 9 },
		{ "silence further on", NAK_TIMEOUT, 10, 2, 9 },
		{ "another copy is there", NAK_DUPLICATE, 10, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct steer_lab *l = steer_diamond();
		struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
		struct msg n = nak_of(&x, cases[i].code, cases[i].returned);
		const struct steer_seen *sent = NULL;

		l->is_silent[2] = l->is_silent[3] = true;
		steer_inject(l, 0, 1, &x);
		steer_inject(l, 2, 1, &n);
		if (steer_count(l, 1, MSG_PROBE, &sent) != cases[i].n_sent ||
		    (cases[i].n_sent == 2 &&
		     (sent->to != 3 ||
		      sent->msg.probe.budget != cases[i].budget)) ||
		    counters(l, 1)->n_repairs != cases[i].n_sent - 1 ||
		    steer_count(l, 1, MSG_NAK, NULL) != 2 - cases[i].n_sent)
			fail_msg("%s", cases[i].why);
		steer_lab_free(l);
	}
}

static void when_all_is_tried_upstream_is_told(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	struct msg n = nak_of(&x, NAK_DEAD_END, 7);
	const struct steer_seen *sent = NULL;

	(void)state;
	l->is_silent[2] = l->is_silent[3] = true;
	steer_inject(l, 0, 1, &x);
	steer_inject(l, 2, 1, &n);
	steer_inject(l, 3, 1, &n);
	assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 1);
	assert_int_equal(sent->to, 0);
	assert_int_equal(sent->msg.nak.code, NAK_DEAD_END);
	assert_int_equal(sent->msg.nak.tree, TREE_ANY);
	assert_int_equal(sent->msg.nak.budget, 6);
	/* Nobody owes any more. */
	steer_inject(l, 3, 1, &n);
	assert_int_equal(counters(l, 1)->n_nak_unexpected, 1);
	steer_lab_free(l);
}

static void the_budget_at_its_edge(void **state)
{
	static const struct {
		uint16_t budget;
		size_t n_sent;
		uint16_t given;
	} cases[] = {
		{ 0, 0, 0 },
		{ 1, 1, 0 },
		{ 2, 1, 1 },
		{ PROBE_BUDGET_MAX, 1, PROBE_BUDGET_MAX - 1 },
		{ PROBE_BUDGET_MAX + 1, 1, PROBE_BUDGET_MAX - 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct steer_lab *l = steer_diamond();
		struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
		const struct steer_seen *sent = NULL;

		x.probe.budget = cases[i].budget;
		steer_inject(l, 0, 1, &x);
		assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent),
				 cases[i].n_sent);
		assert_int_equal(counters(l, 1)->n_probe_budget,
				 1 - cases[i].n_sent);
		if (cases[i].n_sent == 1) {
			assert_int_equal(sent->msg.probe.budget,
					 cases[i].given);
		} else {
			steer_count(l, 1, MSG_NAK, &sent);
			assert_int_equal(sent->msg.nak.code, NAK_BUDGET);
		}
		steer_lab_free(l);
	}
}

/* ---- silence ----------------------------------------------------------- */

static void a_silent_neighbour_is_passed_by(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;
	nsec start = mesh_now(l->m);

	(void)state;
	l->is_silent[2] = true;
	steer_inject(l, 0, 1, &x);
	small_pass(l->m, NS_PER_S);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent), 2);
	assert_int_equal(sent->to, 3);
	/* Twice the round trip that is left, 30 ms one way, and 30 ms. */
	assert_int_equal(sent->at - start, 150 * NS_PER_MS);
	assert_int_equal(sent->msg.probe.budget, 8);
	assert_int_equal(counters(l, 1)->n_repairs, 1);
	assert_int_equal(steer_count(l, 1, MSG_ANSWER, NULL), 1);
	assert_int_equal(steer_count(l, 1, MSG_NAK, NULL), 0);
	steer_lab_free(l);
}

static void who_kept_silent_is_named_and_signed_for(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;
	const struct msg_nak *n;
	nsec start = mesh_now(l->m);
	struct node_id one = forge_id(l->m, 1), two = forge_id(l->m, 2);

	(void)state;
	l->is_silent[2] = l->is_silent[3] = true;
	steer_inject(l, 0, 1, &x);
	small_pass(l->m, 2 * NS_PER_S);
	assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 1);
	n = &sent->msg.nak;
	assert_int_equal(n->code, NAK_TIMEOUT);
	assert_true(n->has_blame);
	assert_true(id_equal(&n->reporter, &one));
	assert_true(id_equal(&n->next, &two));
	assert_true(key_verify(n->sig, &mesh_identity(l->m, 1)->key, SIGN_NAK,
			       mesh_ca(l->m), n->body, sizeof n->body));
	/* Before the patience of the one before it is over. */
	assert_in_range(sent->at - start, 950 * NS_PER_MS, 980 * NS_PER_MS);
	assert_int_equal(router_score_get(mesh_router(l->m, 1), &two),
			 SUCCESS_FULL * 6 / 10);
	steer_lab_free(l);
}

/* The blame comes from the node next to the silent one, and reaches the origin
 * as it was signed. */
static void blame_from_further_on_is_passed_on(void **state)
{
	struct steer_lab *l = steer_line(5);
	struct msg x = steer_probe(l, 0, 4, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;
	struct node_id two = forge_id(l->m, 2), three = forge_id(l->m, 3);

	(void)state;
	l->is_silent[3] = true;
	steer_inject(l, 0, 1, &x);
	small_pass(l->m, 2 * NS_PER_S);
	assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 1);
	assert_int_equal(sent->msg.nak.code, NAK_TIMEOUT);
	assert_true(sent->msg.nak.has_blame);
	assert_true(id_equal(&sent->msg.nak.reporter, &two));
	assert_true(id_equal(&sent->msg.nak.next, &three));
	/* It lies further on: that is held against node 2, a little. */
	assert_int_equal(router_score_get(mesh_router(l->m, 1), &two),
			 SUCCESS_FULL * 98 / 100);
	steer_lab_free(l);
}

static void a_link_that_goes_down_is_passed_by(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;

	(void)state;
	l->is_silent[2] = true;
	steer_inject(l, 0, 1, &x);
	mesh_unplug(l->m, 1, 1);
	small_pass(l->m, 10 * NS_PER_MS);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, &sent), 2);
	assert_int_equal(sent->to, 3);
	small_pass(l->m, NS_PER_S);
	assert_int_equal(steer_count(l, 1, MSG_ANSWER, NULL), 1);
	steer_lab_free(l);
}

static void without_time_nothing_is_passed_on(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct msg x = steer_probe(l, 0, 5, TREE_ANY, 1);
	const struct steer_seen *sent = NULL;

	(void)state;
	x.probe.deadline_ms = 25;
	steer_inject(l, 0, 1, &x);
	assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL), 0);
	assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 1);
	assert_int_equal(sent->msg.nak.code, NAK_TIMEOUT);
	assert_false(sent->msg.nak.has_blame);
	steer_lab_free(l);
}

/* 25 ms are kept on the way to node 1, and as many on the way from it to 2. */
static void who_has_no_time_to_look_further_is_not_asked(void **state)
{
	static const uint32_t deadline[] = { 25 + 25, 25 + 26 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct steer_lab *l = steer_line(4);
		struct msg x = steer_probe(l, 0, 3, TREE_ANY, 1);
		const struct steer_seen *sent = NULL;

		x.probe.deadline_ms = deadline[i];
		steer_inject(l, 0, 1, &x);
		assert_int_equal(steer_count(l, 1, MSG_PROBE, NULL), i);
		small_pass(l->m, 100 * NS_PER_MS);
		assert_int_equal(steer_count(l, 1, MSG_NAK, &sent), 1);
		assert_int_equal(sent->msg.nak.code, NAK_TIMEOUT);
		assert_false(sent->msg.nak.has_blame);
		steer_lab_free(l);
	}
}

/* The target answers at once: the way there and back is all that it takes. */
static void the_target_needs_no_time_to_look_further(void **state)
{
	struct steer_lab *l = steer_line(3);
	struct msg x = steer_probe(l, 0, 2, TREE_ANY, 1);

	(void)state;
	x.probe.deadline_ms = 25 + 11;
	steer_inject(l, 0, 1, &x);
	small_pass(l->m, 100 * NS_PER_MS);
	assert_int_equal(steer_count(l, 1, MSG_ANSWER, NULL), 1);
	steer_lab_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_neighbour_scores_best),
		cmocka_unit_test(what_failed_before_scores_worse),
		cmocka_unit_test(later_rounds_are_noisier),
		cmocka_unit_test(a_tree_that_is_not_shared_leads_nowhere),
		cmocka_unit_test(the_rule_of_copies),
		cmocka_unit_test(
			a_copy_goes_to_one_neighbour_with_what_is_left),
		cmocka_unit_test(avoided_nodes_are_left_aside),
		cmocka_unit_test(later_rounds_try_two_neighbours_at_once),
		cmocka_unit_test(a_copy_is_repaired_where_it_failed),
		cmocka_unit_test(when_all_is_tried_upstream_is_told),
		cmocka_unit_test(the_budget_at_its_edge),
		cmocka_unit_test(a_silent_neighbour_is_passed_by),
		cmocka_unit_test(who_kept_silent_is_named_and_signed_for),
		cmocka_unit_test(blame_from_further_on_is_passed_on),
		cmocka_unit_test(a_link_that_goes_down_is_passed_by),
		cmocka_unit_test(without_time_nothing_is_passed_on),
		cmocka_unit_test(who_has_no_time_to_look_further_is_not_asked),
		cmocka_unit_test(the_target_needs_no_time_to_look_further),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
