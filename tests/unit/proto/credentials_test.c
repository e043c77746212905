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
#include "proto/cert.h"
#include "tests/support/certs.h"

/* A cluster, its node alice below an intermediate, and a place for files. */
struct world {
	struct test_cert ca, middle, alice, direct;
	char dir[TEST_PATH_MAX];
};

static int make_world(void **state)
{
	struct world *w = mem_new(w);

	test_ca_make(&w->ca, "home");
	test_cert_make(&w->middle, &w->ca,
		       &(struct test_spec){ .cn = "middle", .role = TEST_CA });
	test_node_make(&w->alice, &w->middle, "alice");
	test_node_make(&w->direct, &w->ca, "direct");
	test_dir_make(w->dir);
	*state = w;
	return 0;
}

static int free_world(void **state)
{
	struct world *w = *state;

	test_dir_remove(w->dir);
	test_cert_free(&w->direct);
	test_cert_free(&w->alice);
	test_cert_free(&w->middle);
	test_cert_free(&w->ca);
	free(w);
	return 0;
}

static void write_pem(const struct world *w, const char *name,
		      const struct test_cert *const *list, size_t n)
{
	char text[16384] = "";

	for (size_t i = 0; i < n; i++) {
		char *pem = test_cert_pem(list[i]);

		strncat(text, pem, sizeof text - strlen(text) - 1);
		free(pem);
	}
	test_file_write(w->dir, name, 0644, text);
}

static void expect(const struct world *w, const char *file, const char *want)
{
	char why[512] = "", text[512];
	struct credentials c;

	snprintf(text, sizeof text, "%s%s%s", w->dir, file, want);
	assert_true(credentials_load(&c, w->dir, TEST_NOW_S, why, sizeof why) <
		    0);
	assert_string_equal(why, text);
}

static void good_files_give_everything(void **state)
{
	struct world *w = *state;
	const struct test_cert *list[] = { &w->alice, &w->middle };
	uint8_t chain[CHAIN_BYTES_MAX];
	struct credentials c;
	struct sign_key key;
	char why[256] = "";
	size_t len;

	test_dir_credentials(w->dir, &w->ca, &w->alice, &w->middle);
	if (credentials_load(&c, w->dir, TEST_NOW_S, why, sizeof why) < 0)
		fail_msg("%s", why);
	len = test_chain(chain, sizeof chain, list, 2);
	assert_int_equal(c.chain_len, len);
	assert_memory_equal(c.chain, chain, len);
	test_sign_key(&key, &w->alice);
	assert_memory_equal(c.key, &key, sizeof key);
	assert_memory_equal(c.self.key.b, key.public.b, KEY_LEN);
	assert_string_equal(c.self.names[0], "alice");
	assert_memory_equal(c.net.prefix, "\xfd\xcc", 2);
	assert_memory_equal(c.net.prefix + 2, trust_hash(c.trust)->b, 4);
	credentials_deinit(&c);
	assert_null(c.trust);
	credentials_deinit(&c);
}

static void credentials_in_memory_equal_those_of_files(void **state)
{
	struct world *w = *state;
	struct credentials a, b;
	char why[256];

	test_dir_credentials(w->dir, &w->ca, &w->alice, &w->middle);
	assert_int_equal(
		credentials_load(&a, w->dir, TEST_NOW_S, why, sizeof why), 0);
	test_credentials(&b, &w->ca, &w->alice, &w->middle);
	assert_int_equal(a.chain_len, b.chain_len);
	assert_memory_equal(a.chain, b.chain, a.chain_len);
	assert_memory_equal(&a.self, &b.self, sizeof a.self);
	assert_memory_equal(&a.net, &b.net, sizeof a.net);
	assert_memory_equal(a.key, b.key, sizeof *a.key);
	credentials_deinit(&a);
	credentials_deinit(&b);
}

/* Whatever the order and whatever else is there, the chain is the same. */
static void the_chain_is_picked_from_a_mixed_file(void **state)
{
	struct world *w = *state;
	struct test_cert other;
	const struct test_cert *const orders[][5] = {
		{ &w->alice, &w->middle },
		{ &w->middle, &w->alice },
		{ &w->alice, &w->middle, &w->ca },
		{ &w->ca, &w->middle, &w->alice },
		{ &other, &w->ca, &w->alice, &w->direct, &w->middle },
	};
	const struct test_cert *want[] = { &w->alice, &w->middle };
	uint8_t wire[CHAIN_BYTES_MAX];
	size_t wire_len = test_chain(wire, sizeof wire, want, 2);

	test_ca_make(&other, "other");
	test_dir_credentials(w->dir, &w->ca, &w->alice, NULL);
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		struct credentials c;
		char why[256] = "";
		size_t n = 0;

		while (n < 5 && orders[i][n] != NULL)
			n++;
		write_pem(w, "cert.crt", orders[i], n);
		if (credentials_load(&c, w->dir, TEST_NOW_S, why, sizeof why) <
		    0)
			fail_msg("order %zu: %s", i, why);
		assert_int_equal(c.chain_len, wire_len);
		assert_memory_equal(c.chain, wire, wire_len);
		credentials_deinit(&c);
	}
	test_cert_free(&other);
}

