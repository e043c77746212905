/* Every table that somebody could make grow: one below its limit, at it, and
 * beyond, where the counter says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/hold/hold_inside.h"
#include "circuit/hold/pathtest.h"
#include "circuit/search/rounds.h"
#include "circuit/search/seek_inside.h"
#include "circuit/probe/seen.h"
#include "circuit/tree/tree_inside.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

/* Node 0, whose neighbours are 1 and 2. */
struct bench {
	struct mesh *m;
	struct router *r;
	struct session *s[2];
	struct route_proof *route;
	struct seek *seek;
	circuit_no circuit; /* of our own, to node 1 */
	unsigned serial;
};

static struct node_id somebody(struct bench *b)
{
	struct node_id id = { .b = { 0xee } };
	unsigned n = ++b->serial;

	memcpy(id.b + 1, &n, sizeof n);
	return id;
}

static struct nonce some_nonce(struct bench *b)
{
	struct nonce n = { .b = { 0xee } };
	unsigned i = ++b->serial;

	memcpy(n.b + 1, &i, sizeof i);
	return n;
}

static void bench_init(struct bench *b)
{
	*b = (struct bench){ .m = small_nodes(3) };
	mesh_add_link(b->m, 0, 1, &small_link);
	mesh_add_link(b->m, 0, 2, &small_link);
	small_pass(b->m, NS_PER_S);
	b->r = mesh_router(b->m, 0);
	b->circuit = small_connect(b->m, 0, 1);
	b->route = mem_new(b->route);
	assert_true(router_route_get(b->r, 0, b->route));
	b->seek = mem_new(b->seek);
	for (size_t i = 0; i < 2; i++)
		b->s[i] = session_find(b->r, mesh_session(b->m, 0, i));
}

static void bench_free(struct bench *b)
{
	free(b->route);
	free(b->seek);
	mesh_free(b->m);
}

/* ---- one more of each, and how many there are -------------------------- */

static struct circuit *add_circuit(struct bench *b, struct session *from,
				   struct session *to)
{
	struct nonce id = some_nonce(b);

	return circuit_add(b->r, b->route, &id, from, to, mesh_now(b->m));
}

static void more_circuits(struct bench *b)
{
	add_circuit(b, NULL, NULL);
}

static size_t n_circuits(const struct bench *b)
{
	return HASH_COUNT(b->r->circuits.all);
}

static void more_circuits_of_one(struct bench *b)
{
	add_circuit(b, NULL, b->s[0]);
}

static size_t n_circuits_of_one(const struct bench *b)
{
	return b->s[0]->peer->n_circuits;
}

static void more_circuits_of_a_pair(struct bench *b)
{
	struct circuit *c = add_circuit(b, b->s[0], b->s[1]);

	if (c != NULL)
		circuit_establish(b->r, c, mesh_now(b->m));
}

static size_t n_circuits_of_a_pair(const struct bench *b)
{
	return b->s[1]->peer->n_circuits;
}

static void more_pending(struct bench *b)
{
	add_circuit(b, b->s[0], NULL);
}

static size_t n_pending(const struct bench *b)
{
	return b->s[0]->peer->n_pending;
}

static struct msg_probe a_probe(struct bench *b)
{
	return (struct msg_probe){ .origin = somebody(b),
				   .issued_ms = mesh_wall(b->m),
				   .valid_ms = PROBE_VALID_MS };
}

/* As if of many neighbours. */
static void more_seen(struct bench *b)
{
	struct msg_probe p = a_probe(b);

	b->s[0]->peer->n_seen = 0;
	seen_add(b->r, &p, b->s[0]->peer, mesh_now(b->m));
}

static size_t n_seen(const struct bench *b)
{
	return HASH_COUNT(b->r->floods.seen);
}

static void more_seen_of_one(struct bench *b)
{
	struct msg_probe p = a_probe(b);

	seen_add(b->r, &p, b->s[0]->peer, mesh_now(b->m));
}

