/* Probes that are steered, and NAKs that blame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/frame.h"
#include "proto/msg.h"
#include "tests/support/msgs.h"
#include "tests/support/pb.h"

#define ID_HEX    "00010203040506070809"
#define NONCE_HEX "101112131415161718191a1b1c1d1e1f"
#define X10       "aaaaaaaaaaaaaaaaaaaa"

static const struct node_id id = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
static const struct nonce nonce = { { 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
				      0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
				      0x1e, 0x1f } };

/* From aa… to `id`, which is a child of its origin in tree 1. */
static struct msg some_probe(void)
{
	struct msg m = { .type = MSG_PROBE,
			 .probe = { .ttl = 64,
				    .target = id,
				    .nonce = nonce,
				    .issued_ms = UINT64_C(0x0000018abcdef012),
				    .valid_ms = 30000,
				    .deadline_ms = 500,
				    .tree = 1,
				    .round = 2,
				    .budget = 300,
				    .n_avoid = 2,
				    .avoid = { 0x01020304, 0xfffefdfc },
				    .chain_len = 2,
				    .chain = { 0xde, 0xad } } };
	struct coord *to = &m.probe.to.tree[1];

	memset(m.probe.origin.b, 0xaa, ID_LEN);
	memset(m.probe.sig_origin, 0x55, SIG_LEN);
	to->n = 2;
	to->hop[0].id = m.probe.origin;
	to->hop[1] = (struct coord_hop){ id, 0x0102 };
	msg_probe_seal(&m.probe);
	return m;
}

#define PROBE_HEX(flags)                                                       \
	"0a33"                                                                 \
	"01" flags "40" X10 ID_HEX NONCE_HEX "0000018abcdef012"                \
	"00007530"                                                             \
	"1240" HEX64("55") "18f403"

static void a_steered_probe_has_these_bytes(void **state)
{
	const struct msg m = some_probe();
	struct msg got;

	(void)state;
	assert_string_equal(msg_hex(&m),
			    "030000ad" PROBE_HEX("00") "2801"
						       "3002"
						       "38ac02"
						       "421c"
						       "00"
						       "02" X10 "0000" ID_HEX
						       "0102"
						       "00"
						       "00"
						       "4a08"
						       "01020304"
						       "fffefdfc"
						       "5202dead");
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&got, &m));
}

static void a_flood_says_nothing_of_its_way(void **state)
{
	struct msg m = some_probe(), got;

	(void)state;
	m.probe.flags = PROBE_FLAG_FLOOD;
	msg_probe_seal(&m.probe);
	assert_string_equal(msg_hex(&m), "0300007a" PROBE_HEX("01"));
	memset(&got, 0xff, sizeof got);
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_int_equal(got.probe.tree, TREE_FLOOD);
	assert_int_equal(got.probe.round, 0);
	assert_int_equal(got.probe.budget, 0);
	assert_int_equal(got.probe.n_avoid, 0);
	assert_int_equal(got.probe.chain_len, 0);
	for (size_t i = 0; i < TREES; i++)
		assert_int_equal(got.probe.to.tree[i].n, 0);
}

static void a_flood_that_is_steered_is_invalid(void **state)
{
	static const uint8_t zeros[4];
	struct msg m = some_probe(), got;
	uint8_t frame[512];
	size_t len;

	(void)state;
	m.probe.flags = PROBE_FLAG_FLOOD;
	msg_probe_seal(&m.probe);
	len = msg_write(frame, sizeof frame, &m);
	for (unsigned field = 5; field <= 10; field++) {
		struct buf b = buf_of(frame, sizeof frame);

		b.len = len;
		if (field < 8)
			pb_uint(&b, field, 1);
		else
			pb_bytes(&b, field, zeros, sizeof zeros);
		assert_int_equal(msg_parse(&got, MSG_PROBE,
					   frame + FRAME_HEADER_BYTES,
					   b.len - FRAME_HEADER_BYTES),
				 MSG_INVALID);
	}
}

