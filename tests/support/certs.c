#include "tests/support/certs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"

#define MUST(expression)                                                       \
	do {                                                                   \
		long must_rv = (expression);                                   \
		if (must_rv < 0)                                               \
			must_failed(#expression, must_rv, __LINE__);           \
	} while (0)

static void must_failed(const char *what, long rv, int line)
{
	fprintf(stderr, "%s:%d: %s: %ld (%s), errno %s\n", __FILE__, line, what,
		rv, gnutls_strerror((int)rv), strerror(errno));
	abort();
}

static void seed_bytes(uint8_t out[32], const struct test_spec *spec)
{
	struct node_hash h;

	if (spec->seed != 0)
		h = hash_of(&spec->seed, sizeof spec->seed);
	else
		h = hash_of(spec->cn, strlen(spec->cn));
	memcpy(out, h.b, 32);
}

static void make_ed25519(gnutls_x509_privkey_t key,
			 const struct test_spec *spec)
{
	struct sign_key k;
	uint8_t seed[32];
	gnutls_datum_t x = { k.public.b, KEY_LEN }, d = { seed, sizeof seed };

	seed_bytes(seed, spec);
	sign_key_from_seed(&k, seed);
	MUST(gnutls_x509_privkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_ED25519,
						&x, NULL, &d));
}

static void make_key(gnutls_x509_privkey_t key, const struct test_spec *spec)
{
	static const struct {
		gnutls_pk_algorithm_t algorithm;
		unsigned bits;
	} kinds[] = {
		[TEST_P256] = { GNUTLS_PK_ECDSA,
				GNUTLS_CURVE_TO_BITS(
					GNUTLS_ECC_CURVE_SECP256R1) },
		[TEST_P384] = { GNUTLS_PK_ECDSA,
				GNUTLS_CURVE_TO_BITS(
					GNUTLS_ECC_CURVE_SECP384R1) },
		[TEST_RSA2048] = { GNUTLS_PK_RSA, 2048 },
		[TEST_RSA1024] = { GNUTLS_PK_RSA, 1024 },
		[TEST_ED448] = { GNUTLS_PK_EDDSA_ED448, 0 },
	};

	if (spec->key_type == TEST_ED25519)
		make_ed25519(key, spec);
	else
		MUST(gnutls_x509_privkey_generate(
			key, kinds[spec->key_type].algorithm,
			kinds[spec->key_type].bits, 0));
}

static void set_dates(gnutls_x509_crt_t crt, const struct test_spec *spec)
{
	int64_t around = spec->around_s != 0 ? spec->around_s : TEST_NOW_S;
	int64_t from = -183, until = 183;

	if (spec->from_day != 0 || spec->until_day != 0) {
		from = spec->from_day;
		until = spec->until_day;
	}
	MUST(gnutls_x509_crt_set_activation_time(crt,
						 around + from * TEST_DAY_S));
	MUST(gnutls_x509_crt_set_expiration_time(crt,
						 around + until * TEST_DAY_S));
}

static void set_usage(gnutls_x509_crt_t crt, const struct test_spec *spec)
{
	bool leaf = spec->role == TEST_LEAF;
	unsigned usage = spec->key_usage;

	MUST(gnutls_x509_crt_set_basic_constraints(
		crt, leaf ? 0 : 1, spec->role == TEST_CA_PATHLEN_0 ? 0 : -1));
	if (usage == 0)
		usage = leaf ? GNUTLS_KEY_DIGITAL_SIGNATURE
			     : GNUTLS_KEY_KEY_CERT_SIGN;
	if (!spec->without_key_usage)
		MUST(gnutls_x509_crt_set_key_usage(crt, usage));
	for (size_t i = 0; i < ARRAY_LEN(spec->purposes); i++) {
		if (spec->purposes[i] != NULL)
			MUST(gnutls_x509_crt_set_key_purpose_oid(
				crt, spec->purposes[i], 0));
	}
}

