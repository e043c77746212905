/* Large networks: volunteers keep the records, part by part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"
#include "tests/support/record_lab.h"
#include "tests/support/small_mesh.h"

static const struct node_id *id_of(const struct record_lab *lab, size_t node)
{
	return &mesh_identity(lab->m, node)->id;
}

static struct router *root_of(const struct record_lab *lab, unsigned k)
{
	return mesh_router(lab->m, lab->replica[k]);
}

/* Whom the root has appointed for the part of this record. */
static struct appointment appointed(const struct record_lab *lab, unsigned k,
				    const struct node_id *id)
{
	struct appointment a;

	assert_true(part_find(root_of(lab, k), id, lab->tree[k], &a,
			      mesh_now(lab->m)));
	return a;
}

static size_t member_for(const struct record_lab *lab, unsigned k,
			 const struct node_id *id)
{
	struct appointment a = appointed(lab, k, id);

	return mesh_find(lab->m, &a.member);
}

static const struct router_counters *asker_counts(const struct record_lab *lab)
{
	return small_counters(lab->m, lab->asker);
}

/* ---- as it should be --------------------------------------------------- */

static void members_keep_what_the_root_would(void **state)
{
	struct record_lab lab = record_lab_new_large();

	(void)state;
	for (unsigned k = 0; k < RECORD_REPLICAS; k++) {
		const struct node_id *id = id_of(&lab, lab.target);
		size_t member = member_for(&lab, k, id);

		assert_int_not_equal(member, lab.replica[k]);
		assert_non_null(record_kept(mesh_router(lab.m, member), id,
					    mesh_now(lab.m)));
		assert_true(router_counters(root_of(&lab, k))->n_handed_over >
			    0);
	}
	mesh_free(lab.m);
}

