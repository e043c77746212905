/* Records stored and looked up over a small mesh, by honest nodes and others.
 */
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
#include "tests/support/forge.h"
#include "tests/support/record_lab.h"
#include "tests/support/small_mesh.h"

static struct stored_record *kept_by(struct record_lab *lab, unsigned k)
{
	return record_kept(mesh_router(lab->m, lab->replica[k]),
			   record_lab_id(lab, lab->target), mesh_now(lab->m));
}

/* ---- as it should be --------------------------------------------------- */

static void a_record_is_kept_by_three_replicas(void **state)
{
	struct record_lab lab = record_lab_new();
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < mesh_n_nodes(lab.m); i++)
		n += record_kept(mesh_router(lab.m, i),
				 record_lab_id(&lab, lab.target),
				 mesh_now(lab.m)) != NULL;
	assert_int_equal(n, RECORD_REPLICAS);
	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		assert_non_null(kept_by(&lab, k));
	mesh_free(lab.m);
}

static void one_replica_is_enough_for_a_lookup(void **state)
{
	struct record_lab lab = record_lab_new();
	const struct record *rec;

	(void)state;
	assert_true(record_lab_finds_target(&lab));
	rec = record_cached(mesh_router(lab.m, lab.asker),
			    record_lab_id(&lab, lab.target), mesh_now(lab.m));
	assert_true(id_equal(&rec->id, record_lab_id(&lab, lab.target)));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 1);
	assert_non_null(router_identity_find(mesh_router(lab.m, lab.asker),
					     record_lab_id(&lab, lab.target)));
	/* And what is cached needs no other. */
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 1);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_cached, 1);
	mesh_free(lab.m);
}

static void a_relay_answers_from_what_it_passed_on_lately(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *relay = mesh_router(lab.m, lab.relay);

	(void)state;
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(router_counters(relay)->n_sent[MSG_LOOKUP], 1);
	/* As if the asker had started anew. */
	stored_deinit(&mesh_router(lab.m, lab.asker)->records.cached);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(router_counters(relay)->n_sent[MSG_LOOKUP], 1);
	stored_deinit(&mesh_router(lab.m, lab.asker)->records.cached);
	small_pass(lab.m, RECORD_CACHE_NS);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(router_counters(relay)->n_sent[MSG_LOOKUP], 2);
	mesh_free(lab.m);
}

static void a_record_that_led_nowhere_is_not_taken_from_a_cache(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *relay = mesh_router(lab.m, lab.relay);
	struct router *asker = mesh_router(lab.m, lab.asker);

	(void)state;
	assert_true(record_lab_finds_target(&lab));
	record_forget(asker, record_lab_id(&lab, lab.target), mesh_now(lab.m));
	assert_null(record_cached(asker, record_lab_id(&lab, lab.target),
				  mesh_now(lab.m)));
	/* The replica has the same one still, and then it is the newest. */
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(router_counters(relay)->n_sent[MSG_LOOKUP], 2);
	mesh_free(lab.m);
}

/* The k-th replica has a record from before all roots have changed. */
static void spoil_with_old_roots(struct record_lab *lab, unsigned k)
{
	struct router *r = mesh_router(lab->m, lab->replica[k]);
	struct record *rec = mem_new(rec);
	nsec now = mesh_now(lab->m);

	*rec = record_lab_record(lab, lab->target);
	rec->issued_ms = kept_by(lab, k)->issued_ms - 1;
	for (unsigned t = 0; t < TREES; t++)
		rec->at.tree[t].hop[0].id.b[0] ^= 1;
	record_lab_sign(lab, lab->target, rec);
	stored_remove(&r->records.kept, kept_by(lab, k));
	assert_true(record_keep(r, rec, now));
	free(rec);
}

