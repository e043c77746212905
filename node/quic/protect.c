#include <errno.h>
#include <gnutls/crypto.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/protect_ops.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#define SECRET_BYTES_MAX 48 /* of SHA-384 */
/* Where no backend is asked for by name: the first that is here and fast. */
static const struct protect_ops *const backends[PROTECT_CHOICES] = {
	[PROTECT_GNUTLS] = &protect_gnutls,
#ifdef HAVE_IPSEC_MB
	[PROTECT_IPSEC_MB] = &protect_ipsec_mb,
#endif
};

static const char *const words[PROTECT_CHOICES] = {
	[PROTECT_AUTO] = "auto",
	[PROTECT_GNUTLS] = "gnutls",
	[PROTECT_IPSEC_MB] = "ipsec-mb",
};

/* ---- choosing one ---- */

static struct protect *open_fastest(char *why, size_t why_cap)
{
	for (int i = PROTECT_CHOICES - 1; i > PROTECT_GNUTLS; i--) {
		struct protect *p;

		if (backends[i] == NULL)
			continue;
		p = backends[i]->open_backend(why, why_cap);
		if (p == NULL)
			log_debug("packet protection: %s is not used: %s",
				  words[i], why);
		else if (p->ops->is_fast(p))
			return p;
		else
			protect_free(p);
	}
	return protect_gnutls.open_backend(why, why_cap);
}

int protect_new(struct protect **out, enum protect_choice choice, char *why,
		size_t why_cap)
{
	struct protect *p;

	if (choice == PROTECT_AUTO) {
		p = open_fastest(why, why_cap);
	} else if (backends[choice] == NULL) {
		snprintf(why, why_cap, "built without %s", words[choice]);
		return -ENOTSUP;
	} else {
		p = backends[choice]->open_backend(why, why_cap);
	}
	if (p == NULL)
		return -ENOTSUP;
	*out = p;
	return 0;
}

void protect_free(struct protect *p)
{
	if (p != NULL)
		p->ops->close_backend(p);
}

const char *protect_name(const struct protect *p)
{
	return p->ops->name;
}

const char *protect_choice_text(enum protect_choice choice)
{
	return words[choice];
}

/* ---- handles ----
 *
 * A backend's key is a kilobyte of tables, which are made of the key itself in
 * less than a microsecond: it is there while it is used.
 *
 * ngtcp2 does not say which level a key is of, nor whose: the lowest bit tells
 * ours from those of its helper, as no allocation is odd. */

struct kept_key {
	const struct protect *protect;
	struct protect_key *key; /* NULL: it rests, or was not used yet */
	struct kept_key *next, **link;
	uint8_t use, len;
	uint8_t bytes[PROTECT_KEY_BYTES_MAX];
};

static void *handle_of(const struct kept_key *k)
{
	return (void *)((uintptr_t)k | 1);
}

static struct kept_key *key_of(void *handle)
{
	uintptr_t p = (uintptr_t)handle;

	return (p & 1) != 0 ? (struct kept_key *)(p & ~(uintptr_t)1) : NULL;
}

/* NULL: the backend is out of order. */
static struct protect_key *key_at_work(struct kept_key *k)
{
	if (k->key == NULL)
		k->key = k->protect->ops->key_new(
			k->protect, (enum protect_use)k->use, k->bytes, k->len);
	return k->key;
}

static void key_rest(struct kept_key *k)
{
	if (k->key != NULL)
		k->key->ops->key_free(k->key);
	k->key = NULL;
}

static void key_free(struct kept_key *k)
{
	if (k == NULL)
		return;
	key_rest(k);
	*k->link = k->next;
	if (k->next != NULL)
		k->next->link = k->link;
	sodium_memzero(k, sizeof *k);
	free(k);
}

void protect_rest(struct protect_keys *keys)
{
	for (struct kept_key *k = keys->first; k != NULL; k = k->next)
		key_rest(k);
}

size_t protect_n_at_work(const struct protect_keys *keys)
{
	size_t n = 0;

	for (const struct kept_key *k = keys->first; k != NULL; k = k->next)
		n += k->key != NULL;
	return n;
}

