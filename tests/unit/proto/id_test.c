#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/text.h"
#include "proto/id.h"

/* RFC 8032 7.1, test 1. */
static const char public_hex[] =
	"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

static struct node_key rfc_key(void)
{
	struct node_key k;

	assert_true(text_hex_parse(k.b, KEY_LEN, public_hex, 2 * KEY_LEN));
	return k;
}

static void hash_of_a_key_covers_its_der_form(void **state)
{
	/* openssl pkey -pubout -outform DER | sha256sum */
	static const char want[] = "06e3fd8fda29bb60ab59557de61edb0a"
				   "ecdb231134be30e75b455f8e1b792fa9";
	const struct node_key k = rfc_key();
	const struct node_hash h = hash_of_key(&k);
	const struct node_id id = id_of_hash(&h);
	char text[2 * HASH_LEN + 1];

	(void)state;
	text_hex(text, h.b, HASH_LEN);
	assert_string_equal(text, want);
	text_hex(text, id.b, ID_LEN);
	assert_memory_equal(text, want, 2 * ID_LEN);
}

static void sha256_is_sha256(void **state)
{
	static const struct {
		const char *data, *want;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb924"
		      "27ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223"
			 "b00361a396177a9cb410ff61f20015ad" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct node_hash h =
			hash_of(cases[i].data, strlen(cases[i].data));
		char text[2 * HASH_LEN + 1];

		text_hex(text, h.b, HASH_LEN);
		assert_string_equal(text, cases[i].want);
	}
}

static void a_key_survives_its_der_form(void **state)
{
	const struct node_key k = rfc_key();
	uint8_t spki[SPKI_ED25519_LEN];
	struct node_key back;

	(void)state;
	spki_of_key(spki, &k);
	assert_true(spki_key(&back, spki, sizeof spki));
	assert_memory_equal(back.b, k.b, KEY_LEN);
}

static void no_other_der_form_is_a_key(void **state)
{
	const struct node_key k = rfc_key();
	uint8_t spki[SPKI_ED25519_LEN + 1] = { 0 };
	struct node_key back;

	(void)state;
	spki_of_key(spki, &k);
	assert_false(spki_key(&back, spki, SPKI_ED25519_LEN - 1));
	assert_false(spki_key(&back, spki, SPKI_ED25519_LEN + 1));
	assert_false(spki_key(&back, spki, 0));
	for (size_t i = 0; i < SPKI_ED25519_LEN - KEY_LEN; i++) {
		spki[i] ^= 1;
		assert_false(spki_key(&back, spki, SPKI_ED25519_LEN));
		spki[i] ^= 1;
	}
}

static void every_byte_counts_in_a_comparison(void **state)
{
	struct node_hash a = { { 0 } }, b = { { 0 } };
	struct node_id x = { { 0 } }, y = { { 0 } };

	(void)state;
	assert_true(hash_equal(&a, &b));
	assert_true(id_equal(&x, &y));
	assert_true(id_is_zero(&x));
	for (size_t i = 0; i < HASH_LEN; i++) {
		b.b[i] = 0x80;
		assert_false(hash_equal(&a, &b));
		b.b[i] = 0;
	}
	for (size_t i = 0; i < ID_LEN; i++) {
		y.b[i] = 1;
		assert_false(id_equal(&x, &y));
		assert_false(id_is_zero(&y));
		y.b[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_of_a_key_covers_its_der_form),
		cmocka_unit_test(sha256_is_sha256),
		cmocka_unit_test(a_key_survives_its_der_form),
		cmocka_unit_test(no_other_der_form_is_a_key),
		cmocka_unit_test(every_byte_counts_in_a_comparison),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