static void set_extensions(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key,
			   const struct test_cert *issuer,
			   const struct test_spec *spec)
{
	uint8_t key_id[32];
	size_t size = sizeof key_id;

	set_usage(crt, spec);
	for (size_t i = 0; i < ARRAY_LEN(spec->names); i++) {
		const char *name = spec->names[i];

		if (name != NULL)
			MUST(gnutls_x509_crt_set_subject_alt_name(
				crt, GNUTLS_SAN_DNSNAME, name,
				(unsigned)strlen(name), GNUTLS_FSAN_APPEND));
	}
	if (spec->critical_oid != NULL)
		MUST(gnutls_x509_crt_set_extension_by_oid(
			crt, spec->critical_oid, "\x05\x00", 2, 1));
	if (spec->padding != 0) {
		void *zeros = mem_calloc(spec->padding, 1);

		MUST(gnutls_x509_crt_set_extension_by_oid(
			crt, "1.3.6.1.4.1.99999.2", zeros, spec->padding, 0));
		free(zeros);
	}
	MUST(gnutls_x509_privkey_get_key_id(key, 0, key_id, &size));
	MUST(gnutls_x509_crt_set_subject_key_id(crt, key_id, size));
	if (issuer != NULL) {
		size = sizeof key_id;
		MUST(gnutls_x509_privkey_get_key_id(issuer->key, 0, key_id,
						    &size));
		MUST(gnutls_x509_crt_set_authority_key_id(crt, key_id, size));
	}
}

static gnutls_digest_algorithm_t digest_for(gnutls_x509_privkey_t key,
					    const struct test_spec *spec)
{
	int algorithm = gnutls_x509_privkey_get_pk_algorithm(key);

	if (spec->digest != 0)
		return spec->digest;
	return algorithm == GNUTLS_PK_EDDSA_ED25519 ||
			       algorithm == GNUTLS_PK_EDDSA_ED448
		       ? GNUTLS_DIG_UNKNOWN
		       : GNUTLS_DIG_SHA256;
}

void test_cert_make(struct test_cert *out, const struct test_cert *issuer,
		    const struct test_spec *spec)
{
	static uint32_t serial;
	struct test_spec s = *spec;
	struct test_cert c;

	if (s.cn == NULL)
		s.cn = "somebody";
	serial++;
	MUST(gnutls_x509_privkey_init(&c.key));
	make_key(c.key, &s);
	MUST(gnutls_x509_crt_init(&c.crt));
	MUST(gnutls_x509_crt_set_key(c.crt, c.key));
	MUST(gnutls_x509_crt_set_version(c.crt, s.role == TEST_V1 ? 1 : 3));
	MUST(gnutls_x509_crt_set_serial(c.crt, &serial, sizeof serial));
	MUST(gnutls_x509_crt_set_dn_by_oid(c.crt, GNUTLS_OID_X520_COMMON_NAME,
					   0, s.cn, (unsigned)strlen(s.cn)));
	set_dates(c.crt, &s);
	if (s.role != TEST_V1)
		set_extensions(c.crt, c.key, issuer, &s);
	if (issuer == NULL)
		issuer = &c;
	MUST(gnutls_x509_crt_sign2(c.crt, issuer->crt, issuer->key,
				   digest_for(issuer->key, &s), 0));
	*out = c;
}

void test_cert_free(struct test_cert *c)
{
	gnutls_x509_crt_deinit(c->crt);
	gnutls_x509_privkey_deinit(c->key);
	*c = (struct test_cert){ 0 };
}

void test_ca_make(struct test_cert *out, const char *cn)
{
	test_cert_make(out, NULL,
		       &(struct test_spec){ .cn = cn, .role = TEST_CA });
}

void test_node_make(struct test_cert *out, const struct test_cert *ca,
		    const char *name)
{
	char full[NAME_BYTES_MAX + 6];

	snprintf(full, sizeof full, "%s.fuse", name);
	test_cert_make(out, ca,
		       &(struct test_spec){ .cn = name, .names = { full } });
}