static void a_flood_has_a_lower_cap_than_other_probes(void **state)
{
	static uint8_t frame[FRAME_HEADER_BYTES + PROBE_BYTES_MAX + 1];
	static const uint8_t zeros[PROBE_BYTES_MAX];

	(void)state;
	for (uint8_t flags = 0; flags <= PROBE_FLAG_FLOOD; flags++) {
		for (size_t max = PROBE_BYTES_MAX; max <= PROBE_BYTES_MAX + 1;
		     max++) {
			struct msg m = some_probe(), got;
			struct buf b = buf_of(frame, sizeof frame);

			m.probe.flags = flags;
			msg_probe_seal(&m.probe);
			b.len = msg_write(frame, sizeof frame, &m);
			/* Field 15 is unknown; it costs 3 bytes of its own. */
			pb_bytes(&b, 15, zeros,
				 max + FRAME_HEADER_BYTES - b.len - 3);
			assert_int_equal(b.len, FRAME_HEADER_BYTES + max);
			assert_int_equal(msg_parse(&got, MSG_PROBE,
						   frame + FRAME_HEADER_BYTES,
						   max),
					 flags == 0 || max == PROBE_BYTES_MAX
						 ? MSG_OK
						 : MSG_INVALID);
		}
	}
}

static void the_longest_probe_fits_its_cap(void **state)
{
	struct msg m = some_probe(), got;

	(void)state;
	m.probe.tree = TREE_ANY;
	m.probe.deadline_ms = PROBE_DEADLINE_MAX_MS;
	m.probe.budget = PROBE_BUDGET_MAX;
	m.probe.hops.n = HOPS_MAX - 1;
	for (size_t i = 0; i < m.probe.hops.n; i++)
		m.probe.hops.hop[i] =
			(struct hop){ { { 1, (uint8_t)i } }, .mtu = 1 };
	for (size_t t = 0; t < TREES; t++) {
		struct coord *to = &m.probe.to.tree[t];

		to->n = TREE_PATH_MAX;
		for (size_t i = 0; i + 1 < to->n; i++)
			to->hop[i] = (struct coord_hop){ { { 2, (uint8_t)i } },
							 (uint16_t)i };
		to->hop[to->n - 1] = (struct coord_hop){ id, 0xffff };
	}
	m.probe.n_avoid = AVOID_MAX;
	m.probe.chain_len = CHAIN_BYTES_MAX;
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&got, &m));
}

static void no_such_tree(struct msg *m)
{
	m->probe.tree = TREE_FLOOD;
}

static void no_such_round(struct msg *m)
{
	m->probe.round = ROUNDS_MAX;
}

static void budget_too_large(struct msg *m)
{
	m->probe.budget = PROBE_BUDGET_MAX + 1;
}

static void to_another_node(struct msg *m)
{
	m->probe.to.tree[1].n = 1;
}

static void to_with_loop(struct msg *m)
{
	m->probe.to.tree[1].hop[0].id = id;
}

static void to_whose_root_costs(struct msg *m)
{
	m->probe.to.tree[1].hop[0].cost = 1;
}

static void to_whose_costs_fall(struct msg *m)
{
	struct coord *c = &m->probe.to.tree[1];

	c->n = 3;
	c->hop[2] = (struct coord_hop){ id, 5 };
	c->hop[1] = (struct coord_hop){ { { 1 } }, 6 };
}

static void blame_code_0(struct msg *m)
{
	m->nak.code = (enum nak_code)0;
	msg_nak_seal(&m->nak);
}

static void blame_code_unknown(struct msg *m)
{
	m->nak.code = NAK_CODES;
	msg_nak_seal(&m->nak);
}

static void blame_tree(struct msg *m)
{
	m->nak.tree = TREE_FLOOD + 1;
	msg_nak_seal(&m->nak);
}

static void blame_oneself(struct msg *m)
{
	m->nak.next = m->nak.reporter;
	msg_nak_seal(&m->nak);
}

static void nak_tree(struct msg *m)
{
	m->nak.has_blame = false;
	m->nak.tree = TREE_FLOOD + 1;
}

static struct msg some_blame(void)
{
	struct msg m = { .type = MSG_NAK,
			 .nak = { .origin = id,
				  .nonce = nonce,
				  .tree = 3,
				  .code = NAK_TIMEOUT,
				  .has_blame = true,
				  .reporter = { { 7 } } } };

