/* Members of the cluster that lie about trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"
#include "proto/key.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"
#include "tests/support/tree_look.h"

/* ---- what a liar has in hand -------------------------------------------- */

static void sign_hop(const struct mesh *m, size_t by, struct msg_beacon *b,
		     size_t i, const struct node_id *next)
{
	uint8_t chain[HASH_LEN], payload[TREE_HOP_PAYLOAD_BYTES];

	tree_chain_first(chain, &b->root);
	for (size_t k = 0; k < i; k++)
		tree_chain_next(chain, &b->hop[k]);
	tree_hop_payload(payload, chain, next, b->hop[i].cost);
	key_sign(b->hop[i].sig, mesh_key(m, by), SIGN_TREE_HOP, mesh_ca(m),
		 payload, sizeof payload);
}

static void sign_root(const struct mesh *m, struct tree_root *root)
{
	tree_root_seal(root);
	key_sign(root->sig, mesh_key(m, mesh_find(m, &root->root)),
		 SIGN_TREE_ROOT, mesh_ca(m), root->body, sizeof root->body);
}

/* A true beacon: nodes path[0 .. n-1], handed to `to`. */
static struct msg forge_beacon(const struct mesh *m, unsigned tree,
			       const size_t *path, size_t n, size_t to)
{
	struct msg x = { .type = MSG_BEACON };
	struct msg_beacon *b = &x.beacon;

	b->root = (struct tree_root){ .tree = (uint8_t)tree,
				      .root = forge_id(m, path[0]),
				      .issued_ms = mesh_wall(m),
				      .n_nodes = 9 };
	sign_root(m, &b->root);
	for (; b->n < n; b->n++) {
		size_t i = b->n;
		struct node_id next = forge_id(m, i + 1 < n ? path[i + 1] : to);

		b->hop[i].id = forge_id(m, path[i]);
		b->hop[i].cost = 100;
		sign_hop(m, path[i], b, i, &next);
	}
	return x;
}

/* Nodes in the order of their hashes for tree 0, the best first. */
static void order_by_rank(const struct mesh *m, size_t *nodes)
{
	for (size_t i = 0; i < mesh_n_nodes(m); i++) {
		uint64_t rank = tree_rank(0, &mesh_identity(m, i)->id);
		size_t k = i;

		for (; k > 0 &&
		       tree_rank(0, &mesh_identity(m, nodes[k - 1])->id) > rank;
		     k--)
			nodes[k] = nodes[k - 1];
		nodes[k] = i;
	}
}

/* Two nodes of many are linked, and the first knows everybody.  `order[0]` is
 * linked to nobody: it would be the root of tree 0. */
struct pair {
	struct mesh *m;
	size_t victim, liar, link;
	size_t order[TREE_PATH_MAX + 6];
};

static struct pair pair_new(void)
{
	struct pair p = { .m = small_nodes(TREE_PATH_MAX + 6) };

	order_by_rank(p.m, p.order);
	p.victim = p.order[TREE_PATH_MAX + 5];
	p.liar = p.order[TREE_PATH_MAX + 4];
	p.link = mesh_add_link(p.m, p.victim, p.liar, &small_link);
	for (size_t i = 0; i < mesh_n_nodes(p.m); i++)
		router_identity_add(mesh_router(p.m, p.victim),
				    mesh_identity(p.m, i),
				    mesh_identity(p.m, i)->key.b, KEY_LEN);
	small_pass(p.m, 100 * NS_PER_S);
	return p;
}

static const struct router_counters *counters(const struct pair *p)
{
	return small_counters(p->m, p->victim);
}

static struct tree_info victim_at(const struct pair *p)
{
	return look_tree(p->m, p->victim, 0);
}

static size_t victim_root(const struct pair *p)
{
	struct tree_info info = victim_at(p);

	return mesh_find(p->m, &info.root);
}

static void assert_follows(const struct pair *p, size_t root)
{
	assert_int_equal(victim_root(p), root);
}

