/* Path tests against nodes that swallow packets, and against those that lie
 * about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/hold/hold_inside.h"
#include "circuit/path.h"
#include "circuit/neighbour/success.h"
#include "proto/base/mem.h"
#include "tests/support/flow.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

#define RTT (40 * NS_PER_MS)
/* Tests are a second apart, and a search takes its time. */
#define LATEST 1900

static const struct mesh_link quick_link = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 20 * NS_PER_MS,
};

/* Three ways from node 0 to node 10, over three relays each. */
enum {
	WAYS = 3,
	RELAYS = 3,
	FAR = WAYS * RELAYS + 1,
};

static struct mesh *three_ways(const struct mesh_link *link)
{
	struct mesh *m = small_nodes(FAR + 1);

	for (size_t way = 0; way < WAYS; way++) {
		size_t at = 0;

		for (size_t i = 0; i < RELAYS; i++) {
			mesh_add_link(m, at, 1 + way * RELAYS + i, link);
			at = 1 + way * RELAYS + i;
		}
		mesh_add_link(m, at, FAR, link);
	}
	small_pass(m, NS_PER_S);
	return m;
}

/* A node that does not do what it has signed. */
struct villain {
	struct mesh *m;
	size_t node;
	unsigned drops_permille; /* packets, towards any node but `spares` */
	size_t spares;
	bool drops_control;
	unsigned lost_receipt; /* it drops that one, from 1; 0: none */
	uint64_t n_seen, n_receipts;
	void (*alter)(struct villain *v, struct msg *m);
	struct msg kept;
	bool has_kept;
};

static bool passes(void *ctx, size_t from, size_t to)
{
	struct villain *v = ctx;

	if (from != v->node || to == v->spares)
		return true;
	return v->n_seen++ * 619 % 1000 >= v->drops_permille;
}

static bool handles_message(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct villain *v = ctx;

	(void)to;
	if (from != v->node)
		return true;
	if (v->alter != NULL)
		v->alter(v, m);
	if (m->type == MSG_RECEIPT && ++v->n_receipts == v->lost_receipt)
		return false;
	return !v->drops_control ||
	       (m->type != MSG_TEST && m->type != MSG_RECEIPT &&
		m->type != MSG_CLOSE);
}

static void turn_bad(struct villain *v)
{
	if (v->spares == 0)
		v->spares = SIZE_MAX;
	mesh_set_watch(v->m,
		       &(struct mesh_watch){ .ctx = v, .relays = passes });
	mesh_set_filter(v->m, handles_message, v);
}

static struct hold_info hold_info(const struct mesh *m)
{
	struct hold_info info;

	assert_true(router_hold_find(mesh_router(m, 0),
				     &mesh_identity(m, FAR)->id, &info));
	return info;
}

static size_t relay_of(const struct mesh *m, circuit_no c, size_t i)
{
	struct circuit_info info = small_info(m, 0, c);

	return mesh_find(m, &info.hops.hop[i].id);
}

static const struct mesh_event *blamed_since(const struct mesh *m, nsec since)
{
	size_t n;
	const struct mesh_event *e = mesh_events(m, 0, &n);

	for (size_t i = 0; i < n; i++)
		if (e[i].event.type == ROUTER_BLAMED && e[i].at >= since)
			return &e[i];
	return NULL;
}

static bool has_at_one_end(const struct mesh *m, const struct mesh_event *e,
			   size_t node)
{
	const struct node_id *id = &mesh_identity(m, node)->id;

	return id_equal(&e->event.peer, id) || id_equal(&e->event.next, id);
}

struct bad_case {
	const char *name;
	unsigned drops_permille;
	bool drops_control, is_back;
	unsigned lost_receipt;
	nsec period;
	unsigned n_echoes;
	unsigned left_ms; /* by then traffic is elsewhere, 40 ms there and back
			   */
	unsigned named_ms;
};

