#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/name.h"

#define ID   "a3r73d62fg5wbk2z"
#define HASH ID "kv66mhw3blwnwiyrgs7dbz23ivpy4g3zf6uq"
#define A63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A50  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct node_hash hash = {
	{ 0x06, 0xe3, 0xfd, 0x8f, 0xda, 0x29, 0xbb, 0x60, 0xab, 0x59, 0x55,
	  0x7d, 0xe6, 0x1e, 0xdb, 0x0a, 0xec, 0xdb, 0x23, 0x11, 0x34, 0xbe,
	  0x30, 0xe7, 0x5b, 0x45, 0x5f, 0x8e, 0x1b, 0x79, 0x2f, 0xa9 }
};

static const struct {
	const char *why;
	const char *text;
	enum name_verdict want;
	enum name_kind kind;
	const char *shortname;
	const char *label;
} cases[] = {
	{ "an id", ID ".fuse", NAME_OK, NAME_ID, "", "" },
	{ "a full hash", HASH ".fuse", NAME_OK, NAME_HASH, "", "" },
	{ "a short name", "alice.fuse", NAME_OK, NAME_SHORT, "alice", "" },
	{ "upper case", "A3R73D62FG5WBK2Z.FUSE", NAME_OK, NAME_ID, "", "" },
	{ "mixed case is written lower", "wEb.Alice.FuSe", NAME_OK, NAME_SHORT,
	  "alice", "web" },
	{ "a trailing dot", ID ".fuse.", NAME_OK, NAME_ID, "", "" },
	{ "a label before an id", "web." ID ".fuse", NAME_OK, NAME_ID, "",
	  "web" },
	{ "a label before a hash", "web." HASH ".fuse", NAME_OK, NAME_HASH, "",
	  "web" },
	{ "a label that could be an id", ID ".alice.fuse", NAME_OK, NAME_SHORT,
	  "alice", ID },
	{ "a short name of one letter", "x.fuse", NAME_OK, NAME_SHORT, "x",
	  "" },
	{ "digits and inner hyphens", "a-1--b.fuse", NAME_OK, NAME_SHORT,
	  "a-1--b", "" },
	{ "16 characters, one of which no id has", "a3r73d62fg5wbk21.fuse",
	  NAME_OK, NAME_SHORT, "a3r73d62fg5wbk21", "" },
	{ "15 digits", "a3r73d62fg5wbk2.fuse", NAME_OK, NAME_SHORT,
	  "a3r73d62fg5wbk2", "" },
	{ "the longest labels", A63 "." A63 ".fuse", NAME_OK, NAME_SHORT, A63,
	  A63 },
	{ "a node called fuse", "fuse.fuse", NAME_OK, NAME_SHORT, "fuse", "" },

	{ "empty", "", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "a dot", ".", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "the suffix without its dot", "fuse", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "another domain", "alice.example", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "fuse within", "alice.fuse.example", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "a longer last label", "alice.xfuse", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "two trailing dots", "alice.fuse..", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "an address", "fdcc::1", NAME_NOT_FUSE, 0, NULL, NULL },

	{ "the suffix alone", ".fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "an empty label", ".alice.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "an empty label inside", "web..fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "two labels in front", "a.b." ID ".fuse", NAME_MALFORMED, 0, NULL,
	  NULL },
	{ "64 characters", A63 "a.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a label of 64", A63 "a.alice.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a hyphen in front", "-a.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a hyphen at the end", "a-.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a hyphen alone", "-.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "an underscore", "a_b.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a blank", "a b.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a port", "alice.fuse:80", NAME_NOT_FUSE, 0, NULL, NULL },
	{ "UTF-8", "\xc3\xa4.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "a star", "*.fuse", NAME_MALFORMED, 0, NULL, NULL },
	{ "52 digits whose last bits are not zero", A50 "ab.fuse",
	  NAME_MALFORMED, 0, NULL, NULL },
};

static void each_text_gets_its_verdict(void **state)
{
	const struct node_id id = id_of_hash(&hash);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct name n;
		enum name_verdict got =
			name_parse(&n, cases[i].text, strlen(cases[i].text));

		if (got != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, got);
		if (got != NAME_OK)
			continue;
		if (n.kind != cases[i].kind ||
		    strcmp(n.shortname, cases[i].shortname) != 0 ||
		    strcmp(n.label, cases[i].label) != 0)
			fail_msg("%s: kind %d \"%s\" \"%s\"", cases[i].why,
				 n.kind, n.shortname, n.label);
		if (n.kind != NAME_SHORT)
			assert_true(id_equal(&n.id, &id));
		if (n.kind == NAME_HASH)
			assert_true(hash_equal(&n.hash, &hash));
	}
}

static void a_zero_byte_is_no_character(void **state)
{
	struct name n;

	(void)state;
	assert_int_equal(name_parse(&n, "al\0ce.fuse", 10), NAME_MALFORMED);
	assert_int_equal(name_parse(&n, "alice.fuse\0", 11), NAME_NOT_FUSE);
}

static void only_the_given_length_is_read(void **state)
{
	struct name n;

	(void)state;
	assert_int_equal(name_parse(&n, "alice.fuse:80", 10), NAME_OK);
	assert_string_equal(n.shortname, "alice");
	assert_int_equal(name_parse(&n, "alice.fuse", 9), NAME_NOT_FUSE);
}

static void a_refused_name_leaves_the_result_alone(void **state)
{
	struct name n, before;

	(void)state;
	memset(&n, 0x5a, sizeof n);
	before = n;
	assert_int_equal(name_parse(&n, "web.a_b.fuse", 12), NAME_MALFORMED);
	assert_memory_equal(&n, &before, sizeof n);
}

static void an_id_has_its_name_and_back(void **state)
{
	const struct node_id id = id_of_hash(&hash);
	const struct node_id zero = { { 0 } };
	char text[NAME_ID_TEXT_MAX];
	struct name n;

	(void)state;
	name_of_id(text, &id);
	assert_string_equal(text, ID ".fuse");
	assert_int_equal(name_parse(&n, text, strlen(text)), NAME_OK);
	assert_true(id_equal(&n.id, &id));
	name_of_id(text, &zero);
	assert_string_equal(text, "aaaaaaaaaaaaaaaa.fuse");
}

static void short_names_follow_the_rule(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} rows[] = {
		{ "alice", true },
		{ "a", true },
		{ "0", true },
		{ "a-b", true },
		{ A63, true },
		{ A63 "a", false },
		{ "", false },
		{ "-a", false },
		{ "a-", false },
		{ "Alice", false },
		{ "a.b", false },
		{ "a b", false },
		{ "a\n", false },
		{ ID, false },
		{ HASH, false },
		{ A50 "ab", false },
		{ "a3r73d62fg5wbk21", true },
		{ "a3r73d62fg5wbk2zz", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (name_short_is_valid(rows[i].text) != rows[i].want)
			fail_msg("\"%s\"", rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_text_gets_its_verdict),
		cmocka_unit_test(a_zero_byte_is_no_character),
		cmocka_unit_test(only_the_given_length_is_read),
		cmocka_unit_test(a_refused_name_leaves_the_result_alone),
		cmocka_unit_test(an_id_has_its_name_and_back),
		cmocka_unit_test(short_names_follow_the_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
