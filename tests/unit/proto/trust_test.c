#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/cert.h"
#include "tests/support/certs.h"

static struct test_cert ca;
static struct trust *trust;

static int make_ca(void **state)
{
	(void)state;
	test_ca_make(&ca, "home");
	trust = test_trust(&ca);
	return 0;
}

static int free_ca(void **state)
{
	(void)state;
	trust_free(trust);
	test_cert_free(&ca);
	return 0;
}

static enum cert_verdict check(const struct test_cert *const *list, size_t n)
{
	uint8_t chain[CHAIN_BYTES_MAX];
	struct identity id;
	size_t len = test_chain(chain, sizeof chain, list, n);

	return cert_check(trust, chain, len, TEST_NOW_S, &id);
}

/* Each anchor with a leaf of its own. */
static void anchors_of_all_accepted_kinds_work(void **state)
{
	static const enum test_key_type types[] = { TEST_ED25519, TEST_P256,
						    TEST_RSA2048 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct test_cert root, leaf;
		const struct test_cert *list[] = { &leaf };
		uint8_t chain[CHAIN_BYTES_MAX];
		struct identity id;
		struct trust *t;
		size_t len;

		test_cert_make(&root, NULL,
			       &(struct test_spec){ .cn = "root",
						    .role = TEST_CA,
						    .key_type = types[i] });
		test_node_make(&leaf, &root, "alice");
		t = test_trust(&root);
		len = test_chain(chain, sizeof chain, list, 1);
		assert_int_equal(cert_check(t, chain, len, TEST_NOW_S, &id),
				 CERT_OK);
		trust_free(t);
		test_cert_free(&leaf);
		test_cert_free(&root);
	}
}

static void other_anchors_are_refused(void **state)
{
	static const struct {
		const char *why;
		struct test_spec spec;
	} cases[] = {
		{ "a leaf", { 0 } },
		{ "a version 1 root", { .role = TEST_V1 } },
		{ "RSA of 1024 bits",
		  { .role = TEST_CA, .key_type = TEST_RSA1024 } },
		{ "P-384", { .role = TEST_CA, .key_type = TEST_P384 } },
		{ "Ed448", { .role = TEST_CA, .key_type = TEST_ED448 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_cert c;
		struct trust *t;
		char *pem;

		test_cert_make(&c, NULL, &cases[i].spec);
		pem = test_cert_pem(&c);
		if (trust_from_pem(&t, pem, strlen(pem)) != -EKEYREJECTED)
			fail_msg("%s", cases[i].why);
		free(pem);
		test_cert_free(&c);
	}
}

static void an_anchor_is_one_certificate(void **state)
{
	char *pem = test_cert_pem(&ca), two[4096];
	struct trust *t;

	(void)state;
	snprintf(two, sizeof two, "%s%s", pem, pem);
	assert_int_equal(trust_from_pem(&t, two, strlen(two)), -E2BIG);
	assert_int_equal(trust_from_pem(&t, "", 0), -EINVAL);
	assert_int_equal(trust_from_pem(&t, "hello", 5), -EINVAL);
	assert_int_equal(trust_from_pem(&t, pem, strlen(pem) / 2), -EINVAL);
	/* Text around it is what openssl -text writes. */
	snprintf(two, sizeof two, "Certificate:\n    Data:\n%s\n", pem);
	assert_int_equal(trust_from_pem(&t, two, strlen(two)), 0);
	assert_true(hash_equal(trust_hash(t), trust_hash(trust)));
	trust_free(t);
	free(pem);
}

static void the_hash_of_an_anchor_covers_its_key(void **state)
{
	const struct node_hash seed = hash_of("home", 4);
	struct sign_key key;
	struct node_hash want;
	size_t len;

	(void)state;
	sign_key_from_seed(&key, seed.b);
	want = hash_of_key(&key.public);
	assert_true(hash_equal(trust_hash(trust), &want));
	assert_non_null(trust_der(trust, &len));
	assert_in_range(len, 200, 1000);
}

static void another_ca_of_the_same_name_is_another_ca(void **state)
{
	struct test_cert twin, leaf, unnamed, lost;
	const struct test_cert *list[] = { &leaf };
	const struct test_cert *bare[] = { &unnamed };
	const struct test_cert *far[] = { &lost };

	(void)state;
	test_cert_make(&twin, NULL,
		       &(struct test_spec){
			       .cn = "home", .role = TEST_CA, .seed = 7 });
	test_node_make(&leaf, &twin, "alice");
	assert_int_equal(check(list, 1), CERT_NOT_OURS);
	/* Without key identifiers only the signature tells them apart. */
	test_cert_make(&unnamed, &twin, &(struct test_spec){ .role = TEST_V1 });
	assert_int_equal(check(bare, 1), CERT_NOT_OURS);
	/* And one that signs for itself. */
	test_cert_make(&lost, NULL, &(struct test_spec){ .cn = "lost" });
	assert_int_equal(check(far, 1), CERT_NOT_OURS);
	test_cert_free(&lost);
	test_cert_free(&unnamed);
	test_cert_free(&leaf);
	test_cert_free(&twin);
}

static void old_digests_are_weak(void **state)
{
	static const gnutls_digest_algorithm_t digests[] = { GNUTLS_DIG_MD5,
							     GNUTLS_DIG_SHA1 };
	struct test_cert root;
	struct trust *t;

	(void)state;
	test_cert_make(&root, NULL,
		       &(struct test_spec){ .cn = "root",
					    .role = TEST_CA,
					    .key_type = TEST_RSA2048 });
	t = test_trust(&root);
	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		struct test_cert leaf;
		const struct test_cert *list[] = { &leaf };
		uint8_t chain[CHAIN_BYTES_MAX];
		struct identity id;
		size_t len;

		test_cert_make(&leaf, &root,
			       &(struct test_spec){ .digest = digests[i] });
		len = test_chain(chain, sizeof chain, list, 1);
		assert_int_equal(cert_check(t, chain, len, TEST_NOW_S, &id),
				 CERT_WEAK);
		test_cert_free(&leaf);
	}
	trust_free(t);
	test_cert_free(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anchors_of_all_accepted_kinds_work),
		cmocka_unit_test(other_anchors_are_refused),
		cmocka_unit_test(an_anchor_is_one_certificate),
		cmocka_unit_test(the_hash_of_an_anchor_covers_its_key),
		cmocka_unit_test(another_ca_of_the_same_name_is_another_ca),
		cmocka_unit_test(old_digests_are_weak),
	};

	return cmocka_run_group_tests(tests, make_ca, free_ca);
}
