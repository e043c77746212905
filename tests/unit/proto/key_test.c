#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/key.h"
#include "tests/support/certs.h"

/* RFC 8032 7.1, test 1. */
static const char seed_hex[] =
	"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
static const char public_hex[] =
	"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/* The same key as a file: openssl genpkey, openssl pkey. */
static const char pem_openssl[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	"-----END PRIVATE KEY-----\n";

/* "payload" as CA 4593bfc4ca00… and the key above would sign it: by
 * openssl pkeyutl -sign -rawin. */
static const char *const signatures[SIGN_PURPOSES] = {
	[SIGN_PROBE_ORIGIN] = "c18978f1f29f6e8ff5915ca41cc1665f"
			      "6efc68c1b0227bd86869cb5c254f8621"
			      "5955c2c878ef9d253300a24f9a9d9635"
			      "a35a3eb0ee4777d5ff180cec770f6b08",
	[SIGN_ANSWER_TARGET] = "bc063c4cceb565312d8d828119e1f6ea"
			       "b3e255abfb9b17f32dabd3cd5416c121"
			       "9fdd27d7636c0da05bc1dd178a617f98"
			       "09e9717c3d532b1b5cd8a8ca5fc2780c",
	[SIGN_ANSWER_HOP] = "edec9e951ab912d1444fdff04b12fb17"
			    "33f8c269239fd045bca407c6df48bf8f"
			    "198c37b2283d3833cc52052c9047fac1"
			    "39b95d099dec03c6cf987f88be0dd00b",
	[SIGN_OPEN_ORIGIN] = "c58c29ed020c98678cb8ebb720beecb0"
			     "24d37777e96f0055b19f9252ec2c5fb7"
			     "3a54cf460b4fbc29eabc9fe5c3e23778"
			     "457bf51b2114a9d3ecf5800e9c78560f",
	[SIGN_CLOSE] = "c9e0f40b7d2b825ac50e0180708c0a26"
		       "9995a4e62c50ece0da1ee12f13ba37f6"
		       "fbc65d15117de5a7865399dd6c167457"
		       "0bd43e61bef8e34c14d7ff3c6d2bb90f",
	[SIGN_NAK] = "691f80d9cdd9947d90cb5c17e1215efc"
		     "58a7d4416c0b27f63c3b94a9dbc493be"
		     "a361e7ad396758aacec2c724557cc05b"
		     "77f264d43076a287dcfe5a2620d0af00",
	[SIGN_LAN_BEACON] = "e5ee1a43f461650d9b1e07a0088c0651"
			    "37ee7c207e18bff2b40ea5951e951de1"
			    "f8b65972bcdbdd77acf3e2cb66907b6c"
			    "dc49310efd7534fb812fec2798e82d0d",
	[SIGN_TREE_ROOT] = "576e5ab4d4781bdf2acfc41b2d25ecf2"
			   "cb1fe9fb6ee6cd3c52aa3a4a26e10cde"
			   "8aa71c305d9e0e0746a818e2907a4170"
			   "5dfd768cda187759c2a28b51eb9a3200",
	[SIGN_TREE_HOP] = "2c248d3cde8ad49abffaead189946f5c"
			  "7d46a43f2aacf49a87c659c46ffcd31c"
			  "b5abc624349da239c236fef66e03224c"
			  "5f9895234a3cc5f4786709b6469cc50d",
	[SIGN_RECORD] = "89e2781b8aedfae799c2d8d4c131f985"
			"2b5758f1879a220333b3f023ba086ec5"
			"807c4f45f7eb6b48cdcc620f9c48174e"
			"587a17779e607b453cd893bd826f9d02",
	[SIGN_NO_RECORD] = "2d1424e330f1b382e53b2205c13d3770"
			   "b60d08b5d4b28d9504197a9ef10fb228"
			   "988e55e823c32ca734140b1140d55e16"
			   "b348c5481a7d587c7213097ef830d408",
	[SIGN_RECEIPT] = "4925079beab8bf194baa5482ccead5f3"
			 "a96f2a65284d252dba612d0c8b89c925"
			 "ea574b6f4e05ea0f426b6d672a90bb6a"
			 "8ba43cf3a9da33b9b50858e0de40b80c",
	[SIGN_APPOINTMENT] = "76281d64e3cfbd3ddb4f12b1f0ae2a09"
			     "a308ca3cbb3e61a726f6694409a62d4e"
			     "4f14285774d2b86d79e2fbee2b46c053"
			     "0440d84a40f7c9c2314af2f147fe8a03",
};

static const struct node_hash ca = { { 0x45, 0x93, 0xbf, 0xc4, 0xca } };

static struct sign_key rfc_key(void)
{
	struct sign_key k;
	uint8_t seed[32];

	assert_true(text_hex_parse(seed, 32, seed_hex, 64));
	sign_key_from_seed(&k, seed);
	return k;
}

static void a_seed_gives_the_key_of_rfc_8032(void **state)
{
	const struct sign_key k = rfc_key();
	char text[2 * KEY_LEN + 1];

	(void)state;
	text_hex(text, k.public.b, KEY_LEN);
	assert_string_equal(text, public_hex);
	text_hex(text, k.seed, sizeof k.seed);
	assert_string_equal(text, seed_hex);
}

static void signatures_are_those_of_another_tool(void **state)
{
	const struct sign_key k = rfc_key();

	(void)state;
	for (int i = 0; i < SIGN_PURPOSES; i++) {
		uint8_t sig[SIG_LEN];
		char text[2 * SIG_LEN + 1];

		key_sign(sig, &k, (enum sign_purpose)i, &ca, "payload", 7);
		text_hex(text, sig, SIG_LEN);
		assert_string_equal(text, signatures[i]);
		assert_true(key_verify(sig, &k.public, (enum sign_purpose)i,
				       &ca, "payload", 7));
	}
}

static void a_signature_holds_for_one_purpose_only(void **state)
{
	const struct sign_key k = rfc_key();
	uint8_t sig[SIG_LEN];

	(void)state;
	for (int i = 0; i < SIGN_PURPOSES; i++) {
		key_sign(sig, &k, (enum sign_purpose)i, &ca, "x", 1);
		for (int j = 0; j < SIGN_PURPOSES; j++)
			assert_int_equal(key_verify(sig, &k.public,
						    (enum sign_purpose)j, &ca,
						    "x", 1),
					 i == j);
	}
}

static void any_changed_bit_breaks_a_signature(void **state)
{
	struct sign_key k = rfc_key();
	struct node_hash other = ca;
	uint8_t sig[SIG_LEN], data[16] = "fifteen letters";

	(void)state;
	key_sign(sig, &k, SIGN_NAK, &ca, data, sizeof data);
	for (size_t i = 0; i < 8 * sizeof sig; i++) {
		sig[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(key_verify(sig, &k.public, SIGN_NAK, &ca, data,
					sizeof data));
		sig[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < sizeof data; i++) {
		data[i] ^= 1;
		assert_false(key_verify(sig, &k.public, SIGN_NAK, &ca, data,
					sizeof data));
		data[i] ^= 1;
	}
	other.b[HASH_LEN - 1] ^= 1;
	assert_false(key_verify(sig, &k.public, SIGN_NAK, &other, data,
				sizeof data));
	assert_false(key_verify(sig, &k.public, SIGN_NAK, &ca, data,
				sizeof data - 1));
	k.public.b[3] ^= 1;
	assert_false(
		key_verify(sig, &k.public, SIGN_NAK, &ca, data, sizeof data));
}

static void payloads_may_be_empty_or_of_the_greatest_length(void **state)
{
	static uint8_t data[SIGN_PAYLOAD_MAX + 1];
	const struct sign_key k = rfc_key();
	uint8_t sig[SIG_LEN];

	(void)state;
	key_sign(sig, &k, SIGN_CLOSE, &ca, NULL, 0);
	assert_true(key_verify(sig, &k.public, SIGN_CLOSE, &ca, NULL, 0));
	key_sign(sig, &k, SIGN_CLOSE, &ca, data, SIGN_PAYLOAD_MAX);
	assert_true(key_verify(sig, &k.public, SIGN_CLOSE, &ca, data,
			       SIGN_PAYLOAD_MAX));
	assert_false(key_verify(sig, &k.public, SIGN_CLOSE, &ca, data,
				SIGN_PAYLOAD_MAX + 1));
}

/* Keys for which many messages verify: RFC 8032 5.1.7 lets them pass. */
static void keys_of_small_order_verify_nothing(void **state)
{
	static const char *const keys[] = {
		"00000000000000000000000000000000000000000000000000000000000000"
		"00",
		"01000000000000000000000000000000000000000000000000000000000000"
		"00",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
		"7f",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03"
		"7a",
	};
	/* R is the identity, S is zero. */
	const uint8_t sig[SIG_LEN] = { 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct node_key k;

		assert_true(text_hex_parse(k.b, KEY_LEN, keys[i], 64));
		for (int data = 0; data < 64; data++)
			assert_false(key_verify(sig, &k, SIGN_PROBE_ORIGIN, &ca,
						&data, sizeof data));
	}
}

static void wiping_leaves_zeros(void **state)
{
	static const struct sign_key zero;
	struct sign_key k = rfc_key();

	(void)state;
	sign_key_wipe(&k);
	assert_memory_equal(&k, &zero, sizeof k);
}

static void other_texts_are_no_key(void **state)
{
	static const struct {
		const char *why, *text;
	} cases[] = {
		{ "empty", "" },
		{ "not PEM", "hello\n" },
		{ "a public key", "-----BEGIN PUBLIC KEY-----\n"
				  "MCowBQYDK2VwAyEA11qYAYKxCrfVS/"
				  "7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
				  "-----END PUBLIC KEY-----\n" },
		{ "cut short",
		  "-----BEGIN PRIVATE KEY-----\n"
		  "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVp\n"
		  "-----END PRIVATE KEY-----\n" },
		{ "an X25519 key", "-----BEGIN PRIVATE KEY-----\n"
				   "MC4CAQAwBQYDK2VuBCIEIJ1hsZ3v/"
				   "VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
				   "-----END PRIVATE KEY-----\n" },
		{ "behind a password",
		  "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
		  "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh/"
		  "kgsLNogoYwICCAAw\n"
		  "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFrA8CsT35bb2H33o/"
		  "sgS+MEQCuD\n"
		  "nPqdJ0JtrpFuIAsXMicnrxnYgbp1oOVYCfiJxVWSgoZW92JtYi96J9FMKWJq"
		  "2Zju\n"
		  "XzAKzIAG8Nsk/A3ap00=\n"
		  "-----END ENCRYPTED PRIVATE KEY-----\n" },
	};
	struct sign_key k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (sign_key_parse(&k, cases[i].text, strlen(cases[i].text)))
			fail_msg("%s was taken for a key", cases[i].why);
	}
}

static void keys_of_other_kinds_are_refused(void **state)
{
	static const enum test_key_type types[] = { TEST_P256, TEST_RSA2048,
						    TEST_ED448 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct test_cert c;
		struct sign_key k;
		char *pem;

		test_cert_make(&c, NULL,
			       &(struct test_spec){ .key_type = types[i] });
		pem = test_key_pem(&c);
		assert_false(sign_key_parse(&k, pem, strlen(pem)));
		free(pem);
		test_cert_free(&c);
	}
}

/* GnuTLS writes what openssl writes. */
static void a_key_file_of_gnutls_is_read(void **state)
{
	struct test_cert c;
	struct sign_key a, b;
	const struct node_hash seed = hash_of("somebody", 8);
	char *pem;

	(void)state;
	test_cert_make(&c, NULL, &(struct test_spec){ 0 });
	pem = test_key_pem(&c);
	assert_true(sign_key_parse(&a, pem, strlen(pem)));
	sign_key_from_seed(&b, seed.b);
	assert_memory_equal(&a, &b, sizeof a);
	free(pem);
	test_cert_free(&c);
}

static void only_a_private_file_is_loaded(void **state)
{
	static const struct {
		unsigned mode;
		int want;
	} cases[] = {
		{ 0600, 0 },      { 0400, 0 },      { 0700, 0 },
		{ 0640, -EPERM }, { 0604, -EPERM }, { 0660, -EPERM },
		{ 0620, -EPERM }, { 0610, -EPERM }, { 0601, -EPERM },
		{ 0644, -EPERM }, { 0777, -EPERM },
	};
	char dir[TEST_PATH_MAX], path[TEST_PATH_MAX + 16];
	const struct sign_key want = rfc_key();

	(void)state;
	test_dir_make(dir);
	snprintf(path, sizeof path, "%s/key.pem", dir);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sign_key k = { 0 };

		test_file_write(dir, "key.pem", 0600, pem_openssl);
		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_int_equal(sign_key_load(&k, path), cases[i].want);
		if (cases[i].want == 0)
			assert_memory_equal(&k, &want, sizeof k);
	}
	test_dir_remove(dir);
}

static void what_is_no_regular_file_is_refused(void **state)
{
	char dir[TEST_PATH_MAX], path[TEST_PATH_MAX + 16];
	struct sign_key k;

	(void)state;
	test_dir_make(dir);
	snprintf(path, sizeof path, "%s/link", dir);
	test_file_write(dir, "key.pem", 0600, pem_openssl);
	assert_int_equal(symlink("key.pem", path), 0);
	assert_int_equal(sign_key_load(&k, path), -ELOOP);

	snprintf(path, sizeof path, "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(sign_key_load(&k, path), -EINVAL);

	snprintf(path, sizeof path, "%s/none", dir);
	assert_int_equal(sign_key_load(&k, path), -ENOENT);
	assert_int_equal(sign_key_load(&k, dir), -EINVAL);
	test_dir_remove(dir);
}

static void a_huge_file_is_not_read(void **state)
{
	char dir[TEST_PATH_MAX], path[TEST_PATH_MAX + 16];
	struct sign_key k;

	(void)state;
	test_dir_make(dir);
	snprintf(path, sizeof path, "%s/key.pem", dir);
	test_file_write(dir, "key.pem", 0600, pem_openssl);
	assert_int_equal(truncate(path, 65536), 0);
	assert_int_equal(sign_key_load(&k, path), 0);
	assert_int_equal(truncate(path, 65537), 0);
	assert_int_equal(sign_key_load(&k, path), -EFBIG);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_gives_the_key_of_rfc_8032),
		cmocka_unit_test(signatures_are_those_of_another_tool),
		cmocka_unit_test(a_signature_holds_for_one_purpose_only),
		cmocka_unit_test(any_changed_bit_breaks_a_signature),
		cmocka_unit_test(
			payloads_may_be_empty_or_of_the_greatest_length),
		cmocka_unit_test(keys_of_small_order_verify_nothing),
		cmocka_unit_test(wiping_leaves_zeros),
		cmocka_unit_test(other_texts_are_no_key),
		cmocka_unit_test(keys_of_other_kinds_are_refused),
		cmocka_unit_test(a_key_file_of_gnutls_is_read),
		cmocka_unit_test(only_a_private_file_is_loaded),
		cmocka_unit_test(what_is_no_regular_file_is_refused),
		cmocka_unit_test(a_huge_file_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