static bool asker_knows_a_root(const struct record_lab *lab)
{
	struct router *r = mesh_router(lab->m, lab->asker);
	const struct record *rec = record_cached(
		r, record_lab_id(lab, lab->target), mesh_now(lab->m));

	return id_equal(&rec->at.tree[lab->tree[1]].hop[0].id,
			tree_root(r, lab->tree[1]));
}

static void a_record_of_roots_that_are_gone_is_not_the_last_word(void **state)
{
	struct record_lab lab = record_lab_new();

	(void)state;
	spoil_with_old_roots(&lab, 0);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	assert_true(asker_knows_a_root(&lab));
	mesh_free(lab.m);
}

/* The owner would know better, if it is on the way. */
static bool keeps_from_target(void *ctx, size_t from, size_t to, struct msg *m)
{
	const struct record_lab *lab = ctx;

	(void)from;
	return m->type != MSG_LOOKUP || to != lab->target;
}

/* Each replica is asked once: it is better than nothing. */
static void a_record_of_roots_that_are_gone_is_taken_in_the_end(void **state)
{
	struct record_lab lab = record_lab_new();

	(void)state;
	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		spoil_with_old_roots(&lab, k);
	mesh_set_filter(lab.m, keeps_from_target, &lab);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP],
			 RECORD_REPLICAS);
	assert_false(asker_knows_a_root(&lab));
	mesh_free(lab.m);
}

static void a_node_on_the_way_answers_for_itself(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *relay = mesh_router(lab.m, lab.relay);
	struct node_id id = *record_lab_id(&lab, lab.relay);
	struct msg x = { .type = MSG_LOOKUP };

	(void)state;
	x.lookup = (struct msg_lookup){ .tree = (uint8_t)lab.tree[0],
					.hops_left = 1,
					.id = id };
	mesh_inject(lab.m, lab.relay,
		    record_lab_link(lab.m, lab.asker, lab.relay), &x);
	assert_int_equal(router_counters(relay)->n_sent[MSG_FOUND], 1);
	mesh_free(lab.m);
}

static void two_replicas_prove_that_there_is_no_record(void **state)
{
	struct record_lab lab = record_lab_new();
	struct node_id nobody = record_lab_nobody(&lab);

	(void)state;
	assert_false(record_lab_looks_up(&lab, lab.asker, &nobody));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_absent, 1);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_failed, 0);
	mesh_free(lab.m);
}

static void a_replica_counts_itself_as_one_of_the_two(void **state)
{
	struct record_lab lab = record_lab_new();
	struct node_id nobody = record_lab_nobody(&lab);
	const struct router_counters *n = small_counters(lab.m, lab.replica[0]);

	(void)state;
	assert_false(record_lab_looks_up(&lab, lab.replica[0], &nobody));
	assert_int_equal(n->n_sent[MSG_LOOKUP], 1);
	assert_int_equal(n->n_lookups_absent, 1);
	mesh_free(lab.m);
}

/* It does not know yet what others will store. */
static void a_new_root_does_not_say_that_there_is_no_record(void **state)
{
	struct record_lab lab = record_lab_new();
	struct node_id nobody = record_lab_nobody(&lab);

	(void)state;
	for (unsigned k = 1; k < RECORD_REPLICAS; k++)
		mesh_router(lab.m, lab.replica[k])
			->records.root_since[lab.tree[k]] = mesh_now(lab.m);
	assert_false(record_lab_looks_up(&lab, lab.asker, &nobody));
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_absent, 0);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_failed, 1);
	assert_false(record_lab_looks_up(&lab, lab.asker, &nobody));
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_absent, 1);
	mesh_free(lab.m);
}

/* ---- what does not come ------------------------------------------------ */

