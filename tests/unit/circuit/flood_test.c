/* What a relay does with the copies of one probe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/mesh.h"

static const struct mesh_link plain = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 300 * NS_PER_MS,
};

enum {
	RELAY,
	ORIGIN,
	NEAR_A, /* between origin and relay, by our invention */
	NEAR_B,
	BEYOND,
	TARGET,
	NODES
};

/* A star around the relay; the target is far away.  Link i leads to node
 * i + 1.  Nothing that the relay sends arrives: it is seen by the filter. */
struct star {
	struct mesh *m;
	unsigned n_probes[NODES];
	unsigned n_naks[NODES];
	enum nak_code nak[NODES]; /* the last one */
	uint32_t deadline_ms;
};

static bool note(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct star *s = ctx;

	if (from == RELAY && m->type == MSG_PROBE) {
		s->n_probes[to]++;
		s->deadline_ms = m->probe.deadline_ms;
	}
	if (from == RELAY && m->type == MSG_NAK) {
		s->n_naks[to]++;
		s->nak[to] = m->nak.code;
	}
	return from != RELAY || (m->type != MSG_PROBE && m->type != MSG_NAK);
}

static void star_init(struct star *s)
{
	*s = (struct star){ .m = mesh_new(1) };
	for (size_t i = 0; i < NODES; i++)
		mesh_add_node(s->m, true);
	for (size_t i = ORIGIN; i < TARGET; i++)
		mesh_add_link(s->m, RELAY, i, &plain);
	/* The target has some link, or it would have no router. */
	mesh_add_link(s->m, TARGET, BEYOND, &plain);
	mesh_run(s->m, mesh_now(s->m) + NS_PER_S);
	mesh_set_filter(s->m, note, s);
}

static struct msg probe(struct star *s, uint8_t ttl)
{
	struct msg x = { .type = MSG_PROBE };
	struct msg_probe *p = &x.probe;

	*p = (struct msg_probe){
		.flags = PROBE_FLAG_FLOOD,
		.ttl = ttl,
		.origin = mesh_identity(s->m, ORIGIN)->id,
		.target = mesh_identity(s->m, TARGET)->id,
		.nonce = { { 1, 2, 3 } },
		.issued_ms = mesh_wall(s->m),
		.valid_ms = PROBE_VALID_MS,
		.deadline_ms = 1000,
	};
	msg_probe_seal(p);
	key_sign(p->sig_origin, mesh_key(s->m, ORIGIN), SIGN_PROBE_ORIGIN,
		 mesh_ca(s->m), p->body, sizeof p->body);
	return x;
}

/* A copy that came over `via` at this cost so far. */
static void copy_from(struct star *s, struct msg *x, size_t via, uint16_t cost)
{
	x->probe.hops.n = 1;
	x->probe.hops.hop[0] = (struct hop){
		.id = mesh_identity(s->m, via)->id,
		.cost_100us = cost,
		.mtu = 1440,
	};
	assert_int_equal(mesh_inject(s->m, RELAY, via - 1, x), MSG_OK);
}

static void reply(struct star *s, size_t from, enum nak_code code)
{
	struct msg x = { .type = MSG_NAK };

	x.nak = (struct msg_nak){ .origin = mesh_identity(s->m, ORIGIN)->id,
				  .nonce = { { 1, 2, 3 } },
				  .tree = TREE_FLOOD,
				  .code = code };
	mesh_inject(s->m, RELAY, from - 1, &x);
}

static void a_copy_goes_to_all_but_those_who_had_it(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	copy_from(&s, &x, NEAR_A, 400);
	assert_int_equal(s.n_probes[ORIGIN], 0);
	assert_int_equal(s.n_probes[NEAR_A], 0);
	assert_int_equal(s.n_probes[NEAR_B], 1);
	assert_int_equal(s.n_probes[BEYOND], 1);
	mesh_free(s.m);
}

