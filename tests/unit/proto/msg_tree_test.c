#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/key.h"
#include "proto/msg.h"
#include "tests/support/msgs.h"
#include "tests/support/pb.h"

#define ID_HEX "00010203040506070809"
#define X10    "aaaaaaaaaaaaaaaaaaaa"

static const struct node_id id = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 } };

static struct tree_root some_root(void)
{
	struct tree_root t = { .tree = 2,
			       .root = id,
			       .issued_ms = UINT64_C(0x0102030405060708),
			       .n_nodes = 1000 };

	memset(t.sig, 0x55, SIG_LEN);
	tree_root_seal(&t);
	return t;
}

/* Two nodes: the root, and aa… as the sender. */
static struct msg some_beacon(void)
{
	struct msg m = { .type = MSG_BEACON,
			 .beacon = { .root = some_root(), .n = 2 } };
	struct tree_hop *hop = m.beacon.hop;

	hop[0] = (struct tree_hop){ .id = id, .cost = 100 };
	memset(hop[0].sig, 0x66, SIG_LEN);
	hop[1] = (struct tree_hop){ .cost = 0x1234 };
	memset(hop[1].id.b, 0xaa, ID_LEN);
	memset(hop[1].sig, 0x77, SIG_LEN);
	return m;
}

#define ROOT_BODY_HEX                                                          \
	"01"                                                                   \
	"02" ID_HEX "0102030405060708"                                         \
	"000003e8"

static void a_beacon_has_these_bytes(void **state)
{
	const struct msg m = some_beacon();
	struct msg got;

	(void)state;
	assert_string_equal(msg_hex(&m),
			    "0c0000f7"
			    "0a18" ROOT_BODY_HEX
			    "1240" HEX64("55") "1a9801" ID_HEX
					       "0064" HEX64("66") X10
			    "1234" HEX64("77"));
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&got, &m));
}

static void a_beat_has_these_bytes(void **state)
{
	const struct msg m = { .type = MSG_BEAT, .beat.root = some_root() };
	struct msg got;

	(void)state;
	assert_string_equal(msg_hex(&m),
			    "0d00005c"
			    "0a18" ROOT_BODY_HEX "1240" HEX64("55"));
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&got, &m));
}

/* By another implementation of SHA-256. */
static void the_chain_has_these_hashes(void **state)
{
	static const char *const want[] = {
		"eae5602a9c36f22a41f50cd20ca13d90"
		"b02cb82cb9397e89ca84d9d032f9ab45",
		"1ad3efc2e10dbf6f86af74944013e072"
		"2c3f04a3687972c059b1e09c6ee1056f",
		"0a8bfe23cd6ee9874979eb9a898acfe3"
		"a40c40f7c37079ce94fd5ecb43526607",
	};
	const struct msg m = some_beacon();
	uint8_t chain[HASH_LEN], payload[TREE_HOP_PAYLOAD_BYTES];
	char hex[2 * TREE_HOP_PAYLOAD_BYTES + 1];

	(void)state;
	tree_chain_first(chain, &m.beacon.root);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		text_hex(hex, chain, sizeof chain);
		assert_string_equal(hex, want[i]);
		if (i < m.beacon.n)
			tree_chain_next(chain, &m.beacon.hop[i]);
	}
	tree_hop_payload(payload, chain, &id, 0x0102);
	text_hex(hex, payload, sizeof payload);
	assert_memory_equal(hex, want[2], 64);
	assert_string_equal(hex + 64, ID_HEX "0102");
}

static struct sign_key key_of(uint8_t n)
{
	const uint8_t seed[32] = { n };
	struct sign_key k;

	sign_key_from_seed(&k, seed);
	return k;
}

static const struct node_hash ca = { { 0xca } };

/* What the i-th node of the beacon signs; `next` is the one after it, or the
 * receiver. */
static void hop_payload(uint8_t out[TREE_HOP_PAYLOAD_BYTES],
			const struct msg_beacon *m, size_t i,
			const struct node_id *receiver)
{
	uint8_t chain[HASH_LEN];

	tree_chain_first(chain, &m->root);
	for (size_t k = 0; k < i; k++)
		tree_chain_next(chain, &m->hop[k]);
	tree_hop_payload(out, chain,
			 i + 1 < m->n ? &m->hop[i + 1].id : receiver,
			 m->hop[i].cost);
}

/* A path of three nodes that are signed by the keys 0, 1 and 2. */
static struct msg_beacon signed_beacon(const struct node_id *receiver)
{
	struct msg_beacon m = { .n = 3 };
	struct sign_key root = key_of(0);

	for (uint8_t i = 0; i < m.n; i++) {
		m.hop[i].id.b[0] = i;
		m.hop[i].cost = (uint16_t)(100 + i);
	}
	m.root.root = m.hop[0].id;
	tree_root_seal(&m.root);
	key_sign(m.root.sig, &root, SIGN_TREE_ROOT, &ca, m.root.body,
		 sizeof m.root.body);
	for (uint8_t i = 0; i < m.n; i++) {
		uint8_t payload[TREE_HOP_PAYLOAD_BYTES];
		struct sign_key k = key_of(i);

		hop_payload(payload, &m, i, receiver);
		key_sign(m.hop[i].sig, &k, SIGN_TREE_HOP, &ca, payload,
			 sizeof payload);
	}
	return m;
}

