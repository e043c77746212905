#include <errno.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/cert.h"
#include "proto/file.h"
#include "proto/x509.h"

/* A file may hold what the chain does not need: older leaves, the CA. */
#define FILE_CERTS_MAX 16

static const struct x509 *find_leaf(const struct x509 *all, size_t n,
				    const struct node_key *key)
{
	for (size_t i = 0; i < n; i++) {
		struct node_key found;

		if (spki_key(&found, all[i].spki.data, all[i].spki.size) &&
		    memcmp(found.b, key->b, sizeof key->b) == 0)
			return &all[i];
	}
	return NULL;
}

static int write_path(uint8_t *out, size_t cap, size_t *len,
		      const struct x509_path *p)
{
	struct buf b =
		buf_of(out, cap < CHAIN_BYTES_MAX ? cap : CHAIN_BYTES_MAX);

	for (size_t i = 0; i < p->n; i++) {
		const gnutls_datum_t *der = &p->at[i]->der;

		if (der->size > UINT16_MAX)
			return -E2BIG;
		buf_be16(&b, (uint16_t)der->size);
		buf_bytes(&b, der->data, der->size);
	}
	if (b.bad)
		return -E2BIG;
	*len = b.len;
	return 0;
}

int chain_from_pem(uint8_t *out, size_t cap, size_t *len, const void *pem,
		   size_t pem_len, const struct node_key *key,
		   const struct trust *t)
{
	struct x509 all[FILE_CERTS_MAX];
	const struct x509 *leaf;
	struct x509_path p;
	size_t n = 0;
	int rv;

	rv = x509_parse_pem(all, FILE_CERTS_MAX, &n, pem, pem_len);
	if (rv < 0)
		return rv;
	leaf = find_leaf(all, n, key);
	if (leaf == NULL)
		rv = -EKEYREJECTED;
	else if (!x509_path_find(&p, leaf, all, n, t))
		rv = -E2BIG;
	else
		rv = write_path(out, cap, len, &p);
	while (n > 0)
		x509_deinit(&all[--n]);
	return rv;
}

int chain_load(uint8_t *out, size_t cap, size_t *len, const char *path,
	       const struct node_key *key, const struct trust *t)
{
	struct file_data f;
	int rv;

	rv = file_read(&f, path, false);
	if (rv < 0)
		return rv;
	rv = chain_from_pem(out, cap, len, f.data, f.len, key, t);
	file_data_free(&f);
	return rv;
}