/* Traffic is off the dropper's path in about a second, and soon after a link of
 * its is named. */
static void expect_found(const struct bad_case *k, size_t relay)
{
	struct mesh *m = three_ways(&quick_link);
	struct villain v = { .m = m,
			     .drops_permille = k->drops_permille,
			     .drops_control = k->drops_control,
			     .lost_receipt = k->lost_receipt };
	const struct mesh_event *e;
	struct flow f;
	nsec since;

	print_message("%s, relay %zu: ", k->name, relay);
	flow_start(&f, m, 0, FAR, k->period, k->n_echoes);
	flow_run(&f, 3 * NS_PER_S);
	v.node = relay_of(m, f.carries, relay);
	if (k->is_back)
		v.spares = relay + 1 < RELAYS ? v.node + 1 : FAR;
	turn_bad(&v);
	since = mesh_now(m);
	flow_reset(&f);
	flow_run(&f, 10 * NS_PER_S);
	e = mesh_last(m, 0, ROUTER_CARRIES, FAR, since);
	assert_non_null(e);
	print_message("left after %u ms, ",
		      (unsigned)((e->at - since) / NS_PER_MS));
	assert_in_range(e->at - since, 0, k->left_ms * NS_PER_MS);
	assert_int_equal(f.n_carries, 1);
	e = blamed_since(m, since);
	assert_non_null(e);
	print_message("named after %u ms\n",
		      (unsigned)((e->at - since) / NS_PER_MS));
	assert_true(has_at_one_end(m, e, v.node));
	assert_in_range(e->at - since, 0, k->named_ms * NS_PER_MS);
	assert_true(blame_of(mesh_router(m, 0), &mesh_identity(m, v.node)->id,
			     mesh_now(m)) > 0);
	assert_int_equal(small_counters(m, 0)->n_localised, 1);
	/* The new spare leaves out whoever was named. */
	assert_int_not_equal(hold_info(m).spare, 0);
	assert_int_not_equal(small_first(m, 0, hold_info(m).spare),
			     1 + (v.node - 1) / RELAYS * RELAYS);
	mesh_free(m);
}

