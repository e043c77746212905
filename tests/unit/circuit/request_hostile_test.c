/* Replicas and relays that lie about records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "circuit/record/record_table.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"
#include "tests/support/record_lab.h"
#include "tests/support/small_mesh.h"

static void absent_sign(const struct mesh *m, size_t by,
			struct msg_no_record *a)
{
	a->code = NO_RECORD_ABSENT;
	msg_no_record_seal(a);
	key_sign(a->sig, mesh_key(m, by), SIGN_NO_RECORD, mesh_ca(m), a->body,
		 sizeof a->body);
}

/* A replica which denies everything, with a signature. */
struct denier {
	struct mesh *m;
	size_t node;   /* which sends it */
	size_t signer; /* whose name and key it uses */
	struct node_id id;
	unsigned tree;
	unsigned n;
};

static bool denies(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct denier *d = ctx;
	struct msg_no_record a = { .id = d->id, .tree = (uint8_t)d->tree };

	(void)to;
	if (from != d->node || d->n > 0 ||
	    (m->type != MSG_FOUND && m->type != MSG_NO_RECORD))
		return true;
	a.nonce = m->type == MSG_FOUND ? m->found.nonce : m->no_record.nonce;
	a.issued_ms = mesh_wall(d->m);
	a.replica = mesh_identity(d->m, d->signer)->id;
	absent_sign(d->m, d->signer, &a);
	*m = (struct msg){ .type = MSG_NO_RECORD };
	m->no_record = a;
	d->n++;
	return true;
}

static void a_replica_that_lies_is_outvoted(void **state)
{
	struct record_lab lab = record_lab_new();
	struct denier liar = { lab.m,          lab.replica[0],
			       lab.replica[0], *record_lab_id(&lab, lab.target),
			       lab.tree[0],    0 };

	(void)state;
	mesh_set_filter(lab.m, denies, &liar);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(liar.n, 1);
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_absent, 0);
	mesh_free(lab.m);
}

/* A relay that would stand for both replicas has not got their keys. */
static void absence_counts_only_from_the_replica_itself(void **state)
{
	struct record_lab lab = record_lab_new();
	struct denier liar = { lab.m,       lab.relay,
			       lab.relay,   record_lab_nobody(&lab),
			       lab.tree[0], 0 };
	struct node_id nobody = record_lab_nobody(&lab);

	(void)state;
	mesh_set_filter(lab.m, denies, &liar);
	assert_false(record_lab_looks_up(&lab, lab.asker, &nobody));
	assert_true(liar.n >= 1);
	/* The first did not count, the other two did. */
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 3);
	assert_int_equal(record_lab_asker_counts(&lab)->n_lookups_absent, 1);
	mesh_free(lab.m);
}

static void a_forged_signature_proves_no_absence(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *asker = mesh_router(lab.m, lab.asker);
	struct node_id nobody = record_lab_nobody(&lab);
	struct msg x = { .type = MSG_NO_RECORD };
	enum msg_type lost = MSG_LOOKUP;

	(void)state;
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	lookup_start(asker, &nobody, mesh_now(lab.m));
	/* The asker knows whose signature that should be. */
	router_identity_add(asker, mesh_identity(lab.m, lab.replica[0]),
			    mesh_identity(lab.m, lab.replica[0])->key.b,
			    KEY_LEN);
	x.no_record = (struct msg_no_record){
		.nonce = asker->requests.all->key.nonce,
		.id = nobody,
		.tree = (uint8_t)lab.tree[0],
		.issued_ms = mesh_wall(lab.m),
		.replica = *record_lab_id(&lab, lab.replica[0]),
	};
	absent_sign(lab.m, lab.relay, &x.no_record);
	mesh_inject(lab.m, lab.asker,
		    record_lab_link(lab.m, lab.asker, lab.relay), &x);
	assert_int_equal(router_counters(asker)->n_request_failed, 1);
	/* That try is over; the next one is on. */
	assert_int_equal(HASH_COUNT(asker->requests.all), 1);
	assert_non_null(asker->requests.lookups);
	small_pass(lab.m, 10 * NS_PER_S);
	assert_int_equal(router_counters(asker)->n_lookups_absent, 0);
	mesh_free(lab.m);
}

static void change_nonce(struct msg_no_record *a)
{
	a->nonce.b[0] ^= 1;
}

static void change_nothing(struct msg_no_record *a)
{
	(void)a;
}

static const struct {
	const char *why;
	void (*change)(struct msg_no_record *a);
} replays[] = {
	{ "as it was: its request is over", change_nothing },
	{ "with a nonce that nobody used", change_nonce },
};

