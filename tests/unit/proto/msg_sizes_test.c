/* Every field of every message: how long or large it may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/frame.h"
#include "proto/msg.h"
#include "tests/support/msgs.h"

#define FRAME_CAP (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)

/* One field of a body, as protobuf writes it. */
struct field {
	const uint8_t *start;
	const uint8_t *value;
	size_t len; /* of the value, 0 unless it is bytes */
	unsigned number;
	unsigned wire;
};

static struct field field_next(struct view *v)
{
	struct field f = { .start = v->pos };
	unsigned key = view_u8(v); /* all our numbers are below 16 */

	f.number = key >> 3;
	f.wire = key & 7;
	if (f.wire == 2) {
		f.len = view_u8(v);
		if (f.len >= 0x80) /* two bytes are enough for a frame */
			f.len = (f.len & 0x7f) | (size_t)view_u8(v) << 7;
		f.value = view_bytes(v, f.len);
	} else if (f.wire == 0) {
		while (view_u8(v) >= 0x80)
			;
	} else {
		view_bytes(v, f.wire == 1 ? 8 : 4);
	}
	assert_false(v->bad);
	return f;
}

static void field_write(struct buf *out, const struct field *f, size_t len)
{
	buf_u8(out, (uint8_t)(f->number << 3 | 2));
	buf_u8(out, (uint8_t)(0x80 | (len & 0x7f)));
	buf_u8(out, (uint8_t)(len >> 7));
	for (size_t i = 0; i < len; i++)
		buf_u8(out, i < f->len ? f->value[i] : 0);
}

/* The body with its field number `nth` replaced by `len` bytes of it, or left
 * out. */
static enum msg_verdict parse_changed(const uint8_t *body, size_t body_len,
				      uint8_t type, size_t nth, bool leave_out,
				      int more)
{
	static uint8_t changed[FRAME_CAP];
	struct buf out = buf_of(changed, sizeof changed);
	struct view v = view_of(body, body_len);
	struct msg got;

	for (size_t i = 0; view_left(&v) != 0; i++) {
		struct field f = field_next(&v);

		if (i == nth && leave_out)
			continue;
		if (i == nth)
			field_write(&out, &f, (size_t)((int)f.len + more));
		else
			buf_bytes(&out, f.start, (size_t)(v.pos - f.start));
	}
	assert_false(out.bad);
	return msg_parse(&got, type, out.data, out.len);
}

static bool is_variable(uint8_t type, unsigned number)
{
	return (type == MSG_HELLO && number == 2) ||
	       (type == MSG_PEER_INFO && number == 2) ||
	       (type == MSG_NO_RECORD && number == 6) ||
	       (type == MSG_PROBE && number == 10);
}

static bool is_optional(uint8_t type, unsigned number)
{
	/* An appointment; NO_RECORD's goes with a chain. */
	static const unsigned appointment[MSG_TYPES] = {
		[MSG_STORE] = 5,
		[MSG_STORED] = 2,
		[MSG_LOOKUP] = 6,
		[MSG_FOUND] = 3,
	};

	return is_variable(type, number) || number == appointment[type] ||
	       (type == MSG_PROBE && (number == 4 || number == 9));
}

static void bytes_of_another_length_are_not_accepted(void **state)
{
	uint8_t frame[FRAME_CAP];
	size_t n_tried = 0;
	struct rng r;
	struct msg m;

	(void)state;
	rng_init(&r, 12);
	for (int round = 0; round < 20; round++) {
		for (uint8_t t = 1; t < MSG_TYPES; t++) {
			const uint8_t *body = frame + FRAME_HEADER_BYTES;
			struct view v;
			size_t len;

			msg_random(&m, (enum msg_type)t, &r);
			len = msg_write(frame, sizeof frame, &m) -
			      FRAME_HEADER_BYTES;
			v = view_of(body, len);
			for (size_t i = 0; view_left(&v) != 0; i++) {
				struct field f = field_next(&v);

				if (f.wire != 2 || is_variable(t, f.number))
					continue;
				assert_int_equal(parse_changed(body, len, t, i,
							       false, 0),
						 MSG_OK);
				assert_int_not_equal(parse_changed(body, len, t,
								   i, false, 1),
						     MSG_OK);
				assert_int_not_equal(parse_changed(body, len, t,
								   i, false,
								   -1),
						     MSG_OK);
				n_tried++;
			}
		}
	}
	assert_true(n_tried > 200);
}

static size_t leave_each_out(enum msg_type t, struct rng *r)
{
	uint8_t frame[FRAME_CAP];
	const uint8_t *body = frame + FRAME_HEADER_BYTES;
	size_t len, n_tried = 0;
	struct view v;
	struct msg m;

	msg_random(&m, t, r);
	len = msg_write(frame, sizeof frame, &m) - FRAME_HEADER_BYTES;
	v = view_of(body, len);
	for (size_t i = 0; view_left(&v) != 0; i++) {
		struct field f = field_next(&v);

		if (f.wire != 2 || is_optional((uint8_t)t, f.number))
			continue;
		assert_int_equal(
			parse_changed(body, len, (uint8_t)t, i, true, 0),
			MSG_INVALID);
		n_tried++;
	}
	return n_tried;
}

