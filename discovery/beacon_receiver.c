#include "discovery/beacon.h"

#include <stdlib.h>
#include <string.h>

#include "discovery/keyed_hash.h"
#include "proto/base/bucket.h"
#include "proto/base/mem.h"

/* An address without its port: a host is one source. */
struct source_key {
	uint8_t address[16];
	uint32_t scope;
};

/* In the table's order: the longest unheard of first. */
struct source {
	struct source_key key;
	struct bucket bucket;
	UT_hash_handle hh;
};

/* In the table's order: the first to be forgotten first. */
struct taken {
	struct nonce nonce;
	nsec forget_at;
	UT_hash_handle hh;
};

struct beacon_receiver {
	struct node_hash ca;
	struct node_id self;
	uint8_t hash_key[HASH_KEY_BYTES];
	struct bucket all;
	struct source *sources;
	struct taken *taken;
	uint64_t counters[BEACON_VERDICTS];
};

struct beacon_receiver *beacon_receiver_new(const struct node_hash *ca,
					    const struct node_id *self,
					    struct rng *rng, nsec now)
{
	struct beacon_receiver *r = mem_new(r);

	r->ca = *ca;
	r->self = *self;
	rng_fill(rng, r->hash_key, sizeof r->hash_key);
	bucket_init(&r->all, BEACON_RATE, BEACON_BURST, now);
	return r;
}

static void forget_source(struct beacon_receiver *r, struct source *s)
{
	HASH_DEL(r->sources, s);
	free(s);
}

static void forget_taken(struct beacon_receiver *r, struct taken *t)
{
	HASH_DEL(r->taken, t);
	free(t);
}

void beacon_receiver_free(struct beacon_receiver *r)
{
	if (r == NULL)
		return;
	while (r->sources != NULL)
		forget_source(r, r->sources);
	while (r->taken != NULL)
		forget_taken(r, r->taken);
	free(r);
}

static struct source_key source_key_of(const union endpoint *from)
{
	struct source_key k = { .scope = 0 };

	if (from->sa.sa_family == AF_INET6) {
		memcpy(k.address, &from->in6.sin6_addr, sizeof k.address);
		k.scope = from->in6.sin6_scope_id;
	} else {
		/* As IPv4-mapped. */
		k.address[10] = k.address[11] = 0xff;
		memcpy(k.address + 12, &from->in.sin_addr, 4);
	}
	return k;
}

static bool source_take(struct beacon_receiver *r, const union endpoint *from,
			nsec now)
{
	const uint8_t *hash_key = r->hash_key;
	struct source_key key = source_key_of(from);
	struct source *s;

	HASH_FIND(hh, r->sources, &key, sizeof key, s);
	if (s != NULL) {
		HASH_DEL(r->sources, s);
	} else {
		if (HASH_COUNT(r->sources) == BEACON_SOURCES_MAX)
			forget_source(r, r->sources);
		s = mem_new(s);
		s->key = key;
		bucket_init(&s->bucket, BEACON_SOURCE_RATE, BEACON_SOURCE_BURST,
			    now);
	}
	HASH_ADD(hh, r->sources, key, sizeof s->key, s);
	return bucket_take(&s->bucket, now);
}

static bool is_taken(struct beacon_receiver *r, const struct nonce *nonce)
{
	const uint8_t *hash_key = r->hash_key;
	struct taken *t;

	HASH_FIND(hh, r->taken, nonce, sizeof *nonce, t);
	return t != NULL;
}

static void take(struct beacon_receiver *r, const struct nonce *nonce, nsec now)
{
	const uint8_t *hash_key = r->hash_key;
	struct taken *t = mem_new(t);

	/* The bucket lets no more through than this while one is kept. */
	if (HASH_COUNT(r->taken) == BEACON_REPLAY_MAX)
		forget_taken(r, r->taken);
	t->nonce = *nonce;
	t->forget_at = now + BEACON_REPLAY_NS;
	HASH_ADD(hh, r->taken, nonce, sizeof t->nonce, t);
}

static void forget_old(struct beacon_receiver *r, nsec now)
{
	while (r->taken != NULL && r->taken->forget_at <= now)
		forget_taken(r, r->taken);
}

static bool is_skewed(uint64_t a_ms, uint64_t b_ms)
{
	return (a_ms > b_ms ? a_ms - b_ms : b_ms - a_ms) > CLOCK_SKEW_MS;
}

/* Cheap checks first; a signature is checked only for what passed the rest. */
static enum beacon_verdict judge(struct beacon_receiver *r, struct beacon *b,
				 const uint8_t *data, size_t len,
				 const union endpoint *from, uint64_t wall_ms,
				 nsec now)
{
	uint8_t tag[4];
	enum beacon_verdict v = beacon_parse(b, tag, data, len);
	struct node_hash hash;

	if (v != BEACON_OK)
		return v;
	if (memcmp(tag, r->ca.b, sizeof tag) != 0)
		return BEACON_FOREIGN;
	if (is_skewed(b->issued_ms, wall_ms))
		return BEACON_SKEW;
	if (is_taken(r, &b->nonce))
		return BEACON_REPLAY;
	if (id_equal(&b->id, &r->self))
		return BEACON_SELF;
	if (!source_take(r, from, now))
		return BEACON_SOURCE_LIMIT;
	if (!bucket_take(&r->all, now))
		return BEACON_LIMIT;
	hash = hash_of_key(&b->key);
	if (memcmp(hash.b, b->id.b, ID_LEN) != 0)
		return BEACON_ID;
	if (!key_verify(data + len - SIG_LEN, &b->key, SIGN_LAN_BEACON, &r->ca,
			data, len - SIG_LEN))
		return BEACON_SIGNATURE;
	return BEACON_OK;
}

enum beacon_verdict beacon_receive(struct beacon_receiver *r,
				   const uint8_t *data, size_t len,
				   const union endpoint *from, uint64_t wall_ms,
				   nsec now, struct beacon_hint *out)
{
	struct beacon b;
	enum beacon_verdict v;

	forget_old(r, now);
	v = judge(r, &b, data, len, from, wall_ms, now);
	r->counters[v]++;
	if (v != BEACON_OK)
		return v;
	take(r, &b.nonce, now);
	*out = (struct beacon_hint){ .id = b.id,
				     .at = *from,
				     .is_fresh = b.is_fresh };
	if (from->sa.sa_family == AF_INET6)
		out->at.in6.sin6_port = htons(b.port);
	else
		out->at.in.sin_port = htons(b.port);
	return BEACON_OK;
}

const uint64_t *beacon_counters(const struct beacon_receiver *r)
{
	return r->counters;
}