static void a_store_that_is_not_acknowledged_is_tried_again(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *target = mesh_router(lab.m, lab.target);
	enum msg_type lost = MSG_STORE;
	uint64_t old = kept_by(&lab, 0)->issued_ms;

	(void)state;
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	record_store_own(target, mesh_now(lab.m));
	mesh_pump(lab.m, lab.target);
	small_pass(lab.m, 5 * NS_PER_S);
	assert_int_equal(kept_by(&lab, 0)->issued_ms, old);
	mesh_set_filter(lab.m, NULL, NULL);
	small_pass(lab.m, 10 * NS_PER_S);
	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		assert_true(kept_by(&lab, k)->issued_ms > old);
	for (unsigned i = 0; i < TREES; i++)
		assert_false(target->requests.stores[i].is_wanted);
	mesh_free(lab.m);
}

static bool is_deaf(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)from;
	return to != *(size_t *)ctx || m->type != MSG_LOOKUP;
}

static void a_replica_that_drops_requests_is_passed_over(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *asker = mesh_router(lab.m, lab.asker);

	(void)state;
	mesh_set_filter(lab.m, is_deaf, &lab.replica[0]);
	lookup_start(asker, record_lab_id(&lab, lab.target), mesh_now(lab.m));
	mesh_pump(lab.m, lab.asker);
	small_pass(lab.m, REQUEST_SLACK_NS + 400 * NS_PER_MS);
	assert_non_null(record_cached(asker, record_lab_id(&lab, lab.target),
				      mesh_now(lab.m)));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	small_pass(lab.m, REQUEST_WAIT_MAX_NS + REQUEST_LATE_NS);
	for (size_t i = 0; i < mesh_n_nodes(lab.m); i++)
		assert_null(mesh_router(lab.m, i)->requests.all);
	mesh_free(lab.m);
}

static bool drops_found(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)to;
	return from != *(size_t *)ctx || m->type != MSG_FOUND;
}

static void nothing_is_proved_if_no_replica_replies(void **state)
{
	struct record_lab lab = record_lab_new();
	enum msg_type lost = MSG_LOOKUP;

	(void)state;
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	assert_false(record_lab_finds_target(&lab));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP],
			 3 * RECORD_REPLICAS);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_failed, 1);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_absent, 0);
	mesh_free(lab.m);
}

/* A relay says at once that the link is gone: the asker does not wait. */
static void a_link_that_breaks_is_told_to_those_who_wait(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *relay = mesh_router(lab.m, lab.relay);
	enum msg_type lost = MSG_FOUND;
	struct neighbour *up;
	uint64_t before;

	(void)state;
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	lookup_start(mesh_router(lab.m, lab.asker),
		     record_lab_id(&lab, lab.target), mesh_now(lab.m));
	mesh_pump(lab.m, lab.asker);
	small_pass(lab.m, 6 * NS_PER_MS);
	assert_int_equal(HASH_COUNT(relay->requests.all), 1);
	up = neighbour_find(relay, &relay->requests.all->key.replier);
	before = router_counters(relay)->n_sent[MSG_NO_RECORD];
	router_session_down(relay, up->best->no, mesh_now(lab.m));
	assert_int_equal(router_counters(relay)->n_sent[MSG_NO_RECORD],
			 before + 1);
	assert_null(relay->requests.all);
	mesh_free(lab.m);
}

static void what_comes_late_is_still_of_use(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *asker = mesh_router(lab.m, lab.asker);
	struct forger *f;
	size_t link = record_lab_link(lab.m, lab.asker, lab.relay);

	(void)state;
	f = forger_new(lab.m, lab.relay, MSG_FOUND, NULL);
	assert_true(record_lab_finds_target(&lab));
	stored_deinit(&asker->records.cached);
	mesh_set_filter(lab.m, drops_found, &lab.relay);
	lookup_start(asker, record_lab_id(&lab, lab.target), mesh_now(lab.m));
	f->kept.found.nonce = asker->requests.all->key.nonce;
	timers_set(&asker->timers, &asker->requests.all->timer, 0);
	router_handle_timeout(asker, mesh_now(lab.m));
	assert_true(asker->requests.all->is_late);
	mesh_inject(lab.m, lab.asker, link, &f->kept);
	assert_non_null(record_cached(asker, record_lab_id(&lab, lab.target),
				      mesh_now(lab.m)));
	assert_null(asker->requests.lookups);
	mesh_free(lab.m);
	free(f);
}

