/* CLOSE with a signature, TEST and RECEIPT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
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

static struct msg some_close(void)
{
	struct msg m = { .type = MSG_CLOSE,
			 .close = { .open_id = nonce,
				    .reason = CLOSE_LINK_DOWN,
				    .reporter = id,
				    .is_signed = true } };

	memset(m.close.next.b, 0xaa, ID_LEN);
	memset(m.close.sig, 0x55, SIG_LEN);
	msg_close_seal(&m.close);
	return m;
}

static struct msg some_test(void)
{
	return (struct msg){ .type = MSG_TEST,
			     .test = { .open_id = nonce,
				       .token = UINT64_C(0x0102030405060708),
				       .hop = 64 } };
}

static struct msg some_receipt(void)
{
	struct msg m = { .type = MSG_RECEIPT,
			 .receipt = { .open_id = nonce,
				      .token = UINT64_C(0x0102030405060708),
				      .hop = 7,
				      .node = id,
				      .n_forth = 0x11,
				      .n_back = UINT64_MAX } };

	memset(m.receipt.sig, 0x55, SIG_LEN);
	msg_receipt_seal(&m.receipt);
	return m;
}

static void they_have_these_bytes(void **state)
{
	const struct {
		struct msg m;
		const char *hex;
	} cases[] = {
		{ some_close(),
		  "08000069"
		  "2a25" NONCE_HEX "03" ID_HEX X10 "3240" HEX64("55") },
		{ some_test(), "1300001d"
			       "0a10" NONCE_HEX "110807060504030201"
			       "1840" },
		{ some_receipt(), "14000077"
				  "0a33" NONCE_HEX "0102030405060708"
				  "07" ID_HEX "0000000000000011"
				  "ffffffffffffffff"
				  "1240" HEX64("55") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg got;

		assert_string_equal(msg_hex(&cases[i].m), cases[i].hex);
		assert_int_equal(msg_reread(&got, &cases[i].m), MSG_OK);
		assert_true(msg_equal(&got, &cases[i].m));
	}
}

static void close_reason_0(struct msg *m)
{
	m->close.reason = (enum close_reason)0;
	msg_close_seal(&m->close);
}

static void close_reason_unknown(struct msg *m)
{
	m->close.reason = CLOSE_REASONS;
	msg_close_seal(&m->close);
}

static void close_of_nothing(struct msg *m)
{
	m->close.open_id = (struct nonce){ 0 };
	msg_close_seal(&m->close);
}

static void test_hop_0(struct msg *m)
{
	m->test.hop = 0;
}

static void test_hop_65(struct msg *m)
{
	m->test.hop = HOPS_MAX + 1;
}

static void receipt_hop_0(struct msg *m)
{
	m->receipt.hop = 0;
	msg_receipt_seal(&m->receipt);
}

static void receipt_hop_65(struct msg *m)
{
	m->receipt.hop = HOPS_MAX + 1;
	msg_receipt_seal(&m->receipt);
}

static void values_out_of_range_are_invalid(void **state)
{
	const struct {
		const char *why;
		struct msg m;
		void (*spoil)(struct msg *m);
	} cases[] = {
		{ "no reason", some_close(), close_reason_0 },
		{ "an unknown reason", some_close(), close_reason_unknown },
		{ "signed about no circuit", some_close(), close_of_nothing },
		{ "the asking end itself", some_test(), test_hop_0 },
		{ "further than any path", some_test(), test_hop_65 },
		{ "the asking end itself", some_receipt(), receipt_hop_0 },
		{ "further than any path", some_receipt(), receipt_hop_65 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m = cases[i].m, got;

		assert_int_equal(msg_reread(&got, &m), MSG_OK);
		cases[i].spoil(&m);
		if (msg_reread(&got, &m) != MSG_INVALID)
			fail_msg("accepted: %s", cases[i].why);
	}
}

static void hop_257_is_not_hop_1(void **state)
{
	uint8_t data[64];
	struct msg got;

	(void)state;
	for (unsigned hop = 1; hop <= 257; hop += 256) {
		struct buf b = buf_of(data, sizeof data);

		pb_bytes(&b, 1, nonce.b, NONCE_LEN);
		pb_uint(&b, 3, hop);
		assert_int_equal(msg_parse(&got, MSG_TEST, data, b.len),
				 hop == 1 ? MSG_OK : MSG_INVALID);
	}
}

/* Who closed it and which link is to blame counts only under a signature. */
static void without_a_signature_no_link_is_named(void **state)
{
	struct msg m = some_close(), got;

	(void)state;
	m.close.is_signed = false;
	m.close.label = 5;
	memset(&got, 0xff, sizeof got);
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_false(got.close.is_signed);
	assert_int_equal(got.close.label, 5);
	assert_memory_equal(got.close.open_id.b, nonce.b, NONCE_LEN);
	assert_memory_equal(got.close.reporter.b, id.b, ID_LEN);
	assert_true(id_is_zero(&got.close.next));
}