static void a_lookup_is_handed_over_to_the_member(void **state)
{
	struct record_lab lab = record_lab_new_large();

	(void)state;
	assert_true(
		record_lab_looks_up(&lab, lab.asker, id_of(&lab, lab.target)));
	/* And to another one at the same time. */
	assert_int_equal(asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	mesh_free(lab.m);
}

/* The reply has told who it is. */
static void the_next_lookup_does_not_trouble_the_root(void **state)
{
	struct record_lab lab = record_lab_new_large();
	struct router *asker = mesh_router(lab.m, lab.asker);
	const struct node_id *id = id_of(&lab, lab.target);
	struct appointment a;

	(void)state;
	parts_deinit(asker);
	assert_false(part_find(asker, id, lab.tree[0], &a, mesh_now(lab.m)));
	assert_true(record_lab_looks_up(&lab, lab.asker, id));
	assert_true(part_find(asker, id, lab.tree[0], &a, mesh_now(lab.m)));
	assert_int_equal(mesh_find(lab.m, &a.member), member_for(&lab, 0, id));
	assert_false(
		part_find(asker, id, lab.tree[0], &a,
			  mesh_now(lab.m) + APPOINTMENT_LIFE_MS * NS_PER_MS));
	mesh_free(lab.m);
}

static void forget_parts(const struct record_lab *lab)
{
	for (size_t i = 0; i < mesh_n_nodes(lab->m); i++)
		parts_deinit(mesh_router(lab->m, i));
}

/* As if nobody had looked anything up so far. */
static void forget_found(const struct record_lab *lab)
{
	for (size_t i = 0; i < mesh_n_nodes(lab->m); i++)
		stored_deinit(&mesh_router(lab->m, i)->records.cached);
}

/* Owners do not know at once where to store. */
static void members_prove_absence_when_they_have_served_long(void **state)
{
	struct record_lab lab = record_lab_new_large();
	struct node_id nobody = record_lab_nobody(&lab);

	(void)state;
	forget_parts(&lab);
	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		assert_int_not_equal(member_for(&lab, k, &nobody),
				     lab.replica[k]);
	for (nsec since = 0; since + 200 * NS_PER_S < PART_SETTLE_NS;
	     since += 100 * NS_PER_S) {
		record_lab_looks_up(&lab, lab.asker, &nobody);
		assert_int_equal(asker_counts(&lab)->n_lookups_absent, 0);
		small_pass(lab.m, 90 * NS_PER_S);
	}
	small_pass(lab.m, 300 * NS_PER_S);
	record_lab_looks_up(&lab, lab.asker, &nobody);
	assert_int_equal(asker_counts(&lab)->n_lookups_absent, 1);
	mesh_free(lab.m);
}

static void the_network_is_as_large_as_before(void **state)
{
	struct record_lab lab = record_lab_new_large();
	uint32_t n =
		trees_n_nodes(mesh_router(lab.m, lab.asker), mesh_now(lab.m));

	(void)state;
	assert_in_range(n, mesh_n_nodes(lab.m) * 2 / 3,
			mesh_n_nodes(lab.m) * 3 / 2);
	mesh_free(lab.m);
}

/* ---- what goes wrong --------------------------------------------------- */

struct deaf {
	size_t node;
	unsigned n;
};

static bool is_deaf(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct deaf *d = ctx;

	(void)from;
	if (to != d->node || (m->type != MSG_LOOKUP && m->type != MSG_STORE))
		return true;
	d->n++;
	return false;
}

static void a_member_that_drops_requests_is_replaced(void **state)
{
	struct record_lab lab = record_lab_new_large();
	const struct node_id *id = id_of(&lab, lab.target);
	struct deaf deaf = { member_for(&lab, 0, id), 0 };

	(void)state;
	mesh_set_filter(lab.m, is_deaf, &deaf);
	for (unsigned i = 0; member_for(&lab, 0, id) == deaf.node; i++) {
		assert_true(i < 20);
		forget_found(&lab);
		/* One of three replicas: the others have it. */
		assert_true(record_lab_looks_up(&lab, lab.asker, id));
	}
	assert_true(deaf.n >= DIRECTORY_STRIKES);
	mesh_free(lab.m);
}

struct deaf_ones {
	struct node_id member[RECORD_REPLICAS];
	unsigned n; /* so many, from the first one on */
};

/* They relay what is meant for others. */
static bool are_deaf(void *ctx, size_t from, size_t to, struct msg *m)
{
	const struct deaf_ones *d = ctx;

	(void)from;
	(void)to;
	for (unsigned k = 0; k < d->n; k++)
		if (m->type == MSG_LOOKUP && m->lookup.has_appointment &&
		    id_equal(&m->lookup.appointment.member, &d->member[k]))
			return false;
	return true;
}

/* Whether the asker has the record after so long, when the members nearest to
 * it drop requests. */
static bool finds_within(unsigned n_deaf, nsec time)
{
	struct record_lab lab = record_lab_new_large();
	struct deaf_ones deaf = { .n = n_deaf };
	struct router *r = mesh_router(lab.m, lab.asker);
	const struct node_id *id = id_of(&lab, lab.target);
	bool found;

	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		deaf.member[k] = appointed(&lab, k, id).member;
	mesh_set_filter(lab.m, are_deaf, &deaf);
	lookup_start(r, id, mesh_now(lab.m));
	mesh_pump(lab.m, lab.asker);
	small_pass(lab.m, time);
	found = record_cached(r, id, mesh_now(lab.m)) != NULL;
	mesh_free(lab.m);
	return found;
}

/* Before the wait for the first one is over. */
static void the_second_one_asked_is_not_held_up_by_the_first(void **state)
{
	(void)state;
	assert_true(finds_within(1, REQUEST_SLACK_NS));
	assert_false(finds_within(2, REQUEST_SLACK_NS));
}

static void the_third_one_is_asked_when_two_are_silent(void **state)
{
	(void)state;
	assert_true(finds_within(2, 5 * NS_PER_S));
}

static void forge(struct appointment *a, const struct record_lab *lab,
		  size_t by)
{
	appointment_seal(a);
	key_sign(a->sig, mesh_key(lab->m, by), SIGN_APPOINTMENT,
		 mesh_ca(lab->m), a->body, sizeof a->body);
}

static void leave(struct appointment *a, const struct record_lab *lab)
{
	(void)a;
	(void)lab;
}

static void spoil(struct appointment *a, const struct record_lab *lab)
{
	(void)lab;
	a->sig[0] ^= 1;
}

static void replace_member(struct appointment *a, const struct record_lab *lab)
{
	(void)lab;
	a->member.b[0] ^= 1;
	appointment_seal(a);
}

static void appoint_oneself(struct appointment *a, const struct record_lab *lab)
{
	a->member = *id_of(lab, lab->relay);
	forge(a, lab, lab->relay);
}

static void be_the_root(struct appointment *a, const struct record_lab *lab)
{
	a->root = a->member = *id_of(lab, lab->relay);
	forge(a, lab, lab->relay);
}

static void take_the_root_of_another_tree(struct appointment *a,
					  const struct record_lab *lab)
{
	a->root = *id_of(lab, lab->replica[1]);
	forge(a, lab, lab->replica[1]);
}

static void take_another_tree(struct appointment *a,
			      const struct record_lab *lab)
{
	a->tree = (uint8_t)lab->tree[1];
	forge(a, lab, lab->replica[0]);
}

static void take_another_part(struct appointment *a,
			      const struct record_lab *lab)
{
	a->part++;
	forge(a, lab, lab->replica[0]);
}

static void grow_old(struct appointment *a, const struct record_lab *lab)
{
	a->issued_ms = mesh_wall(lab->m) - APPOINTMENT_LIFE_MS;
	forge(a, lab, lab->replica[0]);
}

static void be_nearly_too_old(struct appointment *a,
			      const struct record_lab *lab)
{
	a->issued_ms = mesh_wall(lab->m) - APPOINTMENT_LIFE_MS + 1;
	forge(a, lab, lab->replica[0]);
}

static void come_early(struct appointment *a, const struct record_lab *lab)
{
	a->issued_ms = mesh_wall(lab->m) + CLOCK_SKEW_MS;
	forge(a, lab, lab->replica[0]);
}

static const struct {
	const char *why;
	void (*change)(struct appointment *a, const struct record_lab *lab);
	enum part_verdict want;
} cases[] = {
	{ "as the root signed it", leave, PART_GOOD },
	{ "in the last millisecond", be_nearly_too_old, PART_GOOD },
	{ "a bit of the signature", spoil, PART_BAD },
	{ "another member under it", replace_member, PART_BAD },
	{ "a member that appoints itself", appoint_oneself, PART_BAD },
	{ "a node that takes itself for the root", be_the_root, PART_BAD },
	{ "the root of another tree", take_the_root_of_another_tree, PART_BAD },
	{ "for another tree", take_another_tree, PART_BAD },
	{ "for another part", take_another_part, PART_BAD },
	{ "too old", grow_old, PART_BAD },
	{ "from the future", come_early, PART_BAD },
};

static void only_the_root_appoints(void **state)
{
	struct record_lab lab = record_lab_new_large();
	struct router *asker = mesh_router(lab.m, lab.asker);
	const struct node_id *id = id_of(&lab, lab.target);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct appointment a = appointed(&lab, 0, id);

		cases[i].change(&a, &lab);
		if (part_check(asker, id, lab.tree[0], &a, mesh_now(lab.m)) !=
		    cases[i].want)
			fail_msg("%s", cases[i].why);
	}
	mesh_free(lab.m);
}

