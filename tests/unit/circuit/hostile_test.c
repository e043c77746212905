/* Nodes of the cluster that misbehave: whatever they alter, invent, repeat or
 * pour out is rejected, and a counter says so. */
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

#define COUNTER(name) offsetof(struct router_counters, name)

static const struct mesh_link plain = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 300 * NS_PER_MS,
};

static void pass(struct mesh *m, nsec time)
{
	mesh_run(m, mesh_now(m) + time);
}

/* Nodes 0 to n - 1; link i joins i and i + 1. */
static struct mesh *line(size_t n)
{
	struct mesh *m = mesh_new(1);

	for (size_t i = 0; i < n; i++)
		mesh_add_node(m, true);
	for (size_t i = 0; i + 1 < n; i++)
		mesh_add_link(m, i, i + 1, &plain);
	pass(m, NS_PER_S);
	return m;
}

static circuit_no connect(struct mesh *m, size_t from, size_t to)
{
	nsec start = mesh_now(m);
	const struct mesh_event *e;

	mesh_connect(m, from, to, 0);
	pass(m, 9 * NS_PER_S);
	e = mesh_opened(m, from, to, start);
	return e != NULL ? e->event.circuit : 0;
}

static const struct router_counters *counters(struct mesh *m, size_t node)
{
	return router_counters(mesh_router(m, node));
}

static struct node_id id_of(struct mesh *m, size_t node)
{
	return mesh_identity(m, node)->id;
}

static bool has_route(struct mesh *m, size_t node)
{
	struct route_proof *p = mem_new(p);
	bool has = router_route_get(mesh_router(m, node), 0, p);

	free(p);
	return has;
}

/* ---- a relay that alters what passes ----------------------------------- */

/* What node 2 of a line of five does to the messages it sends. */
struct evil {
	struct mesh *m;
	enum msg_type type;
	void (*alter)(struct evil *e, struct msg *m);
	struct msg kept; /* the last message of that type */
	bool has_kept;
	unsigned n;
};

static bool evil_filter(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct evil *e = ctx;

	(void)to;
	if (from != 2 || m->type != e->type)
		return true;
	e->kept = *m;
	e->has_kept = true;
	e->n++;
	if (e->alter != NULL)
		e->alter(e, m);
	return true;
}

static struct evil *corrupt(struct mesh *m, enum msg_type type,
			    void (*alter)(struct evil *e, struct msg *m))
{
	struct evil *e = mem_new(e);

	e->m = m;
	e->type = type;
	e->alter = alter;
	mesh_set_filter(m, evil_filter, e);
	return e;
}

static void reseal(struct route_proof *p)
{
	route_proof_seal(p);
}

static void cheapen_own_hop(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.hops.hop[1].cost_100us = 1;
	reseal(&m->answer.route);
}

static void cheapen_the_hop_of_another(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.hops.hop[0].cost_100us = 1;
	reseal(&m->answer.route);
}

static void lengthen_the_life(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.expiry_ms += 3600000;
	reseal(&m->answer.route);
}

static void change_a_signature_of_the_target(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.sig_target[9] ^= 1;
}

static void change_a_signature_of_a_relay(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.sigs[2][9] ^= 1;
}

static void leave_a_signature_out(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.first_sig = 2;
}

static void leave_out_the_node_behind(struct evil *e, struct msg *m)
{
	struct hop_list *h = &m->answer.route.hops;

	(void)e;
	h->hop[2] = h->hop[3];
	h->n = 3;
	reseal(&m->answer.route);
}

static void leave_itself_out(struct evil *e, struct msg *m)
{
	struct hop_list *h = &m->answer.route.hops;

	(void)e;
	memmove(&h->hop[1], &h->hop[2], 2 * sizeof h->hop[0]);
	h->n = 3;
	m->answer.route.first_sig = 1;
	reseal(&m->answer.route);
}

static void name_another_probe(struct evil *e, struct msg *m)
{
	(void)e;
	m->answer.route.probe_hash[0] ^= 1;
	reseal(&m->answer.route);
}