/* ---- keys ---- */

/* HKDF-Expand-Label of RFC 8446 7.1 with an empty context. */
static bool expand(uint8_t *dest, size_t len, const ngtcp2_crypto_md *md,
		   const uint8_t *secret, size_t secret_len, const char *label)
{
	uint8_t info[32] = { 0 };
	int n = snprintf((char *)info + 3, sizeof info - 3, "tls13 %s", label);

	info[1] = (uint8_t)len;
	info[2] = (uint8_t)n;
	return ngtcp2_crypto_hkdf_expand(dest, len, md, secret, secret_len,
					 info, (size_t)n + 4) == 0;
}

/* Of the AES-GCM that the handshake has agreed upon; 0: it is another one. */
static size_t aes_key_len(ngtcp2_conn *conn)
{
	const ngtcp2_crypto_ctx *c = ngtcp2_conn_get_crypto_ctx(conn);

	switch ((gnutls_cipher_algorithm_t)(intptr_t)c->aead.native_handle) {
	case GNUTLS_CIPHER_AES_128_GCM:
		return 16;
	case GNUTLS_CIPHER_AES_256_GCM:
		return 32;
	default:
		return 0;
	}
}

static struct kept_key *derive(const struct protect *p,
			       struct protect_keys *keys, enum protect_use use,
			       size_t len, const ngtcp2_crypto_md *md,
			       const uint8_t *secret, size_t secret_len)
{
	struct kept_key *k = mem_new(k);

	k->protect = p;
	k->use = (uint8_t)use;
	k->len = (uint8_t)len;
	k->next = keys->first;
	if (k->next != NULL)
		k->next->link = &k->next;
	k->link = &keys->first;
	keys->first = k;
	if (expand(k->bytes, len, md, secret, secret_len,
		   use == PROTECT_MASK ? "quic hp" : "quic key"))
		return k;
	key_free(k);
	return NULL;
}

static bool install_own(const struct protect *p, struct protect_keys *keys,
			ngtcp2_conn *conn, size_t key_len, bool is_rx,
			const uint8_t *secret, size_t secret_len)
{
	const ngtcp2_crypto_md *md = &ngtcp2_conn_get_crypto_ctx(conn)->md;
	struct kept_key *aead =
		derive(p, keys, is_rx ? PROTECT_OPEN : PROTECT_SEAL, key_len,
		       md, secret, secret_len);
	struct kept_key *hp =
		derive(p, keys, PROTECT_MASK, key_len, md, secret, secret_len);
	const ngtcp2_crypto_aead_ctx aead_ctx = { handle_of(aead) };
	const ngtcp2_crypto_cipher_ctx hp_ctx = { handle_of(hp) };
	uint8_t iv[PROTECT_NONCE_BYTES];
	int rv = -1;

	if (aead != NULL && hp != NULL && key_at_work(aead) != NULL &&
	    key_at_work(hp) != NULL &&
	    expand(iv, sizeof iv, md, secret, secret_len, "quic iv"))
		rv = (is_rx ? ngtcp2_conn_install_rx_key
			    : ngtcp2_conn_install_tx_key)(
			conn, secret, secret_len, &aead_ctx, iv, sizeof iv,
			&hp_ctx);
	if (rv != 0) {
		key_free(aead);
		key_free(hp);
	}
	return rv == 0;
}

bool protect_install(const struct protect *p, struct protect_keys *keys,
		     ngtcp2_conn *conn, ngtcp2_encryption_level level,
		     bool is_rx, const uint8_t *secret, size_t secret_len)
{
	size_t key_len =
		level == NGTCP2_ENCRYPTION_LEVEL_1RTT ? aes_key_len(conn) : 0;

	if (key_len != 0)
		return install_own(p, keys, conn, key_len, is_rx, secret,
				   secret_len);
	return (is_rx ? ngtcp2_crypto_derive_and_install_rx_key
		      : ngtcp2_crypto_derive_and_install_tx_key)(
		       conn, NULL, NULL, NULL, level, secret, secret_len) == 0;
}

/* The next secret of one direction, and its key.  RFC 9001 6.1: the one of
 * header protection stays. */