/* ---- limits ------------------------------------------------------------ */

static struct msg store_of(const struct record_lab *lab,
			   const struct record *rec, unsigned number)
{
	struct msg x = { .type = MSG_STORE };

	x.store.nonce = (struct nonce){ .b = "store" };
	memcpy(x.store.nonce.b + 8, &number, sizeof number);
	x.store.tree = (uint8_t)lab->tree[0];
	x.store.hops_left = REQUEST_HOPS_MAX;
	x.store.record = *rec;
	return x;
}

static struct msg lookup_of(const struct record_lab *lab, unsigned number)
{
	struct msg x = { .type = MSG_LOOKUP };

	x.lookup.nonce = (struct nonce){ .b = "lookup" };
	memcpy(x.lookup.nonce.b + 8, &number, sizeof number);
	x.lookup.tree = (uint8_t)lab->tree[0];
	x.lookup.hops_left = REQUEST_HOPS_MAX;
	x.lookup.id = record_lab_nobody(lab);
	return x;
}

static void a_neighbour_has_a_quota_of_stores(void **state)
{
	struct record_lab lab = record_lab_new();
	struct record rec = record_lab_record(&lab, lab.target);
	size_t link = record_lab_link(lab.m, lab.asker, lab.relay);
	const struct router_counters *n = small_counters(lab.m, lab.relay);
	uint64_t sent = n->n_sent[MSG_STORE];
	struct msg x;

	(void)state;
	for (unsigned i = 0; i <= STORE_PEER_BURST; i++) {
		assert_int_equal(n->n_store_rate, 0);
		x = store_of(&lab, &rec, i);
		mesh_inject(lab.m, lab.relay, link, &x);
	}
	assert_int_equal(n->n_store_rate, 1);
	assert_int_equal(n->n_sent[MSG_STORE] - sent, STORE_PEER_BURST);
	mesh_free(lab.m);
}

static void a_neighbour_has_a_quota_of_lookups(void **state)
{
	struct record_lab lab = record_lab_new();
	size_t link = record_lab_link(lab.m, lab.asker, lab.relay);
	const struct router_counters *n = small_counters(lab.m, lab.relay);
	uint64_t sent = n->n_sent[MSG_LOOKUP];
	struct msg x;

	(void)state;
	for (unsigned i = 0; i <= LOOKUP_PEER_BURST; i++) {
		assert_int_equal(n->n_lookup_rate, 0);
		x = lookup_of(&lab, i);
		mesh_inject(lab.m, lab.relay, link, &x);
	}
	assert_int_equal(n->n_lookup_rate, 1);
	assert_int_equal(n->n_sent[MSG_LOOKUP] - sent, LOOKUP_PEER_BURST);
	mesh_free(lab.m);
}

static void so_many_requests_are_passed_on_at_a_time(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *relay = mesh_router(lab.m, lab.relay);
	size_t link = record_lab_link(lab.m, lab.asker, lab.relay);
	struct neighbour *from =
		neighbour_find(relay, record_lab_id(&lab, lab.asker));
	enum msg_type lost = MSG_LOOKUP;
	struct msg x;

	(void)state;
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	for (unsigned i = 0; i <= REQUESTS_PENDING_MAX; i++) {
		assert_int_equal(router_counters(relay)->n_request_full, 0);
		bucket_init(&from->lookups, LOOKUP_PEER_RATE, 1,
			    mesh_now(lab.m));
		from->n_requests = 0; /* as if of many */
		x = lookup_of(&lab, i);
		mesh_inject(lab.m, lab.relay, link, &x);
	}
	from->n_requests = REQUESTS_PENDING_MAX;
	assert_int_equal(router_counters(relay)->n_request_full, 1);
	assert_int_equal(HASH_COUNT(relay->requests.all), REQUESTS_PENDING_MAX);
	small_pass(lab.m, REQUEST_WAIT_MAX_NS + REQUEST_LATE_NS + NS_PER_S);
	assert_null(relay->requests.all);
	mesh_free(lab.m);
}

