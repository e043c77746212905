/* What the router wants kept is there after a restart, and is used. */
#include "node/peers/keep.h"

#include "tests/support/record_lab.h"
#include "tests/support/small_mesh.h"
#include "tests/unit/node/store_help.h"

/* What another run finds in the same folder. */
static void load_into(struct mesh *m, size_t node)
{
	struct store *s = open_store();

	keep_load(s, mesh_router(m, node), NULL, mesh_now(m));
	store_close(s);
}

static size_t n_kept(enum store_db db)
{
	struct store *s = open_store();
	struct found f = { .n = 0 };

	store_load(s, db, find, &f);
	store_close(s);
	return f.n;
}

static void a_route_is_used_after_a_restart(void **state)
{
	struct mesh *m = small_line(4);
	struct route_proof *p = mem_new(p);
	struct store *s = open_store();

	(void)state;
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	keep_route_put(s, p);
	store_close(s);
	mesh_free(m);
	/* The same nodes again, who know nothing. */
	m = small_line(4);
	load_into(m, 0);
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_int_equal(small_counters(m, 0)->n_connect_reused, 1);
	assert_int_equal(small_counters(m, 0)->n_sent[MSG_PROBE], 0);
	mesh_free(m);
	free(p);
}

static void a_route_that_nobody_wants_goes(void **state)
{
	struct mesh *m = small_line(4);
	struct route_proof *p = mem_new(p);
	struct store *s = open_store();

	(void)state;
	assert_int_not_equal(small_connect(m, 0, 3), 0);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	keep_route_put(s, p);
	keep_route_del(s, p);
	store_close(s);
	assert_int_equal(n_kept(STORE_ROUTES), 0);
	s = open_store();
	keep_route_put(s, p);
	store_close(s);
	/* Another node's: not ours to use. */
	load_into(m, 1);
	assert_int_equal(n_kept(STORE_ROUTES), 0);
	mesh_free(m);
	free(p);
}

static void a_record_is_used_after_a_restart(void **state)
{
	struct record_lab lab = record_lab_new();
	struct record rec = record_lab_record(&lab, lab.target);
	struct store *s = open_store();
	uint64_t n;

	(void)state;
	keep_record_put(s, &rec);
	store_close(s);
	n = record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP];
	load_into(lab.m, lab.asker);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], n);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_cached, 1);
	mesh_free(lab.m);
}

static void a_score_is_as_it_was(void **state)
{
	struct mesh *m = small_line(2);
	const struct node_id *id = &mesh_identity(m, 1)->id;
	struct store *s = open_store();
	uint16_t score;

	(void)state;
	router_score_set(mesh_router(m, 0), id, 12345, mesh_now(m));
	score = router_score_get(mesh_router(m, 0), id);
	assert_in_range(score, 12345, ROUTER_SCORE_FULL - 1);
	keep_score(s, mesh_router(m, 0), id);
	store_close(s);
	mesh_free(m);
	m = small_line(2);
	load_into(m, 0);
	assert_int_equal(
		router_score_get(mesh_router(m, 0), &mesh_identity(m, 1)->id),
		score);
	/* A full one is what a neighbour begins with. */
	s = open_store();
	router_score_set(mesh_router(m, 0), &mesh_identity(m, 1)->id,
			 ROUTER_SCORE_FULL, mesh_now(m));
	keep_score(s, mesh_router(m, 0), &mesh_identity(m, 1)->id);
	store_close(s);
	assert_int_equal(n_kept(STORE_SCORES), 0);
	mesh_free(m);
}

static void what_cannot_be_read_goes(void **state)
{
	static const enum store_db dbs[] = { STORE_ROUTES, STORE_RECORDS,
					     STORE_SCORES };
	struct mesh *m = small_line(2);
	struct store *s = open_store();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dbs); i++)
		store_put(s, dbs[i], "key", 3, "value", 5);
	store_close(s);
	load_into(m, 0);
	for (size_t i = 0; i < ARRAY_LEN(dbs); i++)
		assert_int_equal(n_kept(dbs[i]), 0);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_route_is_used_after_a_restart,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_route_that_nobody_wants_goes,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_record_is_used_after_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_score_is_as_it_was, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_goes,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
