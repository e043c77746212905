/* Members of the cluster that ask for too much: each quota at its edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/small_mesh.h"

static void an_origin_has_a_quota_of_probes(void **state)
{
	struct mesh *m = small_line(3);

	(void)state;
	for (uint8_t i = 0; i <= PROBE_ORIGIN_BURST; i++) {
		struct msg x = forge_probe(m, 0, 0, 2, i);

		assert_int_equal(small_counters(m, 1)->n_probe_rate_origin, 0);
		mesh_inject(m, 1, 0, &x);
	}
	assert_int_equal(small_counters(m, 1)->n_probe_rate_origin, 1);
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 2)->n_received[MSG_PROBE],
			 PROBE_ORIGIN_BURST);
	mesh_free(m);
}

/* Whoever forges spends his own quota, not that of the origin he names. */
static void a_neighbour_has_a_quota_of_probes(void **state)
{
	struct mesh *m = small_line(3);
	struct msg x = forge_probe(m, 0, 0, 2, 1);

	(void)state;
	x.probe.hops.n = 1;
	x.probe.hops.hop[0] = forge_hop(m, 0);
	for (unsigned i = 0; i <= PROBE_PEER_BURST; i++) {
		assert_int_equal(small_counters(m, 1)->n_probe_rate_peer, 0);
		memcpy(x.probe.origin.b, &i, sizeof i);
		x.probe.nonce.b[0] = (uint8_t)i;
		msg_probe_seal(&x.probe);
		mesh_inject(m, 1, 0, &x);
	}
	assert_int_equal(small_counters(m, 1)->n_probe_rate_peer, 1);
	/* No more than so many wait for the certificates of nobody. */
	assert_int_equal(mesh_router(m, 1)->asking.n_parked,
			 PARKED_PER_PEER_MAX);
	assert_true(mesh_router(m, 1)->neighbours.all->n_asked <=
		    ASKED_PER_PEER_MAX);
	small_pass(m, 5 * NS_PER_S);
	assert_int_equal(mesh_router(m, 1)->asking.n_parked, 0);
	assert_null(mesh_router(m, 1)->asking.asked);
	assert_null(mesh_router(m, 1)->asking.wanted);
	assert_int_equal(small_counters(m, 1)->n_probe_unknown_origin,
			 PROBE_PEER_BURST);
	mesh_free(m);
}

static void a_neighbour_has_a_quota_of_questions(void **state)
{
	struct mesh *m = small_line(2);
	struct msg x = { .type = MSG_PEER_QUERY };

	(void)state;
	x.peer_query.n = PEER_QUERY_IDS_MAX;
	for (unsigned i = 0; i * PEER_QUERY_IDS_MAX <= PEER_QUERY_BURST; i++)
		mesh_inject(m, 1, 0, &x);
	assert_int_equal(small_counters(m, 1)->n_query_rate, 1);
	assert_int_equal(small_counters(m, 1)->n_query_unknown,
			 PEER_QUERY_BURST);
	assert_int_equal(small_counters(m, 1)->n_sent[MSG_PEER_INFO],
			 PEER_QUERY_BURST);
	mesh_free(m);
}

/* OPENs of one route, one more than may be pending, none of them answered. */
static bool loses_opened(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)to;
	return m->type != MSG_OPENED && m->type != MSG_CLOSE;
}

static void a_neighbour_has_so_many_pending_circuits(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p);
	struct msg x;
	nsec start;
	unsigned n;

	(void)state;
	mesh_close(m, 0, small_connect(m, 0, 2));
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	mesh_set_filter(m, loses_opened, NULL);
	/* Within the quota of the origin. */
	start = mesh_now(m);
	for (n = 0; mesh_now(m) - start < CIRCUIT_PENDING_NS - NS_PER_S &&
		    small_counters(m, 1)->n_open_limit == 0;
	     n++) {
		x = forge_open(m, p, n);
		mesh_inject(m, 1, 0, &x);
		if (n + 1 >= OPEN_ORIGIN_BURST)
			small_pass(m, NS_PER_S / OPEN_ORIGIN_RATE + NS_PER_MS);
	}
	assert_int_equal(small_counters(m, 1)->n_open_limit, 0);
	assert_int_equal(mesh_router(m, 1)->neighbours.all->n_pending, n);
	mesh_router(m, 1)->neighbours.all->n_pending = CIRCUITS_PENDING_MAX;
	x = forge_open(m, p, n);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(small_counters(m, 1)->n_open_limit, 1);
	mesh_router(m, 1)->neighbours.all->n_pending = n;
	small_pass(m, CIRCUIT_PENDING_NS + NS_PER_S);
	assert_null(mesh_router(m, 1)->circuits.all);
	free(p);
	mesh_free(m);
}

static void an_origin_has_a_quota_of_circuits(void **state)
{
	struct mesh *m = small_line(3);
	struct route_proof *p = mem_new(p);
	struct msg x;

	(void)state;
	mesh_close(m, 0, small_connect(m, 0, 2));
	small_pass(m, 10 * NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	for (unsigned i = 0; i <= OPEN_ORIGIN_BURST; i++) {
		assert_int_equal(small_counters(m, 1)->n_open_rate_origin, 0);
		x = forge_open(m, p, i);
		mesh_inject(m, 1, 0, &x);
	}
	assert_int_equal(small_counters(m, 1)->n_open_rate_origin, 1);
	free(p);
	mesh_free(m);
}

/* The cap at its edge: at most so many probes of one neighbour are kept. */
static void the_probes_kept_for_one_neighbour_are_capped(void **state)
{
	struct mesh *m = small_line(3);
	struct neighbour *from;
	struct msg x = forge_probe(m, 0, 0, 2, 1);

	(void)state;
	from = neighbour_find(mesh_router(m, 1), &mesh_identity(m, 0)->id);
	from->n_seen = PROBES_SEEN_PER_PEER_MAX;
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(small_counters(m, 1)->n_probes_seen_full, 1);
	from->n_seen = PROBES_SEEN_PER_PEER_MAX - 1;
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(small_counters(m, 1)->n_probes_seen_full, 1);
	assert_int_equal(from->n_seen, PROBES_SEEN_PER_PEER_MAX);
	from->n_seen = 1;
	small_pass(m, NS_PER_S);
	assert_int_equal(small_counters(m, 2)->n_received[MSG_PROBE], 1);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_origin_has_a_quota_of_probes),
		cmocka_unit_test(a_neighbour_has_a_quota_of_probes),
		cmocka_unit_test(a_neighbour_has_a_quota_of_questions),
		cmocka_unit_test(a_neighbour_has_so_many_pending_circuits),
		cmocka_unit_test(an_origin_has_a_quota_of_circuits),
		cmocka_unit_test(the_probes_kept_for_one_neighbour_are_capped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
