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
#include "proto/packet.h"
#include "tests/support/msgs.h"

#define FRAME_CAP (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)

/* One frame on the heap, exactly as long as it is: the sanitizer sees a byte
 * too far. */
struct body {
	uint8_t type;
	size_t len;
	uint8_t *data;
};

static struct body body_of(const struct msg *m)
{
	uint8_t frame[FRAME_CAP];
	size_t len = msg_write(frame, sizeof frame, m);
	struct body b;

	assert_true(len >= FRAME_HEADER_BYTES);
	b.type = frame[0];
	b.len = len - FRAME_HEADER_BYTES;
	b.data = mem_calloc(1, b.len + 1);
	memcpy(b.data, frame + FRAME_HEADER_BYTES, b.len);
	b.data = mem_realloc(b.data, b.len != 0 ? b.len : 1, 1);
	return b;
}

static enum msg_verdict parse(struct msg *out, const struct body *b)
{
	return msg_parse(out, b->type, b->data, b->len);
}

/* Whatever the bytes are, the result is a verdict or a sound struct that
 * survives being written and read again. */
static void parse_any(uint8_t type, const uint8_t *data, size_t len)
{
	struct msg m, again;
	struct body b;

	if (msg_parse(&m, type, data, len) != MSG_OK)
		return;
	assert_ptr_equal(msg_fault(&m), NULL);
	b = body_of(&m);
	assert_int_equal(parse(&again, &b), MSG_OK);
	assert_true(msg_equal(&m, &again));
	free(b.data);
}

static void every_type_survives_the_wire(void **state)
{
	struct rng r;
	struct msg m, got;

	(void)state;
	rng_init(&r, 1);
	for (int t = 1; t < MSG_TYPES; t++) {
		for (int i = 0; i < 200; i++) {
			struct body b;

			msg_random(&m, (enum msg_type)t, &r);
			assert_ptr_equal(msg_fault(&m), NULL);
			b = body_of(&m);
			assert_int_equal(b.type, t);
			assert_true(b.len <= msg_bytes_max((uint8_t)t));
			assert_int_equal(parse(&got, &b), MSG_OK);
			assert_true(msg_equal(&m, &got));
			free(b.data);
		}
	}
}

static void a_message_cut_anywhere_is_never_half_valid(void **state)
{
	struct rng r;
	struct msg m;

	(void)state;
	rng_init(&r, 2);
	for (int k = 0; k < 4 * (MSG_TYPES - 1); k++) {
		struct body b;

		msg_random_small(&m, (enum msg_type)(1 + k / 4), &r);
		b = body_of(&m);
		for (size_t len = 0; len < b.len; len++) {
			uint8_t *cut = mem_calloc(1, len + 1);

			cut = mem_realloc(cut, len != 0 ? len : 1, 1);
			memcpy(cut, b.data, len);
			parse_any(b.type, cut, len);
			free(cut);
		}
		free(b.data);
	}
}

static void no_changed_byte_makes_an_invalid_struct(void **state)
{
	struct rng r;
	struct msg m;

	(void)state;
	rng_init(&r, 3);
	for (int k = 0; k < 4 * (MSG_TYPES - 1); k++) {
		struct body b;

		msg_random_small(&m, (enum msg_type)(1 + k / 4), &r);
		b = body_of(&m);
		for (size_t i = 0; i < b.len; i++) {
			uint8_t was = b.data[i];

			for (unsigned bit = 0; bit < 8; bit++) {
				b.data[i] = (uint8_t)(was ^ 1U << bit);
				parse_any(b.type, b.data, b.len);
			}
			b.data[i] = (uint8_t)rng_u64(&r);
			parse_any(b.type, b.data, b.len);
			b.data[i] = was;
		}
		free(b.data);
	}
}

static void a_body_of_one_type_is_sound_as_any_other(void **state)
{
	struct rng r;
	struct msg m;

	(void)state;
	rng_init(&r, 4);
	for (int t = 1; t < MSG_TYPES; t++) {
		struct body b;

		msg_random_small(&m, (enum msg_type)t, &r);
		b = body_of(&m);
		for (int other = 1; other < MSG_TYPES; other++)
			parse_any((uint8_t)other, b.data, b.len);
		free(b.data);
	}
}

/* Appends an unknown field (number 1000, bytes) so that the body gets `len`
 * bytes; the field costs 4 or 5 bytes of its own. */
static void pad(struct body *b, size_t len)
{
	size_t rest = len - b->len;
	struct buf out;

	assert_true(rest >= 4 && (rest < 132 || rest >= 133));
	b->data = mem_realloc(b->data, len, 1);
	out = buf_of(b->data, len);
	out.len = b->len;
	buf_be16(&out, 0xc23e); /* 1000 << 3 | 2 as a varint */
	if (rest < 132) {
		buf_u8(&out, (uint8_t)(rest - 3));
		rest -= 3;
	} else {
		rest -= 4;
		buf_u8(&out, (uint8_t)(0x80 | (rest & 0x7f)));
		buf_u8(&out, (uint8_t)(rest >> 7));
	}
	memset(buf_reserve(&out, rest), 'x', rest);
	assert_false(out.bad);
	b->len = len;
}

