#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/view.h"

static const uint8_t data[] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
				11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };

static void integers_are_in_network_order(void **state)
{
	struct view v = view_of(data, sizeof data);

	(void)state;
	assert_int_equal(view_u8(&v), 0x01);
	assert_int_equal(view_be16(&v), 0x0203);
	assert_int_equal(view_be24(&v), 0x040506);
	assert_int_equal(view_be32(&v), 0x0708090a);
	assert_true(view_be64(&v) == UINT64_C(0x0b0c0d0e0f101112));
	assert_int_equal(view_left(&v), 2);
	assert_false(v.bad);
}

static void a_read_past_the_end_is_zero_and_sticks(void **state)
{
	(void)state;
	for (size_t len = 0; len < 8; len++) {
		struct view v = view_of(data, len);

		assert_true(view_be64(&v) == 0);
		assert_true(v.bad);
		assert_int_equal(view_left(&v), 0);
		/* What would have fitted before does not any more. */
		assert_int_equal(view_u8(&v), 0);
		assert_true(v.bad);
	}
}

static void each_size_ends_exactly_at_the_end(void **state)
{
	struct view v;

	(void)state;
	v = view_of(data, 1);
	assert_int_equal(view_u8(&v), 1);
	assert_false(v.bad);
	v = view_of(data, 2);
	assert_int_equal(view_be16(&v), 0x0102);
	assert_false(v.bad);
	v = view_of(data, 3);
	assert_int_equal(view_be24(&v), 0x010203);
	assert_false(v.bad);
	v = view_of(data, 4);
	assert_int_equal(view_be32(&v), 0x01020304);
	assert_false(v.bad);
	v = view_of(data, 8);
	assert_true(view_be64(&v) == UINT64_C(0x0102030405060708));
	assert_false(v.bad);
}

/* RFC 9000 A.1, and the longer forms of small numbers. */
static void variable_length_integers_are_those_of_quic(void **state)
{
	static const struct {
		const char *why;
		uint8_t data[8];
		size_t len;
		uint64_t want;
	} cases[] = {
		{ "eight bytes",
		  { 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c },
		  8,
		  UINT64_C(151288809941952652) },
		{ "four bytes", { 0x9d, 0x7f, 0x3e, 0x7d }, 4, 494878333 },
		{ "two bytes", { 0x7b, 0xbd }, 2, 15293 },
		{ "one byte", { 0x25 }, 1, 37 },
		{ "one byte too many", { 0x40, 0x25 }, 2, 37 },
		{ "seven bytes too many",
		  { 0xc0, 0, 0, 0, 0, 0, 0, 37 },
		  8,
		  37 },
		{ "the greatest",
		  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		  8,
		  (UINT64_C(1) << 62) - 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct view v = view_of(cases[i].data, cases[i].len);

		if (view_varint(&v) != cases[i].want || v.bad ||
		    view_left(&v) != 0)
			fail_msg("%s", cases[i].why);
		for (size_t len = 0; len < cases[i].len; len++) {
			v = view_of(cases[i].data, len);
			assert_true(view_varint(&v) == 0);
			assert_true(v.bad);
		}
	}
}

static void bytes_are_borrowed(void **state)
{
	struct view v = view_of(data, sizeof data);

	(void)state;
	assert_ptr_equal(view_bytes(&v, 4), data);
	assert_ptr_equal(view_bytes(&v, 0), data + 4);
	assert_ptr_equal(view_bytes(&v, 16), data + 4);
	assert_false(v.bad);
	assert_null(view_bytes(&v, 1));
	assert_true(v.bad);
}

static void lengths_beyond_all_bounds_are_refused(void **state)
{
	struct view v = view_of(data, sizeof data);

	(void)state;
	assert_null(view_bytes(&v, SIZE_MAX));
	assert_true(v.bad);
}

static void a_failed_copy_is_zeroed(void **state)
{
	uint8_t out[4] = { 9, 9, 9, 9 };
	struct view v = view_of(data, 3);

	(void)state;
	view_copy(&v, out, 4);
	assert_true(v.bad);
	assert_memory_equal(out, "\0\0\0\0", 4);

	v = view_of(data, 4);
	view_copy(&v, out, 4);
	assert_false(v.bad);
	assert_memory_equal(out, data, 4);
}

static void a_part_is_a_view_of_its_own(void **state)
{
	struct view v = view_of(data, 8);
	struct view sub = view_sub(&v, 3);

	(void)state;
	assert_int_equal(view_left(&sub), 3);
	assert_int_equal(view_be32(&sub), 0);
	assert_true(sub.bad);
	assert_false(v.bad);
	assert_int_equal(view_u8(&v), 4);

	sub = view_sub(&v, 5);
	assert_true(sub.bad);
	assert_true(v.bad);
	assert_int_equal(view_left(&sub), 0);
	assert_int_equal(view_u8(&sub), 0);
}

static void nothing_at_all_can_be_viewed(void **state)
{
	struct view v = view_of(NULL, 0);
	uint8_t out = 7;

	(void)state;
	assert_int_equal(view_left(&v), 0);
	view_bytes(&v, 0);
	view_copy(&v, &out, 0);
	assert_false(v.bad);
	assert_int_equal(out, 7);
	assert_true(view_varint(&v) == 0);
	assert_true(v.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_in_network_order),
		cmocka_unit_test(a_read_past_the_end_is_zero_and_sticks),
		cmocka_unit_test(each_size_ends_exactly_at_the_end),
		cmocka_unit_test(variable_length_integers_are_those_of_quic),
		cmocka_unit_test(bytes_are_borrowed),
		cmocka_unit_test(lengths_beyond_all_bounds_are_refused),
		cmocka_unit_test(a_failed_copy_is_zeroed),
		cmocka_unit_test(a_part_is_a_view_of_its_own),
		cmocka_unit_test(nothing_at_all_can_be_viewed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