/* The whole path, invented: every signature is the attacker's. */
static void sign_for_all(struct evil *e, struct msg *m)
{
	struct route_proof *p = &m->answer.route;
	uint8_t digest[HASH_LEN];

	p->hops.hop[2].cost_100us = 1;
	reseal(p);
	key_sign(p->sig_target, mesh_key(e->m, 2), SIGN_ANSWER_TARGET,
		 mesh_ca(e->m), p->body, p->body_len);
	route_proof_digest(digest, p);
	for (size_t i = p->first_sig; i < 3; i++)
		key_sign(p->sigs[i], mesh_key(e->m, 2), SIGN_ANSWER_HOP,
			 mesh_ca(e->m), digest, sizeof digest);
}

static void an_answer_that_was_altered_makes_no_route(void **state)
{
	static const struct {
		const char *why;
		void (*alter)(struct evil *e, struct msg *m);
		size_t where; /* who notices, and counts so */
		size_t counter;
	} cases[] = {
		{ "its own cost", cheapen_own_hop, 0,
		  COUNTER(n_answer_bad_signature) },
		{ "the cost of the next relay", cheapen_the_hop_of_another, 1,
		  COUNTER(n_answer_altered) },
		{ "the expiry", lengthen_the_life, 1,
		  COUNTER(n_answer_altered) },
		{ "the target's signature", change_a_signature_of_the_target, 0,
		  COUNTER(n_answer_bad_signature) },
		{ "a relay's signature", change_a_signature_of_a_relay, 0,
		  COUNTER(n_answer_bad_signature) },
		{ "a signature is missing", leave_a_signature_out, 1,
		  COUNTER(n_answer_altered) },
		{ "a node behind is left out", leave_out_the_node_behind, 0,
		  COUNTER(n_answer_bad_signature) },
		{ "the attacker is left out", leave_itself_out, 1,
		  COUNTER(n_answer_unexpected) },
		{ "it answers another probe", name_another_probe, 1,
		  COUNTER(n_answer_altered) },
		{ "all is forged", sign_for_all, 0,
		  COUNTER(n_answer_bad_signature) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mesh *m = line(5);
		struct evil *e = corrupt(m, MSG_ANSWER, cases[i].alter);
		const struct mesh_event *un;
		uint64_t n;

		assert_int_equal(connect(m, 0, 4), 0);
		un = mesh_last(m, 0, ROUTER_UNREACHABLE, 4, 0);
		memcpy(&n,
		       (const char *)counters(m, cases[i].where) +
			       cases[i].counter,
		       sizeof n);
		if (n == 0 || has_route(m, 0) || un == NULL ||
		    un->event.is_proved)
			fail_msg("%s", cases[i].why);
		mesh_free(m);
		free(e);
	}
}

static void insert_a_phantom(struct evil *e, struct msg *m)
{
	struct hop_list *h = &m->probe.hops;

	(void)e;
	h->hop[h->n] = h->hop[h->n - 1];
	h->hop[h->n - 1].id.b[0] ^= 0x55;
	h->n++;
}

static void drop_the_hop_before(struct evil *e, struct msg *m)
{
	struct hop_list *h = &m->probe.hops;

	(void)e;
	h->hop[h->n - 2] = h->hop[h->n - 1];
	h->n--;
}

/* The lie travels to the target and back; the first honest node before the
 * liar does not find its own path in the answer. */
static void hops_invented_or_left_out_of_a_probe_make_no_route(void **state)
{
	static void (*const alters[])(struct evil *,
				      struct msg *) = { insert_a_phantom,
							drop_the_hop_before };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mesh *m = line(5);
		struct evil *e = corrupt(m, MSG_PROBE, alters[i]);

		assert_int_equal(connect(m, 0, 4), 0);
		assert_true(e->n > 0);
		assert_true(counters(m, 4)->n_sent[MSG_ANSWER] > 0);
		assert_true(counters(m, 2)->n_answer_unexpected > 0);
		assert_false(has_route(m, 0));
		mesh_free(m);
		free(e);
	}
}

static void change_the_target(struct evil *e, struct msg *m)
{
	m->probe.target = id_of(e->m, 3);
	msg_probe_seal(&m->probe);
}

