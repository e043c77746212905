#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/packet.h"

#define PART_MAX 1500

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

/* A part with `len` bytes of `fill`. */
static struct packet part_of(uint8_t *data, enum packet_part part,
			     uint32_t label, uint16_t number, uint8_t fill,
			     size_t len)
{
	memset(data, fill, len);
	return (struct packet){ .part = part,
				.label = label,
				.number = number,
				.payload = data,
				.len = len };
}

static void two_parts_join_in_either_order(void **state)
{
	struct joiner *j = joiner_new();
	uint8_t a[PART_MAX], b[PART_MAX];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 1200);
	struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 80);

	(void)state;
	for (int i = 0; i < 2; i++) {
		const uint8_t *p;
		size_t len = 0;

		assert_null(joiner_handle(j, i == 0 ? &first : &last, 5, &len));
		p = joiner_handle(j, i == 0 ? &last : &first, 6, &len);
		assert_non_null(p);
		assert_int_equal(len, 1280);
		assert_memory_equal(p, a, 1200);
		assert_memory_equal(p + 1200, b, 80);
	}
	assert_int_equal(joiner_n_lost(j), 0);
	joiner_free(j);
	joiner_free(NULL);
}

static void a_whole_packet_passes_through(void **state)
{
	struct joiner *j = joiner_new();
	uint8_t a[10];
	struct packet p = part_of(a, PACKET_WHOLE, 7, 0, 'a', 10);
	size_t len;

	(void)state;
	assert_ptr_equal(joiner_handle(j, &p, 5, &len), a);
	assert_int_equal(len, 10);
	joiner_free(j);
}

static void parts_of_other_packets_and_circuits_do_not_mix(void **state)
{
	struct joiner *j = joiner_new();
	uint8_t a[8], b[8];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
	struct packet last;
	size_t len;

	(void)state;
	assert_null(joiner_handle(j, &first, 5, &len));
	last = part_of(b, PACKET_LAST, 7, 2, 'b', 8);
	assert_null(joiner_handle(j, &last, 5, &len));
	last = part_of(b, PACKET_LAST, 8, 1, 'b', 8);
	assert_null(joiner_handle(j, &last, 5, &len));
	last = part_of(b, PACKET_LAST, 7, 1, 'c', 8);
	assert_non_null(joiner_handle(j, &last, 5, &len));
	assert_int_equal(len, 16);
	joiner_free(j);
}

static void a_duplicate_changes_nothing(void **state)
{
	struct joiner *j = joiner_new();
	uint8_t a[8], b[8];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
	struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 8);
	const uint8_t *p;
	size_t len;

	(void)state;
	assert_null(joiner_handle(j, &first, 5, &len));
	assert_null(joiner_handle(j, &first, 6, &len));
	p = joiner_handle(j, &last, 7, &len);
	assert_non_null(p);
	assert_memory_equal(p, "aaaaaaaabbbbbbbb", 16);
	assert_int_equal(joiner_n_lost(j), 0);
	/* Late: a part of a packet that is gone. */
	assert_null(joiner_handle(j, &last, 8, &len));
	joiner_free(j);
}

static void a_number_that_comes_round_replaces_the_old_part(void **state)
{
	struct joiner *j = joiner_new();
	uint8_t a[8], b[8];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
	struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 8);
	const uint8_t *p;
	size_t len;

	(void)state;
	assert_null(joiner_handle(j, &first, 5, &len));
	first = part_of(a, PACKET_FIRST, 7, 1, 'n', 8);
	assert_null(joiner_handle(j, &first, 6, &len));
	assert_int_equal(joiner_n_lost(j), 1);
	p = joiner_handle(j, &last, 7, &len);
	assert_non_null(p);
	assert_memory_equal(p, "nnnnnnnnbbbbbbbb", 16);
	joiner_free(j);
}

static void a_part_waits_half_a_second_and_no_longer(void **state)
{
	static const struct {
		nsec wait;
		bool joins;
	} cases[] = {
		{ PARTS_PENDING_NS - 1, true },
		{ PARTS_PENDING_NS, false },
		{ PARTS_PENDING_NS + 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct joiner *j = joiner_new();
		uint8_t a[8], b[8];
		struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
		struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 8);
		const nsec start = 100 * NS_PER_S;
		size_t len;

		assert_null(joiner_handle(j, &first, start, &len));
		assert_int_equal(joiner_handle(j, &last, start + cases[i].wait,
					       &len) != NULL,
				 cases[i].joins);
		assert_int_equal(joiner_n_lost(j), !cases[i].joins);
		joiner_free(j);
	}
}

/* Feeds eight bytes; true if a packet came out. */
static bool feed(struct joiner *j, enum packet_part part, uint16_t number,
		 nsec now)
{
	uint8_t data[8];
	struct packet p = part_of(data, part, 7, number, 'x', sizeof data);
	size_t len;

	return joiner_handle(j, &p, now, &len) != NULL;
}

