/* The table of stored routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/mesh.h"

static const struct mesh_link plain = { .delay = 5 * NS_PER_MS, .mtu = 1440 };

/* Node 0 has the neighbours 1 to n - 1. */
static struct mesh *star(size_t n)
{
	struct mesh *m = mesh_new(1);

	for (size_t i = 0; i < n; i++)
		mesh_add_node(m, true);
	for (size_t i = 1; i < n; i++)
		mesh_add_link(m, 0, i, &plain);
	return m;
}

static struct node_id node(uint8_t number)
{
	struct node_id id = { { number, 7 } };

	return id;
}

/* From node 0 over its neighbour `via` to the target with this number. */
static struct route_proof *proof(struct mesh *m, size_t via, uint8_t target,
				 uint16_t cost, uint64_t life_ms)
{
	struct route_proof *p = mem_new(p);

	p->origin = mesh_identity(m, 0)->id;
	p->target = node(target);
	p->expiry_ms = mesh_wall(m) + life_ms;
	p->hops.n = 2;
	p->hops.hop[0] = (struct hop){ .id = mesh_identity(m, via)->id,
				       .cost_100us = cost,
				       .mtu = 1440 };
	p->hops.hop[1] =
		(struct hop){ .id = p->target, .cost_100us = 100, .mtu = 1440 };
	route_proof_seal(p);
	return p;
}

static struct route *add(struct mesh *m, size_t via, uint8_t target,
			 uint16_t cost, uint64_t life_ms)
{
	struct route_proof *p = proof(m, via, target, cost, life_ms);
	struct route *route =
		route_add(mesh_router(m, 0), p, true, mesh_now(m));

	free(p);
	return route;
}

static size_t n_routes(struct mesh *m)
{
	struct route_proof *p = mem_new(p);
	size_t n = 0;

	while (router_route_get(mesh_router(m, 0), n, p))
		n++;
	free(p);
	return n;
}

static size_t via_of(struct mesh *m, const struct route *route)
{
	return mesh_find(m, &route->proof.hops.hop[0].id);
}

static void the_cheapest_comes_first_and_each_is_tried_once(void **state)
{
	struct mesh *m = star(4);
	struct router *r = mesh_router(m, 0);
	struct node_id t = node(9);
	static const size_t want[] = { 2, 3, 1 };

	(void)state;
	add(m, 1, 9, 500, 1000);
	add(m, 2, 9, 200, 1000);
	add(m, 3, 9, 300, 1000);
	for (size_t i = 0; i < 3; i++) {
		struct route *best =
			route_best(r, &t, 77, NULL, false, mesh_now(m));

		assert_int_equal(via_of(m, best), want[i]);
		best->tried_by = 77;
	}
	assert_null(route_best(r, &t, 77, NULL, false, mesh_now(m)));
	assert_non_null(route_best(r, &t, 78, NULL, false, mesh_now(m)));
	mesh_free(m);
}

static void fewer_shared_links_count_more_than_the_cost(void **state)
{
	struct mesh *m = star(4);
	struct router *r = mesh_router(m, 0);
	struct node_id t = node(9);
	struct hop_list avoid;

	(void)state;
	avoid = add(m, 1, 9, 100, 1000)->proof.hops;
	assert_int_equal(
		via_of(m, route_best(r, &t, 1, &avoid, false, mesh_now(m))), 1);
	assert_null(route_best(r, &t, 1, &avoid, true, mesh_now(m)));
	add(m, 2, 9, 9000, 1000);
	assert_int_equal(
		via_of(m, route_best(r, &t, 1, &avoid, false, mesh_now(m))), 2);
	assert_int_equal(
		via_of(m, route_best(r, &t, 1, &avoid, true, mesh_now(m))), 2);
	mesh_free(m);
}

static void a_route_whose_first_node_is_away_is_passed_over(void **state)
{
	struct mesh *m = star(3);
	struct router *r = mesh_router(m, 0);
	struct node_id t = node(9);

	(void)state;
	add(m, 1, 9, 100, 100000);
	add(m, 2, 9, 200, 100000);
	mesh_cut(m, 0);
	mesh_run(m, mesh_now(m) + NS_PER_S);
	assert_int_equal(
		via_of(m, route_best(r, &t, 1, NULL, false, mesh_now(m))), 2);
	mesh_heal(m, 0);
	assert_int_equal(
		via_of(m, route_best(r, &t, 1, NULL, false, mesh_now(m))), 1);
	mesh_free(m);
}

