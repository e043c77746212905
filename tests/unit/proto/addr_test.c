#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/addr.h"
#include "proto/base/mem.h"

static const struct node_hash ca = { { 0x45, 0x93, 0xbf, 0xc4, 0xca } };
static const struct node_id id = { { 0x06, 0xe3, 0xfd, 0x8f, 0xda, 0x29, 0xbb,
				     0x60, 0xab, 0x59 } };

static void the_check_vector_gives_its_prefix(void **state)
{
	const struct overlay_net net = addr_net(&ca);
	char text[ADDR_TEXT_MAX];

	(void)state;
	addr_net_text(text, &net);
	assert_string_equal(text, "fdcc:4593:bfc4::/48");
}

static void an_address_is_prefix_and_id(void **state)
{
	const struct overlay_net net = addr_net(&ca);
	const struct addr a = addr_of(&net, &id);
	const struct node_id back = addr_id(&a);
	char text[ADDR_TEXT_MAX];
	struct addr parsed;

	(void)state;
	addr_text(text, &a);
	assert_string_equal(text, "fdcc:4593:bfc4:6e3:fd8f:da29:bb60:ab59");
	assert_true(addr_in_net(&a, &net));
	assert_true(id_equal(&back, &id));
	assert_true(addr_parse(&parsed, text));
	assert_true(addr_equal(&parsed, &a));
}

static void every_bit_of_the_prefix_counts(void **state)
{
	const struct overlay_net net = addr_net(&ca);
	struct addr a = addr_of(&net, &id);
	const struct addr same = a;

	(void)state;
	for (size_t i = 0; i < 128; i++) {
		a.b[i / 8] ^= (uint8_t)(0x80 >> i % 8);
		assert_int_equal(addr_in_net(&a, &net), i >= 48);
		assert_false(addr_equal(&a, &same));
		a.b[i / 8] ^= (uint8_t)(0x80 >> i % 8);
	}
}

/* RFC 5952 4. */
static void text_is_canonical(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} cases[] = {
		{ "leading zeros go", "fdcc:0001:0002:3:4:5:6:0007",
		  "fdcc:1:2:3:4:5:6:7" },
		{ "the longest run of zeros shrinks", "fdcc:0:0:1:0:0:0:1",
		  "fdcc:0:0:1::1" },
		{ "the first of two equal runs", "fdcc:0:0:1:1:0:0:1",
		  "fdcc::1:1:0:0:1" },
		{ "one zero does not shrink", "fdcc:1:0:2:3:4:5:6",
		  "fdcc:1:0:2:3:4:5:6" },
		{ "lower case", "FDCC:ABCD::EF", "fdcc:abcd::ef" },
		{ "all zeros", "0:0:0:0:0:0:0:0", "::" },
		{ "all ones", "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[ADDR_TEXT_MAX];
		struct addr a;

		if (!addr_parse(&a, cases[i].in))
			fail_msg("%s: not parsed", cases[i].why);
		addr_text(text, &a);
		if (strcmp(text, cases[i].out) != 0)
			fail_msg("%s: %s", cases[i].why, text);
	}
}

static void other_texts_are_no_address(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"fdcc",
		"fdcc:",
		"fdcc::1::2",
		"fdcc::1/48",
		"[fdcc::1]",
		"fdcc::1%eth0",
		" fdcc::1",
		"fdcc::1 ",
		"fdcc:1:2:3:4:5:6:7:8",
		"fdcc:12345::",
		"fdcc::g",
		"10.0.0.1",
		"fdcc:4593:bfc4:06e3:fd8f:da29:bb60:ab59:far:too:long:for:any",
	};
	const struct addr before = { { 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a = before;

		if (addr_parse(&a, cases[i]))
			fail_msg("\"%s\" was taken", cases[i]);
		assert_true(addr_equal(&a, &before));
	}
}

static void a_prefix_of_zeros_has_a_text(void **state)
{
	const struct overlay_net zero = { { 0 } },
				 full = { { 255, 255, 255, 255, 255, 255 } };
	char text[ADDR_TEXT_MAX];

	(void)state;
	addr_net_text(text, &zero);
	assert_string_equal(text, "::/48");
	addr_net_text(text, &full);
	assert_string_equal(text, "ffff:ffff:ffff::/48");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_vector_gives_its_prefix),
		cmocka_unit_test(an_address_is_prefix_and_id),
		cmocka_unit_test(every_bit_of_the_prefix_counts),
		cmocka_unit_test(text_is_canonical),
		cmocka_unit_test(other_texts_are_no_address),
		cmocka_unit_test(a_prefix_of_zeros_has_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