static void the_oldest_part_makes_room(void **state)
{
	struct joiner *j = joiner_new();

	(void)state;
	/* Number 3 is the oldest by time, not by place. */
	for (uint16_t i = 0; i < PARTS_PENDING_MAX; i++)
		assert_false(feed(j, PACKET_FIRST, i, i == 3 ? 90 : 100));
	assert_int_equal(joiner_n_lost(j), 0);
	assert_false(feed(j, PACKET_FIRST, 99, 101));
	assert_int_equal(joiner_n_lost(j), 1);
	for (uint16_t i = 0; i < PARTS_PENDING_MAX; i++)
		if (i != 3)
			assert_true(feed(j, PACKET_LAST, i, 102));
	assert_false(feed(j, PACKET_LAST, 3, 102));
	joiner_free(j);
}

static void parts_over_an_ethernet_frame_are_lost(void **state)
{
	(void)state;
	for (size_t size = PART_MAX - 1; size <= PART_MAX + 1; size++) {
		struct joiner *j = joiner_new();
		uint8_t a[PART_MAX + 1], b[PART_MAX + 1];
		struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', size);
		struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', size);
		const uint8_t *p;
		size_t len;

		assert_null(joiner_handle(j, &first, 5, &len));
		p = joiner_handle(j, &last, 5, &len);
		assert_int_equal(p != NULL, size <= PART_MAX);
		assert_int_equal(joiner_n_lost(j), size <= PART_MAX ? 0 : 2);
		if (p != NULL) {
			assert_int_equal(len, 2 * size);
			assert_memory_equal(p, a, size);
			assert_memory_equal(p + size, b, size);
		}
		joiner_free(j);
	}
}

static void a_flood_of_halves_is_all_counted(void **state)
{
	struct joiner *j = joiner_new();
	uint8_t a[8];
	struct packet p;
	size_t len;

	(void)state;
	for (uint16_t i = 0; i < 1000; i++) {
		p = part_of(a, PACKET_LAST, i, 1, 'a', 8);
		assert_null(joiner_handle(j, &p, i, &len));
	}
	assert_int_equal(joiner_n_lost(j), 1000 - PARTS_PENDING_MAX);
	p = part_of(a, PACKET_LAST, 5000, 1, 'a', 8);
	assert_null(joiner_handle(j, &p, 10 * NS_PER_S, &len));
	assert_int_equal(joiner_n_lost(j), 1000);
	joiner_free(j);
}

/* Any split of any packet, shuffled within the window, comes back whole. */
static void shuffled_parts_all_come_back(void **state)
{
	enum {
		ROUND = PARTS_PENDING_MAX
	};
	struct joiner *j = joiner_new();
	uint8_t data[ROUND][2 * PART_MAX];
	struct packet parts[2 * ROUND];
	struct rng r;
	uint16_t number = UINT16_MAX - 100;
	size_t n_whole = 0;

	(void)state;
	rng_init(&r, 3);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < ROUND; i++, number++) {
			size_t cut = 1 + (size_t)rng_below(&r, PART_MAX);
			size_t rest = 1 + (size_t)rng_below(&r, PART_MAX);

			rng_fill(&r, data[i], cut + rest);
			parts[2 * i] = (struct packet){ .part = PACKET_FIRST,
							.number = number,
							.payload = data[i],
							.len = cut };
			parts[2 * i + 1] =
				(struct packet){ .part = PACKET_LAST,
						 .number = number,
						 .payload = data[i] + cut,
						 .len = rest };
		}
		for (size_t i = 2 * ROUND - 1; i > 0; i--) {
			size_t k = (size_t)rng_below(&r, i + 1);
			struct packet t = parts[i];

			parts[i] = parts[k];
			parts[k] = t;
		}
		for (size_t i = 0; i < 2 * ROUND; i++) {
			size_t len;
			size_t which = (uint16_t)(parts[i].number -
						  (uint16_t)(number - ROUND));
			const uint8_t *p = joiner_handle(
				j, &parts[i], (nsec)round * NS_PER_MS, &len);

			if (p == NULL)
				continue;
			assert_memory_equal(p, data[which], len);
			n_whole++;
		}
	}
	assert_int_equal(n_whole, 50 * ROUND);
	assert_int_equal(joiner_n_lost(j), 0);
	joiner_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_told_apart_by_their_part_bits),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_new_label_keeps_the_part_bits),
		cmocka_unit_test(two_parts_join_in_either_order),
		cmocka_unit_test(a_whole_packet_passes_through),
		cmocka_unit_test(
			parts_of_other_packets_and_circuits_do_not_mix),
		cmocka_unit_test(a_duplicate_changes_nothing),
		cmocka_unit_test(
			a_number_that_comes_round_replaces_the_old_part),
		cmocka_unit_test(a_part_waits_half_a_second_and_no_longer),
		cmocka_unit_test(the_oldest_part_makes_room),
		cmocka_unit_test(parts_over_an_ethernet_frame_are_lost),
		cmocka_unit_test(a_flood_of_halves_is_all_counted),
		cmocka_unit_test(shuffled_parts_all_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