static void a_probe_whose_body_was_changed_is_not_passed_on(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_PROBE, change_the_target);

	(void)state;
	assert_int_equal(connect(m, 0, 4), 0);
	assert_true(counters(m, 3)->n_probe_bad_signature > 0);
	assert_int_equal(counters(m, 3)->n_sent[MSG_PROBE], 0);
	assert_int_equal(counters(m, 3)->n_sent[MSG_ANSWER], 0);
	mesh_free(m);
	free(e);
}

/* ---- what is invented -------------------------------------------------- */

/* A probe as its origin would sign it; `by` really signs. */
static struct msg probe_by(struct mesh *m, size_t by, size_t origin,
			   size_t target, uint8_t number)
{
	struct msg x = { .type = MSG_PROBE };
	struct msg_probe *p = &x.probe;

	*p = (struct msg_probe){
		.flags = PROBE_FLAG_FLOOD,
		.ttl = 8,
		.origin = id_of(m, origin),
		.target = id_of(m, target),
		.nonce = { { number, 1, 2, 3 } },
		.issued_ms = mesh_wall(m),
		.valid_ms = PROBE_VALID_MS,
		.deadline_ms = 1000,
	};
	msg_probe_seal(p);
	key_sign(p->sig_origin, mesh_key(m, by), SIGN_PROBE_ORIGIN, mesh_ca(m),
		 p->body, sizeof p->body);
	return x;
}

static void resign(struct mesh *m, size_t by, struct msg_probe *p)
{
	msg_probe_seal(p);
	key_sign(p->sig_origin, mesh_key(m, by), SIGN_PROBE_ORIGIN, mesh_ca(m),
		 p->body, sizeof p->body);
}

static struct hop hop_of(struct mesh *m, size_t node)
{
	return (struct hop){ .id = id_of(m, node),
			     .cost_100us = 100,
			     .mtu = 1440 };
}

