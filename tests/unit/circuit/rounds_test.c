/* Finding a path by steered probes, from the origin's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/path.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/steer_lab.h"

static const struct router_counters *counters(const struct steer_lab *l,
					      size_t node)
{
	return small_counters(l->m, node);
}

static const struct msg_probe *probe_at(const struct steer_lab *l, size_t i)
{
	return &l->seen[i].msg.probe;
}

static size_t n_floods(const struct steer_lab *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_seen; i++)
		if (l->seen[i].msg.type == MSG_PROBE &&
		    (probe_at(l, i)->flags & PROBE_FLAG_FLOOD) != 0)
			n++;
	return n;
}

/* ---- a round ----------------------------------------------------------- */

static void a_circuit_takes_one_lookup_and_one_round(void **state)
{
	struct steer_lab *l = steer_grid(4, 4);

	(void)state;
	assert_int_not_equal(small_connect(l->m, 5, 15), 0);
	assert_int_equal(counters(l, 5)->n_lookups, 1);
	assert_int_equal(counters(l, 5)->n_rounds, 1);
	assert_int_equal(n_floods(l), 0);
	assert_null(mesh_fault(l->m));
	steer_lab_free(l);
}

/* Nobody answers, so the first round is seen whole. */
static void copies_go_to_different_neighbours_on_different_trees(void **state)
{
	struct steer_lab *l = steer_grid(4, 4);
	const struct locator *own, *to;
	bool has_neighbour[16] = { false }, has_tree[TREES + 1] = { false };
	size_t n = 0;

	(void)state;
	l->is_silent[1] = l->is_silent[4] = l->is_silent[6] = l->is_silent[9] =
		true;
	own = trees_locator(mesh_router(l->m, 5));
	to = trees_locator(mesh_router(l->m, 15));
	mesh_connect(l->m, 5, 15, 0);
	small_pass(l->m, 400 * NS_PER_MS);
	for (size_t i = 0; i < l->n_seen; i++) {
		const struct msg_probe *p = probe_at(l, i);
		unsigned links = 0;

		if (l->seen[i].msg.type != MSG_PROBE || l->seen[i].from != 5)
			continue;
		n++;
		assert_false(has_neighbour[l->seen[i].to]);
		assert_false(has_tree[p->tree]);
		has_neighbour[l->seen[i].to] = has_tree[p->tree] = true;
		assert_int_equal(p->flags, 0);
		assert_int_equal(p->round, 0);
		assert_true(p->chain_len > 0);
		assert_in_range(p->deadline_ms, PROBE_DEADLINE_MIN_MS,
				PROBE_DEADLINE_MAX_MS);
		for (unsigned t = 0; t < TREES; t++)
			assert_int_equal(p->to.tree[t].n > 0,
					 p->tree == t || p->tree == TREE_ANY);
		if (p->tree == TREE_ANY)
			continue;
		links = coord_links(coord_ref(&own->tree[p->tree]),
				    coord_ref(&to->tree[p->tree]));
		assert_int_equal(p->budget,
				 2 * links + 4 > 12 ? 2 * links + 4 : 12);
	}
	assert_in_range(n, 2, 4);
	assert_true(has_tree[TREE_ANY]);
	steer_lab_free(l);
}

static void a_neighbour_is_asked_alone(void **state)
{
	struct steer_lab *l = steer_grid(4, 4);

	(void)state;
	assert_int_not_equal(small_connect(l->m, 5, 6), 0);
	assert_int_equal(steer_count(l, SIZE_MAX, MSG_PROBE, NULL), 1);
	assert_int_equal(counters(l, 5)->n_lookups, 0);
	steer_lab_free(l);
}

/* The link to the target itself is what failed. */
static void a_neighbour_is_found_over_others_if_its_link_is_avoided(
	void **state)
{
	struct steer_lab *l = steer_grid(4, 4);
	circuit_no c = small_connect(l->m, 5, 6);

	(void)state;
	c = small_connect_avoiding(l->m, 5, 6, c);
	assert_int_not_equal(c, 0);
	assert_true(small_info(l->m, 5, c).hops.n > 1);
	steer_lab_free(l);
}