static void each_missing_file_is_named(void **state)
{
	static const char *const files[] = { "/ca.crt", "/key.pem",
					     "/cert.crt" };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[TEST_PATH_MAX + 16];

		test_dir_credentials(w->dir, &w->ca, &w->direct, NULL);
		snprintf(path, sizeof path, "%s%s", w->dir, files[i]);
		assert_int_equal(unlink(path), 0);
		expect(w, files[i], ": no such file");
	}
}

static void each_empty_file_is_named(void **state)
{
	struct world *w = *state;

	test_dir_credentials(w->dir, &w->ca, &w->direct, NULL);
	test_file_write(w->dir, "cert.crt", 0644, "hello\n");
	expect(w, "/cert.crt", ": no PEM certificate in it");
	test_file_write(w->dir, "key.pem", 0600, "");
	expect(w, "/key.pem",
	       ": not an Ed25519 key in PEM (PKCS#8, without a password)");
	test_file_write(w->dir, "ca.crt", 0644, "");
	expect(w, "/ca.crt", ": no PEM certificate in it");
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	static const unsigned modes[] = { 0644, 0640, 0604, 0660, 0777 };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		char path[TEST_PATH_MAX + 16], want[512];

		test_dir_credentials(w->dir, &w->ca, &w->direct, NULL);
		snprintf(path, sizeof path, "%s/key.pem", w->dir);
		assert_int_equal(chmod(path, modes[i]), 0);
		snprintf(want, sizeof want,
			 ": readable by group or others (mode %04o). "
			 "Run: chmod 600 %s",
			 modes[i], path);
		expect(w, "/key.pem", want);
	}
}

static void a_key_behind_a_link_is_refused(void **state)
{
	struct world *w = *state;
	char path[TEST_PATH_MAX + 16], other[TEST_PATH_MAX + 16];

	test_dir_credentials(w->dir, &w->ca, &w->direct, NULL);
	snprintf(path, sizeof path, "%s/key.pem", w->dir);
	snprintf(other, sizeof other, "%s/real.pem", w->dir);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink("real.pem", path), 0);
	expect(w, "/key.pem", ": a symbolic link. Put the file itself there");
}

static void a_folder_that_others_can_write_is_refused(void **state)
{
	struct world *w = *state;
	char want[512];

	test_dir_credentials(w->dir, &w->ca, &w->direct, NULL);
	assert_int_equal(chmod(w->dir, 0775), 0);
	snprintf(want, sizeof want,
		 ": writable by group or others (mode 0775). "
		 "Run: chmod go-w %s",
		 w->dir);
	expect(w, "", want);
	assert_int_equal(chmod(w->dir, 0700), 0);
}

static void another_ca_is_told(void **state)
{
	struct world *w = *state;
	struct test_cert other, twin;

	test_ca_make(&other, "other");
	test_dir_credentials(w->dir, &other, &w->direct, NULL);
	expect(w, "/cert.crt",
	       ": issued by another CA than ca.crt, or an intermediate "
	       "certificate is missing in it");
	/* The same name and another key. */
	test_cert_make(&twin, NULL,
		       &(struct test_spec){
			       .cn = "home", .role = TEST_CA, .seed = 5 });
	test_dir_credentials(w->dir, &twin, &w->direct, NULL);
	expect(w, "/cert.crt",
	       ": issued by another CA than ca.crt, or an intermediate "
	       "certificate is missing in it");
	test_cert_free(&twin);
	test_cert_free(&other);
}

static void a_missing_intermediate_is_told(void **state)
{
	struct world *w = *state;

	test_dir_credentials(w->dir, &w->ca, &w->alice, NULL);
	expect(w, "/cert.crt",
	       ": issued by another CA than ca.crt, or an intermediate "
	       "certificate is missing in it");
}

static void a_certificate_for_another_key_is_told(void **state)
{
	struct world *w = *state;
	char *key;

	test_dir_credentials(w->dir, &w->ca, &w->direct, NULL);
	key = test_key_pem(&w->alice);
	test_file_write(w->dir, "key.pem", 0600, key);
	free(key);
	expect(w, "/cert.crt", ": no certificate for the key in key.pem");
}