/* The link to us costs 100 more, so the first copy has 500. */
static void a_second_copy_passes_if_it_is_a_tenth_cheaper(void **state)
{
	static const struct {
		const char *why;
		uint16_t cost;
		bool passes;
	} cases[] = {
		{ "dearer", 500, false },
		{ "as dear", 400, false },
		{ "exactly a tenth cheaper", 350, false },
		{ "a little more than a tenth", 349, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct star s;
		struct msg x;

		star_init(&s);
		x = probe(&s, 8);
		copy_from(&s, &x, NEAR_A, 400);
		copy_from(&s, &x, NEAR_B, cases[i].cost);
		if (s.n_probes[BEYOND] != (cases[i].passes ? 2 : 1) ||
		    s.n_naks[NEAR_B] != !cases[i].passes)
			fail_msg("%s", cases[i].why);
		mesh_free(s.m);
	}
}

static void no_third_copy_passes(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	copy_from(&s, &x, NEAR_A, 400);
	copy_from(&s, &x, NEAR_B, 200);
	copy_from(&s, &x, BEYOND, 10);
	assert_int_equal(s.n_probes[BEYOND], 2);
	assert_int_equal(s.n_naks[BEYOND], 1);
	assert_int_equal(s.nak[BEYOND], NAK_DUPLICATE);
	assert_int_equal(
		router_counters(mesh_router(s.m, RELAY))->n_probe_duplicate, 1);
	mesh_free(s.m);
}

static void the_ttl_counts_links(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	/* One link to NEAR_A, one to us: nothing is left of two. */
	star_init(&s);
	x = probe(&s, 2);
	copy_from(&s, &x, NEAR_A, 100);
	assert_int_equal(s.n_probes[BEYOND], 0);
	assert_int_equal(s.nak[NEAR_A], NAK_TTL);
	/* A shorter way is passed on all the same. */
	x.probe.hops.n = 0;
	mesh_inject(s.m, RELAY, ORIGIN - 1, &x);
	assert_int_equal(s.n_probes[BEYOND], 1);
	mesh_free(s.m);
}

/* Whoever puts our neighbours into his list does not silence us. */
static void a_dead_end_does_not_stop_the_copies_after_it(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	x.probe.hops.n = 3;
	for (size_t i = 0; i < 3; i++)
		x.probe.hops.hop[i] = (struct hop){
			.id = mesh_identity(s.m, i == 0   ? BEYOND
						 : i == 1 ? NEAR_B
							  : NEAR_A)
				      ->id,
			.cost_100us = 100,
			.mtu = 1440,
		};
	assert_int_equal(mesh_inject(s.m, RELAY, NEAR_A - 1, &x), MSG_OK);
	assert_int_equal(s.nak[NEAR_A], NAK_DEAD_END);
	copy_from(&s, &x, NEAR_B, 5000);
	assert_int_equal(s.n_probes[BEYOND], 1);
	mesh_free(s.m);
}

static void upstream_is_told_once_when_all_have_replied(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	copy_from(&s, &x, NEAR_A, 100);
	reply(&s, NEAR_B, NAK_DEAD_END);
	assert_int_equal(s.n_naks[NEAR_A], 0);
	reply(&s, BEYOND, NAK_TTL);
	assert_int_equal(s.n_naks[NEAR_A], 1);
	assert_int_equal(s.nak[NEAR_A], NAK_TTL);
	reply(&s, BEYOND, NAK_TTL);
	mesh_run(s.m, mesh_now(s.m) + 2 * NS_PER_S);
	assert_int_equal(s.n_naks[NEAR_A], 1);
	mesh_free(s.m);
}

static void upstream_is_told_before_its_patience_ends(void **state)
{
	struct star s;
	struct msg x;
	nsec start;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	start = mesh_now(s.m);
	copy_from(&s, &x, NEAR_A, 100);
	/* The round trip is 10 ms: 2 * 10 + 5 less than the 1000 given. */
	assert_int_equal(s.deadline_ms, 975);
	reply(&s, NEAR_B, NAK_DEAD_END);
	mesh_run(s.m, start + 974 * NS_PER_MS);
	assert_int_equal(s.n_naks[NEAR_A], 0);
	mesh_run(s.m, start + 975 * NS_PER_MS);
	assert_int_equal(s.n_naks[NEAR_A], 1);
	assert_int_equal(s.nak[NEAR_A], NAK_TIMEOUT);
	mesh_free(s.m);
}

static void a_copy_without_time_is_not_passed_on(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	x.probe.deadline_ms = 25;
	copy_from(&s, &x, NEAR_A, 100);
	assert_int_equal(s.nak[NEAR_A], NAK_TIMEOUT);
	assert_int_equal(s.n_probes[BEYOND], 0);
	mesh_free(s.m);
}

static void a_link_that_goes_down_counts_as_a_reply(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	x = probe(&s, 8);
	copy_from(&s, &x, NEAR_A, 100);
	reply(&s, NEAR_B, NAK_DEAD_END);
	mesh_cut(s.m, BEYOND - 1);
	mesh_run(s.m, mesh_now(s.m) + 400 * NS_PER_MS);
	assert_int_equal(s.n_naks[NEAR_A], 1);
	assert_int_equal(s.nak[NEAR_A], NAK_LINK);
	mesh_free(s.m);
}

/* A new neighbour gets it once, and so often all new neighbours together. */
static void a_probe_is_offered_to_new_neighbours(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	mesh_cut(s.m, BEYOND - 1);
	mesh_run(s.m, mesh_now(s.m) + NS_PER_S);
	x = probe(&s, 8);
	copy_from(&s, &x, NEAR_A, 100);
	reply(&s, NEAR_B, NAK_DEAD_END);
	for (unsigned i = 1; i <= PROBE_REOFFERS_MAX + 2; i++) {
		mesh_heal(s.m, BEYOND - 1);
		assert_int_equal(s.n_probes[BEYOND],
				 i < PROBE_REOFFERS_MAX ? i
							: PROBE_REOFFERS_MAX);
		mesh_cut(s.m, BEYOND - 1);
		mesh_run(s.m, mesh_now(s.m) + NS_PER_S);
	}
	mesh_free(s.m);
}

static void a_probe_is_not_offered_when_it_is_no_longer_valid(void **state)
{
	struct star s;
	struct msg x;

	(void)state;
	star_init(&s);
	mesh_cut(s.m, BEYOND - 1);
	mesh_run(s.m, mesh_now(s.m) + NS_PER_S);
	x = probe(&s, 8);
	copy_from(&s, &x, NEAR_A, 100);
	mesh_run(s.m, mesh_now(s.m) + PROBE_VALID_MS * NS_PER_MS);
	mesh_heal(s.m, BEYOND - 1);
	assert_int_equal(s.n_probes[BEYOND], 0);
	mesh_free(s.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_goes_to_all_but_those_who_had_it),
		cmocka_unit_test(a_second_copy_passes_if_it_is_a_tenth_cheaper),
		cmocka_unit_test(no_third_copy_passes),
		cmocka_unit_test(the_ttl_counts_links),
		cmocka_unit_test(a_dead_end_does_not_stop_the_copies_after_it),
		cmocka_unit_test(upstream_is_told_once_when_all_have_replied),
		cmocka_unit_test(upstream_is_told_before_its_patience_ends),
		cmocka_unit_test(a_copy_without_time_is_not_passed_on),
		cmocka_unit_test(a_link_that_goes_down_counts_as_a_reply),
		cmocka_unit_test(a_probe_is_offered_to_new_neighbours),
		cmocka_unit_test(
			a_probe_is_not_offered_when_it_is_no_longer_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
