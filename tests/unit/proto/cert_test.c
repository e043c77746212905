#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

static void an_intermediate_carries_the_chain(void **state)
{
	struct test_cert leaf;
	const struct test_cert *list[3] = { &leaf, &middle, &ca };
	uint8_t chain[CHAIN_BYTES_MAX];
	struct identity id;
	size_t len;

	(void)state;
	test_node_make(&leaf, &middle, "alice");
	len = test_chain(chain, sizeof chain, list, 2);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	/* The root may come along, and does not count. */
	len = test_chain(chain, sizeof chain, list, 3);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_OK);
	/* Without the intermediate there is no way up. */
	len = test_chain(chain, sizeof chain, list, 1);
	assert_int_equal(cert_check(trust, chain, len, TEST_NOW_S, &id),
			 CERT_NOT_OURS);
	test_cert_free(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_gives_its_identity),
		cmocka_unit_test(each_leaf_gets_its_verdict),
		cmocka_unit_test(dates_hold_with_a_minute_of_tolerance),
		cmocka_unit_test(an_intermediate_carries_the_chain),
	};

	return cmocka_run_group_tests(tests, make_ca, free_ca);
}
