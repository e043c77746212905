#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/cert.h"
#include "tests/support/certs.h"

static struct test_cert ca, middle;
static struct trust *trust;

static int make_ca(void **state)
{
	(void)state;
	test_ca_make(&ca, "home");
	test_cert_make(&middle, &ca,
		       &(struct test_spec){ .cn = "middle",
					    .role = TEST_CA_PATHLEN_0 });
	trust = test_trust(&ca);
	return 0;
}

static int free_ca(void **state)
{
	(void)state;
	trust_free(trust);
	test_cert_free(&middle);
	test_cert_free(&ca);
	return 0;
}

static void a_leaf_gives_its_identity(void **state)
{
	struct test_cert leaf;
	const struct test_cert *list[] = { &leaf };
	uint8_t chain[CHAIN_BYTES_MAX];
	struct identity id;
	struct sign_key key;
	struct node_hash h;
	size_t len;

	(void)state;
	test_node_make(&leaf, &ca, "alice");
	test_sign_key(&key, &leaf);
	len = test_chain(chain, sizeof chain, list, 1);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	h = hash_of_key(&key.public);
	assert_memory_equal(id.key.b, key.public.b, KEY_LEN);
	assert_memory_equal(id.hash.b, h.b, HASH_LEN);
	assert_memory_equal(id.id.b, h.b, ID_LEN);
	assert_int_equal(id.n_names, 1);
	assert_string_equal(id.names[0], "alice");
	assert_int_equal(id.not_before_s, TEST_NOW_S - 183 * TEST_DAY_S);
	assert_int_equal(id.not_after_s, TEST_NOW_S + 183 * TEST_DAY_S);
	test_cert_free(&leaf);
}

/* One leaf each, issued by the CA. */
static const struct {
	const char *why;
	struct test_spec spec;
	enum cert_verdict want;
} leaves[] = {
	{ "plain", { 0 }, CERT_OK },
	{ "version 1", { .role = TEST_V1 }, CERT_OK },
	{ "no key usage", { .without_key_usage = true }, CERT_OK },
	{ "more usages than needed",
	  { .key_usage =
		    GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_AGREEMENT },
	  CERT_OK },
	{ "may only agree on keys",
	  { .key_usage = GNUTLS_KEY_KEY_AGREEMENT },
	  CERT_USAGE },
	{ "a CA", { .role = TEST_CA }, CERT_USAGE },
	{ "a CA that may sign handshakes",
	  { .role = TEST_CA,
	    .key_usage =
		    GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_CERT_SIGN },
	  CERT_USAGE },
	{ "client and server",
	  { .purposes = { GNUTLS_KP_TLS_WWW_SERVER,
			  GNUTLS_KP_TLS_WWW_CLIENT } },
	  CERT_OK },
	{ "any purpose", { .purposes = { GNUTLS_KP_ANY } }, CERT_OK },
	{ "a server alone",
	  { .purposes = { GNUTLS_KP_TLS_WWW_SERVER } },
	  CERT_USAGE },
	{ "a client alone",
	  { .purposes = { GNUTLS_KP_TLS_WWW_CLIENT } },
	  CERT_USAGE },
	{ "signs code",
	  { .purposes = { GNUTLS_KP_CODE_SIGNING } },
	  CERT_USAGE },
	{ "an unknown critical extension",
	  { .critical_oid = "1.3.6.1.4.1.99999.1" },
	  CERT_USAGE },
	{ "a P-256 leaf", { .key_type = TEST_P256 }, CERT_KEY_TYPE },
	{ "an RSA leaf", { .key_type = TEST_RSA2048 }, CERT_KEY_TYPE },
	{ "an Ed448 leaf", { .key_type = TEST_ED448 }, CERT_KEY_TYPE },
	{ "expired long ago",
	  { .from_day = -30, .until_day = -1 },
	  CERT_EXPIRED },
	{ "valid from tomorrow",
	  { .from_day = 1, .until_day = 30 },
	  CERT_NOT_YET_VALID },
};

static void each_leaf_gets_its_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
		struct test_cert leaf;
		const struct test_cert *list[] = { &leaf };
		uint8_t chain[CHAIN_BYTES_MAX];
		struct identity id;
		enum cert_verdict got;
		size_t len;

		test_cert_make(&leaf, &ca, &leaves[i].spec);
		len = test_chain(chain, sizeof chain, list, 1);
		got = cert_check(trust, chain, len, TEST_NOW_S, &id);
		if (got != leaves[i].want)
			fail_msg("%s: %s", leaves[i].why,
				 cert_verdict_text(got));
		test_cert_free(&leaf);
	}
}