static size_t n_seen_of_one(const struct bench *b)
{
	return b->s[0]->peer->n_seen;
}

static void more_origins(struct bench *b)
{
	struct node_id id = somebody(b);

	origin_quota_find(b->r, b->s[0]->peer, &id, mesh_now(b->m));
}

static size_t n_origins(const struct bench *b)
{
	return HASH_COUNT(b->s[0]->peer->origins);
}

static void more_identities(struct bench *b)
{
	struct identity who = *mesh_identity(b->m, 1);
	uint8_t chain = 0;

	who.id = somebody(b);
	keyring_add(b->r, &who, &chain, 1);
}

static size_t n_identities(const struct bench *b)
{
	return keyring_n_known(b->r);
}

static void more_seeks(struct bench *b)
{
	struct node_id id = somebody(b);

	seek_start(b->r, &id, NULL, mesh_now(b->m));
	mesh_pump(b->m, 0);
}

static size_t n_seeks(const struct bench *b)
{
	return seeks_n(b->r);
}

static void more_rings(struct bench *b)
{
	struct ring_plan plan = { .target = somebody(b),
				  .ttl = 2,
				  .only = b->s[0],
				  .wait = NS_PER_S };

	ring_start(b->r, &plan, mesh_now(b->m));
	mesh_pump(b->m, 0);
}

static size_t n_rings(const struct bench *b)
{
	return HASH_COUNT(b->r->rings.all);
}

static void more_holds(struct bench *b)
{
	struct node_id id = somebody(b);

	hold_get(b->r, &id, mesh_now(b->m));
}

static size_t n_holds(const struct bench *b)
{
	return HASH_COUNT(b->r->holds.all);
}

static void park(struct bench *b, enum msg_type type)
{
	struct msg x = { .type = type };
	struct id_list missing = { .n = 1, .ids = { somebody(b) } };

	asking_park(b->r, b->s[0], &x, &missing, mesh_now(b->m));
}

static void more_parked(struct bench *b)
{
	b->s[0]->peer->n_parked = b->s[0]->peer->n_asked = 0;
	park(b, MSG_ANSWER);
}

static void more_parked_of_one(struct bench *b)
{
	park(b, MSG_ANSWER);
}

static void more_parked_probes(struct bench *b)
{
	b->s[0]->peer->n_parked = b->s[0]->peer->n_asked = 0;
	park(b, MSG_PROBE);
}

static size_t n_parked(const struct bench *b)
{
	return b->r->asking.n_parked;
}

static void more_asked_of_one(struct bench *b)
{
	struct id_list missing = { .n = 1, .ids = { somebody(b) } };

	asking_send(b->r, b->s[0], &missing, mesh_now(b->m));
}

static void more_asked(struct bench *b)
{
	b->s[0]->peer->n_asked = 0;
	more_asked_of_one(b);
}

static size_t n_asked(const struct bench *b)
{
	return router_counters(b->r)->n_sent[MSG_PEER_QUERY];
}

static void more_tests(struct bench *b)
{
	pathtest_send(b->r, circuit_find(b->r, b->circuit), 1, ++b->serial,
		      mesh_now(b->m));
}

static size_t n_tests(const struct bench *b)
{
	return router_counters(b->r)->n_tests;
}

static void more_avoided(struct bench *b)
{
	struct node_id id = somebody(b);

	rounds_avoid(b->r, b->seek, &id);
}

static size_t n_avoided(const struct bench *b)
{
	return b->seek->n_avoid;
}

#define COUNTER(name) offsetof(struct router_counters, name)