static void a_true_beacon_is_followed(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.order[3], p.order[7], p.liar };
	struct msg x = forge_beacon(p.m, 0, path, 4, p.victim);

	(void)state;
	assert_follows(&p, p.liar);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_follows(&p, p.order[0]);
	assert_int_equal(victim_at(&p).at.n, 5);
	assert_int_equal(victim_at(&p).at.hop[4].cost, 400);
	assert_int_equal(counters(&p)->n_beacon_bad_signature, 0);
	mesh_free(p.m);
}

/* ---- lies --------------------------------------------------------------- */

static void cheapen_another(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->hop[1].cost = 1;
	sign_hop(p->m, p->liar, b, 3, &next);
}

static void cheapen_itself_unsigned(struct pair *p, struct msg_beacon *b)
{
	(void)p;
	b->hop[3].cost = 1;
}

static void leave_a_node_out(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->hop[1] = b->hop[2];
	b->hop[2] = b->hop[3];
	b->n--;
	sign_hop(p->m, p->liar, b, 2, &next);
}

/* The root's own words to another. */
static void steal_the_path_of_another(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->hop[1] = b->hop[3];
	b->n = 2;
	sign_hop(p->m, p->liar, b, 1, &next);
}

static void pass_on_what_is_for_another(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->order[9]);

	sign_hop(p->m, p->liar, b, 3, &next);
}

static void put_a_node_in(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->hop[4] = b->hop[3];
	b->hop[3].id = forge_id(p->m, p->order[11]);
	b->n++;
	sign_hop(p->m, p->liar, b, 4, &next);
}

static void freshen_the_root(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->root.issued_ms++;
	tree_root_seal(&b->root);
	sign_hop(p->m, p->liar, b, 3, &next);
}

static void swell_the_network(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->root.n_nodes = 1000000;
	tree_root_seal(&b->root);
	sign_hop(p->m, p->liar, b, 3, &next);
}

/* To one in which that root is better than those two. */
static void move_to_another_tree(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	do
		assert_int_not_equal(++b->root.tree, TREES);
	while (tree_rank(b->root.tree, &b->root.root) >
		       tree_rank(b->root.tree, &next) ||
	       tree_rank(b->root.tree, &b->root.root) >
		       tree_rank(b->root.tree, &b->hop[3].id));
	tree_root_seal(&b->root);
	sign_hop(p->m, p->liar, b, 3, &next);
}

static void speak_for_another(struct pair *p, struct msg_beacon *b)
{
	(void)p;
	b->n--;
}

static void invent_a_root(struct pair *p, struct msg_beacon *b)
{
	struct node_id next = forge_id(p->m, p->victim);

	b->root.root = b->hop[0].id = forge_id(p->m, p->order[1]);
	tree_root_seal(&b->root);
	key_sign(b->root.sig, mesh_key(p->m, p->liar), SIGN_TREE_ROOT,
		 mesh_ca(p->m), b->root.body, sizeof b->root.body);
	sign_hop(p->m, p->liar, b, 0, &b->hop[1].id);
	sign_hop(p->m, p->liar, b, 3, &next);
}

static bool leads_to(const struct pair *p, const struct node_id *root)
{
	struct tree_info info;

	for (unsigned t = 0; t < TREES; t++) {
		info = look_tree(p->m, p->victim, t);
		if (id_equal(&info.root, root))
			return true;
	}
	return false;
}

static void a_beacon_that_was_altered_is_not_followed(void **state)
{
	static const struct {
		const char *why;
		void (*alter)(struct pair *p, struct msg_beacon *b);
	} cases[] = {
		{ "the cost of another's link", cheapen_another },
		{ "its own cost, not signed", cheapen_itself_unsigned },
		{ "a node is left out", leave_a_node_out },
		{ "what the root gave to another", steal_the_path_of_another },
		{ "signed for another than us", pass_on_what_is_for_another },
		{ "a node that knows nothing of it", put_a_node_in },
		{ "the root's time", freshen_the_root },
		{ "the size of the network", swell_the_network },
		{ "another tree", move_to_another_tree },
		{ "another's beacon as its own", speak_for_another },
		{ "a root that did not sign", invent_a_root },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pair p = pair_new();
		size_t path[] = { p.order[0], p.order[3], p.order[7], p.liar };
		struct msg x = forge_beacon(p.m, 0, path, 4, p.victim);

		cases[i].alter(&p, &x.beacon);
		mesh_inject(p.m, p.victim, p.link, &x);
		small_pass(p.m, 5 * NS_PER_S);
		if (counters(&p)->n_beacon_bad_signature != 1 ||
		    leads_to(&p, &x.beacon.root.root))
			fail_msg("%s", cases[i].why);
		mesh_free(p.m);
	}
}

