/* CAs, keys, certificates and chains for tests: in memory, or as files.
 *
 *   struct test_cert ca, bravo;
 *
 *   test_ca_make(&ca, "home");
 *   test_node_make(&bravo, &ca, "bravo");
 *   test_credentials(&c, &ca, &bravo, NULL);     what a daemon would load
 *
 * Whatever fails aborts: a test need not check.  What is made is valid for a
 * year around TEST_NOW_S; for a process with a real clock set `around_s` in
 * the spec to time(NULL).
 */
#pragma once

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cert.h"
#include "proto/key.h"

#define TEST_NOW_S INT64_C(1767225600) /* 2026-01-01 */
#define TEST_DAY_S INT64_C(86400)

enum test_key_type {
	TEST_ED25519, /* derived from the seed, always the same */
	TEST_P256,
	TEST_P384,
	TEST_RSA2048,
	TEST_RSA1024,
	TEST_ED448,
};

enum test_role {
	TEST_LEAF,
	TEST_CA,
	TEST_CA_PATHLEN_0, /* may sign leaves only */
	TEST_V1,           /* no extension at all */
};

/* Zeroed, it is a valid Ed25519 leaf. */
struct test_spec {
	const char *cn;
	enum test_role role;
	enum test_key_type key_type;
	uint32_t seed;            /* Ed25519; 0: made from `cn` */
	int64_t around_s;         /* 0: TEST_NOW_S */
	int64_t from_day;         /* validity in days from `around_s`; */
	int64_t until_day;        /* both 0: -183, 183 */
	const char *names[8];     /* dNSName as they are: "alice.fuse" */
	unsigned key_usage;       /* GNUTLS_KEY_*; 0: the role's */
	bool without_key_usage;   /* no such extension */
	const char *purposes[4];  /* extended key usage, OIDs */
	const char *critical_oid; /* an extension nobody knows */
	size_t padding; /* an extension of so many bytes, not critical */
	gnutls_digest_algorithm_t digest; /* 0: the issuer key's */
};

struct test_cert {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

/* Self-signed if `issuer` is NULL. */
void test_cert_make(struct test_cert *out, const struct test_cert *issuer,
		    const struct test_spec *spec);
void test_cert_free(struct test_cert *c);

/* The usual ones. */
void test_ca_make(struct test_cert *out, const char *cn);
void test_node_make(struct test_cert *out, const struct test_cert *ca,
		    const char *name); /* asserts `<name>.fuse` */

struct trust *test_trust(const struct test_cert *ca);
void test_sign_key(struct sign_key *out, const struct test_cert *c);

/* Wire form of `n` certificates in this order; returns its length. */
size_t test_chain(uint8_t *out, size_t cap, const struct test_cert *const *list,
		  size_t n);

/* `above` (an intermediate) may be NULL. */
void test_credentials(struct credentials *out, const struct test_cert *ca,
		      const struct test_cert *leaf,
		      const struct test_cert *above);

/* PEM text; free() it. */
char *test_cert_pem(const struct test_cert *c);
char *test_key_pem(const struct test_cert *c);

/* A directory of mode 0700 below $TMPDIR; removed with all in it. */
#define TEST_PATH_MAX 256
void test_dir_make(char out[TEST_PATH_MAX]);
void test_dir_remove(const char *dir);
void test_file_write(const char *dir, const char *name, unsigned mode,
		     const char *text);
/* ca.crt, cert.crt and key.pem. */
void test_dir_credentials(const char *dir, const struct test_cert *ca,
			  const struct test_cert *leaf,
			  const struct test_cert *above);