struct trust *test_trust(const struct test_cert *ca)
{
	char *pem = test_cert_pem(ca);
	struct trust *t;

	MUST(trust_from_pem(&t, pem, strlen(pem)));
	free(pem);
	return t;
}

void test_sign_key(struct sign_key *out, const struct test_cert *c)
{
	char *pem = test_key_pem(c);

	if (!sign_key_parse(out, pem, strlen(pem)))
		must_failed("sign_key_parse", 0, __LINE__);
	free(pem);
}

size_t test_chain(uint8_t *out, size_t cap, const struct test_cert *const *list,
		  size_t n)
{
	struct buf b = buf_of(out, cap);

	for (size_t i = 0; i < n; i++) {
		gnutls_datum_t der;

		MUST(gnutls_x509_crt_export2(list[i]->crt, GNUTLS_X509_FMT_DER,
					     &der));
		buf_be16(&b, (uint16_t)der.size);
		buf_bytes(&b, der.data, der.size);
		gnutls_free(der.data);
	}
	MUST(b.bad ? -1 : 0);
	return b.len;
}

void test_credentials(struct credentials *out, const struct test_cert *ca,
		      const struct test_cert *leaf,
		      const struct test_cert *above)
{
	const struct test_cert *list[] = { leaf, above };
	struct credentials c = { 0 };

	c.trust = test_trust(ca);
	c.net = addr_net(trust_hash(c.trust));
	c.key = mem_new(c.key);
	test_sign_key(c.key, leaf);
	c.chain_len = test_chain(c.chain, sizeof c.chain, list,
				 above != NULL ? 2 : 1);
	MUST(-(long)cert_check(c.trust, c.chain, c.chain_len,
			       gnutls_x509_crt_get_activation_time(leaf->crt),
			       &c.self));
	*out = c;
}

static char *text_of(gnutls_datum_t *pem)
{
	char *text = mem_strdup((char *)pem->data);

	gnutls_free(pem->data);
	return text;
}

char *test_cert_pem(const struct test_cert *c)
{
	gnutls_datum_t pem;

	MUST(gnutls_x509_crt_export2(c->crt, GNUTLS_X509_FMT_PEM, &pem));
	return text_of(&pem);
}

char *test_key_pem(const struct test_cert *c)
{
	gnutls_datum_t pem;

	MUST(gnutls_x509_privkey_export2_pkcs8(c->key, GNUTLS_X509_FMT_PEM,
					       NULL, GNUTLS_PKCS_PLAIN, &pem));
	return text_of(&pem);
}

void test_dir_make(char out[TEST_PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(out, TEST_PATH_MAX, "%s/qanat-test-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	MUST(mkdtemp(out) == NULL ? -1 : 0);
}

void test_dir_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		char path[TEST_PATH_MAX + 257];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		MUST(remove(path));
	}
	closedir(d);
	MUST(rmdir(dir));
}

void test_file_write(const char *dir, const char *name, unsigned mode,
		     const char *text)
{
	char path[TEST_PATH_MAX + 64];
	size_t len = strlen(text);
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	MUST(fd);
	MUST(fchmod(fd, mode));
	MUST(write(fd, text, len) == (ssize_t)len ? 0 : -1);
	close(fd);
}

void test_dir_credentials(const char *dir, const struct test_cert *ca,
			  const struct test_cert *leaf,
			  const struct test_cert *above)
{
	char *root = test_cert_pem(ca), *key = test_key_pem(leaf);
	char *cert = test_cert_pem(leaf);
	char both[16384];
	char *second = above != NULL ? test_cert_pem(above) : mem_strdup("");

	snprintf(both, sizeof both, "%s%s", cert, second);
	test_file_write(dir, "ca.crt", 0644, root);
	test_file_write(dir, "cert.crt", 0644, both);
	test_file_write(dir, "key.pem", 0600, key);
	free(root);
	free(key);
	free(cert);
	free(second);
}
