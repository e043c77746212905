/* Records as they are checked, kept, cached and made anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/record/record_table.h"
#include "proto/base/mem.h"
#include "tests/support/record_lab.h"
#include "tests/support/small_mesh.h"

static struct router *asker_of(const struct record_lab *lab)
{
	return mesh_router(lab->m, lab->asker);
}

/* ---- check ------------------------------------------------------------- */

static void leave(struct record *rec, const struct record_lab *lab)
{
	(void)rec;
	(void)lab;
}

static void age(struct record *rec, const struct record_lab *lab)
{
	rec->issued_ms -= RECORD_LIFE_S * UINT64_C(1000);
	record_lab_sign(lab, lab->target, rec);
}

static void age_less(struct record *rec, const struct record_lab *lab)
{
	rec->issued_ms -= RECORD_LIFE_S * UINT64_C(1000) - 1;
	record_lab_sign(lab, lab->target, rec);
}

static void come_early(struct record *rec, const struct record_lab *lab)
{
	rec->issued_ms += CLOCK_SKEW_MS;
	record_lab_sign(lab, lab->target, rec);
}

static void be_a_little_early(struct record *rec, const struct record_lab *lab)
{
	rec->issued_ms += CLOCK_SKEW_MS - 1;
	record_lab_sign(lab, lab->target, rec);
}

static void spoil_signature(struct record *rec, const struct record_lab *lab)
{
	(void)lab;
	rec->sig[3] ^= 1;
}

static void move(struct record *rec, const struct record_lab *lab)
{
	(void)lab;
	rec->at.tree[0].hop[0].id.b[0] ^= 1;
	record_seal(rec);
}

static void be_signed_by_another(struct record *rec,
				 const struct record_lab *lab)
{
	record_lab_sign(lab, lab->asker, rec);
}

static void bring_anothers_chain(struct record *rec,
				 const struct record_lab *lab)
{
	memcpy(rec->chain, mesh_identity(lab->m, lab->asker)->key.b, KEY_LEN);
	record_lab_sign(lab, lab->asker, rec);
}

/* What the mesh's check takes for a certificate of another authority. */
static void bring_a_foreign_chain(struct record *rec,
				  const struct record_lab *lab)
{
	rec->chain_len = KEY_LEN - 1;
	record_lab_sign(lab, lab->target, rec);
}

static const struct {
	const char *why;
	void (*change)(struct record *rec, const struct record_lab *lab);
	enum record_verdict want;
} checks[] = {
	{ "as it was made", leave, RECORD_GOOD },
	{ "in the last millisecond of its life", age_less, RECORD_GOOD },
	{ "its life is over", age, RECORD_STALE },
	{ "by a clock that is just not too fast", be_a_little_early,
	  RECORD_GOOD },
	{ "from the future", come_early, RECORD_STALE },
	{ "a bit of the signature", spoil_signature, RECORD_BAD },
	{ "another place under the old signature", move, RECORD_BAD },
	{ "signed by somebody else", be_signed_by_another, RECORD_BAD },
	{ "somebody else's certificate", bring_anothers_chain, RECORD_BAD },
	{ "a certificate of another authority", bring_a_foreign_chain,
	  RECORD_BAD },
};

static void a_record_is_checked_by_time_chain_and_signature(void **state)
{
	struct record_lab lab = record_lab_new();
	const struct router_counters *n = router_counters(asker_of(&lab));
	struct record *rec = mem_new(rec);
	struct identity who;
	uint64_t n_bad = 0, n_stale = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		*rec = record_lab_record(&lab, lab.target);
		checks[i].change(rec, &lab);
		n_bad += checks[i].want == RECORD_BAD;
		n_stale += checks[i].want == RECORD_STALE;
		if (record_check(asker_of(&lab), rec, &who, mesh_now(lab.m)) !=
		    checks[i].want)
			fail_msg("%s", checks[i].why);
	}
	assert_int_equal(n->n_record_bad, n_bad);
	assert_int_equal(n->n_record_stale, n_stale);
	free(rec);
	mesh_free(lab.m);
}

static void the_chain_shows_who_it_is(void **state)
{
	struct record_lab lab = record_lab_new();
	struct record *rec = mem_new(rec);
	struct identity who = { .n_names = 77 };

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	assert_int_equal(
		record_check(asker_of(&lab), rec, &who, mesh_now(lab.m)),
		RECORD_GOOD);
	assert_memory_equal(&who, mesh_identity(lab.m, lab.target), sizeof who);
	free(rec);
	mesh_free(lab.m);
}