static void a_silent_dropper_is_left_and_named(void **state)
{
	static const struct bad_case cases[] = {
		{ "drops packets", 1000, false, false, 0, NS_PER_MS, 1, 300,
		  LATEST },
		{ "drops everything", 1000, true, false, 0, NS_PER_MS, 1, 200,
		  LATEST },
		{ "drops most packets", 700, false, false, 0, NS_PER_MS, 1,
		  1200, LATEST },
		{ "drops what comes back", 1000, false, true, 0, NS_PER_MS, 1,
		  300, LATEST },
		{ "drops a one-way flow", 1000, false, false, 0, NS_PER_MS, 0,
		  600, LATEST },
		{ "drops a download", 1000, false, true, 0, 5 * NS_PER_MS, 5,
		  300, LATEST },
		{ "drops a slow flow", 1000, false, false, 0, 50 * NS_PER_MS, 1,
		  700, LATEST },
		{ "drops a slow flow whole", 1000, true, false, 0,
		  50 * NS_PER_MS, 1, 250, LATEST },
		{ "loses the first receipt", 1000, false, true, 1, NS_PER_MS, 1,
		  300, LATEST },
		{ "loses one of the search", 1000, false, true, 3, NS_PER_MS, 1,
		  300, 720 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t relay = 0; relay < RELAYS; relay++)
			expect_found(&cases[i], relay);
}

/* It puts traffic on the path once it stands: nothing was lost before. */
static void the_next_dropper_is_found_too(void **state)
{
	struct mesh *m = three_ways(&quick_link);
	struct villain v = { .m = m, .drops_permille = 1000 };
	struct flow f;
	nsec since;

	(void)state;
	flow_start(&f, m, 0, FAR, NS_PER_MS, 1);
	flow_run(&f, 3 * NS_PER_S);
	for (int i = 0; i < 2; i++) {
		v.node = relay_of(m, f.carries, 1);
		turn_bad(&v);
		since = mesh_now(m);
		flow_run(&f, 5 * NS_PER_S);
		assert_non_null(blamed_since(m, since));
		assert_true(has_at_one_end(m, blamed_since(m, since), v.node));
	}
	assert_int_equal(small_counters(m, 0)->n_switches, 2);
	mesh_free(m);
}

/* ---- doubts ------------------------------------------------------------ */

/* Two ways of one relay each, the second of them slow: node 0 sends to node
 * 3, and its relay drops everything from now on. */
static struct mesh *begin_to_drop(struct villain *v, struct flow *f)
{
	struct mesh_link slow = quick_link;
	struct mesh *m = small_nodes(4);

	slow.delay = 40 * NS_PER_MS;
	mesh_add_link(m, 0, 1, &quick_link);
	mesh_add_link(m, 1, 3, &quick_link);
	mesh_add_link(m, 0, 2, &slow);
	mesh_add_link(m, 2, 3, &slow);
	small_pass(m, NS_PER_S);
	flow_start(f, m, 0, 3, 10 * NS_PER_MS, 1);
	flow_run(f, 3 * NS_PER_S);
	assert_int_equal(small_first(m, 0, f->carries), 1);
	*v = (struct villain){
		.m = m, .node = 1, .drops_permille = 1000, .drops_control = true
	};
	turn_bad(v);
	flow_reset(f);
	return m;
}

static void a_circuit_that_was_left_in_doubt_is_taken_again(void **state)
{
	circuit_no before;
	struct villain v;
	struct mesh *m;
	struct flow f;

	(void)state;
	m = begin_to_drop(&v, &f);
	before = f.carries;
	flow_run(&f, 170 * NS_PER_MS);
	assert_int_equal(f.n_carries, 1);
	assert_int_not_equal(f.carries, before);
	v.drops_permille = 0;
	v.drops_control = false;
	flow_run(&f, NS_PER_S);
	assert_int_equal(f.n_carries, 2);
	assert_int_equal(f.carries, before);
	flow_run(&f, 30 * NS_PER_S);
	assert_int_equal(f.n_carries, 2);
	assert_int_equal(small_counters(m, 0)->n_localised, 0);
	mesh_free(m);
}

/* Who was kept from looking does not take what may have come for missing. */
static void who_comes_late_looks_again_before_leaving(void **state)
{
	struct router *r;
	struct hold *h;
	struct villain v;
	struct mesh *m;
	struct flow f;
	circuit_no before;
	nsec due, now;

	(void)state;
	m = begin_to_drop(&v, &f);
	r = mesh_router(m, 0);
	h = hold_find(r, &mesh_identity(m, 3)->id);
	before = h->carries;
	while (hold_held(h, before)->test.token == 0)
		flow_run(&f, NS_PER_MS);
	due = hold_held(h, before)->test.doubt_at;
	assert_true(due > mesh_now(m) && due != TIME_NEVER);
	router_handle_timeout(r, due + 50 * NS_PER_MS);
	assert_int_equal(h->carries, before);
	now = hold_held(h, before)->test.doubt_at;
	assert_true(now > due + 50 * NS_PER_MS && now != TIME_NEVER);
	router_handle_timeout(r, now + 50 * NS_PER_MS);
	assert_int_not_equal(h->carries, before);
	mesh_free(m);
}

/* What wants no answer is no reason to ask for one. */
static void acknowledgements_are_not_waited_upon(void **state)
{
	struct mesh *m = three_ways(&quick_link);
	struct hold *h;
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, FAR, 10 * NS_PER_MS, 1);
	flow_run(&f, 3 * NS_PER_S);
	h = hold_find(mesh_router(m, 0), &mesh_identity(m, FAR)->id);
	for (int large = 0; large < 2; large++) {
		nsec since;

		flow_run(&f, NS_PER_S);
		flow_rest(&f, 100 * NS_PER_MS);
		since = mesh_now(m);
		mesh_send_packet(m, 0, f.carries, large ? 81 : 80, 1);
		small_pass(m, 100 * NS_PER_MS);
		assert_int_equal(hold_held(h, f.carries)->tested_at >
					 since + RTT,
				 large);
	}
	mesh_free(m);
}