static bool can_pad(const struct body *b, size_t len)
{
	return len >= b->len + 133;
}

/* A flood has a lower cap of its own. */
static bool is_flood(const struct msg *m)
{
	return m->type == MSG_PROBE && (m->probe.flags & PROBE_FLAG_FLOOD) != 0;
}

static void each_type_has_a_cap_that_holds_to_the_byte(void **state)
{
	struct rng r;
	struct msg m, got;

	(void)state;
	rng_init(&r, 5);
	for (int t = 1; t < MSG_TYPES; t++) {
		size_t max = msg_bytes_max((uint8_t)t);

		assert_true(max != 0 && max <= FRAME_BYTES_MAX);
		for (size_t len = max - 1; len <= max + 1; len++) {
			struct body b;

			do {
				msg_random(&m, (enum msg_type)t, &r);
				b = body_of(&m);
				if (can_pad(&b, len) && !is_flood(&m))
					break;
				free(b.data);
			} while (true);
			pad(&b, len);
			assert_int_equal(parse(&got, &b),
					 len <= max ? MSG_OK : MSG_TOO_LONG);
			free(b.data);
		}
	}
}

static void the_largest_of_each_type_fits_its_cap(void **state)
{
	struct rng r;
	struct msg m, got;
	struct body b;

	(void)state;
	rng_init(&r, 6);
	msg_random(&m, MSG_OPEN, &r);
	route_random(&m.open.route, HOPS_MAX, &r);
	m.open.route.first_sig = 0;
	msg_open_seal(&m.open);
	b = body_of(&m);
	assert_true(b.len <= FRAME_ROUTING_BYTES_MAX);
	assert_int_equal(parse(&got, &b), MSG_OK);
	assert_true(msg_equal(&m, &got));
	free(b.data);

	msg_random(&m, MSG_PEER_INFO, &r);
	m.peer_info.chain_len = CHAIN_BYTES_MAX;
	b = body_of(&m);
	assert_true(b.len <= PEER_INFO_BYTES_MAX);
	assert_int_equal(parse(&got, &b), MSG_OK);
	free(b.data);

	msg_random(&m, MSG_PEER_QUERY, &r);
	m.peer_query.n = PEER_QUERY_IDS_MAX;
	b = body_of(&m);
	assert_int_equal(parse(&got, &b), MSG_OK);
	free(b.data);
}

static void writing_needs_room_for_all_or_writes_nothing(void **state)
{
	uint8_t frame[FRAME_CAP];
	struct rng r;
	struct msg m;

	(void)state;
	rng_init(&r, 7);
	for (int t = 1; t < MSG_TYPES; t++) {
		size_t len;

		msg_random(&m, (enum msg_type)t, &r);
		len = msg_write(frame, sizeof frame, &m);
		assert_true(len != 0);
		for (size_t cap = 0; cap < len; cap++) {
			uint8_t *small = mem_calloc(1, cap + 1);

			assert_int_equal(msg_write(small, cap, &m), 0);
			free(small);
		}
		assert_int_equal(msg_write(frame, len, &m), len);
		assert_int_equal(frame[0], t);
		assert_int_equal(frame[1] << 16 | frame[2] << 8 | frame[3],
				 len - FRAME_HEADER_BYTES);
	}
}

static void unknown_fields_are_allowed_up_to_a_number(void **state)
{
	struct rng r;
	struct msg m, got;

	(void)state;
	rng_init(&r, 8);
	for (int t = 1; t < MSG_TYPES; t++) {
		for (size_t n = UNKNOWN_FIELDS_MAX - 1;
		     n <= UNKNOWN_FIELDS_MAX + 1; n++) {
			struct body b;

			do {
				msg_random(&m, (enum msg_type)t, &r);
				b = body_of(&m);
				if (b.len + 64 < msg_bytes_max((uint8_t)t))
					break;
				free(b.data);
			} while (true);
			for (size_t i = 0; i < n; i++)
				pad(&b, b.len + 5);
			assert_int_equal(parse(&got, &b),
					 n <= UNKNOWN_FIELDS_MAX
						 ? MSG_OK
						 : MSG_MALFORMED);
			if (n <= UNKNOWN_FIELDS_MAX)
				assert_true(msg_equal(&m, &got));
			free(b.data);
		}
	}
}

static void unknown_fields_inside_a_route_count_too(void **state)
{
	/* ANSWER: route = { nine times field 15 = 1 } */
	uint8_t body[] = { 0x0a, 18, 0x78, 1, 0x78, 1, 0x78, 1, 0x78, 1,
			   0x78, 1,  0x78, 1, 0x78, 1, 0x78, 1, 0x78, 1 };
	struct msg m;

	(void)state;
	assert_int_equal(msg_parse(&m, MSG_ANSWER, body, sizeof body),
			 MSG_MALFORMED);
	body[1] = 16;
	assert_int_equal(msg_parse(&m, MSG_ANSWER, body, sizeof body - 2),
			 MSG_INVALID);
}

