/* How often a held destination looks for more circuits than it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/flow.h"
#include "tests/support/small_mesh.h"

static const struct mesh_link link_5ms = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 20 * NS_PER_MS,
};

enum {
	N_WAYS = 6,
};

/* Nothing is flooded: a relay passes on several copies of a probe. */
static struct mesh *steered_nodes(size_t n)
{
	static const struct mesh_options steered = { .is_cheap = true };
	struct mesh *m = mesh_new_with(1, &steered);

	for (size_t i = 0; i < n; i++)
		mesh_add_node(m, true);
	return m;
}

/* From node `near` to node `far` over one relay of each way. */
static void add_ways(struct mesh *m, size_t near, size_t far, size_t first,
		     const struct mesh_link *link)
{
	for (size_t i = 0; i < N_WAYS; i++) {
		mesh_add_link(m, near, first + i, link);
		mesh_add_link(m, first + i, far, link);
	}
	small_pass(m, 20 * NS_PER_S);
}

static uint64_t n_opened(const struct mesh *m)
{
	return small_counters(m, 0)->n_circuits_opened;
}

/* Every path has the first link and the last one in common, whatever is
 * found. */
static void no_storm_where_no_spare_is_apart(void **state)
{
	struct mesh *m = steered_nodes(4 + N_WAYS);
	struct hold_info info;
	uint64_t before;
	struct flow f;

	(void)state;
	mesh_add_link(m, 0, 1, &link_5ms);
	mesh_add_link(m, 2, 3, &link_5ms);
	add_ways(m, 1, 2, 4, &link_5ms);
	flow_start(&f, m, 0, 3, 10 * NS_PER_MS, 1);
	flow_run(&f, 5 * NS_PER_S);
	assert_true(router_hold_find(mesh_router(m, 0),
				     &mesh_identity(m, 3)->id, &info));
	assert_int_not_equal(info.spare, 0);
	before = n_opened(m);
	flow_run(&f, 240 * NS_PER_S);
	/* An attempt in 25 to 40 s. */
	assert_in_range(n_opened(m) - before, 1, 240 / 25 + 1);
	mesh_free(m);
}

/* What all claim is far less than what is measured: the circuit that carries
 * is taken for a poor one, and so is whatever is found. */
static void no_storm_where_every_path_is_poor(void **state)
{
	struct mesh *m = steered_nodes(2 + N_WAYS);
	struct mesh_link slow = link_5ms;
	uint64_t before;
	struct flow f;

	(void)state;
	slow.delay = 60 * NS_PER_MS;
	for (size_t i = 0; i < 2 + N_WAYS; i++)
		mesh_claim(m, i, 100);
	add_ways(m, 0, 1, 2, &slow);
	flow_start(&f, m, 0, 1, 10 * NS_PER_MS, 1);
	flow_run(&f, 5 * NS_PER_S);
	before = n_opened(m);
	flow_run(&f, 240 * NS_PER_S);
	assert_in_range(n_opened(m) - before, 1, 2 * (240 / 25 + 1));
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_storm_where_no_spare_is_apart),
		cmocka_unit_test(no_storm_where_every_path_is_poor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
