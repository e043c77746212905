/* The root of a large network: who registers, and when it appoints. */
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

static struct record volunteer(const struct record_lab *lab, unsigned i)
{
	struct record rec = record_lab_record(lab, lab->target);
	struct coord *at = &rec.at.tree[lab->tree[0]];

	rec.flags = RECORD_FLAG_VOLUNTEER;
	memcpy(rec.id.b, &i, sizeof i);
	at->hop[at->n - 1].id = rec.id;
	return rec;
}

static void an_office_has_room_for_so_many(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *root = root_of(&lab, 0);
	struct record rec;

	(void)state;
	for (unsigned i = 0; i < DIRECTORY_MAX; i++) {
		rec = volunteer(&lab, i);
		assert_true(office_register(root, lab.tree[0], &rec,
					    mesh_now(lab.m)));
	}
	assert_int_equal(router_counters(root)->n_record_full, 0);
	rec = volunteer(&lab, DIRECTORY_MAX);
	assert_false(office_register(root, lab.tree[0], &rec, mesh_now(lab.m)));
	assert_int_equal(router_counters(root)->n_record_full, 1);
	rec = volunteer(&lab, 5);
	assert_true(office_register(root, lab.tree[0], &rec, mesh_now(lab.m)));
	/* Those who do not come again make room. */
	offices_sweep(root, mesh_now(lab.m) + RECORD_LIFE_S * NS_PER_S);
	rec = volunteer(&lab, DIRECTORY_MAX);
	assert_true(office_register(root, lab.tree[0], &rec, mesh_now(lab.m)));
	mesh_free(lab.m);
}

static void only_volunteers_of_this_tree_register(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *root = root_of(&lab, 0);
	struct record rec = volunteer(&lab, 1);
	nsec now = mesh_now(lab.m);

	(void)state;
	rec.flags = 0;
	assert_false(office_register(root, lab.tree[0], &rec, now));
	rec.flags = RECORD_FLAG_VOLUNTEER;
	rec.at.tree[lab.tree[0]].n = 0;
	assert_false(office_register(root, lab.tree[0], &rec, now));
	rec.at.tree[lab.tree[0]] = rec.at.tree[lab.tree[1]];
	assert_false(office_register(root, lab.tree[0], &rec, now));
	mesh_free(lab.m);
}

static void an_office_opens_with_so_many_volunteers(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *root = root_of(&lab, 0);
	const struct node_id *id = id_of(&lab, lab.target);
	struct appointment a;
	struct record rec;

	(void)state;
	root->config.directory_from = 2;
	for (unsigned i = 0; i < DIRECTORY_MIN; i++) {
		assert_false(
			part_find(root, id, lab.tree[0], &a, mesh_now(lab.m)));
		rec = volunteer(&lab, i);
		office_register(root, lab.tree[0], &rec, mesh_now(lab.m));
	}
	assert_true(part_find(root, id, lab.tree[0], &a, mesh_now(lab.m)));
	/* And only in networks that are large enough. */
	root->config.directory_from =
		2 * trees_n_nodes(root, mesh_now(lab.m)) + 2;
	assert_false(part_find(root, id, lab.tree[0], &a, mesh_now(lab.m)));
	mesh_free(lab.m);
}

/* Of a million nodes as of ten thousand. */
static void as_many_volunteers_register_in_networks_of_any_size(void **state)
{
	static const uint32_t sizes[] = { 10000, 100000 };
	struct node_id id = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		unsigned n = 0;

		for (uint32_t k = 0; k < sizes[i]; k++) {
			memcpy(id.b, &k, sizeof k);
			n += office_wants(&id, 2, sizes[i]);
		}
		assert_in_range(n, DIRECTORY_WANT * 8 / 10,
				DIRECTORY_WANT * 12 / 10);
	}
	assert_true(office_wants(&id, 2, DIRECTORY_WANT));
}

/* How many register, of all nodes with all roots, when all have been told that
 * the network is that large. */
static unsigned n_register(const struct record_lab *lab, uint32_t n_nodes)
{
	unsigned n = 0;

	for (size_t i = 0; i < mesh_n_nodes(lab->m); i++) {
		struct router *r = mesh_router(lab->m, i);

		for (unsigned t = 0; t < TREES; t++) {
			r->trees.tree[t]->newest.n_nodes = n_nodes;
			r->requests.registers[t].is_wanted = false;
		}
		record_store_own(r, mesh_now(lab->m));
		for (unsigned t = 0; t < TREES; t++)
			n += r->requests.registers[t].is_wanted;
	}
	return n;
}

static void members_stay_when_the_network_grows(void **state)
{
	struct record_lab lab = record_lab_new_large();
	unsigned n_pairs = TREES * ((unsigned)mesh_n_nodes(lab.m) - 1);

	(void)state;
	/* All have, but for each root with itself. */
	assert_int_equal(n_register(&lab, DIRECTORY_WANT), n_pairs);
	assert_int_equal(n_register(&lab, DIRECTORY_WANT * DIRECTORY_STAY),
			 n_pairs);
	for (size_t i = 0; i < mesh_n_nodes(lab.m); i++)
		for (unsigned t = 0; t < TREES; t++)
			mesh_router(lab.m, i)
				->requests.registers[t]
				.is_enlisted = false;
	assert_in_range(n_register(&lab, DIRECTORY_WANT * DIRECTORY_STAY), 1,
			n_pairs / 4);
	mesh_free(lab.m);
}

static void no_office_outlives_its_root(void **state)
{
	struct record_lab lab = record_lab_new_large();
	struct router *root = root_of(&lab, 0);

	(void)state;
	assert_non_null(root->records.office[lab.tree[0]]);
	router_set_transit(root, false);
	mesh_pump(lab.m, lab.replica[0]);
	small_pass(lab.m, 60 * NS_PER_S);
	assert_false(tree_is_root(root, lab.tree[0]));
	assert_null(root->records.office[lab.tree[0]]);
	mesh_free(lab.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_office_has_room_for_so_many),
		cmocka_unit_test(only_volunteers_of_this_tree_register),
		cmocka_unit_test(an_office_opens_with_so_many_volunteers),
		cmocka_unit_test(
			as_many_volunteers_register_in_networks_of_any_size),
		cmocka_unit_test(members_stay_when_the_network_grows),
		cmocka_unit_test(no_office_outlives_its_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