static struct kept_key *next_key(const struct protect *p,
				 struct protect_keys *keys,
				 enum protect_use use, ngtcp2_conn *conn,
				 uint8_t *secret, uint8_t *iv,
				 const uint8_t *now, size_t secret_len)
{
	const ngtcp2_crypto_md *md = &ngtcp2_conn_get_crypto_ctx(conn)->md;

	if (!expand(secret, secret_len, md, now, secret_len, "quic ku") ||
	    !expand(iv, PROTECT_NONCE_BYTES, md, secret, secret_len, "quic iv"))
		return NULL;
	return derive(p, keys, use, aes_key_len(conn), md, secret, secret_len);
}

int protect_update_key(const struct protect *p, struct protect_keys *keys,
		       ngtcp2_conn *conn, uint8_t *rx_secret,
		       uint8_t *tx_secret, ngtcp2_crypto_aead_ctx *rx,
		       uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx,
		       uint8_t *tx_iv, const uint8_t *rx_secret_now,
		       const uint8_t *tx_secret_now, size_t secret_len)
{
	struct kept_key *k_rx, *k_tx;

	if (aes_key_len(conn) == 0)
		return ngtcp2_crypto_update_key_cb(
			conn, rx_secret, tx_secret, rx, rx_iv, tx, tx_iv,
			rx_secret_now, tx_secret_now, secret_len, NULL);
	k_rx = next_key(p, keys, PROTECT_OPEN, conn, rx_secret, rx_iv,
			rx_secret_now, secret_len);
	k_tx = next_key(p, keys, PROTECT_SEAL, conn, tx_secret, tx_iv,
			tx_secret_now, secret_len);
	if (k_rx == NULL || k_tx == NULL) {
		key_free(k_rx);
		key_free(k_tx);
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	rx->native_handle = handle_of(k_rx);
	tx->native_handle = handle_of(k_tx);
	return 0;
}

/* ---- packets ---- */

int protect_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
		    const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text,
		    size_t len, const uint8_t *nonce, size_t nonce_len,
		    const uint8_t *aad, size_t aad_len)
{
	struct kept_key *kept = key_of(ctx->native_handle);
	const struct protect_key *k;

	if (kept == NULL)
		return ngtcp2_crypto_encrypt_cb(dest, aead, ctx, text, len,
						nonce, nonce_len, aad, aad_len);
	k = key_at_work(kept);
	return k != NULL && k->ops->seal(k, dest, text, len, nonce, aad,
					 aad_len)
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

int protect_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
		    const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text,
		    size_t len, const uint8_t *nonce, size_t nonce_len,
		    const uint8_t *aad, size_t aad_len)
{
	struct kept_key *kept = key_of(ctx->native_handle);
	const struct protect_key *k;

	if (kept == NULL)
		return ngtcp2_crypto_decrypt_cb(dest, aead, ctx, text, len,
						nonce, nonce_len, aad, aad_len);
	k = key_at_work(kept);
	if (k == NULL)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return k->ops->open(k, dest, text, len, nonce, aad, aad_len)
		       ? 0
		       : NGTCP2_ERR_DECRYPT;
}

int protect_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
		    const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
	struct kept_key *kept = key_of(ctx->native_handle);
	const struct protect_key *k;

	if (kept == NULL)
		return ngtcp2_crypto_hp_mask_cb(dest, hp, ctx, sample);
	k = key_at_work(kept);
	return k != NULL && k->ops->mask(k, dest, sample)
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

void protect_delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx,
			 void *user_data)
{
	struct kept_key *k = key_of(ctx->native_handle);

	if (k == NULL)
		ngtcp2_crypto_delete_crypto_aead_ctx_cb(conn, ctx, user_data);
	else
		key_free(k);
	ctx->native_handle = NULL;
}

void protect_delete_cipher(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ctx,
			   void *user_data)
{
	struct kept_key *k = key_of(ctx->native_handle);

	if (k == NULL)
		ngtcp2_crypto_delete_crypto_cipher_ctx_cb(conn, ctx, user_data);
	else
		key_free(k);
	ctx->native_handle = NULL;
}
