#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
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

/* In tree 1 under the node aa…, and the root of tree 3. */
static struct record some_record(void)
{
	struct record r = { .id = id,
			    .issued_ms = UINT64_C(0x0102030405060708),
			    .life_s = 900,
			    .flags = 0x80,
			    .chain_len = 2,
			    .chain = { 0xde, 0xad } };

	r.at.tree[1].n = 2;
	memset(r.at.tree[1].hop[0].id.b, 0xaa, ID_LEN);
	r.at.tree[1].hop[1] = (struct coord_hop){ id, 0x0203 };
	r.at.tree[3].n = 1;
	r.at.tree[3].hop[0].id = id;
	memset(r.sig, 0x55, SIG_LEN);
	record_seal(&r);
	return r;
}

#define RECORD_HEX                                                             \
	"0a3e"                                                                 \
	"01" ID_HEX "0102030405060708"                                         \
	"0384"                                                                 \
	"80"                                                                   \
	"00"                                                                   \
	"02" X10 "0000" ID_HEX "0203"                                          \
	"00"                                                                   \
	"01" ID_HEX "0000"                                                     \
	"1240" HEX64("55") "1a02dead"

static void a_record_has_these_bytes(void **state)
{
	const struct record r = some_record();
	uint8_t data[256];
	char hex[2 * sizeof data + 1];
	struct record got;
	size_t len = record_write(data, sizeof data, &r);

	(void)state;
	text_hex(hex, data, len);
	assert_string_equal(hex, RECORD_HEX);
	assert_true(record_parse(&got, data, len));
	assert_true(record_equal(&r, &got));
	assert_int_equal(record_write(data, len - 1, &r), 0);
}

static void the_messages_around_it_have_these_bytes(void **state)
{
	struct msg cases[] = {
		{ .type = MSG_STORE,
		  .store = { .nonce = nonce,
			     .tree = 3,
			     .hops_left = 64,
			     .record = some_record() } },
		{ .type = MSG_STORED, .stored.nonce = nonce },
		{ .type = MSG_LOOKUP,
		  .lookup = { .nonce = nonce,
			      .tree = 1,
			      .hops_left = 7,
			      .id = id } },
		{ .type = MSG_LOOKUP,
		  .lookup = { .nonce = nonce,
			      .hops_left = 7,
			      .id = id,
			      .newer_than_ms = UINT64_C(0x0102030405060708) } },
		{ .type = MSG_FOUND,
		  .found = { .nonce = nonce, .record = some_record() } },
		{ .type = MSG_NO_RECORD,
		  .no_record = { .nonce = nonce, .code = NO_RECORD_RATE } },
		{ .type = MSG_NO_RECORD,
		  .no_record = { .nonce = nonce,
				 .code = NO_RECORD_ABSENT,
				 .id = id,
				 .tree = 2,
				 .issued_ms = UINT64_C(0x0102030405060708) } },
	};
	static const char *const want[] = {
		"0e00009f"
		"0a10" NONCE_HEX "10031840"
		"228601" RECORD_HEX,
		"0f000012"
		"0a10" NONCE_HEX,
		"10000022"
		"0a10" NONCE_HEX "10011807"
		"220a" ID_HEX,
		"10000029"
		"0a10" NONCE_HEX "1807"
		"220a" ID_HEX "290807060504030201",
		"1100009b"
		"0a10" NONCE_HEX "128601" RECORD_HEX,
		"12000014"
		"0a10" NONCE_HEX "1003",
		"12000073"
		"1001"
		"1a2d" NONCE_HEX ID_HEX "02"
		"0102030405060708" X10 "2240" HEX64("55"),
	};
	struct msg_no_record *absent = &cases[6].no_record;

	(void)state;
	memset(absent->replica.b, 0xaa, ID_LEN);
	memset(absent->sig, 0x55, SIG_LEN);
	msg_no_record_seal(absent);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg got;

		assert_string_equal(msg_hex(&cases[i]), want[i]);
		assert_int_equal(msg_reread(&got, &cases[i]), MSG_OK);
		assert_true(msg_equal(&got, &cases[i]));
	}
}