static void checks_are_paid_for_from_the_common_bucket(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	bucket_init(&r->own_verify.own, 1, 1, mesh_now(lab.m));
	bucket_init(&r->verify, 1, 1, mesh_now(lab.m));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(record_check(r, rec, NULL, mesh_now(lab.m)),
				 RECORD_GOOD);
	assert_int_equal(record_check(r, rec, NULL, mesh_now(lab.m)),
			 RECORD_RATE);
	assert_int_equal(router_counters(r)->n_verify_rate, 1);
	free(rec);
	mesh_free(lab.m);
}

/* ---- kept -------------------------------------------------------------- */

static void the_newer_record_stays(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	uint64_t issued;

	(void)state;
	stored_deinit(&r->records.kept);
	*rec = record_lab_record(&lab, lab.target);
	issued = rec->issued_ms;
	assert_true(record_keep(r, rec, mesh_now(lab.m)));
	rec->issued_ms--;
	assert_true(record_keep(r, rec, mesh_now(lab.m)));
	assert_int_equal(record_kept(r, &rec->id, mesh_now(lab.m))->issued_ms,
			 issued);
	rec->issued_ms += 2;
	assert_true(record_keep(r, rec, mesh_now(lab.m)));
	assert_int_equal(record_kept(r, &rec->id, mesh_now(lab.m))->issued_ms,
			 issued + 1);
	assert_int_equal(records_n_kept(r), 1);
	free(rec);
	mesh_free(lab.m);
}

static void number(struct record *rec, unsigned i)
{
	memcpy(rec->id.b, &i, sizeof i);
	for (unsigned t = 0; t < TREES; t++)
		rec->at.tree[t].n = 0;
	record_seal(rec);
}

static void so_many_records_are_kept(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);

	(void)state;
	stored_deinit(&r->records.kept);
	*rec = record_lab_record(&lab, lab.target);
	for (unsigned i = 0; i < RECORDS_MAX; i++) {
		number(rec, i);
		assert_true(record_keep(r, rec, mesh_now(lab.m)));
	}
	assert_int_equal(router_counters(r)->n_record_full, 0);
	number(rec, RECORDS_MAX);
	assert_false(record_keep(r, rec, mesh_now(lab.m)));
	assert_int_equal(router_counters(r)->n_record_full, 1);
	assert_int_equal(records_n_kept(r), RECORDS_MAX);
	/* One that is there is renewed nevertheless. */
	number(rec, 7);
	rec->issued_ms++;
	record_seal(rec);
	assert_true(record_keep(r, rec, mesh_now(lab.m)));
	/* And dead ones make room. */
	rec->issued_ms += RECORD_LIFE_S * UINT64_C(1000);
	number(rec, RECORDS_MAX);
	assert_true(record_keep(r, rec,
				mesh_now(lab.m) + RECORD_LIFE_S * NS_PER_S));
	assert_int_equal(records_n_kept(r), 2);
	free(rec);
	mesh_free(lab.m);
}

static void a_record_dies_with_its_life(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	nsec end = mesh_now(lab.m) + RECORD_LIFE_S * NS_PER_S;

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	record_cache(r, rec, mesh_now(lab.m));
	record_keep(r, rec, mesh_now(lab.m));
	assert_non_null(record_cached(r, &rec->id, end - 1));
	assert_non_null(record_kept(r, &rec->id, end - 1));
	assert_null(record_cached(r, &rec->id, end));
	assert_null(record_kept(r, &rec->id, end));
	free(rec);
	mesh_free(lab.m);
}

/* A record is a few hundred bytes, and some twenty times as much parsed. */
static void a_record_is_kept_in_few_bytes(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *root = mesh_router(lab.m, lab.replica[0]);
	struct stored_record *s = record_kept(
		root, &mesh_identity(lab.m, lab.target)->id, mesh_now(lab.m));

	(void)state;
	assert_true(sizeof *s + s->len < sizeof(struct record) / 10);
	mesh_free(lab.m);
}

/* ---- cached ------------------------------------------------------------ */