static void a_second_circuit_shares_no_link_with_the_first(void **state)
{
	struct steer_lab *l = steer_grid(4, 4);
	circuit_no first = small_connect(l->m, 0, 15), second;
	struct circuit_info a, b;
	struct node_id origin = forge_id(l->m, 0);

	(void)state;
	second = small_connect_avoiding(l->m, 0, 15, first);
	assert_int_not_equal(second, 0);
	a = small_info(l->m, 0, first);
	b = small_info(l->m, 0, second);
	assert_int_equal(path_n_shared(&origin, &a.hops, &b.hops), 0);
	steer_lab_free(l);
}

static void a_stored_route_needs_no_probe(void **state)
{
	struct steer_lab *l = steer_grid(4, 4);

	(void)state;
	mesh_close(l->m, 0, small_connect(l->m, 0, 15));
	small_pass(l->m, NS_PER_S);
	steer_forget(l);
	assert_int_not_equal(small_connect(l->m, 0, 15), 0);
	assert_int_equal(steer_count(l, SIZE_MAX, MSG_PROBE, NULL), 0);
	assert_int_equal(steer_count(l, SIZE_MAX, MSG_LOOKUP, NULL), 0);
	assert_int_equal(counters(l, 0)->n_connect_reused, 1);
	steer_lab_free(l);
}

static void what_the_user_avoids_is_avoided(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct node_id two = forge_id(l->m, 2);
	struct circuit_info info;

	(void)state;
	/* From node 0 further on, from node 1 as its first hop. */
	for (size_t from = 0; from < 2; from++) {
		circuit_no c;

		assert_true(router_path_avoid(mesh_router(l->m, from), &two,
					      mesh_now(l->m)));
		c = small_connect(l->m, from, 5);
		assert_int_not_equal(c, 0);
		info = small_info(l->m, from, c);
		assert_false(path_has(info.hops.hop, info.hops.n, &two));
	}
	steer_lab_free(l);
}

/* ---- round after round ------------------------------------------------- */

/* Both ways on from node 1 are silent in the first round. */
static void wake(struct steer_lab *l, size_t from, size_t to, struct msg *m)
{
	(void)to;
	if (from == 1 && m->type == MSG_NAK)
		l->is_silent[3] = false;
}

static void blamed_nodes_are_avoided_in_the_next_round(void **state)
{
	struct steer_lab *l = steer_diamond();
	struct router *r = mesh_router(l->m, 0);
	struct node_id two = forge_id(l->m, 2);
	const struct router_event *e;
	const struct steer_seen *sent = NULL;

	(void)state;
	l->is_silent[2] = l->is_silent[3] = true;
	l->alter = wake;
	assert_int_not_equal(small_connect(l->m, 0, 5), 0);
	assert_int_equal(counters(l, 0)->n_rounds, 2);
	assert_int_equal(counters(l, 0)->n_blamed, 1);
	e = steer_event(l, 0, ROUTER_BLAMED);
	assert_non_null(e);
	assert_int_equal(mesh_find(l->m, &e->peer), 1);
	assert_int_equal(mesh_find(l->m, &e->next), 2);
	assert_int_equal(blame_of(r, &two, mesh_now(l->m)), 1);
	/* Node 2 is in the list of the second round, and is not asked. */
	steer_count(l, 0, MSG_PROBE, &sent);
	assert_int_equal(sent->msg.probe.round, 1);
	assert_int_equal(sent->msg.probe.n_avoid, 2);
	assert_true(sent->msg.probe.avoid[1] ==
		    avoid_tag(&sent->msg.probe.nonce, &two));
	steer_count(l, 1, MSG_PROBE, &sent);
	assert_int_equal(sent->to, 3);
	/* The next attempt remembers. */
	steer_forget(l);
	mesh_connect(l->m, 0, 4, 0);
	small_pass(l->m, NS_PER_S);
	steer_count(l, 0, MSG_PROBE, &sent);
	assert_int_equal(sent->msg.probe.round, 0);
	assert_int_equal(sent->msg.probe.n_avoid, 2);
	steer_lab_free(l);
}