static void the_dearest_of_nine_is_not_kept(void **state)
{
	struct mesh *m = star(ROUTES_PER_TARGET_MAX + 3);
	struct router *r = mesh_router(m, 0);
	struct node_id t = node(9);

	(void)state;
	for (uint16_t i = 1; i <= ROUTES_PER_TARGET_MAX; i++)
		assert_non_null(add(m, i, 9, (uint16_t)(1000 + i), 1000));
	assert_null(add(m, ROUTES_PER_TARGET_MAX + 1, 9, 5000, 1000));
	assert_int_equal(n_routes(m), ROUTES_PER_TARGET_MAX);
	assert_non_null(add(m, ROUTES_PER_TARGET_MAX + 2, 9, 500, 1000));
	assert_int_equal(n_routes(m), ROUTES_PER_TARGET_MAX);
	assert_int_equal(
		via_of(m, route_best(r, &t, 1, NULL, false, mesh_now(m))),
		ROUTES_PER_TARGET_MAX + 2);
	/* Another target has room of its own. */
	assert_non_null(add(m, 1, 10, 5000, 1000));
	mesh_free(m);
}

/* In a network that moves, the cheapest ones are soon those of before. */
static void a_full_set_takes_a_dearer_one_for_one_that_has_faded(void **state)
{
	struct mesh *m = star(ROUTES_PER_TARGET_MAX + 3);
	struct router *r = mesh_router(m, 0);
	struct node_id t = node(9);
	static const uint64_t life = 100000;
	struct route *new;

	(void)state;
	for (uint16_t i = 1; i <= ROUTES_PER_TARGET_MAX; i++)
		add(m, i, 9, (uint16_t)(1000 + i), life);
	assert_null(add(m, ROUTES_PER_TARGET_MAX + 1, 9, 5000,
			life + ROUTE_FADES_MS));
	new = add(m, ROUTES_PER_TARGET_MAX + 1, 9, 5000,
		  life + ROUTE_FADES_MS + 1);
	assert_non_null(new);
	assert_int_equal(n_routes(m), ROUTES_PER_TARGET_MAX);
	/* The first neighbour is gone: so is what begins there. */
	mesh_cut(m, 2);
	mesh_run(m, mesh_now(m) + NS_PER_S);
	assert_non_null(add(m, ROUTES_PER_TARGET_MAX + 2, 9, 6000, life));
	assert_int_equal(n_routes(m), ROUTES_PER_TARGET_MAX);
	mesh_heal(m, 2);
	for (unsigned i = 0; i < ROUTES_PER_TARGET_MAX; i++) {
		struct route *best =
			route_best(r, &t, 77, NULL, false, mesh_now(m));

		assert_int_not_equal(via_of(m, best), 3);
		best->tried_by = 77;
	}
	mesh_free(m);
}

static void a_newer_proof_of_the_same_path_takes_the_place(void **state)
{
	struct mesh *m = star(2);

	(void)state;
	assert_non_null(add(m, 1, 9, 100, 1000));
	assert_null(add(m, 1, 9, 100, 999));
	assert_null(add(m, 1, 9, 50, 1000));
	assert_non_null(add(m, 1, 9, 300, 2000));
	assert_int_equal(n_routes(m), 1);
	mesh_free(m);
}

static void a_route_goes_at_its_end(void **state)
{
	struct mesh *m = star(2);

	(void)state;
	assert_null(add(m, 1, 9, 100, 0));
	assert_non_null(add(m, 1, 9, 100, 1000));
	router_handle_timeout(mesh_router(m, 0), mesh_now(m) + 999 * NS_PER_MS);
	assert_int_equal(n_routes(m), 1);
	router_handle_timeout(mesh_router(m, 0), mesh_now(m) + NS_PER_S);
	assert_int_equal(n_routes(m), 0);
	assert_null(mesh_router(m, 0)->routes.sets);
	mesh_free(m);
}

static void the_table_is_full_at_its_cap(void **state)
{
	struct mesh *m = star(ROUTES_PER_TARGET_MAX + 1);
	struct router *r = mesh_router(m, 0);

	(void)state;
	add(m, 1, 9, 100, 1000);
	r->routes.n = ROUTES_MAX - 1;
	assert_non_null(add(m, 2, 9, 100, 1000));
	assert_null(add(m, 3, 9, 100, 1000));
	assert_null(add(m, 1, 10, 100, 1000));
	/* A newer proof in the place of an older needs no room. */
	assert_non_null(add(m, 1, 9, 100, 2000));
	r->routes.n = 2;
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			the_cheapest_comes_first_and_each_is_tried_once),
		cmocka_unit_test(fewer_shared_links_count_more_than_the_cost),
		cmocka_unit_test(
			a_route_whose_first_node_is_away_is_passed_over),
		cmocka_unit_test(the_dearest_of_nine_is_not_kept),
		cmocka_unit_test(
			a_full_set_takes_a_dearer_one_for_one_that_has_faded),
		cmocka_unit_test(
			a_newer_proof_of_the_same_path_takes_the_place),
		cmocka_unit_test(a_route_goes_at_its_end),
		cmocka_unit_test(the_table_is_full_at_its_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