/* ---- nobody is to blame ------------------------------------------------ */

static void expect_nobody_blamed(struct mesh *m, nsec period, unsigned n_echoes)
{
	struct flow f;

	flow_start(&f, m, 0, FAR, period, n_echoes);
	flow_run(&f, 200 * NS_PER_S);
	for (int i = 0; i < 50; i++) {
		flow_rest(&f, NS_PER_S);
		flow_run(&f, NS_PER_S);
	}
	assert_int_equal(small_counters(m, 0)->n_localised, 0);
	assert_null(mesh_fault(m));
	mesh_free(m);
}

static void lossy_and_jittery_links_are_not_blamed(void **state)
{
	struct mesh_link link = quick_link;

	(void)state;
	link.loss_permille = 50;
	link.jitter = 30 * NS_PER_MS;
	expect_nobody_blamed(three_ways(&link), 5 * NS_PER_MS, 1);
	expect_nobody_blamed(three_ways(&link), 100 * NS_PER_MS, 1);
	expect_nobody_blamed(three_ways(&link), 20 * NS_PER_MS, 3);
	link.delay = 100 * NS_PER_MS;
	expect_nobody_blamed(three_ways(&link), 5 * NS_PER_MS, 1);
}

/* What was lost on a bad link for long is not taken for what is lost now. */
static void a_lossy_link_is_not_blamed_for_a_dropper(void **state)
{
	struct mesh *m = small_nodes(FAR + 1);
	struct mesh_link lossy = quick_link;
	struct villain v = { .m = m, .drops_permille = 1000 };
	const struct mesh_event *e;
	struct flow f;
	nsec since;

	(void)state;
	lossy.loss_permille = 80;
	for (size_t i = 0; i <= RELAYS; i++)
		mesh_add_link(m, i, i < RELAYS ? i + 1 : FAR,
			      i == 0 ? &lossy : &quick_link);
	small_pass(m, NS_PER_S);
	flow_start(&f, m, 0, FAR, 2 * NS_PER_MS, 1);
	flow_run(&f, 120 * NS_PER_S);
	v.node = 3;
	turn_bad(&v);
	since = mesh_now(m);
	flow_run(&f, 10 * NS_PER_S);
	e = blamed_since(m, since);
	if (e != NULL)
		assert_true(has_at_one_end(m, e, 3));
	mesh_free(m);
}

/* ---- lies -------------------------------------------------------------- */

static void sign_receipt(struct villain *v, struct msg *m, size_t as)
{
	msg_receipt_seal(&m->receipt);
	key_sign(m->receipt.sig, mesh_key(v->m, as), SIGN_RECEIPT,
		 mesh_ca(v->m), m->receipt.body, sizeof m->receipt.body);
}

static bool is_own(const struct villain *v, const struct msg *m)
{
	return m->type == MSG_RECEIPT &&
	       id_equal(&m->receipt.node, &mesh_identity(v->m, v->node)->id);
}

static void inflate(struct villain *v, struct msg *m)
{
	if (!is_own(v, m))
		return;
	m->receipt.n_forth += 1000000;
	m->receipt.n_back += 1000000;
	sign_receipt(v, m, v->node);
}

static void deflate(struct villain *v, struct msg *m)
{
	if (!is_own(v, m))
		return;
	m->receipt.n_forth /= 2;
	m->receipt.n_back /= 2;
	sign_receipt(v, m, v->node);
}

