#include "cmd/qanat/cert_read.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <string.h>

#include "proto/file.h"

static gnutls_datum_t datum_of(const struct file_data *f)
{
	return (gnutls_datum_t){ (unsigned char *)f->data, (unsigned)f->len };
}

static int load_ca_crt(struct issuer *ca, const char *path)
{
	struct file_data f;
	gnutls_datum_t pem;
	int rv;

	rv = file_read(&f, path, false);
	if (rv < 0)
		return rv;
	pem = datum_of(&f);
	if (gnutls_x509_crt_init(&ca->crt) < 0 ||
	    gnutls_x509_crt_import(ca->crt, &pem, GNUTLS_X509_FMT_PEM) < 0)
		rv = -EINVAL;
	file_data_free(&f);
	return rv;
}

static int load_ca_key(struct issuer *ca, const char *path)
{
	struct file_data f;
	gnutls_datum_t pem;
	int rv;

	rv = file_read(&f, path, true);
	if (rv < 0)
		return rv;
	pem = datum_of(&f);
	if (gnutls_x509_privkey_init(&ca->key) < 0 ||
	    gnutls_x509_privkey_import2(ca->key, &pem, GNUTLS_X509_FMT_PEM,
					NULL, GNUTLS_PKCS_PLAIN) < 0)
		rv = -EINVAL;
	file_data_free(&f);
	return rv;
}

static int check_pair(const struct issuer *ca)
{
	uint8_t a[64], b[64];
	size_t a_size = sizeof a, b_size = sizeof b;

	if (gnutls_x509_crt_get_key_id(ca->crt, 0, a, &a_size) < 0 ||
	    gnutls_x509_privkey_get_key_id(ca->key, 0, b, &b_size) < 0)
		return -EINVAL;
	return a_size == b_size && memcmp(a, b, a_size) == 0 ? 0
							     : -EKEYREJECTED;
}

int issuer_load(struct issuer *out, const char *crt_path, const char *key_path,
		const char **culprit)
{
	struct issuer ca = { 0 };
	int rv;

	*culprit = crt_path;
	rv = load_ca_crt(&ca, crt_path);
	if (rv == 0) {
		*culprit = key_path;
		rv = load_ca_key(&ca, key_path);
	}
	if (rv == 0)
		rv = check_pair(&ca);
	if (rv < 0) {
		issuer_deinit(&ca);
		return rv;
	}
	*out = ca;
	return 0;
}

void issuer_deinit(struct issuer *ca)
{
	if (ca->crt != NULL)
		gnutls_x509_crt_deinit(ca->crt);
	if (ca->key != NULL)
		gnutls_x509_privkey_deinit(ca->key);
	*ca = (struct issuer){ 0 };
}

static bool pubkey_export(struct node_key *out, gnutls_pubkey_t key)
{
	gnutls_datum_t der;
	bool ok;

	if (gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) < 0)
		return false;
	ok = spki_key(out, der.data, der.size);
	gnutls_free(der.data);
	return ok;
}

/* A request proves that its sender has the key. */
static bool import_request(gnutls_pubkey_t key, const gnutls_datum_t *pem)
{
	gnutls_x509_crq_t crq;
	bool ok;

	if (gnutls_x509_crq_init(&crq) < 0)
		return false;
	ok = gnutls_x509_crq_import(crq, pem, GNUTLS_X509_FMT_PEM) == 0 &&
	     gnutls_x509_crq_verify(crq, 0) == 0 &&
	     gnutls_pubkey_import_x509_crq(key, crq, 0) == 0;
	gnutls_x509_crq_deinit(crq);
	return ok;
}

static bool import_public(gnutls_pubkey_t key, const gnutls_datum_t *pem)
{
	return gnutls_pubkey_import(key, pem, GNUTLS_X509_FMT_PEM) == 0;
}

static int load(struct node_key *out, const char *path,
		bool (*import)(gnutls_pubkey_t, const gnutls_datum_t *))
{
	gnutls_pubkey_t key;
	struct file_data f;
	gnutls_datum_t pem;
	int rv;

	rv = file_read(&f, path, false);
	if (rv < 0)
		return rv;
	pem = datum_of(&f);
	rv = -EINVAL;
	if (gnutls_pubkey_init(&key) == 0) {
		if (import(key, &pem) && pubkey_export(out, key))
			rv = 0;
		gnutls_pubkey_deinit(key);
	}
	file_data_free(&f);
	return rv;
}

int request_load(struct node_key *out, const char *path)
{
	return load(out, path, import_request);
}

int public_load(struct node_key *out, const char *path)
{
	return load(out, path, import_public);
}