static void version(struct record *r)
{
	r->body[0] = 0;
}

static void lives_too_long(struct record *r)
{
	r->life_s = RECORD_LIFE_S + 1;
	record_seal(r);
}

static void of_another_node(struct record *r)
{
	r->id.b[9] ^= 1;
	record_seal(r);
}

static void ends_elsewhere(struct record *r)
{
	r->at.tree[1].n = 1;
	record_seal(r);
}

static void root_costs(struct record *r)
{
	r->at.tree[3].hop[0].cost = 1;
	record_seal(r);
}

static void loop(struct record *r)
{
	r->at.tree[1].hop[0].id = id;
	record_seal(r);
}

static void short_body(struct record *r)
{
	r->body_len--;
}

static void long_body(struct record *r)
{
	r->body[r->body_len++] = 0;
}

static void three_trees(struct record *r)
{
	r->body_len -= 13;
}

static void no_body(struct record *r)
{
	r->body_len = 0;
}

static void no_chain(struct record *r)
{
	r->chain_len = 0;
}

static void records_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *why;
		void (*spoil)(struct record *r);
	} cases[] = {
		{ "version 0 of the body", version },
		{ "lives for too long", lives_too_long },
		{ "a locator of another node", of_another_node },
		{ "a path that ends before the node", ends_elsewhere },
		{ "a root with a cost", root_costs },
		{ "a loop", loop },
		{ "a byte too few", short_body },
		{ "a byte too many", long_body },
		{ "a tree is missing", three_trees },
		{ "no body", no_body },
		{ "no chain", no_chain },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m = { .type = MSG_FOUND,
				 .found = { nonce, some_record() } };
		struct msg got;
		struct record r;
		uint8_t data[256];
		size_t len;

		assert_int_equal(msg_reread(&got, &m), MSG_OK);
		cases[i].spoil(&m.found.record);
		if (msg_reread(&got, &m) != MSG_INVALID)
			fail_msg("accepted: %s", cases[i].why);
		len = record_write(data, sizeof data, &m.found.record);
		if (record_parse(&r, data, len))
			fail_msg("parsed: %s", cases[i].why);
	}
}

static void a_record_may_live_900_seconds(void **state)
{
	struct record r = some_record(), got;
	uint8_t data[256];

	(void)state;
	for (unsigned s = 0; s <= RECORD_LIFE_S; s += RECORD_LIFE_S) {
		r.life_s = (uint16_t)s;
		record_seal(&r);
		assert_true(record_parse(&got, data,
					 record_write(data, sizeof data, &r)));
		assert_int_equal(got.life_s, s);
	}
}

/* Every path of 64 nodes, and the longest chain. */
static struct record largest_record(void)
{
	struct record r = some_record();

	for (size_t t = 0; t < TREES; t++) {
		struct coord *c = &r.at.tree[t];

		c->n = TREE_PATH_MAX;
		for (size_t i = 0; i < c->n; i++) {
			c->hop[i].id = id;
			c->hop[i].id.b[0] = (uint8_t)(TREE_PATH_MAX - 1 - i);
			c->hop[i].cost = (uint16_t)(1000 * i);
		}
	}
	r.chain_len = CHAIN_BYTES_MAX;
	record_seal(&r);
	return r;
}

static void the_largest_record_fits_its_messages(void **state)
{
	struct msg m = { .type = MSG_STORE,
			 .store = { nonce, 3, REQUEST_HOPS_MAX,
				    largest_record() } };
	static uint8_t data[RECORD_BYTES_MAX];
	struct record r;
	struct msg got;
	size_t len;

	(void)state;
	assert_int_equal(m.store.record.body_len, RECORD_BODY_BYTES_MAX);
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&got, &m));
	len = record_write(data, sizeof data, &m.store.record);
	assert_true(record_parse(&r, data, len));
	assert_true(record_equal(&r, &m.store.record));
}