/* Receipts of others, with its own signature. */
static void forge(struct villain *v, struct msg *m)
{
	if (m->type != MSG_RECEIPT || is_own(v, m))
		return;
	m->receipt.n_forth += 1000;
	sign_receipt(v, m, v->node);
}

/* The same receipt again and again. */
static void replay(struct villain *v, struct msg *m)
{
	if (m->type != MSG_RECEIPT)
		return;
	if (v->has_kept)
		*m = v->kept;
	v->kept = *m;
	v->has_kept = true;
}

/* Only the counts of the far end are let through. */
static void hide_relays(struct villain *v, struct msg *m)
{
	if (m->type == MSG_TEST && m->test.hop <= RELAYS)
		m->test.hop = 0;
	(void)v;
}

static void a_lying_dropper_is_at_one_end_of_the_link_that_is_named(
	void **state)
{
	static void (*const lies[])(struct villain *, struct msg *) = {
		inflate, deflate, forge, replay, hide_relays,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		for (size_t relay = 0; relay < RELAYS; relay++) {
			struct mesh *m = three_ways(&quick_link);
			struct villain v = { .m = m,
					     .drops_permille = 1000,
					     .alter = lies[i] };
			const struct mesh_event *e;
			struct flow f;
			nsec since;

			flow_start(&f, m, 0, FAR, NS_PER_MS, 1);
			flow_run(&f, 3 * NS_PER_S);
			v.node = relay_of(m, f.carries, relay);
			turn_bad(&v);
			since = mesh_now(m);
			flow_run(&f, 5 * NS_PER_S);
			e = blamed_since(m, since);
			print_message("lie %zu relay %zu\n", i, relay);
			assert_non_null(e);
			assert_true(has_at_one_end(m, e, v.node));
			assert_int_equal(small_counters(m, 0)->n_localised, 1);
			mesh_free(m);
		}
	}
}

static void forged_and_replayed_receipts_are_counted_and_count_for_nothing(
	void **state)
{
	struct mesh *m = three_ways(&quick_link);
	struct villain v = { .m = m, .alter = forge };
	const struct router_counters *n = small_counters(m, 0);
	struct flow f;

	(void)state;
	flow_start(&f, m, 0, FAR, 10 * NS_PER_MS, 1);
	flow_run(&f, 3 * NS_PER_S);
	v.node = relay_of(m, f.carries, 0);
	turn_bad(&v);
	flow_run(&f, 2 * NS_PER_S);
	assert_true(n->n_receipt_bad_signature > 0);
	assert_int_equal(n->n_receipt_unexpected, 0);
	mesh_free(m);

	m = three_ways(&quick_link);
	v = (struct villain){ .m = m, .alter = replay };
	n = small_counters(m, 0);
	flow_start(&f, m, 0, FAR, 10 * NS_PER_MS, 1);
	flow_run(&f, 3 * NS_PER_S);
	v.node = relay_of(m, f.carries, 0);
	turn_bad(&v);
	flow_run(&f, 2 * NS_PER_S);
	assert_true(n->n_receipt_unexpected > 0);
	assert_int_equal(n->n_receipt_bad_signature, 0);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_dropper_is_left_and_named),
		cmocka_unit_test(the_next_dropper_is_found_too),
		cmocka_unit_test(
			a_circuit_that_was_left_in_doubt_is_taken_again),
		cmocka_unit_test(who_comes_late_looks_again_before_leaving),
		cmocka_unit_test(acknowledgements_are_not_waited_upon),
		cmocka_unit_test(lossy_and_jittery_links_are_not_blamed),
		cmocka_unit_test(a_lossy_link_is_not_blamed_for_a_dropper),
		cmocka_unit_test(
			a_lying_dropper_is_at_one_end_of_the_link_that_is_named),
		cmocka_unit_test(
			forged_and_replayed_receipts_are_counted_and_count_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
