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
		bool is_marked;
	} cases[] = {
		{ "empty", { 0 }, 0, PACKET_SHORT, 0, 0, 0, 0, false },
		{ "a byte under the label",
		  { 0 },
		  3,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0,
		  false },
		{ "whole, no payload",
		  { 0, 0, 0, 7 },
		  4,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0,
		  false },
		{ "whole, one byte",
		  { 0, 0, 0, 7, 9 },
		  5,
		  PACKET_OK,
		  PACKET_WHOLE,
		  7,
		  0,
		  1,
		  false },
		{ "all bits of a label",
		  { 0x3f, 0xff, 0xff, 0xff, 9 },
		  5,
		  PACKET_OK,
		  PACKET_WHOLE,
		  LABEL_MASK,
		  0,
		  1,
		  false },
		{ "first, no number",
		  { 0x40, 0, 0, 7, 9 },
		  5,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0,
		  false },
		{ "first, no payload",
		  { 0x40, 0, 0, 7, 1, 2 },
		  6,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0,
		  false },
		{ "first",
		  { 0x40, 0, 0, 7, 1, 2, 9 },
		  7,
		  PACKET_OK,
		  PACKET_FIRST,
		  7,
		  0x0102,
		  1,
		  false },
		{ "last",
		  { 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 9, 9 },
		  8,
		  PACKET_OK,
		  PACKET_LAST,
		  LABEL_MASK,
		  0xffff,
		  2,
		  false },
		{ "marked",
		  { 0xc0, 0, 0, 7, 1, 2, 9 },
		  7,
		  PACKET_OK,
		  PACKET_WHOLE,
		  7,
		  0,
		  3,
		  true },
		{ "marked, all bits of a label",
		  { 0xff, 0xff, 0xff, 0xff, 9 },
		  5,
		  PACKET_OK,
		  PACKET_WHOLE,
		  LABEL_MASK,
		  0,
		  1,
		  true },
		{ "marked, no payload",
		  { 0xff, 0xff, 0xff, 0xff },
		  4,
		  PACKET_SHORT,
		  0,
		  0,
		  0,
		  0,
		  false },
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
		assert_int_equal(p.is_marked, cases[i].is_marked);
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
		enum packet_part part = (enum packet_part)rng_below(&r, 4);
		bool is_whole = part == PACKET_WHOLE || part == PACKET_MARKED;
		uint32_t label = (uint32_t)rng_u64(&r) & LABEL_MASK;
		uint16_t number = (uint16_t)rng_u64(&r);
		uint8_t data[PACKET_HEADER_MAX + 1];
		size_t len = packet_header_write(data, part, label, number);
		struct packet p;

		assert_int_equal(len,
				 is_whole ? LABEL_BYTES
					  : LABEL_BYTES + PART_NUMBER_BYTES);
		data[len] = 0xab;
		assert_int_equal(packet_parse(&p, data, len + 1), PACKET_OK);
		assert_int_equal(p.part, is_whole ? PACKET_WHOLE : part);
		assert_int_equal(p.is_marked, part == PACKET_MARKED);
		assert_int_equal(p.label, label);
		assert_int_equal(p.number, is_whole ? 0 : number);
		assert_int_equal(p.payload[0], 0xab);
	}
}

static void a_new_label_keeps_the_part_bits(void **state)
{
	(void)state;
	assert_int_equal(packet_relabel(0x40000007, 0x12345678), 0x52345678);
	assert_int_equal(packet_relabel(0xbfffffff, 0), 0x80000000);
	assert_int_equal(packet_relabel(7, LABEL_MASK), LABEL_MASK);
	assert_int_equal(packet_relabel(0xc0000007, 8), 0xc0000008);
	/* A label over 30 bits cannot turn a part into another. */
	assert_int_equal(packet_relabel(7, UINT32_MAX), LABEL_MASK);
}

static void whole_packets_are_marked_and_parts_are_not(void **state)
{
	static const struct {
		uint8_t before, after;
		bool is_marked;
	} cases[] = {
		{ 0x00, 0xc0, true },  { 0x3f, 0xff, true },
		{ 0xc0, 0xc0, true },  { 0xd5, 0xd5, true },
		{ 0x40, 0x40, false }, { 0x7f, 0x7f, false },
		{ 0x80, 0x80, false }, { 0xbf, 0xbf, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t header[LABEL_BYTES] = { cases[i].before, 1, 2, 3 };

		assert_int_equal(packet_mark(header), cases[i].is_marked);
		assert_int_equal(header[0], cases[i].after);
		assert_int_equal(header[3], 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_told_apart_by_their_part_bits),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_new_label_keeps_the_part_bits),
		cmocka_unit_test(whole_packets_are_marked_and_parts_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