static void dates_are_told(void **state)
{
	static const struct {
		int64_t from_day, until_day;
		const char *want;
	} cases[] = {
		{ -90, -43, ": expired 2025-11-19" },
		{ -2, -1, ": expired 2025-12-31" },
		{ 1, 90, ": not valid before 2026-01-02 00:00 UTC" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_cert leaf;

		test_cert_make(
			&leaf, &w->ca,
			&(struct test_spec){ .from_day = cases[i].from_day,
					     .until_day = cases[i].until_day });
		test_dir_credentials(w->dir, &w->ca, &leaf, NULL);
		expect(w, "/cert.crt", cases[i].want);
		test_cert_free(&leaf);
	}
}

static void an_anchor_out_of_date_is_told(void **state)
{
	struct world *w = *state;
	struct test_cert root, leaf;

	test_cert_make(&root, NULL,
		       &(struct test_spec){ .cn = "old",
					    .role = TEST_CA,
					    .from_day = -900,
					    .until_day = -31 });
	test_node_make(&leaf, &root, "alice");
	test_dir_credentials(w->dir, &root, &leaf, NULL);
	expect(w, "/ca.crt", ": expired 2025-12-01");
	test_cert_free(&leaf);
	test_cert_free(&root);
}

static void an_anchor_that_is_no_ca_is_told(void **state)
{
	struct world *w = *state;
	const struct test_cert *two[] = { &w->ca, &w->middle };

	test_dir_credentials(w->dir, &w->direct, &w->direct, NULL);
	expect(w, "/ca.crt",
	       ": not a CA certificate with an Ed25519, P-256 or RSA key "
	       "(2048 bits or more)");
	write_pem(w, "ca.crt", two, 2);
	expect(w, "/ca.crt",
	       ": more than one certificate in it. Leave only the root's");
}

static void unfit_certificates_are_told(void **state)
{
	struct world *w = *state;
	struct test_cert leaf, low, deep, root;

	test_cert_make(&leaf, &w->ca,
		       &(struct test_spec){
			       .purposes = { GNUTLS_KP_TLS_WWW_SERVER } });
	test_dir_credentials(w->dir, &w->ca, &leaf, NULL);
	expect(w, "/cert.crt",
	       ": not meant for a node (key usage, CA flag or an unknown "
	       "critical extension)");
	test_cert_free(&leaf);

	test_cert_make(&low, &w->middle,
		       &(struct test_spec){ .cn = "low", .role = TEST_CA });
	test_node_make(&deep, &low, "deep");
	test_dir_credentials(w->dir, &w->ca, &deep, NULL);
	write_pem(w, "cert.crt",
		  (const struct test_cert *[]){ &deep, &low, &w->middle }, 3);
	expect(w, "/cert.crt",
	       ": chain too long: at most 2 certificates and 4096 bytes");
	test_cert_free(&deep);
	test_cert_free(&low);

	test_cert_make(&root, NULL,
		       &(struct test_spec){ .cn = "rsa",
					    .role = TEST_CA,
					    .key_type = TEST_RSA2048 });
	test_cert_make(&leaf, &root,
		       &(struct test_spec){ .digest = GNUTLS_DIG_SHA1 });
	test_dir_credentials(w->dir, &root, &leaf, NULL);
	expect(w, "/cert.crt",
	       ": signed with MD5, SHA-1 or RSA under 2048 bits");
	test_cert_free(&leaf);
	test_cert_free(&root);
}

static void a_long_message_is_cut_not_overrun(void **state)
{
	struct world *w = *state;
	struct credentials c;
	char why[9] = "12345678";

	assert_true(credentials_load(&c, w->dir, TEST_NOW_S, why, 8) < 0);
	assert_int_equal(why[7], '\0');
	assert_memory_equal(why, w->dir, 7);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
	struct credentials c;
	char why[64];

	(void)state;
	assert_int_equal(credentials_load(&c, "/nonexistent", TEST_NOW_S, why,
					  sizeof why),
			 -ENOENT);
	assert_string_equal(why, "/nonexistent/ca.crt: no such file");
}

static void a_path_too_long_is_told(void **state)
{
	static char dir[8192];
	struct credentials c;
	char why[64];

	(void)state;
	memset(dir, 'a', sizeof dir - 1);
	assert_int_equal(credentials_load(&c, dir, TEST_NOW_S, why, sizeof why),
			 -ENAMETOOLONG);
	assert_string_equal(why, "path too long");
}

#define each(test) cmocka_unit_test_setup_teardown(test, make_world, free_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(good_files_give_everything),
		each(credentials_in_memory_equal_those_of_files),
		each(the_chain_is_picked_from_a_mixed_file),
		each(each_missing_file_is_named),
		each(each_empty_file_is_named),
		each(a_key_that_others_can_read_is_refused),
		each(a_key_behind_a_link_is_refused),
		each(a_folder_that_others_can_write_is_refused),
		each(another_ca_is_told),
		each(a_missing_intermediate_is_told),
		each(a_certificate_for_another_key_is_told),
		each(dates_are_told),
		each(an_anchor_out_of_date_is_told),
		each(an_anchor_that_is_no_ca_is_told),
		each(unfit_certificates_are_told),
		each(a_long_message_is_cut_not_overrun),
		each(a_folder_that_is_not_there_is_told),
		each(a_path_too_long_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