/* The near end's claim counts, too, and no link under the floor. */
static void a_link_said_to_be_cheap_is_no_cheaper(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.liar };
	struct msg x = forge_beacon(p.m, 0, path, 2, p.victim);
	struct node_id next = forge_id(p.m, p.victim);
	struct neighbour *n;

	(void)state;
	x.beacon.hop[0].cost = x.beacon.hop[1].cost = 0;
	sign_hop(p.m, p.order[0], &x.beacon, 0, &x.beacon.hop[1].id);
	sign_hop(p.m, p.liar, &x.beacon, 1, &next);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_follows(&p, p.order[0]);
	assert_int_equal(victim_at(&p).at.hop[2].cost,
			 2 * LINK_COST_FLOOR_100US);
	n = neighbour_find(mesh_router(p.m, p.victim),
			   &mesh_identity(p.m, p.liar)->id);
	assert_int_equal(place_cost(n->trees->branch[0].place, n),
			 2 * LINK_COST_FLOOR_100US);
	mesh_free(p.m);
}

/* A member that the cluster's key has not made has no certificate. */
static void a_root_that_nobody_knows_is_not_followed(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.liar };
	struct msg x;
	uint64_t rank = tree_rank(0, &mesh_identity(p.m, p.liar)->id);

	(void)state;
	x = forge_beacon(p.m, 0, path, 2, p.victim);
	do
		x.beacon.root.root.b[0]++;
	while (tree_rank(0, &x.beacon.root.root) > rank);
	x.beacon.hop[0].id = x.beacon.root.root;
	tree_root_seal(&x.beacon.root);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(mesh_router(p.m, p.victim)->asking.n_parked, 1);
	small_pass(p.m, 300 * NS_PER_S);
	assert_true(counters(&p)->n_sent[MSG_PEER_QUERY] > 1);
	assert_true(counters(&p)->n_sent[MSG_PEER_QUERY] < 20);
	assert_follows(&p, p.victim);
	mesh_free(p.m);
}

/* ---- time --------------------------------------------------------------- */

static void what_is_older_than_known_is_dropped(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.order[3], p.liar };
	size_t shorter[] = { p.order[0], p.liar };
	struct msg old = forge_beacon(p.m, 0, shorter, 2, p.victim), x;

	(void)state;
	small_pass(p.m, NS_PER_S);
	x = forge_beacon(p.m, 0, path, 3, p.victim);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(victim_at(&p).at.n, 4);
	assert_int_equal(counters(&p)->n_beacon_stale, 0);
	mesh_inject(p.m, p.victim, p.link, &old);
	assert_int_equal(victim_at(&p).at.n, 4);
	assert_int_equal(counters(&p)->n_beacon_stale, 1);
	mesh_free(p.m);
}

