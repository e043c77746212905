#include "node/quic/quic_table.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/keyed_hash.h"
#include "node/quic/quic.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

struct entry {
	uint8_t cid[NGTCP2_MAX_CIDLEN];
	struct quic *quic;
	const struct quic_table *table;
	UT_hash_handle hh;
};

struct ids {
	uint8_t hash_key[HASH_KEY_BYTES]; /* peers choose the first ids */
	struct entry *entries;
	struct entry *last; /* found: packets come in trains; NULL */
};

struct quic_table {
	struct quic_tls *tls;
	uint8_t reset_key[32];
	struct ids own;
	struct ids *ids; /* ours, or those of the table beside which we are */
};

struct quic_table *quic_table_new(struct quic_tls *tls,
				  const uint8_t reset_key[32])
{
	struct quic_table *t = mem_new(t);

	t->ids = &t->own;
	randombytes_buf(t->own.hash_key, sizeof t->own.hash_key);
	t->tls = tls;
	memcpy(t->reset_key, reset_key, sizeof t->reset_key);
	return t;
}

struct quic_table *quic_table_beside(struct quic_table *with,
				     const uint8_t reset_key[32])
{
	struct quic_table *t = quic_table_new(with->tls, reset_key);

	t->ids = with->ids;
	return t;
}

static void entry_free(struct ids *ids, struct entry *e)
{
	if (ids->last == e)
		ids->last = NULL;
	HASH_DEL(ids->entries, e);
	free(e);
}

void quic_table_free(struct quic_table *t)
{
	struct entry *e, *next;

	if (t == NULL)
		return;
	HASH_ITER (hh, t->ids->entries, e, next) {
		if (e->table != t)
			continue;
		entry_free(t->ids, e);
	}
	sodium_memzero(t->reset_key, sizeof t->reset_key);
	free(t);
}

struct quic_tls *quic_table_tls(const struct quic_table *t)
{
	return t->tls;
}

static struct entry *find(struct quic_table *t, const uint8_t *cid, size_t len)
{
	const uint8_t *hash_key = t->ids->hash_key;
	struct entry *e = t->ids->last;

	if (e != NULL && e->hh.keylen == len && memcmp(e->cid, cid, len) == 0)
		return e;
	e = NULL;
	if (len > 0 && len <= NGTCP2_MAX_CIDLEN)
		HASH_FIND(hh, t->ids->entries, cid, (unsigned)len, e);
	if (e != NULL)
		t->ids->last = e;
	return e;
}

void quic_table_add(struct quic_table *t, const ngtcp2_cid *cid, struct quic *q)
{
	const uint8_t *hash_key = t->ids->hash_key;
	struct entry *e;

	if (find(t, cid->data, cid->datalen) != NULL)
		return;
	e = mem_new(e);
	memcpy(e->cid, cid->data, cid->datalen);
	e->quic = q;
	e->table = t;
	HASH_ADD_KEYPTR(hh, t->ids->entries, e->cid, (unsigned)cid->datalen, e);
}

void quic_table_remove(struct quic_table *t, const ngtcp2_cid *cid,
		       const struct quic *q)
{
	struct entry *e = find(t, cid->data, cid->datalen);

	if (e == NULL || e->quic != q)
		return;
	entry_free(t->ids, e);
}

void quic_table_new_cid(struct quic_table *t, ngtcp2_cid *cid, size_t len,
			uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN])
{
	do {
		cid->datalen = len;
		randombytes_buf(cid->data, len);
	} while (find(t, cid->data, len) != NULL);
	if (token != NULL)
		ngtcp2_crypto_generate_stateless_reset_token(
			token, t->reset_key, sizeof t->reset_key, cid);
}

enum quic_lookup quic_table_find(struct quic_table *t, const uint8_t *data,
				 size_t len, struct quic **out,
				 ngtcp2_pkt_hd *hd, ngtcp2_version_cid *vc)
{
	struct entry *e;
	int rv;

	/* An empty or one-byte packet never reaches ngtcp2. */
	if (len < 1 + SESSION_CID_BYTES)
		return QUIC_GARBAGE;
	rv = ngtcp2_pkt_decode_version_cid(vc, data, len, SESSION_CID_BYTES);
	if (rv == NGTCP2_ERR_VERSION_NEGOTIATION)
		return QUIC_VERSION;
	if (rv != 0)
		return QUIC_GARBAGE;
	e = find(t, vc->dcid, vc->dcidlen);
	if (e != NULL) {
		*out = e->quic;
		if (e->table == t)
			return QUIC_FOUND;
		return quic_is_long(data) ? QUIC_GARBAGE : QUIC_BESIDE;
	}
	if (!quic_is_long(data))
		return QUIC_RESET;
	return ngtcp2_accept(hd, data, len) == 0 ? QUIC_INITIAL : QUIC_GARBAGE;
}

size_t quic_table_write_reset(struct quic_table *t, uint8_t *out, size_t cap,
			      const uint8_t *data, size_t len)
{
	/* RFC 9000 10.3, 10.3.3: always shorter than what caused it, so that
	 * two nodes cannot keep one going; yet the shortest packets, with no
	 * more than a PING in them, are answered too. */
	enum {
		RANDOM_MAX = 22,
		RANDOM_MIN = NGTCP2_MIN_STATELESS_RESET_RANDLEN,
	};
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN];
	uint8_t noise[RANDOM_MAX];
	size_t n_noise = sizeof noise;
	ngtcp2_cid cid;
	ngtcp2_ssize n;

	if (quic_is_long(data) || len <= sizeof token + RANDOM_MIN)
		return 0;
	if (n_noise > len - 1 - sizeof token)
		n_noise = len - 1 - sizeof token;
	ngtcp2_cid_init(&cid, data + 1, SESSION_CID_BYTES);
	ngtcp2_crypto_generate_stateless_reset_token(token, t->reset_key,
						     sizeof t->reset_key, &cid);
	randombytes_buf(noise, n_noise);
	n = ngtcp2_pkt_write_stateless_reset(out, cap, token, noise, n_noise);
	return n > 0 ? (size_t)n : 0;
}
