/* The inside of packet protection: what connections call, and what a backend
 * has to have.  For protect*.c and quic*.c. */
#pragma once

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "node/quic/protect.h"

/* ---- for connections ---- */

/* They will not be used for some time, and take less memory. */
void protect_rest(struct protect_keys *keys);
/* How many take more now. */
size_t protect_n_at_work(const struct protect_keys *keys);

/* Derives and installs the keys of one direction; false: the handshake has to
 * fail. */
bool protect_install(const struct protect *p, struct protect_keys *keys,
		     ngtcp2_conn *conn, ngtcp2_encryption_level level,
		     bool is_rx, const uint8_t *secret, size_t secret_len);
/* As the callback of that name, with `p` in place of the user's data. */
int protect_update_key(const struct protect *p, struct protect_keys *keys,
		       ngtcp2_conn *conn, uint8_t *rx_secret,
		       uint8_t *tx_secret, ngtcp2_crypto_aead_ctx *rx,
		       uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx,
		       uint8_t *tx_iv, const uint8_t *rx_secret_now,
		       const uint8_t *tx_secret_now, size_t secret_len);
/* Callbacks of ngtcp2. */
int protect_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
		    const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text,
		    size_t len, const uint8_t *nonce, size_t nonce_len,
		    const uint8_t *aad, size_t aad_len);
int protect_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
		    const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text,
		    size_t len, const uint8_t *nonce, size_t nonce_len,
		    const uint8_t *aad, size_t aad_len);
int protect_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
		    const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample);
void protect_delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx,
			 void *user_data);
void protect_delete_cipher(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ctx,
			   void *user_data);

/* ---- for backends ---- */

enum {
	PROTECT_NONCE_BYTES = 12,
	PROTECT_TAG_BYTES = 16,
	PROTECT_KEY_BYTES_MAX = 32,
};

enum protect_use {
	PROTECT_SEAL,
	PROTECT_OPEN,
	PROTECT_MASK,
};

struct protect_key {
	const struct protect_ops *ops; /* the rest is the backend's own */
};

struct protect_ops {
	const char *name;
	/* NULL with `why`: not here. */
	struct protect *(*open_backend)(char *why, size_t why_cap);
	void (*close_backend)(struct protect *p);
	/* Whether it is so much faster that it is taken unasked. */
	bool (*is_fast)(const struct protect *p);
	/* Of 16 or 32 bytes, which are copied; NULL: out of order. */
	struct protect_key *(*key_new)(const struct protect *p,
				       enum protect_use use, const uint8_t *key,
				       size_t len);
	/* Wipes it. */
	void (*key_free)(struct protect_key *k);
	/* `len` bytes of plain text become `len` + PROTECT_TAG_BYTES; `dest`
	 * may be `text`. */
	bool (*seal)(const struct protect_key *k, uint8_t *dest,
		     const uint8_t *text, size_t len, const uint8_t *nonce,
		     const uint8_t *aad, size_t aad_len);
	/* `len` with the tag; false: it is not what was sealed. */
	bool (*open)(const struct protect_key *k, uint8_t *dest,
		     const uint8_t *text, size_t len, const uint8_t *nonce,
		     const uint8_t *aad, size_t aad_len);
	bool (*mask)(const struct protect_key *k, uint8_t *dest,
		     const uint8_t *sample);
};

struct protect {
	const struct protect_ops *ops;
};

extern const struct protect_ops protect_gnutls;
#ifdef HAVE_IPSEC_MB
extern const struct protect_ops protect_ipsec_mb;
#endif
