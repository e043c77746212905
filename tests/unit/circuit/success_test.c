/* What a node remembers of those that failed it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/small_mesh.h"

static void a_score_falls_fast_and_rises_slowly(void **state)
{
	struct neighbour n = { .success = SUCCESS_FULL };

	(void)state;
	success_note(&n, OUTCOME_ANSWERED);
	assert_int_equal(n.success, SUCCESS_FULL);
	success_note(&n, OUTCOME_BEYOND);
	assert_int_equal(n.success, SUCCESS_FULL * 98 / 100);
	n.success = SUCCESS_FULL;
	success_note(&n, OUTCOME_SILENT);
	assert_int_equal(n.success, SUCCESS_FULL * 6 / 10);
	success_note(&n, OUTCOME_ANSWERED);
	assert_in_range(n.success, SUCCESS_FULL * 71 / 100,
			SUCCESS_FULL * 73 / 100);
	for (int i = 0; i < 100; i++)
		success_note(&n, OUTCOME_SILENT);
	assert_in_range(n.success, 0, 1);
}

static void only_a_low_score_makes_a_way_dearer(void **state)
{
	static const struct {
		const char *why;
		uint16_t success;
		uint32_t low, high; /* of a cost of 1000 */
	} cases[] = {
		{ "full", SUCCESS_FULL, 1000, 1000 },
		{ "seven tenths", SUCCESS_FULL / 10 * 7, 1000, 1000 },
		{ "a hair below", SUCCESS_FULL / 10 * 7 - 1, 1000, 1001 },
		{ "half of that", SUCCESS_FULL / 20 * 7, 4490, 4510 },
		{ "none", 0, 8000, 8000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct neighbour n = { .success = cases[i].success };
		uint32_t got = success_weigh(&n, 1000);

		if (got < cases[i].low || got > cases[i].high)
			fail_msg("%s: %u", cases[i].why, got);
	}
}

static struct node_id id(unsigned i)
{
	struct node_id x = { 0 };

	memcpy(x.b, &i, sizeof i);
	return x;
}

static void a_score_outlives_the_neighbour(void **state)
{
	struct mesh *m = small_line(2);
	struct router *r = mesh_router(m, 0);
	const struct node_id *peer = &mesh_identity(m, 1)->id;

	(void)state;
	assert_int_equal(router_score_get(r, peer), SUCCESS_FULL);
	router_score_set(r, peer, 1234, mesh_now(m));
	assert_int_equal(neighbour_find(r, peer)->success, 1234);
	mesh_cut(m, 0);
	small_pass(m, NS_PER_S);
	assert_null(neighbour_find(r, peer));
	assert_int_equal(router_score_get(r, peer), 1234);
	mesh_heal(m, 0);
	assert_int_equal(neighbour_find(r, peer)->success, 1234);
	assert_int_equal(router_score_get(r, peer), 1234);
	mesh_free(m);
}

static void scores_that_are_kept_are_bounded(void **state)
{
	struct mesh *m = small_line(2);
	struct router *r = mesh_router(m, 0);
	struct node_id first = id(0), second = id(1);
	struct node_id last = id(SCORES_KEPT_MAX);

	(void)state;
	for (unsigned i = 0; i < SCORES_KEPT_MAX; i++) {
		struct node_id x = id(i);

		router_score_set(r, &x, 7, 0);
	}
	assert_int_equal(router_score_get(r, &first), 7);
	router_score_set(r, &last, 7, 0);
	assert_int_equal(router_score_get(r, &first), SUCCESS_FULL);
	assert_int_equal(router_score_get(r, &second), 7);
	assert_int_equal(router_score_get(r, &last), 7);
	/* A full score needs no memory. */
	router_score_set(r, &last, SUCCESS_FULL, 0);
	assert_int_equal(router_score_get(r, &last), SUCCESS_FULL);
	mesh_free(m);
}

static void blame_adds_up_and_fades(void **state)
{
	struct mesh *m = small_line(2);
	struct router *r = mesh_router(m, 0);
	struct node_id a = id(1), b = id(2), list[4];
	nsec now = mesh_now(m);

	(void)state;
	assert_int_equal(blame_of(r, &a, now), 0);
	assert_int_equal(blames_list(r, list, 4, now), 0);
	blame_add(r, &a, now);
	assert_int_equal(blame_of(r, &a, now), 1);
	assert_int_equal(blame_of(r, &a, now + BLAME_HALF_NS), 1);
	assert_int_equal(blame_of(r, &a, now + BLAME_HALF_NS + 10 * NS_PER_S),
			 0);
	blame_add(r, &b, now);
	blame_add(r, &b, now);
	blame_add(r, &a, now);
	blame_add(r, &a, now);
	blame_add(r, &a, now);
	assert_int_equal(blame_of(r, &a, now), 4);
	assert_int_equal(blame_of(r, &a, now + BLAME_HALF_NS), 2);
	assert_int_equal(blame_of(r, &a, now + 2 * BLAME_HALF_NS), 1);
	assert_int_equal(blame_of(r, &a, now + 40 * BLAME_HALF_NS), 0);
	assert_int_equal(blames_list(r, list, 4, now), 2);
	assert_true(id_equal(&list[0], &a));
	assert_int_equal(blames_list(r, list, 1, now), 1);
	blame_relieve(r, &a, now);
	assert_int_equal(blame_of(r, &a, now), 2);
	blame_relieve(r, &a, now);
	blame_relieve(r, &a, now);
	blame_relieve(r, &a, now);
	assert_int_equal(blame_of(r, &a, now), 0);
	assert_int_equal(blames_list(r, list, 4, now), 1);
	mesh_free(m);
}

static void blame_is_bounded(void **state)
{
	struct mesh *m = small_line(2);
	struct router *r = mesh_router(m, 0);
	struct node_id first = id(0), second = id(1);

	(void)state;
	for (unsigned i = 0; i <= BLAMED_MAX; i++) {
		struct node_id x = id(i);

		assert_true(i == 0 || blame_of(r, &first, 0) == 1);
		blame_add(r, &x, 0);
	}
	assert_int_equal(blame_of(r, &first, 0), 0);
	assert_int_equal(blame_of(r, &second, 0), 1);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_score_falls_fast_and_rises_slowly),
		cmocka_unit_test(only_a_low_score_makes_a_way_dearer),
		cmocka_unit_test(a_score_outlives_the_neighbour),
		cmocka_unit_test(scores_that_are_kept_are_bounded),
		cmocka_unit_test(blame_adds_up_and_fades),
		cmocka_unit_test(blame_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