	memset(m.nak.next.b, 0xaa, ID_LEN);
	memset(m.nak.sig, 0x55, SIG_LEN);
	msg_nak_seal(&m.nak);
	return m;
}

static void values_out_of_range_are_invalid(void **state)
{
	static const struct {
		const char *why;
		enum msg_type type;
		void (*spoil)(struct msg *m);
	} cases[] = {
		{ "a tree that there is not", MSG_PROBE, no_such_tree },
		{ "a round too many", MSG_PROBE, no_such_round },
		{ "too many transmissions", MSG_PROBE, budget_too_large },
		{ "the locator of another", MSG_PROBE, to_another_node },
		{ "a locator with a loop", MSG_PROBE, to_with_loop },
		{ "a root with a cost", MSG_PROBE, to_whose_root_costs },
		{ "a cost that falls", MSG_PROBE, to_whose_costs_fall },
		{ "no code", MSG_NAK, blame_code_0 },
		{ "an unknown code", MSG_NAK, blame_code_unknown },
		{ "a tree that there is not", MSG_NAK, blame_tree },
		{ "a link from a node to itself", MSG_NAK, blame_oneself },
		{ "no tree, no flood", MSG_NAK, nak_tree },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m =
			cases[i].type == MSG_NAK ? some_blame() : some_probe();
		struct msg got;

		assert_int_equal(msg_reread(&got, &m), MSG_OK);
		cases[i].spoil(&m);
		if (msg_reread(&got, &m) != MSG_INVALID)
			fail_msg("accepted: %s", cases[i].why);
	}
}