static void the_least_used_record_leaves_a_full_cache(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	struct node_id first, second;
	nsec now = mesh_now(lab.m);

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	for (unsigned i = 0; i < RECORDS_CACHED_MAX; i++) {
		number(rec, i);
		record_cache(r, rec, now);
		if (i == 0)
			first = rec->id;
		if (i == 1)
			second = rec->id;
	}
	assert_int_equal(HASH_COUNT(r->records.cached), RECORDS_CACHED_MAX);
	assert_non_null(record_cached(r, &first, now));
	number(rec, RECORDS_CACHED_MAX);
	record_cache(r, rec, now);
	assert_int_equal(HASH_COUNT(r->records.cached), RECORDS_CACHED_MAX);
	assert_non_null(record_cached(r, &first, now));
	assert_null(record_cached(r, &second, now));
	free(rec);
	mesh_free(lab.m);
}

static void others_are_given_only_what_came_lately(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	nsec now = mesh_now(lab.m);

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	record_cache(r, rec, now);
	assert_non_null(
		record_fresh(r, &rec->id, 0, now + RECORD_CACHE_NS - 1));
	assert_null(record_fresh(r, &rec->id, 0, now + RECORD_CACHE_NS));
	assert_non_null(record_fresh(r, &rec->id, rec->issued_ms - 1, now));
	assert_null(record_fresh(r, &rec->id, rec->issued_ms, now));
	free(rec);
	mesh_free(lab.m);
}

static void a_forgotten_record_is_replaced_by_a_newer_one(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	nsec now = mesh_now(lab.m);

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	record_cache(r, rec, now);
	record_forget(r, &rec->id, now);
	assert_null(record_cached(r, &rec->id, now));
	assert_int_equal(record_forgotten(r, &rec->id), rec->issued_ms);
	rec->issued_ms--;
	record_seal(rec);
	record_cache(r, rec, now);
	assert_null(record_cached(r, &rec->id, now));
	rec->issued_ms += 2;
	record_seal(rec);
	record_cache(r, rec, now);
	assert_non_null(record_cached(r, &rec->id, now));
	assert_int_equal(record_forgotten(r, &rec->id), 0);
	free(rec);
	mesh_free(lab.m);
}

static void our_own_record_is_not_cached(void **state)
{
	struct record_lab lab = record_lab_new();
	struct record *rec = mem_new(rec);

	(void)state;
	*rec = record_lab_record(&lab, lab.asker);
	record_cache(asker_of(&lab), rec, mesh_now(lab.m));
	assert_null(record_cached(asker_of(&lab), &rec->id, mesh_now(lab.m)));
	free(rec);
	mesh_free(lab.m);
}

/* ---- the database ------------------------------------------------------ */

static unsigned n_record_events(const struct mesh *m, size_t node)
{
	size_t n;
	const struct mesh_event *e = mesh_events(m, node, &n);
	unsigned found = 0;

	for (size_t i = 0; i < n; i++)
		found += e[i].event.type == ROUTER_RECORD;
	return found;
}

static void replicas_ask_to_keep_what_they_keep(void **state)
{
	struct record_lab lab = record_lab_new();

	(void)state;
	assert_non_null(
		mesh_last(lab.m, lab.replica[0], ROUTER_RECORD, lab.target, 0));
	assert_null(mesh_last(lab.m, lab.asker, ROUTER_RECORD, lab.target, 0));
	mesh_free(lab.m);
}

static void the_record_of_a_node_that_was_reached_is_worth_keeping(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	unsigned before;

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	record_cache(r, rec, mesh_now(lab.m));
	mesh_pump(lab.m, lab.asker);
	before = n_record_events(lab.m, lab.asker);
	assert_true(small_connect(lab.m, lab.asker, lab.target) != 0);
	assert_int_equal(n_record_events(lab.m, lab.asker), before + 1);
	record_worked(r, &rec->id);
	mesh_pump(lab.m, lab.asker);
	assert_int_equal(n_record_events(lab.m, lab.asker), before + 1);
	free(rec);
	mesh_free(lab.m);
}

static void a_record_from_the_database_is_checked_and_used(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *r = asker_of(&lab);
	struct record *rec = mem_new(rec);
	size_t n = records_n_kept(r);
	nsec now = mesh_now(lab.m);

	(void)state;
	*rec = record_lab_record(&lab, lab.target);
	rec->sig[0] ^= 1;
	assert_false(router_record_add(r, rec, now));
	rec->sig[0] ^= 1;
	assert_true(router_record_add(r, rec, now));
	assert_non_null(record_cached(r, &rec->id, now));
	/* Nobody has stored it here: it says nothing about how many nodes
	 * there are. */
	assert_int_equal(records_n_kept(r), n);
	lookup_start(r, &rec->id, now);
	assert_int_equal(router_counters(r)->n_lookups_cached, 1);
	assert_int_equal(router_counters(r)->n_sent[MSG_LOOKUP], 0);
	/* It may lead nowhere like any other. */
	record_forget(r, &rec->id, now);
	assert_null(record_cached(r, &rec->id, now));
	free(rec);
	mesh_free(lab.m);
}

