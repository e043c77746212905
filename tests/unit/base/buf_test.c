#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"

static void integers_are_in_network_order(void **state)
{
	static const uint8_t want[] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,
					10, 11, 12, 13, 14, 15, 16, 17, 18 };
	uint8_t data[sizeof want];
	struct buf b = buf_of(data, sizeof data);

	(void)state;
	buf_u8(&b, 0x01);
	buf_be16(&b, 0x0203);
	buf_be24(&b, 0x040506);
	buf_be32(&b, 0x0708090a);
	buf_be64(&b, UINT64_C(0x0b0c0d0e0f101112));
	assert_false(b.bad);
	assert_int_equal(b.len, sizeof want);
	assert_int_equal(buf_left(&b), 0);
	assert_memory_equal(data, want, sizeof want);
}

static void a_write_that_does_not_fit_changes_nothing(void **state)
{
	uint8_t data[4] = { 0 };
	struct buf b = buf_of(data, 3);

	(void)state;
	buf_be32(&b, 0xffffffff);
	assert_true(b.bad);
	assert_int_equal(b.len, 0);
	/* It sticks: this one would have fitted. */
	buf_u8(&b, 0xff);
	buf_bytes(&b, "x", 1);
	assert_null(buf_reserve(&b, 0));
	assert_int_equal(b.len, 0);
	assert_memory_equal(data, "\0\0\0\0", 4);
}

/* The shortest form at both ends of each length, and back. */
static void variable_length_integers_are_shortest(void **state)
{
	static const struct {
		uint64_t x;
		size_t len;
	} cases[] = {
		{ 0, 1 },
		{ 63, 1 },
		{ 64, 2 },
		{ 16383, 2 },
		{ 16384, 4 },
		{ (UINT64_C(1) << 30) - 1, 4 },
		{ UINT64_C(1) << 30, 8 },
		{ (UINT64_C(1) << 62) - 1, 8 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[8];
		struct buf b = buf_of(data, sizeof data);
		struct view v;

		buf_varint(&b, cases[i].x);
		assert_false(b.bad);
		assert_int_equal(b.len, cases[i].len);
		v = view_of(data, b.len);
		assert_true(view_varint(&v) == cases[i].x);
		assert_int_equal(view_left(&v), 0);

		b = buf_of(data, cases[i].len - 1);
		buf_varint(&b, cases[i].x);
		assert_true(b.bad);
	}
}

static void what_quic_cannot_write_is_an_error(void **state)
{
	uint8_t data[16];
	struct buf b = buf_of(data, sizeof data);

	(void)state;
	buf_varint(&b, UINT64_C(1) << 62);
	assert_true(b.bad);
	assert_int_equal(b.len, 0);
}

static void a_reserved_place_is_filled_later(void **state)
{
	uint8_t data[6];
	struct buf b = buf_of(data, sizeof data);
	uint8_t *length = buf_reserve(&b, 2);

	(void)state;
	assert_ptr_equal(length, data);
	buf_bytes(&b, "abcd", 4);
	length[0] = 0;
	length[1] = 4;
	assert_false(b.bad);
	assert_memory_equal(data, "\0\4abcd", 6);
	assert_null(buf_reserve(&b, 1));
}

static void empty_writes_do_nothing(void **state)
{
	struct buf b = buf_of(NULL, 0);

	(void)state;
	buf_bytes(&b, NULL, 0);
	assert_false(b.bad);
	assert_int_equal(b.len, 0);
	buf_u8(&b, 1);
	assert_true(b.bad);
}

static void lengths_beyond_all_bounds_are_refused(void **state)
{
	uint8_t data[4];
	struct buf b = buf_of(data, sizeof data);

	(void)state;
	buf_u8(&b, 1);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.bad);
	assert_int_equal(b.len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_in_network_order),
		cmocka_unit_test(a_write_that_does_not_fit_changes_nothing),
		cmocka_unit_test(variable_length_integers_are_shortest),
		cmocka_unit_test(what_quic_cannot_write_is_an_error),
		cmocka_unit_test(a_reserved_place_is_filled_later),
		cmocka_unit_test(empty_writes_do_nothing),
		cmocka_unit_test(lengths_beyond_all_bounds_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