static void dates_hold_with_a_minute_of_tolerance(void **state)
{
	static const struct {
		const char *why;
		int64_t at;
		enum cert_verdict want;
	} cases[] = {
		{ "61 s early", -61, CERT_NOT_YET_VALID },
		{ "60 s early", -60, CERT_OK },
		{ "60 s late", TEST_DAY_S + 60, CERT_OK },
		{ "61 s late", TEST_DAY_S + 61, CERT_EXPIRED },
		{ "ten years early", -3652 * TEST_DAY_S, CERT_NOT_YET_VALID },
		{ "ten years late", 3652 * TEST_DAY_S, CERT_EXPIRED },
		{ "the year zero", INT64_MIN + TEST_NOW_S, CERT_NOT_YET_VALID },
		{ "the end of time", INT64_MAX - TEST_NOW_S, CERT_EXPIRED },
	};
	struct test_cert leaf;
	const struct test_cert *list[] = { &leaf };
	uint8_t chain[CHAIN_BYTES_MAX];
	struct identity id;
	size_t len;

	(void)state;
	test_cert_make(&leaf, &ca,
		       &(struct test_spec){ .from_day = 0, .until_day = 1 });
	len = test_chain(chain, sizeof chain, list, 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum cert_verdict got = cert_check(
			trust, chain, len, TEST_NOW_S + cases[i].at, &id);

		if (got != cases[i].want)
			fail_msg("%s: %s", cases[i].why,
				 cert_verdict_text(got));
	}
	test_cert_free(&leaf);
}

static enum cert_verdict check(const struct test_cert *const *list, size_t n)
{
	uint8_t chain[4 * CHAIN_BYTES_MAX];
	struct identity id;
	size_t len = test_chain(chain, sizeof chain, list, n);

	return cert_check(trust, chain, len, TEST_NOW_S, &id);
}

static void an_intermediate_carries_the_chain(void **state)
{
	struct test_cert leaf;
	const struct test_cert *list[] = { &leaf, &middle };

	(void)state;
	test_node_make(&leaf, &middle, "alice");
	assert_int_equal(check(list, 2), CERT_OK);
	/* Without it there is no way up. */
	assert_int_equal(check(list, 1), CERT_NOT_OURS);
	test_cert_free(&leaf);
}

static void the_anchor_may_come_along_and_does_not_count(void **state)
{
	struct test_cert leaf, direct, stranger;
	const struct test_cert *three[] = { &leaf, &middle, &ca };
	const struct test_cert *mixed[] = { &leaf, &ca, &middle };
	const struct test_cert *two[] = { &direct, &ca };
	const struct test_cert *four[] = { &leaf, &middle, &ca, &ca };
	const struct test_cert *foreign[] = { &leaf, &middle, &stranger };
	const struct test_cert *alone[] = { &ca };

	(void)state;
	test_node_make(&leaf, &middle, "alice");
	test_node_make(&direct, &ca, "bravo");
	test_ca_make(&stranger, "stranger");
	assert_int_equal(check(three, 3), CERT_OK);
	assert_int_equal(check(mixed, 3), CERT_OK);
	assert_int_equal(check(two, 2), CERT_OK);
	assert_int_equal(check(four, 4), CERT_TOO_LONG);
	assert_int_equal(check(foreign, 3), CERT_TOO_LONG);
	/* As a leaf the anchor is a CA like any other. */
	assert_int_equal(check(alone, 1), CERT_USAGE);
	test_cert_free(&leaf);
	test_cert_free(&direct);
	test_cert_free(&stranger);
}

static void a_certificate_that_is_not_needed_does_no_harm(void **state)
{
	struct test_cert leaf, stranger;
	const struct test_cert *list[] = { &leaf, &stranger };
	const struct test_cert *doubled[] = { &leaf, &leaf };

	(void)state;
	test_node_make(&leaf, &ca, "alice");
	test_cert_make(&stranger, NULL,
		       &(struct test_spec){ .cn = "stranger",
					    .from_day = -9,
					    .until_day = -8 });
	assert_int_equal(check(list, 2), CERT_OK);
	assert_int_equal(check(doubled, 2), CERT_OK);
	test_cert_free(&leaf);
	test_cert_free(&stranger);
}

static void two_intermediates_are_one_too_many(void **state)
{
	struct test_cert wide, low, leaf;
	const struct test_cert *list[] = { &leaf, &low, &wide };

	(void)state;
	test_cert_make(&wide, &ca,
		       &(struct test_spec){ .cn = "wide", .role = TEST_CA });
	test_cert_make(&low, &wide,
		       &(struct test_spec){ .cn = "low", .role = TEST_CA });
	test_node_make(&leaf, &low, "alice");
	assert_int_equal(check(list, 3), CERT_TOO_LONG);
	assert_int_equal(check(list, 2), CERT_NOT_OURS);
	test_cert_free(&leaf);
	test_cert_free(&low);
	test_cert_free(&wide);
}