static void a_proof_of_absence_is_good_once(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *asker = mesh_router(lab.m, lab.asker);
	struct node_id nobody = record_lab_nobody(&lab);
	size_t link = record_lab_link(lab.m, lab.asker, lab.relay);
	struct forger *f = forger_new(lab.m, lab.relay, MSG_NO_RECORD, NULL);
	enum msg_type lost = MSG_LOOKUP;
	uint64_t unexpected;

	(void)state;
	assert_false(record_lab_looks_up(&lab, lab.asker, &nobody));
	assert_true(f->has_kept);
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	lookup_start(asker, &nobody, mesh_now(lab.m));
	for (size_t i = 0; i < ARRAY_LEN(replays); i++) {
		struct msg x = f->kept;

		unexpected = router_counters(asker)->n_request_unexpected;
		replays[i].change(&x.no_record);
		mesh_inject(lab.m, lab.asker, link, &x);
		assert_int_equal(router_counters(asker)->n_request_unexpected,
				 unexpected + 1);
	}
	/* With the nonce of now its signature does not fit. */
	f->kept.no_record.nonce = asker->requests.all->key.nonce;
	msg_no_record_seal(&f->kept.no_record);
	mesh_inject(lab.m, lab.asker, link, &f->kept);
	small_pass(lab.m, 10 * NS_PER_S);
	assert_int_equal(router_counters(asker)->n_lookups_absent, 1);
	assert_int_equal(router_counters(asker)->n_lookups_failed, 1);
	mesh_free(lab.m);
	free(f);
}

static void a_reply_counts_only_from_where_the_request_went(void **state)
{
	struct record_lab lab = record_lab_new();
	struct router *asker = mesh_router(lab.m, lab.asker);
	struct msg x = { .type = MSG_NO_RECORD };
	struct neighbour *n, *next;
	enum msg_type lost = MSG_LOOKUP;

	(void)state;
	mesh_set_filter(lab.m, record_lab_loses, &lost);
	lookup_start(asker, record_lab_id(&lab, lab.target), mesh_now(lab.m));
	x.no_record.nonce = asker->requests.all->key.nonce;
	x.no_record.code = NO_RECORD_UNREACHED;
	NEIGHBOURS_EACH(asker, n, next)
	{
		if (id_equal(&n->id, record_lab_id(&lab, lab.relay)))
			continue;
		router_handle_message(asker, n->best->no, &x, mesh_now(lab.m));
		break;
	}
	assert_int_equal(router_counters(asker)->n_request_unexpected, 1);
	assert_int_equal(router_counters(asker)->n_request_failed, 0);
	mesh_free(lab.m);
}

static void spoil_record(struct forger *f, struct msg *m)
{
	(void)f;
	m->found.record.sig[0] ^= 1;
}

static void a_forged_record_goes_no_further_than_one_hop(void **state)
{
	struct record_lab lab = record_lab_new();
	struct forger *f =
		forger_new(lab.m, lab.replica[0], MSG_FOUND, spoil_record);
	uint64_t n_bad = 0;

	(void)state;
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(f->n, 1);
	assert_int_equal(record_lab_asker_counts(&lab)->n_record_bad, 0);
	for (size_t i = 0; i < mesh_n_nodes(lab.m); i++)
		n_bad += small_counters(lab.m, i)->n_record_bad;
	assert_int_equal(n_bad, 1);
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	mesh_free(lab.m);
	free(f);
}

/* A good record, but of another node. */
struct swap {
	size_t node;
	struct record rec;
};

static bool swaps(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct swap *s = ctx;

	(void)to;
	if (from == s->node && m->type == MSG_FOUND)
		m->found.record = s->rec;
	return true;
}

static void the_record_of_another_node_is_no_answer(void **state)
{
	struct record_lab lab = record_lab_new();
	struct swap *s = mem_new(s);

	(void)state;
	s->node = lab.replica[0];
	s->rec = record_lab_record(&lab, lab.replica[0]);
	mesh_set_filter(lab.m, swaps, s);
	assert_true(record_lab_finds_target(&lab));
	assert_int_equal(record_lab_asker_counts(&lab)->n_sent[MSG_LOOKUP], 2);
	mesh_free(lab.m);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_replica_that_lies_is_outvoted),
		cmocka_unit_test(absence_counts_only_from_the_replica_itself),
		cmocka_unit_test(a_forged_signature_proves_no_absence),
		cmocka_unit_test(a_proof_of_absence_is_good_once),
		cmocka_unit_test(
			a_reply_counts_only_from_where_the_request_went),
		cmocka_unit_test(a_forged_record_goes_no_further_than_one_hop),
		cmocka_unit_test(the_record_of_another_node_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