/* Node 1 of a line of three gets them from node 0; nothing may reach 2. */
static void probes_are_checked_in_every_field(void **state)
{
	enum {
		HONEST,
		OLD,
		FUTURE,
		LONG,
		FOREIGN,
		GAP,
		WRONG_LAST,
		LOOP,
		TWICE,
		SPENT,
		NO_FLOOD
	};
	static const struct {
		const char *why;
		int what;
		enum msg_verdict verdict;
		size_t counter;
		bool passes;
	} cases[] = {
		{ "honest", HONEST, MSG_OK, 0, true },
		{ "issued too long ago", OLD, MSG_OK, COUNTER(n_probe_expired),
		  false },
		{ "issued in the future", FUTURE, MSG_OK,
		  COUNTER(n_probe_expired), false },
		{ "valid for too long", LONG, MSG_OK, COUNTER(n_probe_expired),
		  false },
		{ "signed by another", FOREIGN, MSG_OK,
		  COUNTER(n_probe_bad_signature), false },
		{ "an origin that is no neighbour, without hops", GAP,
		  MSG_INVALID, 0, false },
		{ "the last hop is not the sender", WRONG_LAST, MSG_INVALID, 0,
		  false },
		{ "we are in the list already", LOOP, MSG_OK,
		  COUNTER(n_probe_loop), false },
		{ "another is in the list twice", TWICE, MSG_OK,
		  COUNTER(n_probe_loop), false },
		{ "more hops than its ttl", SPENT, MSG_INVALID, 0, false },
		{ "not a flood", NO_FLOOD, MSG_OK, COUNTER(n_probe_not_flood),
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mesh *m = line(4);
		struct msg x = probe_by(m, 0, 0, 3, 1);
		struct msg_probe *p = &x.probe;
		uint64_t n = 1;
		enum msg_verdict v;

		switch (cases[i].what) {
		case OLD:
			p->issued_ms -= CLOCK_SKEW_MS;
			resign(m, 0, p);
			break;
		case FUTURE:
			p->issued_ms += CLOCK_SKEW_MS;
			resign(m, 0, p);
			break;
		case LONG:
			p->valid_ms++;
			resign(m, 0, p);
			break;
		case FOREIGN:
			resign(m, 2, p);
			break;
		case GAP:
			p->origin = id_of(m, 3);
			p->target = id_of(m, 2);
			resign(m, 3, p);
			break;
		case WRONG_LAST:
			p->hops.n = 1;
			p->hops.hop[0] = hop_of(m, 2);
			break;
		case LOOP:
			p->origin = id_of(m, 2);
			resign(m, 2, p);
			p->hops.n = 2;
			p->hops.hop[0] = hop_of(m, 1);
			p->hops.hop[1] = hop_of(m, 0);
			break;
		case TWICE:
			p->origin = id_of(m, 2);
			resign(m, 2, p);
			p->hops.n = 3;
			p->hops.hop[0] = p->hops.hop[2] = hop_of(m, 0);
			p->hops.hop[1] = hop_of(m, 3);
			break;
		case SPENT:
			p->ttl = 1;
			p->origin = id_of(m, 2);
			resign(m, 2, p);
			p->hops.n = 1;
			p->hops.hop[0] = hop_of(m, 0);
			break;
		case NO_FLOOD:
			p->flags = 0;
			resign(m, 0, p);
			break;
		default:
			break;
		}
		v = mesh_inject(m, 1, 0, &x);
		pass(m, NS_PER_S);
		if (cases[i].counter != 0)
			memcpy(&n,
			       (const char *)counters(m, 1) + cases[i].counter,
			       sizeof n);
		if (v != cases[i].verdict || n != 1 ||
		    (counters(m, 2)->n_received[MSG_PROBE] > 0) !=
			    cases[i].passes)
			fail_msg("%s", cases[i].why);
		mesh_free(m);
	}
}

static void naks_that_nobody_owes_change_nothing(void **state)
{
	struct mesh *m = line(4);
	struct msg nak = { .type = MSG_NAK };
	struct evil *e = corrupt(m, MSG_PROBE, NULL);

	(void)state;
	assert_int_not_equal(connect(m, 0, 3), 0);
	assert_true(e->has_kept);
	nak.nak = (struct msg_nak){ .origin = e->kept.probe.origin,
				    .nonce = e->kept.probe.nonce,
				    .code = NAK_DEAD_END };
	/* From below once more, from above, and for a probe unheard of. */
	mesh_inject(m, 1, 1, &nak);
	mesh_inject(m, 1, 0, &nak);
	mesh_inject(m, 0, 0, &nak);
	nak.nak.nonce.b[3] ^= 1;
	mesh_inject(m, 1, 1, &nak);
	mesh_inject(m, 0, 0, &nak);
	assert_int_equal(counters(m, 1)->n_nak_unexpected, 3);
	assert_int_equal(counters(m, 0)->n_nak_unexpected, 2);
	mesh_free(m);
	free(e);
}

static void certificates_that_nobody_asked_for_are_not_taken(void **state)
{
	struct mesh *m = line(3);
	struct msg x = { .type = MSG_PEER_INFO };
	struct sign_key key;
	struct node_hash h;

	(void)state;
	sign_key_from_seed(&key, (const uint8_t[32]){ 9 });
	h = hash_of_key(&key.public);
	x.peer_info.id = id_of_hash(&h);
	x.peer_info.chain_len = KEY_LEN;
	memcpy(x.peer_info.chain, key.public.b, KEY_LEN);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(counters(m, 1)->n_info_rejected, 1);
	assert_null(router_identity_find(mesh_router(m, 1), &x.peer_info.id));
	mesh_free(m);
}

/* The certificate of another node than the one asked for. */
static void swap_the_certificate(struct evil *e, struct msg *m)
{
	memcpy(m->peer_info.chain, mesh_key(e->m, 2)->public.b, KEY_LEN);
	m->peer_info.chain_len = KEY_LEN;
}

static void a_certificate_of_another_node_is_not_taken(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_PEER_INFO, swap_the_certificate);

	(void)state;
	assert_int_equal(connect(m, 0, 4), 0);
	assert_true(counters(m, 1)->n_info_rejected +
			    counters(m, 3)->n_info_rejected >
		    0);
	mesh_free(m);
	free(e);
}

/* ---- what is repeated -------------------------------------------------- */