/* An intermediate each, with a good leaf below it. */
static const struct {
	const char *why;
	struct test_spec spec;
	enum cert_verdict want;
} middles[] = {
	{ "a CA", { .cn = "m", .role = TEST_CA }, CERT_OK },
	{ "an RSA CA",
	  { .cn = "m", .role = TEST_CA, .key_type = TEST_RSA2048 },
	  CERT_OK },
	{ "a P-256 CA",
	  { .cn = "m", .role = TEST_CA, .key_type = TEST_P256 },
	  CERT_OK },
	{ "a short RSA key",
	  { .cn = "m", .role = TEST_CA, .key_type = TEST_RSA1024 },
	  CERT_WEAK },
	{ "a node that plays CA", { .cn = "m" }, CERT_USAGE },
	{ "a version 1 certificate",
	  { .cn = "m", .role = TEST_V1 },
	  CERT_USAGE },
	{ "a CA that may not sign certificates",
	  { .cn = "m",
	    .role = TEST_CA,
	    .key_usage = GNUTLS_KEY_DIGITAL_SIGNATURE },
	  CERT_USAGE },
	{ "an unknown critical extension",
	  { .cn = "m", .role = TEST_CA, .critical_oid = "1.3.6.1.4.1.99999.1" },
	  CERT_USAGE },
	{ "an expired CA",
	  { .cn = "m", .role = TEST_CA, .from_day = -9, .until_day = -1 },
	  CERT_EXPIRED },
	{ "a CA of the future",
	  { .cn = "m", .role = TEST_CA, .from_day = 1, .until_day = 9 },
	  CERT_NOT_YET_VALID },
};

static void each_intermediate_gets_its_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(middles); i++) {
		struct test_cert m, leaf;
		const struct test_cert *list[] = { &leaf, &m };
		enum cert_verdict got;

		test_cert_make(&m, &ca, &middles[i].spec);
		test_node_make(&leaf, &m, "alice");
		got = check(list, 2);
		if (got != middles[i].want)
			fail_msg("%s: %s", middles[i].why,
				 cert_verdict_text(got));
		test_cert_free(&leaf);
		test_cert_free(&m);
	}
}

/* "a|b" are the names that are to come out. */
static void only_short_names_of_ours_are_taken(void **state)
{
	static const struct {
		const char *why;
		const char *names[8];
		const char *want;
	} cases[] = {
		{ "none", { NULL }, "" },
		{ "one", { "alice.fuse" }, "alice|" },
		{ "upper case", { "ALICE.Fuse" }, "alice|" },
		{ "another domain", { "alice.example", "a.fuse" }, "a|" },
		{ "with a label", { "web.alice.fuse" }, "" },
		{ "an id", { "a3r73d62fg5wbk2z.fuse" }, "" },
		{ "a star", { "*.fuse", "*" }, "" },
		{ "a trailing dot", { "alice.fuse." }, "alice|" },
		{ "the suffix alone", { ".fuse", "fuse" }, "" },
		{ "four, and a fifth",
		  { "a.fuse", "b.fuse", "c.fuse", "d.fuse", "e.fuse" },
		  "a|b|c|d|" },
		{ "bad ones do not use up the four",
		  { "x y.fuse", "a.fuse", "-.fuse", "b.fuse", "_.fuse",
		    "c.fuse", "d.fuse", "e.fuse" },
		  "a|b|c|d|" },
		{ "one too long to be any",
		  { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		    ".fuse",
		    "b.fuse" },
		  "b|" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_spec spec = { 0 };
		struct test_cert leaf;
		const struct test_cert *list[] = { &leaf };
		uint8_t chain[CHAIN_BYTES_MAX];
		char got[512] = "";
		struct identity id;
		size_t len;

		memcpy(spec.names, cases[i].names, sizeof spec.names);
		test_cert_make(&leaf, &ca, &spec);
		len = test_chain(chain, sizeof chain, list, 1);
		assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
				 CERT_OK);
		for (size_t n = 0; n < id.n_names; n++) {
			strcat(got, id.names[n]);
			strcat(got, "|");
		}
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].why, got);
		test_cert_free(&leaf);
	}
}

static void the_narrowest_dates_are_told(void **state)
{
	struct test_cert m, leaf;
	const struct test_cert *list[] = { &leaf, &m };
	uint8_t chain[CHAIN_BYTES_MAX];
	struct identity id;
	size_t len;

	(void)state;
	test_cert_make(&m, &ca,
		       &(struct test_spec){ .cn = "m",
					    .role = TEST_CA,
					    .from_day = -90,
					    .until_day = 5 });
	test_cert_make(&leaf, &m,
		       &(struct test_spec){ .from_day = -3, .until_day = 500 });
	len = test_chain(chain, sizeof chain, list, 2);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	assert_int_equal(id.not_before_s, TEST_NOW_S - 3 * TEST_DAY_S);
	assert_int_equal(id.not_after_s, TEST_NOW_S + 5 * TEST_DAY_S);
	test_cert_free(&leaf);
	test_cert_free(&m);
}