static void a_body_that_wants_much_memory_is_malformed(void **state)
{
	uint8_t body[FRAME_ROUTING_BYTES_MAX];
	struct msg m;

	(void)state;
	/* As many fields as fit: each two bytes would become forty. */
	for (size_t i = 0; i < sizeof body; i += 2) {
		body[i] = 0x78;
		body[i + 1] = 1;
	}
	assert_int_equal(msg_parse(&m, MSG_ANSWER, body, sizeof body),
			 MSG_MALFORMED);
	/* As many routes as fit: merged, they are still no route. */
	for (size_t i = 0; i < sizeof body; i += 2) {
		body[i] = 0x0a;
		body[i + 1] = 0;
	}
	assert_int_not_equal(msg_parse(&m, MSG_ANSWER, body, sizeof body),
			     MSG_OK);
	/* Groups nested in each other. */
	memset(body, 0x7b, sizeof body);
	assert_int_equal(msg_parse(&m, MSG_ANSWER, body, sizeof body),
			 MSG_MALFORMED);
}

static void types_that_we_do_not_know_are_told_apart(void **state)
{
	struct msg m;

	(void)state;
	for (unsigned t = 0; t <= UINT8_MAX; t++) {
		bool is_known = t >= MSG_HELLO && t < MSG_TYPES;

		assert_int_equal(msg_bytes_max((uint8_t)t) != 0, is_known);
		if (!is_known)
			assert_int_equal(msg_parse(&m, (uint8_t)t, NULL, 0),
					 MSG_UNKNOWN);
		assert_int_equal(strcmp(msg_type_text((uint8_t)t), "unknown") ==
					 0,
				 !is_known);
	}
	/* Every field of PING and of LINK but one may be zero. */
	assert_int_equal(msg_parse(&m, MSG_PING, NULL, 0), MSG_OK);
	assert_int_equal(msg_parse(&m, MSG_LINK, NULL, 0), MSG_INVALID);
}

/* The version of the body that everything else in a message hangs on. */
static uint8_t *version_of(struct msg *m)
{
	switch (m->type) {
	case MSG_PROBE:
		return m->probe.body;
	case MSG_ANSWER:
		return m->answer.route.body;
	case MSG_OPEN:
		return m->open.route.body;
	case MSG_BEACON:
		return m->beacon.root.body;
	case MSG_BEAT:
		return m->beat.root.body;
	case MSG_STORE:
		return m->store.record.body;
	case MSG_FOUND:
		return m->found.record.body;
	default:
		return NULL;
	}
}

static void what_a_later_version_says_is_skipped(void **state)
{
	static const struct {
		uint8_t version;
		enum msg_verdict want;
	} cases[] = {
		{ 0, MSG_INVALID },
		{ 1, MSG_OK },
		{ 2, MSG_UNKNOWN },
		{ 255, MSG_UNKNOWN },
	};
	struct rng r;
	struct msg m, got;
	unsigned n = 0;

	(void)state;
	rng_init(&r, 9);
	for (int t = 1; t < MSG_TYPES; t++) {
		do
			msg_random(&m, (enum msg_type)t, &r);
		while (t == MSG_STORE && m.store.record.body_len == 0);
		if (version_of(&m) == NULL)
			continue;
		n++;
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			*version_of(&m) = cases[i].version;
			assert_int_equal(msg_reread(&got, &m), cases[i].want);
		}
	}
	assert_int_equal(n, 7);
}

static void every_verdict_code_and_reason_has_a_text(void **state)
{
	(void)state;
	for (int i = 0; i < MSG_VERDICTS; i++)
		assert_string_not_equal(msg_verdict_text((enum msg_verdict)i),
					"unknown");
	for (int i = 1; i < NAK_CODES; i++)
		assert_string_not_equal(nak_code_text((enum nak_code)i),
					"unknown");
	for (int i = 1; i < CLOSE_REASONS; i++)
		assert_string_not_equal(close_reason_text((enum close_reason)i),
					"unknown");
	assert_string_equal(nak_code_text((enum nak_code)0), "unknown");
	assert_string_equal(nak_code_text(NAK_CODES), "unknown");
	assert_string_equal(close_reason_text(CLOSE_REASONS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_survives_the_wire),
		cmocka_unit_test(a_message_cut_anywhere_is_never_half_valid),
		cmocka_unit_test(no_changed_byte_makes_an_invalid_struct),
		cmocka_unit_test(a_body_of_one_type_is_sound_as_any_other),
		cmocka_unit_test(each_type_has_a_cap_that_holds_to_the_byte),
		cmocka_unit_test(the_largest_of_each_type_fits_its_cap),
		cmocka_unit_test(writing_needs_room_for_all_or_writes_nothing),
		cmocka_unit_test(unknown_fields_are_allowed_up_to_a_number),
		cmocka_unit_test(unknown_fields_inside_a_route_count_too),
		cmocka_unit_test(a_body_that_wants_much_memory_is_malformed),
		cmocka_unit_test(types_that_we_do_not_know_are_told_apart),
		cmocka_unit_test(what_a_later_version_says_is_skipped),
		cmocka_unit_test(every_verdict_code_and_reason_has_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