/* Who reports is three links away, and not known yet. */
static void blame_from_an_unknown_node_is_checked_too(void **state)
{
	struct steer_lab *l = steer_line(6);
	const struct router_event *e;

	(void)state;
	l->is_silent[4] = true;
	mesh_connect(l->m, 0, 5, 0);
	small_pass(l->m, 9 * NS_PER_S);
	e = steer_event(l, 0, ROUTER_BLAMED);
	assert_non_null(e);
	assert_int_equal(mesh_find(l->m, &e->peer), 3);
	assert_int_equal(mesh_find(l->m, &e->next), 4);
	steer_lab_free(l);
}

/* The target has moved to where the record that the origin has does not know
 * of; the attempt looks it up anew. */
static void a_record_that_led_nowhere_is_looked_up_anew(void **state)
{
	struct steer_lab *l = steer_line(6);
	size_t link;

	(void)state;
	mesh_close(l->m, 0, small_connect(l->m, 0, 5));
	mesh_unplug(l->m, 4, 5);
	link = mesh_add_link(l->m, 2, 5, &small_link);
	assert_int_not_equal(link, 0);
	small_pass(l->m, 30 * NS_PER_S);
	assert_int_not_equal(small_connect(l->m, 0, 5), 0);
	assert_int_equal(n_floods(l), 0);
	assert_true(counters(l, 0)->n_lookups >= 2);
	steer_lab_free(l);
}

/* ---- unreachable ------------------------------------------------------- */

static void who_never_was_there_is_proved_absent(void **state)
{
	struct steer_lab *l = steer_grid(4, 4);
	struct node_id nobody = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } };
	struct router *r = mesh_router(l->m, 5);
	const struct router_event *e;
	uint64_t n;

	(void)state;
	router_connect(r, &nobody, 0, mesh_now(l->m));
	mesh_pump(l->m, 5);
	small_pass(l->m, 2 * NS_PER_S);
	e = steer_event(l, 5, ROUTER_UNREACHABLE);
	assert_non_null(e);
	assert_true(e->is_proved);
	assert_true(e->took < NS_PER_S);
	/* In a small network a flood has the last word. */
	assert_int_equal(counters(l, 5)->n_flood_last_resort, 1);
	/* Asked again at once, it is known: nothing is sent. */
	n = counters(l, 5)->n_unreachable;
	steer_forget(l);
	router_connect(r, &nobody, 0, mesh_now(l->m));
	mesh_pump(l->m, 5);
	e = steer_event(l, 5, ROUTER_UNREACHABLE);
	assert_true(e->is_proved);
	assert_int_equal(e->took, n == 1 ? 0 : 1);
	assert_int_equal(counters(l, 5)->n_unreachable, 2);
	assert_int_equal(steer_count(l, 5, MSG_LOOKUP, NULL), 0);
	steer_lab_free(l);
}

/* The record is still there, the way is not. */
static void a_target_behind_a_cut_is_proved_by_a_flood(void **state)
{
	struct steer_lab *l = steer_line(5);
	const struct router_event *e;

	(void)state;
	mesh_unplug(l->m, 3, 3);
	mesh_connect(l->m, 0, 4, 0);
	small_pass(l->m, PROBE_DEADLINE_MAX_MS * NS_PER_MS);
	e = steer_event(l, 0, ROUTER_UNREACHABLE);
	assert_non_null(e);
	assert_true(e->is_proved);
	assert_int_equal(counters(l, 0)->n_rounds, 2);
	assert_int_equal(counters(l, 0)->n_flood_last_resort, 1);
	assert_true(n_floods(l) > 0);
	steer_lab_free(l);
}

/* Beyond the quota it is not tried, and nothing is proved. */
static void floods_as_a_last_resort_are_rationed(void **state)
{
	(void)state;
	for (size_t n = FLOOD_ORIGIN_BURST - 1; n <= FLOOD_ORIGIN_BURST + 1;
	     n++) {
		struct steer_lab *l = steer_line(3 + FLOOD_ORIGIN_BURST + 1);
		size_t over = n > FLOOD_ORIGIN_BURST ? 1 : 0;
		size_t n_proved = 0;

		mesh_unplug(l->m, 2, 2);
		for (size_t i = 0; i < n; i++)
			mesh_connect(l->m, 0, 3 + i, 0);
		small_pass(l->m, 4 * NS_PER_S);
		for (size_t i = 0; i < n; i++) {
			const struct mesh_event *e = mesh_last(
				l->m, 0, ROUTER_UNREACHABLE, 3 + i, 0);

			assert_non_null(e);
			n_proved += e->event.is_proved;
		}
		assert_int_equal(n_proved, n - over);
		assert_int_equal(counters(l, 0)->n_flood_rate, over);
		assert_int_equal(counters(l, 0)->n_flood_last_resort, n - over);
		steer_lab_free(l);
	}
}