/* A leaf whose chain has just the length that is asked for. */
static size_t chain_of_length(uint8_t *out, size_t cap, size_t want)
{
	size_t padding = want - 400, len = 0;

	/* The lengths inside grow with what they hold: two rounds do. */
	for (int i = 0; i < 3 && len != want; i++) {
		struct test_cert leaf;
		const struct test_cert *list[] = { &leaf };

		padding += want - (len != 0 ? len : want);
		test_cert_make(&leaf, &ca,
			       &(struct test_spec){ .padding = padding });
		len = test_chain(out, cap, list, 1);
		test_cert_free(&leaf);
	}
	assert_int_equal(len, want);
	return len;
}

static void chains_end_at_4096_bytes(void **state)
{
	uint8_t chain[CHAIN_BYTES_MAX + 64];
	struct identity id;
	size_t len;

	(void)state;
	len = chain_of_length(chain, sizeof chain, CHAIN_BYTES_MAX - 1);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	len = chain_of_length(chain, sizeof chain, CHAIN_BYTES_MAX);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	len = chain_of_length(chain, sizeof chain, CHAIN_BYTES_MAX + 1);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_TOO_LONG);
}

static void what_is_cut_or_added_is_malformed(void **state)
{
	struct test_cert leaf;
	const struct test_cert *list[] = { &leaf };
	uint8_t chain[CHAIN_BYTES_MAX] = { 0 };
	const struct identity before = { .n_names = 77 };
	struct identity id = before;
	size_t len;

	(void)state;
	test_node_make(&leaf, &ca, "alice");
	len = test_chain(chain, sizeof chain, list, 1);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(cert_check(trust, chain, n, TEST_NOW_S, &id),
				 CERT_MALFORMED);
	assert_int_equal(cert_check(trust, chain, len + 1, TEST_NOW_S, &id),
			 CERT_MALFORMED);
	/* An empty certificate behind it. */
	assert_int_equal(cert_check(trust, chain, len + 2, TEST_NOW_S, &id),
			 CERT_MALFORMED);
	/* A byte behind the DER, within its length. */
	chain[1]++;
	assert_int_equal(cert_check(trust, chain, len + 1, TEST_NOW_S, &id),
			 CERT_MALFORMED);
	assert_memory_equal(&id, &before, sizeof id);
	test_cert_free(&leaf);
}

static void no_bit_of_a_chain_can_be_turned(void **state)
{
	struct test_cert leaf;
	const struct test_cert *list[] = { &leaf, &middle };
	uint8_t chain[CHAIN_BYTES_MAX];
	struct identity id;
	size_t len;

	(void)state;
	test_node_make(&leaf, &middle, "alice");
	len = test_chain(chain, sizeof chain, list, 2);
	for (size_t i = 0; i < 8 * len; i++) {
		chain[i / 8] ^= (uint8_t)(1 << i % 8);
		if (cert_check(trust, chain, len, TEST_NOW_S, &id) == CERT_OK)
			fail_msg("bit %zu of byte %zu", i % 8, i / 8);
		chain[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	test_cert_free(&leaf);
}

static void every_verdict_has_a_text(void **state)
{
	(void)state;
	for (int i = 0; i < CERT_VERDICTS; i++) {
		const char *text = cert_verdict_text((enum cert_verdict)i);

		assert_non_null(text);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(
				text, cert_verdict_text((enum cert_verdict)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_gives_its_identity),
		cmocka_unit_test(each_leaf_gets_its_verdict),
		cmocka_unit_test(dates_hold_with_a_minute_of_tolerance),
		cmocka_unit_test(an_intermediate_carries_the_chain),
		cmocka_unit_test(the_anchor_may_come_along_and_does_not_count),
		cmocka_unit_test(a_certificate_that_is_not_needed_does_no_harm),
		cmocka_unit_test(two_intermediates_are_one_too_many),
		cmocka_unit_test(each_intermediate_gets_its_verdict),
		cmocka_unit_test(only_short_names_of_ours_are_taken),
		cmocka_unit_test(the_narrowest_dates_are_told),
		cmocka_unit_test(chains_end_at_4096_bytes),
		cmocka_unit_test(what_is_cut_or_added_is_malformed),
		cmocka_unit_test(no_bit_of_a_chain_can_be_turned),
		cmocka_unit_test(every_verdict_has_a_text),
	};

	return cmocka_run_group_tests(tests, make_ca, free_ca);
}
