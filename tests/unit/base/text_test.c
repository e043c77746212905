#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"

static void hexadecimal_there_and_back(void **state)
{
	static const uint8_t data[] = { 0x00, 0x01, 0x9a, 0xff };
	uint8_t back[4];
	char text[9];

	(void)state;
	text_hex(text, data, 4);
	assert_string_equal(text, "00019aff");
	assert_true(text_hex_parse(back, 4, text, 8));
	assert_memory_equal(back, data, 4);
	assert_true(text_hex_parse(back, 4, "00019AfF", 8));
	assert_memory_equal(back, data, 4);
	text_hex(text, NULL, 0);
	assert_string_equal(text, "");
	assert_true(text_hex_parse(back, 0, "", 0));
}

static void hexadecimal_is_strict(void **state)
{
	static const char *const cases[] = { "0",    "000",  "00 0",  "0g00",
					     "-100", "0x00", "00000", "00\n0",
					     "00/0", "00:0", "00@0",  "00`0" };
	uint8_t out[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (text_hex_parse(out, 2, cases[i], strlen(cases[i])))
			fail_msg("\"%s\"", cases[i]);
	}
}

/* RFC 4648 10, lower case and without padding. */
static void base32_is_that_of_the_rfc(void **state)
{
	static const struct {
		const char *data, *text;
	} cases[] = {
		{ "", "" },
		{ "f", "my" },
		{ "fo", "mzxq" },
		{ "foo", "mzxw6" },
		{ "foob", "mzxw6yq" },
		{ "fooba", "mzxw6ytb" },
		{ "foobar", "mzxw6ytboi" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].data);
		char text[16], back[16];

		text_base32(text, cases[i].data, len);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(strlen(text), TEXT_BASE32_LEN(len));
		assert_true(text_base32_parse(back, len, text, strlen(text)));
		assert_memory_equal(back, cases[i].data, len);
	}
}

static void base32_holds_every_byte(void **state)
{
	uint8_t data[256], back[256];
	char text[TEXT_BASE32_LEN(256) + 1];

	(void)state;
	for (int i = 0; i < 256; i++)
		data[i] = (uint8_t)(i * 167);
	for (size_t len = 0; len <= 256; len++) {
		text_base32(text, data, len);
		assert_true(text_base32_parse(back, len, text, strlen(text)));
		assert_memory_equal(back, data, len);
	}
}

static void base32_is_strict(void **state)
{
	static const struct {
		const char *why, *text;
	} cases[] = {
		{ "too short", "m" },      { "too long", "myy" },
		{ "padding", "my======" }, { "a digit of no base32", "m1" },
		{ "zero", "m0" },          { "eight", "m8" },
		{ "unused bits", "mz" },   { "one unused bit", "mzxr" },
		{ "a blank", "m " },       { "above z", "m{" },
		{ "below a", "m`" },       { "below A", "m@" },
	};
	uint8_t out[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);

		if (text_base32_parse(out, len >= 4 ? 2 : 1, cases[i].text,
				      len))
			fail_msg("%s", cases[i].why);
	}
	assert_true(text_base32_parse(out, 1, "MY", 2));
	assert_int_equal(out[0], 'f');
}

static void numbers_are_plain_decimals_in_range(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		bool ok;
		uint64_t want;
	} cases[] = {
		{ "0", 0, UINT64_MAX, true, 0 },
		{ "007", 0, 10, true, 7 },
		{ "18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, false, 0 },
		{ "99999999999999999999", 0, UINT64_MAX, false, 0 },
		{ "184467440737095516150", 0, UINT64_MAX, false, 0 },
		{ "5", 5, 5, true, 5 },
		{ "4", 5, 6, false, 0 },
		{ "7", 5, 6, false, 0 },
		{ "", 0, 9, false, 0 },
		{ "-1", 0, UINT64_MAX, false, 0 },
		{ "+1", 0, 9, false, 0 },
		{ " 1", 0, 9, false, 0 },
		{ "1 ", 0, 9, false, 0 },
		{ "1k", 0, 9, false, 0 },
		{ "0x1", 0, 9, false, 0 },
		{ "1.0", 0, 9, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t x = 77;
		bool ok =
			text_u64(&x, cases[i].text, cases[i].min, cases[i].max);

		if (ok != cases[i].ok || x != (ok ? cases[i].want : 77))
			fail_msg("\"%s\"", cases[i].text);
	}
}

static void distance_counts_edits(void **state)
{
	static const char a64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char a65[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const struct {
		const char *a, *b;
		unsigned cap, want;
	} cases[] = {
		{ "", "", 9, 0 },
		{ "listen", "listen", 9, 0 },
		{ "listn", "listen", 9, 1 },
		{ "listen", "lisetn", 9, 2 },
		{ "kitten", "sitting", 9, 3 },
		{ "", "abc", 9, 3 },
		{ "abc", "", 9, 3 },
		{ "abc", "xyz", 2, 2 },
		{ a64, a64, 9, 0 },
		{ a65, a65, 9, 9 },
		{ a64, "", 99, 64 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			text_distance(cases[i].a, cases[i].b, cases[i].cap),
			cases[i].want);
}

static void a_copy_ends_with_a_nul(void **state)
{
	char out[4];

	(void)state;
	assert_true(text_copy(out, sizeof out, "abc"));
	assert_string_equal(out, "abc");
	assert_false(text_copy(out, sizeof out, "abcd"));
	assert_string_equal(out, "abc");
	assert_true(text_copy(out, sizeof out, ""));
	assert_string_equal(out, "");
	assert_false(text_copy(out, 1, "a"));
	assert_string_equal(out, "");
	assert_false(text_copy(NULL, 0, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hexadecimal_there_and_back),
		cmocka_unit_test(hexadecimal_is_strict),
		cmocka_unit_test(base32_is_that_of_the_rfc),
		cmocka_unit_test(base32_holds_every_byte),
		cmocka_unit_test(base32_is_strict),
		cmocka_unit_test(numbers_are_plain_decimals_in_range),
		cmocka_unit_test(distance_counts_edits),
		cmocka_unit_test(a_copy_ends_with_a_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