static void an_answer_works_once(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_ANSWER, NULL);
	uint64_t n_sent;

	(void)state;
	assert_int_not_equal(connect(m, 0, 4), 0);
	assert_true(e->has_kept);
	n_sent = counters(m, 1)->n_sent[MSG_ANSWER];
	mesh_inject(m, 1, 1, &e->kept);
	pass(m, NS_PER_S);
	assert_int_equal(counters(m, 1)->n_answer_unexpected, 1);
	assert_int_equal(counters(m, 1)->n_sent[MSG_ANSWER], n_sent);
	/* And long after. */
	pass(m, 2 * PROBE_SEEN_NS);
	mesh_inject(m, 1, 1, &e->kept);
	assert_int_equal(counters(m, 1)->n_answer_unexpected, 2);
	mesh_free(m);
	free(e);
}

static void an_open_works_once(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_OPEN, NULL);
	circuit_no c = connect(m, 0, 4);

	(void)state;
	assert_int_not_equal(c, 0);
	assert_true(e->has_kept);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(counters(m, 3)->n_open_stale, 1);
	pass(m, NS_PER_S);
	assert_null(mesh_last(m, 0, ROUTER_CIRCUIT_DOWN, 4, 0));
	mesh_close(m, 0, c);
	pass(m, NS_PER_S);
	assert_null(mesh_router(m, 3)->circuits.all);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(counters(m, 3)->n_open_stale, 2);
	/* When the open_id is forgotten the OPEN is too old. */
	pass(m, 2 * OPEN_SEEN_NS);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(counters(m, 3)->n_open_stale, 3);
	assert_null(mesh_router(m, 3)->circuits.all);
	mesh_free(m);
	free(e);
}

/* A new open_id needs the origin's signature. */
static void forge_an_open_id(struct msg_open *o)
{
	o->open_id.b[0] ^= 1;
	msg_open_seal(o);
}

static void only_the_origin_opens_its_routes(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_OPEN, NULL);

	(void)state;
	assert_int_not_equal(connect(m, 0, 4), 0);
	forge_an_open_id(&e->kept.open);
	mesh_inject(m, 3, 2, &e->kept);
	assert_int_equal(counters(m, 3)->n_open_bad_signature, 1);
	mesh_free(m);
	free(e);
}

/* A relay's own place is checked before anything else. */
static void an_open_that_skips_a_node_is_refused(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_OPEN, NULL);

	(void)state;
	assert_int_not_equal(connect(m, 0, 4), 0);
	forge_an_open_id(&e->kept.open);
	/* It comes from the wrong side, and to a node before the sender. */
	mesh_inject(m, 3, 3, &e->kept);
	mesh_inject(m, 1, 1, &e->kept);
	assert_int_equal(counters(m, 3)->n_open_refused, 1);
	assert_int_equal(counters(m, 1)->n_open_refused, 1);
	mesh_free(m);
	free(e);
}

static void change_the_path_of_an_open(struct evil *e, struct msg *m)
{
	(void)e;
	m->open.route.hops.hop[0].cost_100us++;
	reseal(&m->open.route);
	msg_open_seal(&m->open);
}

static void a_path_that_was_not_signed_is_not_opened(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_OPEN, change_the_path_of_an_open);

	(void)state;
	assert_int_equal(connect(m, 0, 4), 0);
	assert_true(counters(m, 3)->n_open_bad_signature > 0);
	assert_null(mesh_last(m, 4, ROUTER_CIRCUIT_UP, 0, 0));
	mesh_free(m);
	free(e);
}

static struct msg open_by_origin(struct mesh *m, const struct route_proof *p,
				 unsigned number)
{
	struct msg x = { .type = MSG_OPEN };
	struct msg_open *o = &x.open;

	*o = (struct msg_open){ .route = *p,
				.issued_ms = mesh_wall(m),
				.label = 5000 + number,
				.mtu = 1440 };
	memcpy(o->open_id.b, &number, sizeof number);
	o->open_id.b[15] = 1;
	msg_open_seal(o);
	key_sign(o->sig_origin, mesh_key(m, 0), SIGN_OPEN_ORIGIN, mesh_ca(m),
		 o->body, sizeof o->body);
	return x;
}