/* The first node whose signature does not hold; m->n if all do. */
static size_t first_bad(const struct msg_beacon *m,
			const struct node_id *receiver)
{
	for (size_t i = 0; i < m->n; i++) {
		uint8_t payload[TREE_HOP_PAYLOAD_BYTES];
		struct sign_key k = key_of(m->hop[i].id.b[0]);

		hop_payload(payload, m, i, receiver);
		if (!key_verify(m->hop[i].sig, &k.public, SIGN_TREE_HOP, &ca,
				payload, sizeof payload))
			return i;
	}
	return m->n;
}

static void a_signed_path_holds_for_this_path_and_receiver_alone(void **state)
{
	const struct node_id me = { { 9 } }, other = { { 8 } };
	const struct msg_beacon good = signed_beacon(&me);
	struct msg_beacon m = good;

	(void)state;
	assert_int_equal(first_bad(&m, &me), 3);
	/* Shown to a node which it was not sent to. */
	assert_int_equal(first_bad(&m, &other), 2);
	/* A cost lowered on the way. */
	m.hop[1].cost--;
	assert_int_equal(first_bad(&m, &me), 1);
	/* A node taken out: the one before it did not name this one. */
	m = good;
	m.hop[1] = m.hop[2];
	m.n = 2;
	assert_int_equal(first_bad(&m, &me), 0);
	/* The path cut short by its last node's successor. */
	m = good;
	m.n = 2;
	assert_int_equal(first_bad(&m, &me), 1);
	/* Put under a younger beacon of the same root. */
	m = good;
	m.root.issued_ms++;
	tree_root_seal(&m.root);
	assert_int_equal(first_bad(&m, &me), 0);
}

static void root_version(struct msg *m)
{
	m->beacon.root.body[0] = 0;
}

static void root_tree(struct msg *m)
{
	m->beacon.root.tree = TREES;
	tree_root_seal(&m->beacon.root);
}

static void path_empty(struct msg *m)
{
	m->beacon.n = 0;
}

static void path_from_elsewhere(struct msg *m)
{
	m->beacon.hop[0].id.b[0] ^= 1;
}

static void path_without_root(struct msg *m)
{
	m->beacon.hop[0] = m->beacon.hop[1];
	m->beacon.n = 1;
}

static void path_with_loop(struct msg *m)
{
	m->beacon.hop[2] = m->beacon.hop[1];
	m->beacon.n = 3;
}

static void path_back_to_root(struct msg *m)
{
	m->beacon.hop[2] = m->beacon.hop[0];
	m->beacon.n = 3;
}

static void beat_version(struct msg *m)
{
	m->beat.root.body[0] = 0;
}

static void beat_tree(struct msg *m)
{
	m->beat.root.tree = TREE_ANY;
	tree_root_seal(&m->beat.root);
}

static void what_cannot_be_is_invalid(void **state)
{
	static const struct {
		const char *why;
		enum msg_type type;
		void (*spoil)(struct msg *m);
	} cases[] = {
		{ "version 0 of the body", MSG_BEACON, root_version },
		{ "a tree that there is not", MSG_BEACON, root_tree },
		{ "a path of nobody", MSG_BEACON, path_empty },
		{ "another root than signed", MSG_BEACON, path_from_elsewhere },
		{ "the root is left out", MSG_BEACON, path_without_root },
		{ "a node twice", MSG_BEACON, path_with_loop },
		{ "the root twice", MSG_BEACON, path_back_to_root },
		{ "version 0 of the body", MSG_BEAT, beat_version },
		{ "all trees at once", MSG_BEAT, beat_tree },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m = some_beacon(), got;

		if (cases[i].type == MSG_BEAT)
			m = (struct msg){ .type = MSG_BEAT,
					  .beat.root = some_root() };
		assert_int_equal(msg_reread(&got, &m), MSG_OK);
		cases[i].spoil(&m);
		if (msg_reread(&got, &m) != MSG_INVALID)
			fail_msg("accepted: %s", cases[i].why);
	}
}

static void a_path_may_have_64_nodes_and_no_more(void **state)
{
	const struct tree_root root = some_root();

	(void)state;
	for (size_t n = TREE_PATH_MAX - 1; n <= TREE_PATH_MAX + 1; n++) {
		static uint8_t hops[(TREE_PATH_MAX + 1) * 76];
		static uint8_t data[BEACON_MSG_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct msg got;

		memcpy(hops, root.root.b, ID_LEN);
		for (size_t i = 1; i < n; i++)
			hops[i * 76] = (uint8_t)(0x80 + i);
		pb_bytes(&b, 1, root.body, sizeof root.body);
		pb_bytes(&b, 2, root.sig, SIG_LEN);
		pb_bytes(&b, 3, hops, n * 76);
		assert_false(b.bad);
		assert_int_equal(msg_parse(&got, MSG_BEACON, data, b.len),
				 n <= TREE_PATH_MAX ? MSG_OK : MSG_INVALID);
		if (n <= TREE_PATH_MAX)
			assert_int_equal(got.beacon.n, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_beacon_has_these_bytes),
		cmocka_unit_test(a_beat_has_these_bytes),
		cmocka_unit_test(the_chain_has_these_hashes),
		cmocka_unit_test(
			a_signed_path_holds_for_this_path_and_receiver_alone),
		cmocka_unit_test(a_path_may_have_64_nodes_and_no_more),
		cmocka_unit_test(what_cannot_be_is_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