static const struct limit {
	const char *name;
	size_t max;
	void (*more)(struct bench *b);
	size_t (*n)(const struct bench *b);
	size_t counter;
} limits[] = {
	{ "CIRCUITS_MAX", CIRCUITS_MAX, more_circuits, n_circuits,
	  COUNTER(n_circuits_full) },
	{ "CIRCUITS_PER_PEER_MAX", CIRCUITS_PER_PEER_MAX, more_circuits_of_one,
	  n_circuits_of_one, COUNTER(n_circuits_full_peer) },
	{ "CIRCUITS_PER_PAIR_MAX", CIRCUITS_PER_PAIR_MAX,
	  more_circuits_of_a_pair, n_circuits_of_a_pair,
	  COUNTER(n_circuits_full_pair) },
	{ "CIRCUITS_PENDING_MAX", CIRCUITS_PENDING_MAX, more_pending, n_pending,
	  COUNTER(n_circuits_full_pending) },
	{ "PROBES_SEEN_MAX", PROBES_SEEN_MAX, more_seen, n_seen,
	  COUNTER(n_probes_seen_full) },
	{ "PROBES_SEEN_PER_PEER_MAX", PROBES_SEEN_PER_PEER_MAX,
	  more_seen_of_one, n_seen_of_one, COUNTER(n_probes_seen_full) },
	{ "ORIGINS_PER_PEER_MAX", ORIGINS_PER_PEER_MAX, more_origins, n_origins,
	  COUNTER(n_origins_evicted) },
	{ "IDENTITIES_MAX", IDENTITIES_MAX, more_identities, n_identities,
	  COUNTER(n_identities_evicted) },
	{ "SEEKS_MAX", SEEKS_MAX, more_seeks, n_seeks, COUNTER(n_seeks_full) },
	{ "RINGS_MAX", RINGS_MAX, more_rings, n_rings, COUNTER(n_rings_full) },
	{ "HOLDS_MAX", HOLDS_MAX, more_holds, n_holds, COUNTER(n_holds_full) },
	{ "PARKED_MAX", PARKED_MAX, more_parked, n_parked,
	  COUNTER(n_parked_full) },
	{ "PARKED_PER_PEER_MAX", PARKED_PER_PEER_MAX, more_parked_of_one,
	  n_parked, COUNTER(n_parked_full) },
	{ "PARKED_PROBES_MAX", PARKED_PROBES_MAX, more_parked_probes, n_parked,
	  COUNTER(n_parked_full) },
	{ "ASKED_MAX", ASKED_MAX, more_asked, n_asked, COUNTER(n_asked_full) },
	{ "ASKED_PER_PEER_MAX", ASKED_PER_PEER_MAX, more_asked_of_one, n_asked,
	  COUNTER(n_asked_full) },
	{ "TEST_OWN_BURST", TEST_OWN_BURST, more_tests, n_tests,
	  COUNTER(n_test_own_rate) },
	{ "AVOID_MAX", AVOID_MAX, more_avoided, n_avoided,
	  COUNTER(n_avoid_full) },
};

static uint64_t counter(const struct bench *b, const struct limit *l)
{
	return *(const uint64_t *)((const char *)router_counters(b->r) +
				   l->counter);
}

static void reach(struct bench *b, const struct limit *l)
{
	size_t n;

	while ((n = l->n(b)) < l->max) {
		l->more(b);
		if (l->n(b) != n + 1 || counter(b, l) != 0)
			fail_msg("%s: refused after %zu", l->name, n);
	}
	l->more(b);
	if (l->n(b) != l->max || counter(b, l) != 1)
		fail_msg("%s: %zu, counted %lu", l->name, l->n(b),
			 (unsigned long)counter(b, l));
}

static void every_table_ends_at_its_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct bench b;

		bench_init(&b);
		reach(&b, &limits[i]);
		bench_free(&b);
	}
}