static void bytes_that_are_missing_are_not_accepted(void **state)
{
	/* In the smaller of their forms. */
	static const size_t n_fields[MSG_TYPES] = {
		[MSG_PROBE] = 2,  [MSG_ANSWER] = 1,     [MSG_NAK] = 2,
		[MSG_OPEN] = 3,   [MSG_OPENED] = 1,     [MSG_CLOSE] = 2,
		[MSG_BEACON] = 3, [MSG_PEER_QUERY] = 1, [MSG_PEER_INFO] = 1,
		[MSG_BEAT] = 2,   [MSG_STORE] = 2,      [MSG_STORED] = 1,
		[MSG_LOOKUP] = 2, [MSG_FOUND] = 2,      [MSG_NO_RECORD] = 1,
		[MSG_TEST] = 1,   [MSG_RECEIPT] = 2,
	};
	struct rng r;

	(void)state;
	rng_init(&r, 13);
	for (int round = 0; round < 10; round++)
		for (int t = 1; t < MSG_TYPES; t++)
			assert_true(leave_each_out((enum msg_type)t, &r) >=
				    n_fields[t]);
}

static void numbers_too_large_for_their_field_are_invalid(void **state)
{
	static const struct {
		const char *why;
		uint8_t type;
		uint8_t len;
		uint8_t body[16];
		enum msg_verdict want;
	} cases[] = {
		{ "port 65535",
		  MSG_HELLO,
		  6,
		  { 0x08, 1, 0x20, 0xff, 0xff, 3 },
		  MSG_OK },
		{ "port 65536",
		  MSG_HELLO,
		  6,
		  { 0x08, 1, 0x20, 0x80, 0x80, 4 },
		  MSG_INVALID },
		{ "cost 65535",
		  MSG_LINK,
		  6,
		  { 0x08, 0xff, 0xff, 3, 0x10, 1 },
		  MSG_OK },
		{ "cost 65536",
		  MSG_LINK,
		  6,
		  { 0x08, 0x80, 0x80, 4, 0x10, 1 },
		  MSG_INVALID },
		{ "mtu 65535", MSG_LINK, 4, { 0x10, 0xff, 0xff, 3 }, MSG_OK },
		{ "mtu 65536",
		  MSG_LINK,
		  4,
		  { 0x10, 0x80, 0x80, 4 },
		  MSG_INVALID },
		{ "loss 255", MSG_LINK, 5, { 0x10, 1, 0x18, 0xff, 1 }, MSG_OK },
		{ "loss 256",
		  MSG_LINK,
		  5,
		  { 0x10, 1, 0x18, 0x80, 2 },
		  MSG_INVALID },
		{ "rate 255", MSG_LINK, 5, { 0x10, 1, 0x20, 0xff, 1 }, MSG_OK },
		{ "rate 256",
		  MSG_LINK,
		  5,
		  { 0x10, 1, 0x20, 0x80, 2 },
		  MSG_INVALID },
		{ "a name with a NUL inside",
		  MSG_HELLO,
		  7,
		  { 0x08, 1, 0x12, 3, 'a', 0, 'b' },
		  MSG_INVALID },
		{ "a number where bytes belong",
		  MSG_HELLO,
		  4,
		  { 0x08, 1, 0x10, 1 },
		  MSG_MALFORMED },
		{ "field number 0", MSG_PING, 2, { 0x00, 1 }, MSG_MALFORMED },
		{ "a varint without end",
		  MSG_LINK,
		  11,
		  { 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0xff },
		  MSG_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m;
		enum msg_verdict v = msg_parse(&m, cases[i].type, cases[i].body,
					       cases[i].len);

		if (v != cases[i].want)
			fail_msg("%s: %s", cases[i].why, msg_verdict_text(v));
	}
}

static void a_name_may_have_63_bytes_and_no_more(void **state)
{
	(void)state;
	for (uint8_t len = 62; len <= 64; len++) {
		uint8_t body[4 + 64] = { 0x08, 1, 0x12, len };
		struct msg m;

		memset(body + 4, 'n', len);
		assert_int_equal(msg_parse(&m, MSG_HELLO, body, 4U + len),
				 len <= NAME_BYTES_MAX ? MSG_OK : MSG_INVALID);
		if (len <= NAME_BYTES_MAX)
			assert_int_equal(strlen(m.hello.name), len);
	}
}

static void a_query_may_have_64_ids_and_no_more(void **state)
{
	(void)state;
	for (size_t n = 63; n <= 65; n++) {
		uint8_t body[3 + 65 * ID_LEN] = { 0x0a };
		size_t len = n * ID_LEN;
		struct msg m;

		body[1] = (uint8_t)(0x80 | (len & 0x7f));
		body[2] = (uint8_t)(len >> 7);
		assert_int_equal(msg_parse(&m, MSG_PEER_QUERY, body, 3 + len),
				 n <= PEER_QUERY_IDS_MAX ? MSG_OK
							 : MSG_INVALID);
	}
}

static void a_chain_may_have_4096_bytes_and_no_more(void **state)
{
	(void)state;
	for (size_t len = CHAIN_BYTES_MAX - 1; len <= CHAIN_BYTES_MAX + 1;
	     len++) {
		uint8_t body[2 + ID_LEN + 3 + CHAIN_BYTES_MAX + 1] = { 0x0a,
								       10 };
		struct buf b = buf_of(body, sizeof body);
		struct msg m;

		b.len = 2 + ID_LEN;
		buf_u8(&b, 0x12);
		buf_u8(&b, (uint8_t)(0x80 | (len & 0x7f)));
		buf_u8(&b, (uint8_t)(len >> 7));
		buf_reserve(&b, len);
		assert_false(b.bad);
		assert_int_equal(msg_parse(&m, MSG_PEER_INFO, body, b.len),
				 len <= CHAIN_BYTES_MAX ? MSG_OK : MSG_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_of_another_length_are_not_accepted),
		cmocka_unit_test(bytes_that_are_missing_are_not_accepted),
		cmocka_unit_test(numbers_too_large_for_their_field_are_invalid),
		cmocka_unit_test(a_name_may_have_63_bytes_and_no_more),
		cmocka_unit_test(a_query_may_have_64_ids_and_no_more),
		cmocka_unit_test(a_chain_may_have_4096_bytes_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