static void whoever_is_not_appointed_refuses(void **state)
{
	struct record_lab lab = record_lab_new_large();
	struct router *relay = mesh_router(lab.m, lab.relay);
	const struct node_id *id = id_of(&lab, lab.target);
	uint64_t stored = router_counters(relay)->n_sent[MSG_STORED];
	uint64_t refused = router_counters(relay)->n_sent[MSG_NO_RECORD];
	struct msg *x = mem_new(x);

	(void)state;
	x->type = MSG_STORE;
	x->store.tree = (uint8_t)lab.tree[0];
	x->store.hops_left = REQUEST_HOPS_MAX;
	x->store.record = record_lab_record(&lab, lab.target);
	x->store.has_appointment = true;
	x->store.appointment = appointed(&lab, 0, id);
	appoint_oneself(&x->store.appointment, &lab);
	router_handle_message(relay, relay->neighbours.all->best->no, x,
			      mesh_now(lab.m));
	assert_int_equal(router_counters(relay)->n_appointment_bad, 1);
	assert_int_equal(router_counters(relay)->n_sent[MSG_STORED], stored);
	assert_int_equal(router_counters(relay)->n_sent[MSG_NO_RECORD],
			 refused + 1);
	free(x);
	mesh_free(lab.m);
}

/* A member says that it keeps what it does not: it alone is believed less. */
static void a_member_that_boasts_does_not_make_the_network_large(void **state)
{
	struct record_lab lab = record_lab_new_large();
	struct router *root = root_of(&lab, 0);
	struct appointment a = appointed(&lab, 0, id_of(&lab, lab.target));
	uint32_t was = records_n_nodes(root);

	(void)state;
	office_replied(root, lab.tree[0], a.part, &a.member, UINT32_MAX);
	assert_true(records_n_nodes(root) <= 2 * was);
	/* Nor can others say it in its place. */
	office_replied(root, lab.tree[0], a.part, id_of(&lab, lab.asker), 1);
	assert_true(records_n_nodes(root) >= was);
	mesh_free(lab.m);
}

/* A neighbour of the first root, beneath it, and not `other`. */
static size_t below_root(const struct record_lab *lab, size_t other)
{
	for (size_t i = 0; i < mesh_n_nodes(lab->m); i++) {
		const struct neighbour *up =
			tree_parent(mesh_router(lab->m, i), lab->tree[0]);

		if (i != other && i != lab->target && up != NULL &&
		    id_equal(&up->id, id_of(lab, lab->replica[0])))
			return i;
	}
	fail();
	return 0;
}

