#include "proto/x509.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/name.h"

#define DER_SEQUENCE  0x30
#define DER_VERSION   0xa0 /* [0], constructed */
#define NAME_TEXT_MAX 256

/* One element: its contents, and in `whole` the tag and length as well. */
static struct view der_next(struct view *v, uint8_t tag, gnutls_datum_t *whole)
{
	const uint8_t *start = v->pos;
	bool right = view_u8(v) == tag;
	size_t len = view_u8(v);
	struct view inside;

	if (len == 0x81)
		len = view_u8(v);
	else if (len == 0x82)
		len = view_be16(v);
	else if (len == 0x83)
		len = view_be24(v);
	else if (len >= 0x80)
		v->bad = true;
	inside = view_sub(v, len);
	inside.bad |= !right;
	v->bad |= !right;
	if (whole != NULL)
		*whole = (gnutls_datum_t){ .data = (unsigned char *)start,
					   .size = (unsigned)(v->pos - start) };
	return inside;
}

static uint8_t der_peek(const struct view *v)
{
	struct view copy = *v;

	return view_u8(&copy);
}

/* RFC 5280 4.1: version, serial, algorithm, issuer, validity, subject, key.
 * The key's bytes are taken as they stand, since H(k) covers them; libraries
 * only offer them encoded anew. */
static bool find_spki(struct x509 *x)
{
	struct view v = view_of(x->der.data, x->der.size);
	struct view cert = der_next(&v, DER_SEQUENCE, NULL);
	struct view tbs = der_next(&cert, DER_SEQUENCE, NULL);

	if (der_peek(&tbs) == DER_VERSION)
		der_next(&tbs, DER_VERSION, NULL);
	der_next(&tbs, 0x02, NULL);
	for (int i = 0; i < 4; i++)
		der_next(&tbs, DER_SEQUENCE, NULL);
	der_next(&tbs, DER_SEQUENCE, &x->spki);
	return !v.bad && !cert.bad && !tbs.bad && view_left(&v) == 0;
}

bool x509_parse(struct x509 *out, const void *der, size_t len)
{
	struct x509 x = { .der.data = mem_calloc(len, 1),
			  .der.size = (unsigned)len };

	memcpy(x.der.data, der, len);
	if (gnutls_x509_crt_init(&x.crt) < 0) {
		free(x.der.data);
		return false;
	}
	if (!find_spki(&x) ||
	    gnutls_x509_crt_import(x.crt, &x.der, GNUTLS_X509_FMT_DER) < 0) {
		x509_deinit(&x);
		return false;
	}
	x.not_before_s = gnutls_x509_crt_get_activation_time(x.crt);
	x.not_after_s = gnutls_x509_crt_get_expiration_time(x.crt);
	if (x.not_before_s < 0 || x.not_after_s < 0) {
		x509_deinit(&x);
		return false;
	}
	*out = x;
	return true;
}

void x509_deinit(struct x509 *x)
{
	if (x->crt != NULL)
		gnutls_x509_crt_deinit(x->crt);
	free(x->der.data);
	*x = (struct x509){ 0 };
}

static int parse_exported(struct x509 *out, gnutls_x509_crt_t crt)
{
	gnutls_datum_t der;
	bool ok;

	if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der) < 0)
		return -EINVAL;
	ok = x509_parse(out, der.data, der.size);
	gnutls_free(der.data);
	return ok ? 0 : -EINVAL;
}

int x509_parse_pem(struct x509 *out, size_t cap, size_t *n, const void *pem,
		   size_t len)
{
	const gnutls_datum_t text = { .data = (unsigned char *)pem,
				      .size = (unsigned)len };
	gnutls_x509_crt_t *list;
	unsigned n_list = 0;
	size_t done = 0;
	int rv = 0;

	if (gnutls_x509_crt_list_import2(&list, &n_list, &text,
					 GNUTLS_X509_FMT_PEM, 0) < 0)
		return -EINVAL;
	if (n_list > cap)
		rv = -E2BIG;
	while (rv == 0 && done < n_list) {
		rv = parse_exported(&out[done], list[done]);
		done += rv == 0;
	}
	for (unsigned i = 0; i < n_list; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
	if (rv < 0) {
		while (done > 0)
			x509_deinit(&out[--done]);
		return rv;
	}
	*n = done;
	return 0;
}

bool x509_equal(const struct x509 *a, const struct x509 *b)
{
	return a->der.size == b->der.size &&
	       memcmp(a->der.data, b->der.data, a->der.size) == 0;
}

bool x509_names_issuer(const struct x509 *x, const struct x509 *issuer)
{
	return gnutls_x509_crt_check_issuer(x->crt, issuer->crt) != 0;
}

bool x509_is_ca(const struct x509 *x)
{
	unsigned critical, ca = 0;
	int path_len;

	return gnutls_x509_crt_get_basic_constraints(x->crt, &critical, &ca,
						     &path_len) >= 0 &&
	       ca != 0;
}

/* Absent is no limit; else both roles must be there, or any. */
static bool allows_both_roles(const struct x509 *x)
{
	bool client = false, server = false;

	for (unsigned i = 0;; i++) {
		char oid[128];
		size_t size = sizeof oid;
		int rv = gnutls_x509_crt_get_key_purpose_oid(x->crt, i, oid,
							     &size, NULL);

		if (rv == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return i == 0 || (client && server);
		if (rv == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (rv < 0)
			return false;
		if (strcmp(oid, GNUTLS_KP_ANY) == 0)
			return true;
		client |= strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0;
		server |= strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0;
	}
}

bool x509_may_be_leaf(const struct x509 *x)
{
	unsigned usage = 0;
	int rv;

	rv = gnutls_x509_crt_get_key_usage(x->crt, &usage, NULL);
	if (rv < 0 && rv != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return false;
	if (rv >= 0 && (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) == 0)
		return false;
	return !x509_is_ca(x) && allows_both_roles(x);
}

/* "alice.fuse" alone: no label in front, and no id, which needs no
 * certificate to say it. */
static void add_name(struct identity *out, const char *text, size_t len)
{
	struct name n;

	if (out->n_names == CERT_NAMES_MAX)
		return;
	if (name_parse(&n, text, len) != NAME_OK || n.kind != NAME_SHORT ||
	    n.label[0] != '\0')
		return;
	memcpy(out->names[out->n_names++], n.shortname, sizeof n.shortname);
}

void x509_names(struct identity *out, const struct x509 *x)
{
	out->n_names = 0;
	for (unsigned i = 0;; i++) {
		char text[NAME_TEXT_MAX];
		size_t size = sizeof text;
		int type = gnutls_x509_crt_get_subject_alt_name(x->crt, i, text,
								&size, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return;
		if (type == GNUTLS_SAN_DNSNAME)
			add_name(out, text, size);
		else if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return;
	}
}