static void a_beacon_counts_for_its_life_only(void **state)
{
	static const struct {
		const char *why;
		int64_t apart_ms;
		bool is_taken, is_followed;
	} cases[] = {
		{ "an hour old", -3600000, false, false },
		{ "a second less: but no beat since", -3599000, true, false },
		{ "three minutes old", -180000, true, false },
		{ "not yet three minutes", -179999, true, true },
		{ "ahead of us by the skew", CLOCK_SKEW_MS, true, true },
		{ "by more", CLOCK_SKEW_MS + 1, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pair p = pair_new();
		size_t path[] = { p.order[0], p.liar };
		struct msg x = forge_beacon(p.m, 0, path, 2, p.victim);
		struct node_id next = forge_id(p.m, p.victim);

		x.beacon.root.issued_ms += (uint64_t)cases[i].apart_ms;
		sign_root(p.m, &x.beacon.root);
		sign_hop(p.m, p.order[0], &x.beacon, 0, &x.beacon.hop[1].id);
		sign_hop(p.m, p.liar, &x.beacon, 1, &next);
		mesh_inject(p.m, p.victim, p.link, &x);
		if (counters(&p)->n_beacon_stale != !cases[i].is_taken ||
		    (victim_root(&p) == p.order[0]) != cases[i].is_followed)
			fail_msg("%s", cases[i].why);
		mesh_free(p.m);
	}
}

static struct msg forge_beat(const struct mesh *m, size_t root, uint64_t later)
{
	struct msg x = { .type = MSG_BEAT };

	x.beat.root = (struct tree_root){ .root = forge_id(m, root),
					  .issued_ms = mesh_wall(m) + later,
					  .n_nodes = 9 };
	sign_root(m, &x.beat.root);
	return x;
}

static void beats_must_be_true_and_new(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.liar };
	struct msg x = forge_beacon(p.m, 0, path, 2, p.victim);
	uint64_t issued_ms = x.beacon.root.issued_ms;

	(void)state;
	mesh_inject(p.m, p.victim, p.link, &x);
	x = forge_beat(p.m, p.order[0], 0);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beat_stale, 1);
	x = forge_beat(p.m, p.order[0], 1);
	x.beat.root.sig[3] ^= 1;
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beat_bad_signature, 1);
	assert_int_equal(victim_at(&p).root_issued_ms, issued_ms);
	x.beat.root.sig[3] ^= 1;
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(victim_at(&p).root_issued_ms, issued_ms + 1);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beat_stale, 2);
	x = forge_beat(p.m, p.order[5], 1);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beat_stale, 3);
	x = forge_beat(p.m, p.order[0], CLOCK_SKEW_MS + 1);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beat_stale, 4);
	mesh_free(p.m);
}

/* A root that is dead is followed for three minutes if a neighbour wants it so,
 * and a beat that it did not sign makes that no longer. */
static void a_ghost_dies_by_the_clock(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.liar };
	struct msg x = forge_beacon(p.m, 0, path, 2, p.victim), beat;

	(void)state;
	mesh_inject(p.m, p.victim, p.link, &x);
	small_pass(p.m, 179 * NS_PER_S);
	assert_follows(&p, p.order[0]);
	beat = forge_beat(p.m, p.order[0], 0);
	beat.beat.root.sig[0] ^= 1;
	mesh_inject(p.m, p.victim, p.link, &beat);
	small_pass(p.m, 2 * NS_PER_S);
	assert_follows(&p, p.victim);
	/* Nor does the old path come to life again. */
	mesh_inject(p.m, p.victim, p.link, &x);
	mesh_inject(p.m, p.victim, p.link, &beat);
	small_pass(p.m, 2 * NS_PER_S);
	assert_follows(&p, p.victim);
	assert_int_equal(counters(&p)->n_beat_bad_signature, 2);
	/* A true beat does it. */
	beat.beat.root.sig[0] ^= 1;
	mesh_inject(p.m, p.victim, p.link, &beat);
	assert_follows(&p, p.order[0]);
	mesh_free(p.m);
}

/* ---- limits ------------------------------------------------------------- */

static void a_path_has_room_for_ourselves(void **state)
{
	(void)state;
	for (size_t n = TREE_PATH_MAX - 2; n <= TREE_PATH_MAX; n++) {
		struct pair p = pair_new();
		size_t path[TREE_PATH_MAX];
		struct msg x;

		memcpy(path, p.order, n * sizeof *path);
		path[n - 1] = p.liar;
		x = forge_beacon(p.m, 0, path, n, p.victim);
		mesh_inject(p.m, p.victim, p.link, &x);
		if (n < TREE_PATH_MAX) {
			assert_follows(&p, p.order[0]);
			assert_int_equal(victim_at(&p).at.n, n + 1);
		} else {
			assert_int_not_equal(victim_root(&p), p.order[0]);
		}
		mesh_free(p.m);
	}
}