static void without_neighbours_nobody_can_be_reached(void **state)
{
	struct steer_lab *l = steer_line(3);
	const struct router_event *e;

	(void)state;
	mesh_unplug(l->m, 0, 0);
	mesh_connect(l->m, 0, 2, 0);
	e = steer_event(l, 0, ROUTER_UNREACHABLE);
	assert_non_null(e);
	assert_true(e->is_proved);
	steer_lab_free(l);
}

/* Silence proves nothing, and has an end. */
static void behind_a_silent_node_nothing_is_proved(void **state)
{
	struct steer_lab *l = steer_line(5);
	const struct router_event *e;

	(void)state;
	l->is_silent[2] = true;
	mesh_connect(l->m, 0, 4, 0);
	small_pass(l->m, PROBE_DEADLINE_MAX_MS * NS_PER_MS);
	e = steer_event(l, 0, ROUTER_UNREACHABLE);
	assert_non_null(e);
	assert_false(e->is_proved);
	steer_lab_free(l);
}

/* ---- other networks ---------------------------------------------------- */

static void a_small_network_is_flooded(void **state)
{
	struct mesh *m = mesh_new_with(
		1, &(struct mesh_options){ .flood_below = FLOOD_BELOW });

	(void)state;
	for (size_t i = 0; i < 5; i++)
		mesh_add_node(m, true);
	for (size_t i = 0; i < 4; i++)
		mesh_add_link(m, i, i + 1, &small_link);
	small_pass(m, 60 * NS_PER_S);
	assert_int_not_equal(small_connect(m, 0, 4), 0);
	assert_int_equal(small_counters(m, 0)->n_rounds, 0);
	assert_int_equal(small_counters(m, 0)->n_lookups, 0);
	mesh_free(m);
}

/* Before any tree stands there is nothing to steer by. */
static void a_young_network_is_flooded(void **state)
{
	struct mesh *m =
		mesh_new_with(1, &(struct mesh_options){ .flood_below = 0 });

	(void)state;
	for (size_t i = 0; i < 5; i++)
		mesh_add_node(m, true);
	for (size_t i = 0; i < 4; i++)
		mesh_add_link(m, i, i + 1, &small_link);
	mesh_connect(m, 0, 4, 0);
	small_pass(m, 3 * NS_PER_S);
	assert_non_null(mesh_opened(m, 0, 4, 0));
	assert_int_equal(small_counters(m, 0)->n_rounds, 0);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_circuit_takes_one_lookup_and_one_round),
		cmocka_unit_test(
			copies_go_to_different_neighbours_on_different_trees),
		cmocka_unit_test(a_neighbour_is_asked_alone),
		cmocka_unit_test(
			a_neighbour_is_found_over_others_if_its_link_is_avoided),
		cmocka_unit_test(
			a_second_circuit_shares_no_link_with_the_first),
		cmocka_unit_test(a_stored_route_needs_no_probe),
		cmocka_unit_test(what_the_user_avoids_is_avoided),
		cmocka_unit_test(blamed_nodes_are_avoided_in_the_next_round),
		cmocka_unit_test(blame_from_an_unknown_node_is_checked_too),
		cmocka_unit_test(a_record_that_led_nowhere_is_looked_up_anew),
		cmocka_unit_test(who_never_was_there_is_proved_absent),
		cmocka_unit_test(a_target_behind_a_cut_is_proved_by_a_flood),
		cmocka_unit_test(floods_as_a_last_resort_are_rationed),
		cmocka_unit_test(without_neighbours_nobody_can_be_reached),
		cmocka_unit_test(behind_a_silent_node_nothing_is_proved),
		cmocka_unit_test(a_small_network_is_flooded),
		cmocka_unit_test(a_young_network_is_flooded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