/* ---- our own ----------------------------------------------------------- */

static uint64_t own_issued(const struct record_lab *lab)
{
	return record_own(mesh_router(lab->m, lab->target))->issued_ms;
}

static void our_record_is_made_anew_before_it_dies(void **state)
{
	struct record_lab lab = record_lab_new();
	uint64_t was = own_issued(&lab);

	(void)state;
	small_pass(lab.m, RECORD_STORE_NS);
	assert_true(own_issued(&lab) > was);
	assert_true(own_issued(&lab) - was <= RECORD_STORE_NS / NS_PER_MS);
	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		assert_int_equal(
			record_kept(mesh_router(lab.m, lab.replica[k]),
				    &mesh_identity(lab.m, lab.target)->id,
				    mesh_now(lab.m))
				->issued_ms,
			own_issued(&lab));
	mesh_free(lab.m);
}

/* Time between the stores of a node that moves all the time. */
static void those_who_move_all_the_time_store_now_and_then(void **state)
{
	static const nsec want_s[] = { 0, 0, 0, 4, 5, 5, 5 };
	struct record_lab lab = record_lab_new();
	struct router *r = mesh_router(lab.m, lab.target);
	nsec last, start = mesh_now(lab.m);
	unsigned n = 0;

	(void)state;
	/* As if nothing had happened for long. */
	r->records.paid_until = 0;
	for (last = start; n < ARRAY_LEN(want_s);) {
		uint64_t was = own_issued(&lab);

		record_lab_move(&lab, lab.target);
		small_pass(lab.m, 100 * NS_PER_MS);
		assert_true(mesh_now(lab.m) - start < 300 * NS_PER_S);
		if (own_issued(&lab) == was)
			continue;
		assert_in_range(mesh_now(lab.m) - last, want_s[n] * NS_PER_S,
				want_s[n] * NS_PER_S + RECORD_QUIET_MAX_NS +
					NS_PER_S);
		last = mesh_now(lab.m);
		n++;
	}
	mesh_free(lab.m);
}

static void a_cost_that_changes_by_more_than_a_quarter_is_a_move(void **state)
{
	struct record_lab lab = record_lab_new();
	uint64_t was = own_issued(&lab);
	uint16_t cost = record_lab_cost_now(&lab, lab.target);

	(void)state;
	record_lab_cost(&lab, lab.target, (uint16_t)(cost + cost / 4));
	small_pass(lab.m, 10 * NS_PER_S);
	assert_int_equal(own_issued(&lab), was);
	record_lab_cost(&lab, lab.target, (uint16_t)(cost + cost / 4 + 1));
	small_pass(lab.m, 10 * NS_PER_S);
	assert_true(own_issued(&lab) > was);
	mesh_free(lab.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_record_is_checked_by_time_chain_and_signature),
		cmocka_unit_test(the_chain_shows_who_it_is),
		cmocka_unit_test(checks_are_paid_for_from_the_common_bucket),
		cmocka_unit_test(the_newer_record_stays),
		cmocka_unit_test(so_many_records_are_kept),
		cmocka_unit_test(a_record_dies_with_its_life),
		cmocka_unit_test(a_record_is_kept_in_few_bytes),
		cmocka_unit_test(the_least_used_record_leaves_a_full_cache),
		cmocka_unit_test(others_are_given_only_what_came_lately),
		cmocka_unit_test(a_forgotten_record_is_replaced_by_a_newer_one),
		cmocka_unit_test(our_own_record_is_not_cached),
		cmocka_unit_test(replicas_ask_to_keep_what_they_keep),
		cmocka_unit_test(
			the_record_of_a_node_that_was_reached_is_worth_keeping),
		cmocka_unit_test(
			a_record_from_the_database_is_checked_and_used),
		cmocka_unit_test(our_record_is_made_anew_before_it_dies),
		cmocka_unit_test(
			those_who_move_all_the_time_store_now_and_then),
		cmocka_unit_test(
			a_cost_that_changes_by_more_than_a_quarter_is_a_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