static void open_ids_are_remembered_so_far(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p);
	const struct router_counters *c = small_counters(m, 1);
	struct neighbour *n;
	struct msg x;
	unsigned was;

	(void)state;
	mesh_close(m, 0, small_connect(m, 0, 2));
	small_pass(m, NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	n = neighbour_find(mesh_router(m, 1), &mesh_identity(m, 0)->id);
	was = n->n_open_ids;
	n->n_open_ids = OPENS_SEEN_PER_PEER_MAX - 1;
	x = forge_open(m, p, 1);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(n->n_open_ids, OPENS_SEEN_PER_PEER_MAX);
	assert_int_equal(c->n_opens_seen_full, 0);
	x = forge_open(m, p, 2);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(n->n_open_ids, OPENS_SEEN_PER_PEER_MAX);
	assert_int_equal(c->n_opens_seen_full, 1);
	n->n_open_ids = was + 1;
	small_pass(m, 2 * OPEN_SEEN_NS);
	assert_int_equal(n->n_open_ids, 0);
	free(p);
	mesh_free(m);
}

/* A new neighbour hears of so many of our own probes. */
static void so_many_probes_are_offered(void **state)
{
	(void)state;
	for (size_t n = PROBE_OFFERS_MAX - 1; n <= PROBE_OFFERS_MAX + 1; n++) {
		struct ring_plan plan = { .ttl = 2, .wait = NS_PER_S };
		const struct router_counters *c;
		uint64_t before;
		struct bench b;

		bench_init(&b);
		c = router_counters(b.r);
		for (size_t i = 0; i < n; i++) {
			plan.target = somebody(&b);
			assert_non_null(ring_start(b.r, &plan, mesh_now(b.m)));
		}
		before = c->n_sent[MSG_PROBE];
		rings_offer(b.r, b.s[0], mesh_now(b.m));
		assert_int_equal(c->n_sent[MSG_PROBE] - before,
				 n < PROBE_OFFERS_MAX ? n : PROBE_OFFERS_MAX);
		assert_int_equal(c->n_offers_full, n > PROBE_OFFERS_MAX);
		bench_free(&b);
	}
}

/* As the roots count it. */
static void a_network_is_small_below_its_limit(void **state)
{
	struct mesh *m = mesh_new_with(
		1, &(struct mesh_options){ .flood_below = FLOOD_BELOW });
	struct router *r;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		mesh_add_node(m, true);
	mesh_add_link(m, 0, 1, &small_link);
	small_pass(m, 30 * NS_PER_S);
	r = mesh_router(m, 0);
	for (uint32_t n = FLOOD_BELOW - 1; n <= FLOOD_BELOW + 1; n++) {
		for (unsigned i = 0; i < TREES; i++)
			r->trees.tree[i]->newest.n_nodes = n;
		assert_int_equal(router_n_nodes(r, mesh_now(m)), n);
		assert_int_equal(rounds_apply(r, mesh_now(m)),
				 n >= FLOOD_BELOW);
	}
	mesh_free(m);
}

static unsigned take_signatures(struct bench *b, struct session *s, nsec now)
{
	unsigned n = 0;

	b->r->charged = s->peer;
	while (core_take_verify(b->r, now))
		n++;
	b->r->charged = NULL;
	return n;
}

/* Two neighbours want more than there is. */
static void signatures_are_checked_at_a_rate(void **state)
{
	struct bench b;
	nsec now;

	(void)state;
	bench_init(&b);
	small_pass(b.m, 30 * NS_PER_S);
	now = mesh_now(b.m);
	assert_int_equal(take_signatures(&b, b.s[0], now) +
				 take_signatures(&b, b.s[1], now),
			 VERIFY_BURST + 2 * VERIFY_PEER_BURST);
	now += NS_PER_S;
	assert_int_equal(take_signatures(&b, b.s[0], now) +
				 take_signatures(&b, b.s[1], now),
			 VERIFY_RATE + 2 * VERIFY_PEER_RATE);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_table_ends_at_its_limit),
		cmocka_unit_test(open_ids_are_remembered_so_far),
		cmocka_unit_test(so_many_probes_are_offered),
		cmocka_unit_test(a_network_is_small_below_its_limit),
		cmocka_unit_test(signatures_are_checked_at_a_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
