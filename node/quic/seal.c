#include "node/quic/seal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/protect_ops.h"
#include "node/quic/quic_seen.h"
#include "proto/base/be.h"
#include "proto/base/mem.h"

enum {
	CHAIN_BYTES = SEAL_SECRET_BYTES / 2,
	AES_BYTES = 16,
	KEPT = 2, /* the key in use and the one before */
	NUMBER_AT = 5,
	NUMBER_BYTES = 7,
};

#define NUMBER_MAX ((UINT64_C(1) << 8 * NUMBER_BYTES) - 1)

_Static_assert(CHAIN_BYTES == crypto_kdf_KEYBYTES, "of libsodium");

/* The purposes of what follows from a chain. */
enum {
	NEXT_CHAIN = 1,
	NEXT_KEY,
};

static const char purpose[crypto_kdf_CONTEXTBYTES + 1] = "qanatpkt";

struct epoch {
	struct protect_key *key; /* NULL: none */
	uint8_t iv[PROTECT_NONCE_BYTES];
};

/* One direction.  `chain` is where the key of epoch `next` comes from. */
struct direction {
	enum protect_use use;
	uint8_t chain[CHAIN_BYTES];
	uint64_t next;
	struct epoch kept[KEPT]; /* by number */
	struct epoch ahead;      /* of `next`, once it was asked for */
};

struct seal {
	const struct protect *protect;
	uint64_t key_packets, n_written;
	struct direction tx, rx;
	struct quic_seen seen;
};

/* ---- keys ---- */

static void drop(struct epoch *e)
{
	if (e->key != NULL)
		e->key->ops->key_free(e->key);
	sodium_memzero(e, sizeof *e);
}

static const struct epoch *look_ahead(const struct protect *p,
				      struct direction *d)
{
	uint8_t material[AES_BYTES + PROTECT_NONCE_BYTES];

	if (d->ahead.key != NULL)
		return &d->ahead;
	crypto_kdf_derive_from_key(material, sizeof material, NEXT_KEY, purpose,
				   d->chain);
	d->ahead.key = p->ops->key_new(p, d->use, material, AES_BYTES);
	memcpy(d->ahead.iv, material + AES_BYTES, sizeof d->ahead.iv);
	sodium_memzero(material, sizeof material);
	return &d->ahead;
}

/* To the key that look_ahead() has made. */
static void advance(struct direction *d)
{
	uint8_t chain[CHAIN_BYTES];

	drop(&d->kept[d->next % KEPT]);
	d->kept[d->next % KEPT] = d->ahead;
	sodium_memzero(&d->ahead, sizeof d->ahead);
	crypto_kdf_derive_from_key(chain, sizeof chain, NEXT_CHAIN, purpose,
				   d->chain);
	memcpy(d->chain, chain, sizeof chain);
	sodium_memzero(chain, sizeof chain);
	d->next++;
}

static void forget(struct direction *d)
{
	for (size_t i = 0; i < KEPT; i++)
		drop(&d->kept[i]);
	drop(&d->ahead);
}

struct seal *seal_new(const struct protect *p,
		      const uint8_t secret[SEAL_SECRET_BYTES], bool is_client,
		      uint64_t key_packets)
{
	struct seal *s = mem_new(s);

	s->protect = p;
	s->key_packets = key_packets;
	s->tx.use = PROTECT_SEAL;
	s->rx.use = PROTECT_OPEN;
	memcpy(s->tx.chain, secret + (is_client ? 0 : CHAIN_BYTES),
	       CHAIN_BYTES);
	memcpy(s->rx.chain, secret + (is_client ? CHAIN_BYTES : 0),
	       CHAIN_BYTES);
	return s;
}

void seal_free(struct seal *s)
{
	if (s == NULL)
		return;
	forget(&s->tx);
	forget(&s->rx);
	sodium_memzero(s, sizeof *s);
	free(s);
}

/* ---- packets ---- */

bool seal_is(const uint8_t *packet, size_t len)
{
	return len > 0 && packet[0] == SEAL_TYPE;
}

uint32_t seal_to(const uint8_t *packet)
{
	return be32_get(packet + 1);
}

static uint64_t number_of(const uint8_t *packet)
{
	return be64_get(packet + NUMBER_AT - 1) & NUMBER_MAX;
}

static void put_number(uint8_t *packet, uint64_t number)
{
	for (size_t i = 0; i < NUMBER_BYTES; i++)
		packet[NUMBER_AT + i] =
			(uint8_t)(number >> 8 * (NUMBER_BYTES - 1 - i));
}

static void nonce_of(uint8_t nonce[PROTECT_NONCE_BYTES], const struct epoch *e,
		     const uint8_t *packet)
{
	memcpy(nonce, e->iv, PROTECT_NONCE_BYTES);
	for (size_t i = 0; i < NUMBER_BYTES; i++)
		nonce[PROTECT_NONCE_BYTES - NUMBER_BYTES + i] ^=
			packet[NUMBER_AT + i];
}

size_t seal_write(struct seal *s, uint8_t *packet, size_t len, uint32_t to)
{
	uint64_t number = s->n_written;
	uint8_t *text = packet + SEAL_HEADER_BYTES;
	uint8_t nonce[PROTECT_NONCE_BYTES];
	const struct epoch *e;

	if (number / s->key_packets == s->tx.next) {
		if (look_ahead(s->protect, &s->tx)->key == NULL)
			return 0;
		advance(&s->tx);
	}
	e = &s->tx.kept[number / s->key_packets % KEPT];
	packet[0] = SEAL_TYPE;
	be32_put(packet + 1, to);
	put_number(packet, number);
	nonce_of(nonce, e, packet);
	/* Used up, whatever comes of it. */
	s->n_written++;
	if (!e->key->ops->seal(e->key, text, text, len, nonce, packet,
			       SEAL_HEADER_BYTES))
		return 0;
	return len + SEAL_OVERHEAD;
}

static bool open_by(const struct epoch *e, uint8_t *out, const uint8_t *packet,
		    size_t len)
{
	uint8_t nonce[PROTECT_NONCE_BYTES];

	if (e->key == NULL)
		return false;
	nonce_of(nonce, e, packet);
	return e->key->ops->open(e->key, out, packet + SEAL_HEADER_BYTES,
				 len - SEAL_HEADER_BYTES, nonce, packet,
				 SEAL_HEADER_BYTES);
}

/* The first packet under the next key brings that into use. */
static bool open_next(struct seal *s, uint8_t *out, const uint8_t *packet,
		      size_t len)
{
	if (!open_by(look_ahead(s->protect, &s->rx), out, packet, len))
		return false;
	advance(&s->rx);
	return true;
}

enum seal_verdict seal_read(struct seal *s, uint8_t *out, size_t *n_out,
			    const uint8_t *packet, size_t len)
{
	uint64_t number, epoch;
	bool good;

	if (len <= SEAL_OVERHEAD)
		return SEAL_SHORT;
	number = number_of(packet);
	epoch = number / s->key_packets;
	if (epoch > s->rx.next || epoch + KEPT < s->rx.next)
		return SEAL_FORGED;
	good = epoch == s->rx.next
		       ? open_next(s, out, packet, len)
		       : open_by(&s->rx.kept[epoch % KEPT], out, packet, len);
	if (!good)
		return SEAL_FORGED;
	if (!quic_seen_add(&s->seen, number))
		return SEAL_SEEN;
	*n_out = len - SEAL_OVERHEAD;
	return SEAL_OK;
}