static void steering_fields_have_these_sizes(void **state)
{
	static const struct {
		const char *why;
		size_t to, avoid, chain;
		uint64_t tree, round, budget;
		enum msg_verdict want;
	} cases[] = {
		{ "nothing but an empty locator", 4, 0, 0, 0, 0, 0, MSG_OK },
		{ "all at their ends", 4, 128, 4096, 4, 6, 512, MSG_OK },
		{ "no locator", 0, 0, 0, 0, 0, 0, MSG_INVALID },
		{ "a locator of three trees", 3, 0, 0, 0, 0, 0, MSG_INVALID },
		{ "a locator of five trees", 5, 0, 0, 0, 0, 0, MSG_INVALID },
		{ "half a tag", 4, 6, 0, 0, 0, 0, MSG_INVALID },
		{ "33 tags", 4, 132, 0, 0, 0, 0, MSG_INVALID },
		{ "a byte over 32 tags", 4, 129, 0, 0, 0, 0, MSG_INVALID },
		{ "a chain too long", 4, 0, 4097, 0, 0, 0, MSG_INVALID },
		{ "tree 5", 4, 0, 0, 5, 0, 0, MSG_INVALID },
		{ "256 is not tree 0", 4, 0, 0, 256, 0, 0, MSG_INVALID },
		{ "round 7", 4, 0, 0, 0, 7, 0, MSG_INVALID },
		{ "256 is not round 0", 4, 0, 0, 0, 256, 0, MSG_INVALID },
		{ "budget 513", 4, 0, 0, 0, 0, 513, MSG_INVALID },
		{ "65536 is no budget", 4, 0, 0, 0, 0, 65536, MSG_INVALID },
	};
	static const uint8_t zeros[CHAIN_BYTES_MAX + 1];
	const struct msg m = some_probe();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static uint8_t data[STEER_PROBE_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct msg got;

		pb_bytes(&b, 1, m.probe.body, PROBE_BODY_BYTES);
		pb_bytes(&b, 2, m.probe.sig_origin, SIG_LEN);
		pb_uint(&b, 5, cases[i].tree);
		pb_uint(&b, 6, cases[i].round);
		pb_uint(&b, 7, cases[i].budget);
		pb_bytes(&b, 8, zeros, cases[i].to);
		pb_bytes(&b, 9, zeros, cases[i].avoid);
		pb_bytes(&b, 10, zeros, cases[i].chain);
		assert_false(b.bad);
		if (msg_parse(&got, MSG_PROBE, data, b.len) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void a_nak_with_blame_has_these_bytes(void **state)
{
	const struct msg m = some_blame();
	struct msg got;

	(void)state;
	assert_string_equal(msg_hex(&m),
			    "05000074"
			    "2a30" ID_HEX NONCE_HEX "03"
			    "05"
			    "07000000000000000000" X10 "3240" HEX64("55"));
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&got, &m));
}

static void a_nak_has_a_signed_body_or_its_own_fields(void **state)
{
	enum {
		ORIGIN = 1,
		NONCE = 2,
		CODE = 4,
		TREE = 8,
		BODY = 16,
		SIG = 32
	};
	static const struct {
		const char *why;
		unsigned parts;
		enum msg_verdict want;
	} cases[] = {
		{ "without blame", ORIGIN | NONCE | CODE | TREE, MSG_OK },
		{ "of tree 0", ORIGIN | NONCE | CODE, MSG_OK },
		{ "with blame", BODY | SIG, MSG_OK },
		{ "an origin beside it", ORIGIN | BODY | SIG, MSG_INVALID },
		{ "a nonce beside it", NONCE | BODY | SIG, MSG_INVALID },
		{ "a code beside it", CODE | BODY | SIG, MSG_INVALID },
		{ "a tree beside it", TREE | BODY | SIG, MSG_INVALID },
		{ "not signed", BODY, MSG_INVALID },
		{ "not signed, and fields", ORIGIN | NONCE | CODE | BODY,
		  MSG_INVALID },
		{ "a stray signature", ORIGIN | NONCE | CODE | SIG,
		  MSG_INVALID },
		{ "a signature of nothing", SIG, MSG_INVALID },
		{ "no origin", NONCE | CODE, MSG_INVALID },
		{ "no nonce", ORIGIN | CODE, MSG_INVALID },
		{ "no code", ORIGIN | NONCE, MSG_INVALID },
		{ "nothing", 0, MSG_INVALID },
	};
	const struct msg m = some_blame();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[FRAME_SMALL_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct msg got;

		if (cases[i].parts & ORIGIN)
			pb_bytes(&b, 1, id.b, ID_LEN);
		if (cases[i].parts & NONCE)
			pb_bytes(&b, 2, nonce.b, NONCE_LEN);
		if (cases[i].parts & CODE)
			pb_uint(&b, 3, NAK_RATE);
		if (cases[i].parts & TREE)
			pb_uint(&b, 4, TREE_FLOOD);
		if (cases[i].parts & BODY)
			pb_bytes(&b, 5, m.nak.body, NAK_BODY_BYTES);
		if (cases[i].parts & SIG)
			pb_bytes(&b, 6, m.nak.sig, SIG_LEN);
		if (msg_parse(&got, MSG_NAK, data, b.len) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

/* SHA-256(nonce ‖ id) by another implementation begins with add43122. */
static void a_tag_is_bound_to_its_probe(void **state)
{
	const struct node_id other_id = { { 1 } };
	const struct nonce other_nonce = { { 1 } };

	(void)state;
	assert_int_equal(avoid_tag(&nonce, &id), 0xadd43122);
	assert_int_not_equal(avoid_tag(&nonce, &other_id), 0xadd43122);
	assert_int_not_equal(avoid_tag(&other_nonce, &id), 0xadd43122);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steered_probe_has_these_bytes),
		cmocka_unit_test(a_flood_says_nothing_of_its_way),
		cmocka_unit_test(a_flood_that_is_steered_is_invalid),
		cmocka_unit_test(a_flood_has_a_lower_cap_than_other_probes),
		cmocka_unit_test(the_longest_probe_fits_its_cap),
		cmocka_unit_test(values_out_of_range_are_invalid),
		cmocka_unit_test(steering_fields_have_these_sizes),
		cmocka_unit_test(a_nak_with_blame_has_these_bytes),
		cmocka_unit_test(a_nak_has_a_signed_body_or_its_own_fields),
		cmocka_unit_test(a_tag_is_bound_to_its_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