static void a_neighbour_has_a_quota_of_beacons(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.liar };
	struct msg x = forge_beacon(p.m, 0, path, 2, p.victim);
	struct msg beat = forge_beat(p.m, p.order[0], 0);

	(void)state;
	for (unsigned i = 0; i < BEACON_TREE_BURST; i++) {
		mesh_inject(p.m, p.victim, p.link, i % 2 == 0 ? &x : &beat);
		assert_int_equal(counters(&p)->n_beacon_rate, 0);
	}
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beacon_rate, 1);
	mesh_inject(p.m, p.victim, p.link, &beat);
	assert_int_equal(counters(&p)->n_beacon_rate, 2);
	/* And it grows again. */
	small_pass(p.m, NS_PER_S);
	for (unsigned i = 0; i < BEACON_TREE_RATE; i++)
		mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beacon_rate, 2);
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beacon_rate, 3);
	mesh_free(p.m);
}

/* What a liar says costs few signatures: those of others are not looked at
 * before his own is right. */
static void a_beacon_that_its_sender_did_not_sign_costs_one_check(void **state)
{
	struct pair p = pair_new();
	size_t path[40];
	struct msg x;
	uint64_t n;

	(void)state;
	memcpy(path, p.order, sizeof path);
	path[39] = p.liar;
	x = forge_beacon(p.m, 0, path, 40, p.victim);
	x.beacon.hop[39].sig[5] ^= 1;
	n = counters(&p)->n_verify;
	mesh_inject(p.m, p.victim, p.link, &x);
	assert_int_equal(counters(&p)->n_beacon_bad_signature, 1);
	assert_int_equal(counters(&p)->n_verify, n + 1);
	mesh_free(p.m);
}

/* Beacons that are of no use are verified now and then. */
static void a_liar_whom_nobody_follows_is_found_out_in_time(void **state)
{
	struct pair p = pair_new();
	size_t path[] = { p.order[0], p.liar };
	size_t other[] = { p.order[1], p.order[2], p.liar };
	struct msg x = forge_beacon(p.m, 0, path, 2, p.victim);
	size_t third = p.order[20];
	size_t link = mesh_add_link(p.m, third, p.victim, &small_link);
	unsigned n = 0;

	(void)state;
	small_pass(p.m, 100 * NS_PER_S);
	path[1] = third;
	x = forge_beacon(p.m, 0, path, 2, p.victim);
	mesh_inject(p.m, p.victim, link, &x);
	assert_follows(&p, p.order[0]);
	while (counters(&p)->n_beacon_bad_signature == 0 && ++n < 300) {
		other[1] = p.order[2 + n % 2];
		x = forge_beacon(p.m, 0, other, 3, p.victim);
		x.beacon.hop[1].sig[0] ^= 1;
		mesh_inject(p.m, p.victim, p.link, &x);
		small_pass(p.m, NS_PER_S / 4);
	}
	assert_in_range(n, 1, 200);
	mesh_free(p.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_true_beacon_is_followed),
		cmocka_unit_test(a_beacon_that_was_altered_is_not_followed),
		cmocka_unit_test(a_link_said_to_be_cheap_is_no_cheaper),
		cmocka_unit_test(a_root_that_nobody_knows_is_not_followed),
		cmocka_unit_test(what_is_older_than_known_is_dropped),
		cmocka_unit_test(a_beacon_counts_for_its_life_only),
		cmocka_unit_test(beats_must_be_true_and_new),
		cmocka_unit_test(a_ghost_dies_by_the_clock),
		cmocka_unit_test(a_path_has_room_for_ourselves),
		cmocka_unit_test(a_neighbour_has_a_quota_of_beacons),
		cmocka_unit_test(
			a_beacon_that_its_sender_did_not_sign_costs_one_check),
		cmocka_unit_test(
			a_liar_whom_nobody_follows_is_found_out_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