static void a_request_goes_so_many_hops(void **state)
{
	struct record_lab lab = record_lab_new();
	const struct router_counters *n = small_counters(lab.m, lab.relay);
	size_t link = record_lab_link(lab.m, lab.asker, lab.relay);
	struct msg x = lookup_of(&lab, 0);

	(void)state;
	x.lookup.hops_left = 0;
	mesh_inject(lab.m, lab.relay, link, &x);
	assert_int_equal(n->n_sent[MSG_LOOKUP], 0);
	assert_int_equal(n->n_request_failed, 1);
	x.lookup.hops_left = 1;
	mesh_inject(lab.m, lab.relay, link, &x);
	assert_int_equal(n->n_sent[MSG_LOOKUP], 1);
	/* The same once more. */
	mesh_inject(lab.m, lab.relay, link, &x);
	assert_int_equal(n->n_sent[MSG_LOOKUP], 1);
	assert_int_equal(n->n_request_failed, 2);
	mesh_free(lab.m);
}

static void a_replica_of_other_nodes_does_not_keep_it(void **state)
{
	struct record_lab lab = record_lab_new();
	struct record rec = record_lab_record(&lab, lab.target);
	struct msg x = store_of(&lab, &rec, 0);
	struct router *root = NULL;
	size_t node = 0;

	(void)state;
	/* The one tree that has no replica of it. */
	x.store.tree = (uint8_t)((lab.tree[0] + RECORD_REPLICAS) % TREES);
	for (; node < mesh_n_nodes(lab.m); node++) {
		root = mesh_router(lab.m, node);
		if (root->records.root_since[x.store.tree] != 0)
			break;
	}
	router_handle_message(root, root->neighbours.all->best->no, &x,
			      mesh_now(lab.m));
	assert_int_equal(router_counters(root)->n_request_failed, 1);
	mesh_free(lab.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_kept_by_three_replicas),
		cmocka_unit_test(one_replica_is_enough_for_a_lookup),
		cmocka_unit_test(a_relay_answers_from_what_it_passed_on_lately),
		cmocka_unit_test(
			a_record_that_led_nowhere_is_not_taken_from_a_cache),
		cmocka_unit_test(
			a_record_of_roots_that_are_gone_is_not_the_last_word),
		cmocka_unit_test(
			a_record_of_roots_that_are_gone_is_taken_in_the_end),
		cmocka_unit_test(a_node_on_the_way_answers_for_itself),
		cmocka_unit_test(two_replicas_prove_that_there_is_no_record),
		cmocka_unit_test(a_replica_counts_itself_as_one_of_the_two),
		cmocka_unit_test(
			a_new_root_does_not_say_that_there_is_no_record),
		cmocka_unit_test(
			a_store_that_is_not_acknowledged_is_tried_again),
		cmocka_unit_test(a_replica_that_drops_requests_is_passed_over),
		cmocka_unit_test(nothing_is_proved_if_no_replica_replies),
		cmocka_unit_test(a_link_that_breaks_is_told_to_those_who_wait),
		cmocka_unit_test(what_comes_late_is_still_of_use),
		cmocka_unit_test(a_neighbour_has_a_quota_of_stores),
		cmocka_unit_test(a_neighbour_has_a_quota_of_lookups),
		cmocka_unit_test(so_many_requests_are_passed_on_at_a_time),
		cmocka_unit_test(a_request_goes_so_many_hops),
		cmocka_unit_test(a_replica_of_other_nodes_does_not_keep_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