static void a_close_has_a_signed_body_or_its_own_fields(void **state)
{
	enum {
		OPEN_ID = 1,
		LABEL = 2,
		REASON = 4,
		WHO = 8,
		BODY = 16,
		SIG = 32
	};
	static const struct {
		const char *why;
		unsigned parts;
		enum msg_verdict want;
	} cases[] = {
		{ "not signed", OPEN_ID | LABEL | REASON | WHO, MSG_OK },
		{ "label 0", OPEN_ID | REASON | WHO, MSG_OK },
		{ "signed", BODY | SIG, MSG_OK },
		{ "an open_id beside it", OPEN_ID | BODY | SIG, MSG_INVALID },
		{ "a label beside it", LABEL | BODY | SIG, MSG_INVALID },
		{ "a reason beside it", REASON | BODY | SIG, MSG_INVALID },
		{ "a reporter beside it", WHO | BODY | SIG, MSG_INVALID },
		{ "no signature", BODY, MSG_INVALID },
		{ "no signature, but fields", OPEN_ID | REASON | WHO | BODY,
		  MSG_INVALID },
		{ "a stray signature", OPEN_ID | REASON | WHO | SIG,
		  MSG_INVALID },
		{ "a signature of nothing", SIG, MSG_INVALID },
		{ "no open_id", REASON | WHO, MSG_INVALID },
		{ "no reason", OPEN_ID | WHO, MSG_INVALID },
		{ "no reporter", OPEN_ID | REASON, MSG_INVALID },
		{ "nothing", 0, MSG_INVALID },
	};
	const struct msg m = some_close();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[FRAME_SMALL_BYTES_MAX];
		struct buf b = buf_of(data, sizeof data);
		struct msg got;

		if (cases[i].parts & OPEN_ID)
			pb_bytes(&b, 1, nonce.b, NONCE_LEN);
		if (cases[i].parts & LABEL)
			buf_bytes(&b, "\x15\1\0\0\0", 5);
		if (cases[i].parts & REASON)
			pb_uint(&b, 3, CLOSE_DONE);
		if (cases[i].parts & WHO)
			pb_bytes(&b, 4, id.b, ID_LEN);
		if (cases[i].parts & BODY)
			pb_bytes(&b, 5, m.close.body, CLOSE_BODY_BYTES);
		if (cases[i].parts & SIG)
			pb_bytes(&b, 6, m.close.sig, SIG_LEN);
		if (msg_parse(&got, MSG_CLOSE, data, b.len) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_have_these_bytes),
		cmocka_unit_test(values_out_of_range_are_invalid),
		cmocka_unit_test(hop_257_is_not_hop_1),
		cmocka_unit_test(without_a_signature_no_link_is_named),
		cmocka_unit_test(a_close_has_a_signed_body_or_its_own_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