/* An origin that signs what relays and target never did. */
static void a_node_opens_only_what_it_signed_itself(void **state)
{
	struct mesh *m = line(3);
	struct route_proof *p = mem_new(p);
	struct msg x;

	(void)state;
	mesh_close(m, 0, connect(m, 0, 2));
	pass(m, NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	p->hops.hop[1].cost_100us++;
	reseal(p);
	x = open_by_origin(m, p, 1);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(counters(m, 1)->n_open_bad_signature, 1);
	assert_null(mesh_router(m, 1)->circuits.all);
	free(p);
	mesh_free(m);
}

static void change_a_signature_in_an_open(struct evil *e, struct msg *m)
{
	(void)e;
	m->open.route.sigs[0][3] ^= 1;
}

/* The relays behind look at their own signatures only. */
static void the_target_checks_the_signatures_of_all(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_OPEN, change_a_signature_in_an_open);

	(void)state;
	assert_int_equal(connect(m, 0, 4), 0);
	assert_int_equal(counters(m, 3)->n_open_bad_signature, 0);
	assert_true(counters(m, 4)->n_open_bad_signature > 0);
	assert_null(mesh_last(m, 4, ROUTER_CIRCUIT_UP, 0, 0));
	mesh_free(m);
	free(e);
}

static void shrink_open(struct evil *e, struct msg *m)
{
	(void)e;
	m->open.mtu = CIRCUIT_MTU_MIN - 1;
}

static void shrink_opened(struct evil *e, struct msg *m)
{
	(void)e;
	m->opened.mtu = CIRCUIT_MTU_MIN - 1;
}

static void a_circuit_too_narrow_for_quic_is_none(void **state)
{
	struct mesh *m = line(5);
	struct evil *e = corrupt(m, MSG_OPEN, shrink_open);

	(void)state;
	assert_int_equal(connect(m, 0, 4), 0);
	assert_true(counters(m, 3)->n_open_refused > 0);
	e->type = MSG_OPENED;
	e->alter = shrink_opened;
	pass(m, 30 * NS_PER_S);
	assert_int_equal(connect(m, 0, 4), 0);
	assert_true(counters(m, 1)->n_opened_unexpected > 0);
	for (size_t i = 0; i < 5; i++)
		assert_null(mesh_router(m, i)->circuits.all);
	mesh_free(m);
	free(e);
}

static void circuits_are_closed_by_those_on_them_only(void **state)
{
	struct mesh *m = mesh_new(1);
	struct circuit_info info;
	struct msg x = { .type = MSG_CLOSE };
	circuit_no c;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		mesh_add_node(m, true);
	for (size_t i = 0; i < 3; i++)
		mesh_add_link(m, 1, i == 0 ? 0 : i + 1, &plain);
	pass(m, NS_PER_S);
	c = connect(m, 0, 2);
	assert_true(router_circuit_next(mesh_router(m, 1), 0, &info));
	/* Node 3 is a neighbour of the relay, but not on the circuit. */
	x.close = (struct msg_close){ .open_id = info.open_id,
				      .reason = CLOSE_DONE };
	mesh_inject(m, 1, 2, &x);
	x.close = (struct msg_close){ .label = info.label_out[0],
				      .reason = CLOSE_DONE };
	mesh_inject(m, 1, 2, &x);
	assert_int_equal(counters(m, 1)->n_close_unexpected, 2);
	/* What has ended here need not be kept there. */
	x.type = MSG_OPENED;
	x.opened = (struct msg_opened){ .open_id = { { 9 } },
					.label = 77,
					.mtu = 1440 };
	mesh_inject(m, 1, 2, &x);
	assert_int_equal(counters(m, 1)->n_sent[MSG_CLOSE], 1);
	x.opened = (struct msg_opened){ .open_id = info.open_id,
					.label = 77,
					.mtu = 1440 };
	mesh_inject(m, 1, 2, &x);
	mesh_inject(m, 1, 1, &x);
	assert_int_equal(counters(m, 1)->n_opened_unexpected, 3);
	assert_int_equal(counters(m, 1)->n_sent[MSG_CLOSE], 1);
	pass(m, NS_PER_S);
	assert_true(router_circuit_get(mesh_router(m, 0), c, &info));
	assert_true(info.is_established);
	mesh_free(m);
}

