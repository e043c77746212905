#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/packet.h"

static void headers_are_told_apart_by_their_part_bits(void **state)
{
	static const struct {
		const char *why;
		uint8_t data[8];
		size_t len;
		enum packet_verdict want;
		enum packet_part part;
		uint32_t label;
		uint16_t number;
		size_t payload;
	} cases[] = {
		{ "empty", { 0 }, 0, PACKET_SHORT, 0, 0, 0, 0 },
		{ "a byte under the label",
		  { 0 },
		  3,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0 },
		{ "whole, no payload",
		  { 0, 0, 0, 7 },
		  4,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0 },
		{ "whole, one byte",
		  { 0, 0, 0, 7, 9 },
		  5,
		  PACKET_OK,
		  PACKET_WHOLE,
		  7,
		  0,
		  1 },
		{ "all bits of a label",
		  { 0x3f, 0xff, 0xff, 0xff, 9 },
		  5,
		  PACKET_OK,
		  PACKET_WHOLE,
		  LABEL_MASK,
		  0,
		  1 },
		{ "first, no number",
		  { 0x40, 0, 0, 7, 9 },
		  5,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0 },
		{ "first, no payload",
		  { 0x40, 0, 0, 7, 1, 2 },
		  6,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0 },
		{ "first",
		  { 0x40, 0, 0, 7, 1, 2, 9 },
		  7,
		  PACKET_OK,
		  PACKET_FIRST,
		  7,
		  0x0102,
		  1 },
		{ "last",
		  { 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 9, 9 },
		  8,
		  PACKET_OK,
		  PACKET_LAST,
		  LABEL_MASK,
		  0xffff,
		  2 },
		{ "reserved",
		  { 0xc0, 0, 0, 7, 1, 2, 9 },
		  7,
		  PACKET_PART,
		  0,
		  0,
		  0,
		  0 },
		{ "reserved and short",
		  { 0xff, 0xff, 0xff, 0xff },
		  4,
		  PACKET_PART,
		  0,
		  0,
		  0,
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct packet p;
		enum packet_verdict v =
			packet_parse(&p, cases[i].data, cases[i].len);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		if (v != PACKET_OK)
			continue;
		assert_int_equal(p.part, cases[i].part);
		assert_int_equal(p.label, cases[i].label);
		assert_int_equal(p.number, cases[i].number);
		assert_int_equal(p.len, cases[i].payload);
		assert_ptr_equal(p.payload,
				 cases[i].data + cases[i].len - p.len);
	}
}

static void what_is_written_is_read(void **state)
{
	struct rng r;

	(void)state;
	rng_init(&r, 1);
	for (int i = 0; i < 1000; i++) {
		enum packet_part part = (enum packet_part)rng_below(&r, 3);
		uint32_t label = (uint32_t)rng_u64(&r) & LABEL_MASK;
		uint16_t number = (uint16_t)rng_u64(&r);
		uint8_t data[PACKET_HEADER_MAX + 1];
		size_t len = packet_header_write(data, part, label, number);
		struct packet p;

		assert_int_equal(len,
				 part == PACKET_WHOLE
					 ? LABEL_BYTES
					 : LABEL_BYTES + PART_NUMBER_BYTES);
		data[len] = 0xab;
		assert_int_equal(packet_parse(&p, data, len + 1), PACKET_OK);
		assert_int_equal(p.part, part);
		assert_int_equal(p.label, label);
		assert_int_equal(p.number, part == PACKET_WHOLE ? 0 : number);
		assert_int_equal(p.payload[0], 0xab);
	}
}

static void a_new_label_keeps_the_part_bits(void **state)
{
	(void)state;
	assert_int_equal(packet_relabel(0x40000007, 0x12345678), 0x52345678);
	assert_int_equal(packet_relabel(0xbfffffff, 0), 0x80000000);
	assert_int_equal(packet_relabel(7, LABEL_MASK), LABEL_MASK);
	/* A label over 30 bits cannot turn a part into another. */
	assert_int_equal(packet_relabel(7, UINT32_MAX), LABEL_MASK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_told_apart_by_their_part_bits),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_new_label_keeps_the_part_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