static void a_records_chain_may_have_4096_bytes_and_no_more(void **state)
{
	static const uint8_t chain[CHAIN_BYTES_MAX + 1] = { 1 };
	const struct record r = some_record();

	(void)state;
	for (size_t len = CHAIN_BYTES_MAX - 1; len <= CHAIN_BYTES_MAX + 1;
	     len++) {
		static uint8_t data[RECORD_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct record got;

		pb_bytes(&b, 1, r.body, r.body_len);
		pb_bytes(&b, 2, r.sig, SIG_LEN);
		pb_bytes(&b, 3, chain, len);
		assert_false(b.bad);
		assert_int_equal(record_parse(&got, data, b.len),
				 len <= CHAIN_BYTES_MAX);
	}
}

/* The struct on the heap: the sanitizer sees what is written behind it. */
static void a_body_longer_than_any_is_refused(void **state)
{
	static const size_t lens[] = { RECORD_BODY_BYTES_MAX + 1, 8100 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		static uint8_t body[8100] = { 1 };
		static uint8_t data[RECORD_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct record *got = mem_new(got);

		pb_bytes(&b, 1, body, lens[i]);
		pb_bytes(&b, 2, body, SIG_LEN);
		pb_bytes(&b, 3, body, 1);
		assert_false(b.bad);
		assert_false(record_parse(got, data, b.len));
		free(got);
	}
}

static void a_stored_record_longer_than_any_is_refused(void **state)
{
	const struct record r = some_record();

	(void)state;
	for (size_t len = RECORD_BYTES_MAX; len <= RECORD_BYTES_MAX + 1;
	     len++) {
		static uint8_t data[RECORD_BYTES_MAX + 1];
		struct buf b = buf_of(data, len);
		struct record got;
		size_t n = record_write(data, sizeof data, &r);

		b.len = n;
		buf_u8(&b, 0x7a); /* field 15, ignored */
		buf_u8(&b, (uint8_t)(0x80 | ((len - n - 3) & 0x7f)));
		buf_u8(&b, (uint8_t)((len - n - 3) >> 7));
		assert_non_null(buf_reserve(&b, len - n - 3));
		assert_int_equal(record_parse(&got, data, len),
				 len <= RECORD_BYTES_MAX);
	}
}

static void requests_go_up_one_of_four_trees_by_at_most_64_links(void **state)
{
	static const struct {
		const char *why;
		unsigned tree, hops_left;
		enum msg_verdict want;
	} cases[] = {
		{ "the first tree, no link", 0, 0, MSG_OK },
		{ "the last tree, all links", 3, 64, MSG_OK },
		{ "any tree", TREE_ANY, 1, MSG_INVALID },
		{ "256 is not 0", 256, 1, MSG_INVALID },
		{ "too far", 0, 65, MSG_INVALID },
		{ "257 is not 1", 0, 257, MSG_INVALID },
	};
	const struct record r = some_record();
	uint8_t record[256];
	size_t record_len = record_write(record, sizeof record, &r);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[512];
		struct buf b = buf_of(data, sizeof data);
		struct msg got;
		size_t len;

		pb_bytes(&b, 1, nonce.b, NONCE_LEN);
		pb_uint(&b, 2, cases[i].tree);
		pb_uint(&b, 3, cases[i].hops_left);
		len = b.len;
		pb_bytes(&b, 4, id.b, ID_LEN);
		if (msg_parse(&got, MSG_LOOKUP, data, b.len) != cases[i].want)
			fail_msg("LOOKUP: %s", cases[i].why);
		b.len = len;
		pb_bytes(&b, 4, record, record_len);
		if (msg_parse(&got, MSG_STORE, data, b.len) != cases[i].want)
			fail_msg("STORE: %s", cases[i].why);
	}
}

static void no_record_has_a_nonce_or_a_signed_body(void **state)
{
	enum {
		NONCE = 1,
		BODY = 2,
		SIG = 4
	};
	static const struct {
		const char *why;
		unsigned code, parts;
		uint8_t tree;
		enum msg_verdict want;
	} cases[] = {
		{ "signed", NO_RECORD_ABSENT, BODY | SIG, 3, MSG_OK },
		{ "not reached", NO_RECORD_UNREACHED, NONCE, 0, MSG_OK },
		{ "a quota", NO_RECORD_RATE, NONCE, 0, MSG_OK },
		{ "absent, but not signed", NO_RECORD_ABSENT, BODY, 0,
		  MSG_INVALID },
		{ "absent, with nothing to it", NO_RECORD_ABSENT, NONCE, 0,
		  MSG_INVALID },
		{ "a signature of nothing", NO_RECORD_ABSENT, SIG, 0,
		  MSG_INVALID },
		{ "two nonces", NO_RECORD_ABSENT, NONCE | BODY | SIG, 0,
		  MSG_INVALID },
		{ "signed about no tree", NO_RECORD_ABSENT, BODY | SIG, TREES,
		  MSG_INVALID },
		{ "signed without need", NO_RECORD_RATE, NONCE | BODY | SIG, 0,
		  MSG_INVALID },
		{ "a stray body", NO_RECORD_UNREACHED, NONCE | BODY, 0,
		  MSG_INVALID },
		{ "a stray signature", NO_RECORD_UNREACHED, NONCE | SIG, 0,
		  MSG_INVALID },
		{ "no nonce", NO_RECORD_RATE, 0, 0, MSG_INVALID },
		{ "no code", 0, NONCE, 0, MSG_INVALID },
		{ "an unknown code", NO_RECORD_CODES, NONCE, 0, MSG_INVALID },
		{ "257 is not 1", 257, BODY | SIG, 0, MSG_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_no_record m = { .nonce = nonce,
					   .tree = cases[i].tree };
		uint8_t data[FRAME_SMALL_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct msg got;

		msg_no_record_seal(&m);
		if (cases[i].parts & NONCE)
			pb_bytes(&b, 1, nonce.b, NONCE_LEN);
		pb_uint(&b, 2, cases[i].code);
		if (cases[i].parts & BODY)
			pb_bytes(&b, 3, m.body, sizeof m.body);
		if (cases[i].parts & SIG)
			pb_bytes(&b, 4, m.sig, SIG_LEN);
		if (msg_parse(&got, MSG_NO_RECORD, data, b.len) !=
		    cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void damage_never_makes_an_unsound_record(void **state)
{
	const struct record r = some_record();
	uint8_t data[256];
	size_t len = record_write(data, sizeof data, &r);

	(void)state;
	for (size_t i = 0; i < 8 * len; i++) {
		struct record got;

		data[i / 8] ^= (uint8_t)(1 << i % 8);
		if (record_parse(&got, data, len))
			assert_ptr_equal(record_fault(&got), NULL);
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n < len; n++) {
		uint8_t *cut = mem_calloc(1, n + 1);
		struct record got;

		memcpy(cut, data, n);
		cut = mem_realloc(cut, n != 0 ? n : 1, 1);
		if (record_parse(&got, cut, n))
			assert_ptr_equal(record_fault(&got), NULL);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_has_these_bytes),
		cmocka_unit_test(the_messages_around_it_have_these_bytes),
		cmocka_unit_test(records_that_cannot_be_are_refused),
		cmocka_unit_test(a_record_may_live_900_seconds),
		cmocka_unit_test(the_largest_record_fits_its_messages),
		cmocka_unit_test(
			a_records_chain_may_have_4096_bytes_and_no_more),
		cmocka_unit_test(a_body_longer_than_any_is_refused),
		cmocka_unit_test(a_stored_record_longer_than_any_is_refused),
		cmocka_unit_test(
			requests_go_up_one_of_four_trees_by_at_most_64_links),
		cmocka_unit_test(no_record_has_a_nonce_or_a_signed_body),
		cmocka_unit_test(damage_never_makes_an_unsound_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
