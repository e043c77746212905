/* Packet protection by GnuTLS: everywhere. */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/protect_ops.h"
#include "proto/base/mem.h"

enum {
	MASK_BYTES = 5,
	BLOCK_BYTES = 16,
};

struct key {
	struct protect_key key;
	gnutls_aead_cipher_hd_t aead; /* or */
	gnutls_cipher_hd_t block;
};

static const struct key *own(const struct protect_key *k)
{
	return (const struct key *)k;
}

static struct protect *open_backend(char *why, size_t why_cap)
{
	struct protect *p = mem_new(p);

	(void)why;
	(void)why_cap;
	p->ops = &protect_gnutls;
	return p;
}

static void close_backend(struct protect *p)
{
	free(p);
}

static bool is_fast(const struct protect *p)
{
	(void)p;
	return false;
}

static struct protect_key *key_new(const struct protect *p,
				   enum protect_use use, const uint8_t *key,
				   size_t len)
{
	const gnutls_datum_t d = { (uint8_t *)(uintptr_t)key, (unsigned)len };
	struct key *k = mem_new(k);
	int rv;

	k->key.ops = p->ops;
	if (use == PROTECT_MASK)
		rv = gnutls_cipher_init(&k->block,
					len == 16 ? GNUTLS_CIPHER_AES_128_CBC
						  : GNUTLS_CIPHER_AES_256_CBC,
					&d, NULL);
	else
		rv = gnutls_aead_cipher_init(
			&k->aead,
			len == 16 ? GNUTLS_CIPHER_AES_128_GCM
				  : GNUTLS_CIPHER_AES_256_GCM,
			&d);
	if (rv == 0)
		return &k->key;
	free(k);
	return NULL;
}

/* GnuTLS wipes what it held. */
static void key_free(struct protect_key *key)
{
	struct key *k = (struct key *)key;

	if (k->aead != NULL)
		gnutls_aead_cipher_deinit(k->aead);
	if (k->block != NULL)
		gnutls_cipher_deinit(k->block);
	free(k);
}

static bool seal(const struct protect_key *k, uint8_t *dest,
		 const uint8_t *text, size_t len, const uint8_t *nonce,
		 const uint8_t *aad, size_t aad_len)
{
	size_t n = len + PROTECT_TAG_BYTES;

	return gnutls_aead_cipher_encrypt(
		       own(k)->aead, nonce, PROTECT_NONCE_BYTES, aad, aad_len,
		       PROTECT_TAG_BYTES, text, len, dest, &n) == 0;
}

static bool unseal(const struct protect_key *k, uint8_t *dest,
		   const uint8_t *text, size_t len, const uint8_t *nonce,
		   const uint8_t *aad, size_t aad_len)
{
	size_t n;

	if (len < PROTECT_TAG_BYTES)
		return false;
	n = len - PROTECT_TAG_BYTES;
	return gnutls_aead_cipher_decrypt(
		       own(k)->aead, nonce, PROTECT_NONCE_BYTES, aad, aad_len,
		       PROTECT_TAG_BYTES, text, len, dest, &n) == 0;
}

/* The first block of CBC from zero is the block alone. */
static bool mask(const struct protect_key *k, uint8_t *dest,
		 const uint8_t *sample)
{
	static const uint8_t zero[BLOCK_BYTES];
	uint8_t block[BLOCK_BYTES];

	gnutls_cipher_set_iv(own(k)->block, (void *)(uintptr_t)zero,
			     sizeof zero);
	if (gnutls_cipher_encrypt2(own(k)->block, sample, BLOCK_BYTES, block,
				   sizeof block) != 0)
		return false;
	memcpy(dest, block, MASK_BYTES);
	return true;
}

const struct protect_ops protect_gnutls = {
	.name = "gnutls",
	.open_backend = open_backend,
	.close_backend = close_backend,
	.is_fast = is_fast,
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.open = unseal,
	.mask = mask,
};
