#include "discovery/beacon.h"

#include <string.h>

#include "discovery/backoff.h"
#include "proto/base/buf.h"
#include "proto/base/view.h"

/* protocol.md 8.1: magic(32) version(8) flags(8) tag(32) id(80) key(256)
 * port(16) issued_ms(64) nonce(128) signature(512).  The signature is over all
 * that is before it. */
#define BEACON_MAGIC_BYTES 0x716e6c62 /* "qnlb" */
#define BEACON_FLAG_FRESH  0x01
#define BEACON_SIGNED      (BEACON_BYTES - SIG_LEN)

const char *beacon_verdict_text(enum beacon_verdict v)
{
	static const char *const text[BEACON_VERDICTS] = {
		[BEACON_OK] = "good",
		[BEACON_LENGTH] = "wrong length",
		[BEACON_MAGIC] = "not a beacon",
		[BEACON_VERSION] = "unknown version",
		[BEACON_FOREIGN] = "of another cluster",
		[BEACON_PORT_ZERO] = "no port",
		[BEACON_SKEW] = "clock differs",
		[BEACON_REPLAY] = "seen already",
		[BEACON_SELF] = "our own",
		[BEACON_SOURCE_LIMIT] = "too many from its source",
		[BEACON_LIMIT] = "too many in all",
		[BEACON_ID] = "id does not belong to the key",
		[BEACON_SIGNATURE] = "bad signature",
	};

	return text[v];
}

enum beacon_verdict beacon_parse(struct beacon *out, uint8_t tag[4],
				 const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	struct beacon b = { 0 };
	uint32_t magic;
	uint8_t version, flags;

	if (len != BEACON_BYTES)
		return BEACON_LENGTH;
	magic = view_be32(&v);
	version = view_u8(&v);
	flags = view_u8(&v);
	view_copy(&v, tag, 4);
	view_copy(&v, b.id.b, sizeof b.id.b);
	view_copy(&v, b.key.b, sizeof b.key.b);
	b.port = view_be16(&v);
	b.issued_ms = view_be64(&v);
	view_copy(&v, b.nonce.b, sizeof b.nonce.b);
	if (magic != BEACON_MAGIC_BYTES)
		return BEACON_MAGIC;
	if (version != BEACON_VERSION_1 || (flags & ~BEACON_FLAG_FRESH) != 0)
		return BEACON_VERSION;
	if (b.port == 0)
		return BEACON_PORT_ZERO;
	b.is_fresh = (flags & BEACON_FLAG_FRESH) != 0;
	*out = b;
	return BEACON_OK;
}

void beacon_write(uint8_t out[BEACON_BYTES], const struct beacon *b,
		  const struct sign_key *key, const struct node_hash *ca)
{
	struct buf w = buf_of(out, BEACON_BYTES);
	struct node_hash self = hash_of_key(&key->public);
	uint8_t sig[SIG_LEN];

	buf_be32(&w, BEACON_MAGIC_BYTES);
	buf_u8(&w, BEACON_VERSION_1);
	buf_u8(&w, b->is_fresh ? BEACON_FLAG_FRESH : 0);
	buf_bytes(&w, ca->b, 4);
	buf_bytes(&w, self.b, ID_LEN);
	buf_bytes(&w, key->public.b, sizeof key->public.b);
	buf_be16(&w, b->port);
	buf_be64(&w, b->issued_ms);
	buf_bytes(&w, b->nonce.b, sizeof b->nonce.b);
	key_sign(sig, key, SIGN_LAN_BEACON, ca, out, BEACON_SIGNED);
	buf_bytes(&w, sig, sizeof sig);
}

/* ---- when to send ---- */

/* The waits after the first, second and third beacon of a start. */
static const nsec fresh_wait[] = { 1 * NS_PER_S, 2 * NS_PER_S,
				   BEACON_PERIOD_NS };
#define N_FRESH (sizeof fresh_wait / sizeof fresh_wait[0])

/* At once, but not to the instant: a power cut ends for all. */
#define START_SPREAD_NS (200 * NS_PER_MS)

static void start(struct beacon_clock *c, nsec now)
{
	c->started = now;
	c->restart_at = TIME_NEVER;
	c->n_fresh_left = N_FRESH;
	c->next = now + rng_below(&c->rng, START_SPREAD_NS);
}

void beacon_clock_init(struct beacon_clock *c, const struct rng *rng, nsec now)
{
	*c = (struct beacon_clock){ .rng = *rng };
	start(c, now);
}

void beacon_clock_interface_up(struct beacon_clock *c, nsec now)
{
	nsec at = c->started + BEACON_RESTART_NS;

	if (now >= at)
		start(c, now);
	else
		c->restart_at = at;
}

nsec beacon_clock_deadline(const struct beacon_clock *c)
{
	return time_min(c->next, c->restart_at);
}

bool beacon_clock_due(struct beacon_clock *c, nsec now, bool *is_fresh)
{
	nsec wait = BEACON_PERIOD_NS;

	if (now >= c->restart_at)
		start(c, now);
	if (now < c->next)
		return false;
	*is_fresh = c->n_fresh_left > 0;
	if (c->n_fresh_left > 0)
		wait = fresh_wait[N_FRESH - c->n_fresh_left--];
	c->next = now + backoff_jitter(&c->rng, wait);
	return true;
}