static void labels_of_another_session_carry_nothing(void **state)
{
	struct mesh *m = line(4);
	struct circuit_info info;
	struct relay_hop hop;

	(void)state;
	connect(m, 0, 3);
	assert_true(router_circuit_next(mesh_router(m, 1), 0, &info));
	assert_int_equal(router_packet_received(mesh_router(m, 1),
						mesh_session(m, 1, 1),
						info.label_in[TOWARD_ORIGIN],
						10, mesh_now(m), &hop),
			 RELAY_UNKNOWN);
	assert_int_equal(router_packet_received(mesh_router(m, 1),
						mesh_session(m, 1, 0),
						info.label_in[TOWARD_ORIGIN],
						10, mesh_now(m), &hop),
			 RELAY_FORWARD);
	mesh_free(m);
}

/* ---- what is too much -------------------------------------------------- */

static void an_origin_has_a_quota_of_probes(void **state)
{
	struct mesh *m = line(3);

	(void)state;
	for (uint8_t i = 0; i <= PROBE_ORIGIN_BURST; i++) {
		struct msg x = probe_by(m, 0, 0, 2, i);

		assert_int_equal(counters(m, 1)->n_probe_rate_origin, 0);
		mesh_inject(m, 1, 0, &x);
	}
	assert_int_equal(counters(m, 1)->n_probe_rate_origin, 1);
	pass(m, NS_PER_S);
	assert_int_equal(counters(m, 2)->n_received[MSG_PROBE],
			 PROBE_ORIGIN_BURST);
	mesh_free(m);
}

/* Whoever forges spends his own quota, not that of the origin he names. */
static void a_neighbour_has_a_quota_of_probes(void **state)
{
	struct mesh *m = line(3);
	struct msg x = probe_by(m, 0, 0, 2, 1);

	(void)state;
	x.probe.hops.n = 1;
	x.probe.hops.hop[0] = hop_of(m, 0);
	for (unsigned i = 0; i <= PROBE_PEER_BURST; i++) {
		assert_int_equal(counters(m, 1)->n_probe_rate_peer, 0);
		memcpy(x.probe.origin.b, &i, sizeof i);
		x.probe.nonce.b[0] = (uint8_t)i;
		msg_probe_seal(&x.probe);
		mesh_inject(m, 1, 0, &x);
	}
	assert_int_equal(counters(m, 1)->n_probe_rate_peer, 1);
	/* No more than so many wait for the certificates of nobody. */
	assert_int_equal(mesh_router(m, 1)->asking.n_parked,
			 PARKED_PER_PEER_MAX);
	assert_true(mesh_router(m, 1)->neighbours.all->n_asked <=
		    ASKED_PER_PEER_MAX);
	pass(m, 5 * NS_PER_S);
	assert_int_equal(mesh_router(m, 1)->asking.n_parked, 0);
	assert_null(mesh_router(m, 1)->asking.asked);
	assert_null(mesh_router(m, 1)->asking.wanted);
	assert_int_equal(counters(m, 1)->n_probe_unknown_origin,
			 PROBE_PEER_BURST);
	mesh_free(m);
}