/* It has the records of before, until they die. */
static void a_root_falls_back_on_what_it_has(void **state)
{
	struct record_lab lab = record_lab_new_large();
	const struct node_id *id = id_of(&lab, lab.target);
	struct deaf deaf = { member_for(&lab, 0, id), 0 };
	struct record *rec = mem_new(rec);

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	assert_true(record_keep(root_of(&lab, 0), rec, mesh_now(lab.m)));
	/* All requests come to the root. */
	forget_parts(&lab);
	mesh_set_filter(lab.m, is_deaf, &deaf);
	assert_true(record_lab_looks_up(&lab, below_root(&lab, deaf.node), id));
	assert_true(deaf.n > 0);
	assert_true(router_counters(root_of(&lab, 0))->n_sent[MSG_FOUND] > 0);
	free(rec);
	mesh_free(lab.m);
}

/* They were stored before there was a member, and not since. */
static void what_a_new_member_does_not_have_the_root_may(void **state)
{
	struct record_lab lab = record_lab_new_large();
	const struct node_id *id = id_of(&lab, lab.target);
	size_t asker = below_root(&lab, member_for(&lab, 0, id));
	struct router *member = mesh_router(lab.m, member_for(&lab, 0, id));
	struct record *rec = mem_new(rec);
	struct appointment a;

	(void)state;
	assert_true(record_lab_looks_up(&lab, asker, id));
	assert_true(part_find(mesh_router(lab.m, asker), id, lab.tree[0], &a,
			      mesh_now(lab.m)));
	forget_found(&lab);
	stored_remove(&member->records.kept,
		      record_kept(member, id, mesh_now(lab.m)));
	parts_deinit(member);
	*rec = record_lab_record(&lab, lab.target);
	assert_true(record_keep(root_of(&lab, 0), rec, mesh_now(lab.m)));
	assert_true(record_lab_looks_up(&lab, asker, id));
	assert_true(router_counters(root_of(&lab, 0))->n_sent[MSG_FOUND] > 0);
	/* The root has not lost faith in it. */
	assert_ptr_equal(mesh_router(lab.m, member_for(&lab, 0, id)), member);
	free(rec);
	mesh_free(lab.m);
}

struct offers {
	size_t by;
	uint64_t issued_ms;
	unsigned n;
};

static bool counts_offers(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct offers *o = ctx;

	(void)to;
	o->n += from == o->by && m->type == MSG_FOUND &&
		m->found.record.issued_ms == o->issued_ms;
	return true;
}

/* It has led the asker nowhere, and will not do better a second time. */
static void what_led_nowhere_the_root_keeps_to_itself(void **state)
{
	struct record_lab lab = record_lab_new_large();
	const struct node_id *id = id_of(&lab, lab.target);
	size_t asker = below_root(&lab, member_for(&lab, 0, id));
	struct router *member = mesh_router(lab.m, member_for(&lab, 0, id));
	struct router *r = mesh_router(lab.m, asker);
	struct record *rec = mem_new(rec);
	struct offers offers = { lab.replica[0], 0, 0 };

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	offers.issued_ms = rec->issued_ms;
	stored_remove(&member->records.kept,
		      record_kept(member, id, mesh_now(lab.m)));
	parts_deinit(member);
	assert_true(record_keep(root_of(&lab, 0), rec, mesh_now(lab.m)));
	mesh_set_filter(lab.m, counts_offers, &offers);
	assert_true(record_lab_looks_up(&lab, asker, id));
	assert_int_equal(offers.n, 1);
	forget_found(&lab);
	record_cache(r, rec, mesh_now(lab.m));
	record_forget(r, id, mesh_now(lab.m));
	record_lab_looks_up(&lab, asker, id);
	assert_int_equal(offers.n, 1);
	free(rec);
	mesh_free(lab.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_keep_what_the_root_would),
		cmocka_unit_test(a_lookup_is_handed_over_to_the_member),
		cmocka_unit_test(the_next_lookup_does_not_trouble_the_root),
		cmocka_unit_test(
			members_prove_absence_when_they_have_served_long),
		cmocka_unit_test(the_network_is_as_large_as_before),
		cmocka_unit_test(a_member_that_drops_requests_is_replaced),
		cmocka_unit_test(
			the_second_one_asked_is_not_held_up_by_the_first),
		cmocka_unit_test(the_third_one_is_asked_when_two_are_silent),
		cmocka_unit_test(only_the_root_appoints),
		cmocka_unit_test(whoever_is_not_appointed_refuses),
		cmocka_unit_test(
			a_member_that_boasts_does_not_make_the_network_large),
		cmocka_unit_test(a_root_falls_back_on_what_it_has),
		cmocka_unit_test(what_a_new_member_does_not_have_the_root_may),
		cmocka_unit_test(what_led_nowhere_the_root_keeps_to_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