static void a_neighbour_has_a_quota_of_questions(void **state)
{
	struct mesh *m = line(2);
	struct msg x = { .type = MSG_PEER_QUERY };

	(void)state;
	x.peer_query.n = PEER_QUERY_IDS_MAX;
	for (unsigned i = 0; i * PEER_QUERY_IDS_MAX <= PEER_QUERY_BURST; i++)
		mesh_inject(m, 1, 0, &x);
	assert_int_equal(counters(m, 1)->n_query_rate, 1);
	assert_int_equal(counters(m, 1)->n_query_unknown, PEER_QUERY_BURST);
	assert_int_equal(counters(m, 1)->n_sent[MSG_PEER_INFO],
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
	struct mesh *m = line(3);
	struct route_proof *p = mem_new(p);
	struct msg x;
	nsec start;
	unsigned n;

	(void)state;
	mesh_close(m, 0, connect(m, 0, 2));
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	mesh_set_filter(m, loses_opened, NULL);
	/* Within the quota of the origin. */
	start = mesh_now(m);
	for (n = 0; mesh_now(m) - start < CIRCUIT_PENDING_NS - NS_PER_S &&
		    counters(m, 1)->n_open_limit == 0;
	     n++) {
		x = open_by_origin(m, p, n);
		mesh_inject(m, 1, 0, &x);
		if (n + 1 >= OPEN_ORIGIN_BURST)
			pass(m, NS_PER_S / OPEN_ORIGIN_RATE + NS_PER_MS);
	}
	assert_int_equal(counters(m, 1)->n_open_limit, 0);
	assert_int_equal(mesh_router(m, 1)->neighbours.all->n_pending, n);
	mesh_router(m, 1)->neighbours.all->n_pending = CIRCUITS_PENDING_MAX;
	x = open_by_origin(m, p, n);
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(counters(m, 1)->n_open_limit, 1);
	mesh_router(m, 1)->neighbours.all->n_pending = n;
	pass(m, CIRCUIT_PENDING_NS + NS_PER_S);
	assert_null(mesh_router(m, 1)->circuits.all);
	free(p);
	mesh_free(m);
}

static void an_origin_has_a_quota_of_circuits(void **state)
{
	struct mesh *m = line(3);
	struct route_proof *p = mem_new(p);
	struct msg x;

	(void)state;
	mesh_close(m, 0, connect(m, 0, 2));
	pass(m, 10 * NS_PER_S);
	assert_true(router_route_get(mesh_router(m, 0), 0, p));
	for (unsigned i = 0; i <= OPEN_ORIGIN_BURST; i++) {
		assert_int_equal(counters(m, 1)->n_open_limit, 0);
		x = open_by_origin(m, p, i);
		mesh_inject(m, 1, 0, &x);
	}
	assert_int_equal(counters(m, 1)->n_open_limit, 1);
	free(p);
	mesh_free(m);
}

/* The cap at its edge: at most so many probes of one neighbour are kept. */
static void the_probes_kept_for_one_neighbour_are_capped(void **state)
{
	struct mesh *m = line(3);
	struct neighbour *from;
	struct msg x = probe_by(m, 0, 0, 2, 1);

	(void)state;
	from = neighbour_find(mesh_router(m, 1), &mesh_identity(m, 0)->id);
	from->n_seen = PROBES_SEEN_PER_PEER_MAX;
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(counters(m, 1)->n_probe_rate_peer, 1);
	from->n_seen = PROBES_SEEN_PER_PEER_MAX - 1;
	mesh_inject(m, 1, 0, &x);
	assert_int_equal(counters(m, 1)->n_probe_rate_peer, 1);
	assert_int_equal(from->n_seen, PROBES_SEEN_PER_PEER_MAX);
	from->n_seen = 1;
	pass(m, NS_PER_S);
	assert_int_equal(counters(m, 2)->n_received[MSG_PROBE], 1);
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_was_altered_makes_no_route),
		cmocka_unit_test(
			hops_invented_or_left_out_of_a_probe_make_no_route),
		cmocka_unit_test(
			a_probe_whose_body_was_changed_is_not_passed_on),
		cmocka_unit_test(probes_are_checked_in_every_field),
		cmocka_unit_test(naks_that_nobody_owes_change_nothing),
		cmocka_unit_test(
			certificates_that_nobody_asked_for_are_not_taken),
		cmocka_unit_test(a_certificate_of_another_node_is_not_taken),
		cmocka_unit_test(an_answer_works_once),
		cmocka_unit_test(an_open_works_once),
		cmocka_unit_test(only_the_origin_opens_its_routes),
		cmocka_unit_test(an_open_that_skips_a_node_is_refused),
		cmocka_unit_test(a_path_that_was_not_signed_is_not_opened),
		cmocka_unit_test(a_node_opens_only_what_it_signed_itself),
		cmocka_unit_test(the_target_checks_the_signatures_of_all),
		cmocka_unit_test(a_circuit_too_narrow_for_quic_is_none),
		cmocka_unit_test(circuits_are_closed_by_those_on_them_only),
		cmocka_unit_test(labels_of_another_session_carry_nothing),
		cmocka_unit_test(an_origin_has_a_quota_of_probes),
		cmocka_unit_test(a_neighbour_has_a_quota_of_probes),
		cmocka_unit_test(a_neighbour_has_a_quota_of_questions),
		cmocka_unit_test(a_neighbour_has_so_many_pending_circuits),
		cmocka_unit_test(an_origin_has_a_quota_of_circuits),
		cmocka_unit_test(the_probes_kept_for_one_neighbour_are_capped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
