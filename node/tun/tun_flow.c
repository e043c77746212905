#include "node/tun/tun_flow.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"

enum {
	WAYS = 4,
	SETS = TUN_FLOWS_MAX / WAYS,
	KEY_BYTES = 16
};

struct slot {
	uint8_t key[KEY_BYTES];
	nsec used; /* 0: free */
};

struct tun_flows {
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct slot sets[SETS][WAYS];
	struct slot *last; /* found: packets come in trains; NULL */
};

struct tun_flows *tun_flows_new(const uint8_t hash_key[16])
{
	struct tun_flows *t = mem_new(t);

	memcpy(t->hash_key, hash_key, sizeof t->hash_key);
	return t;
}

void tun_flows_free(struct tun_flows *t)
{
	free(t);
}

static void key_write(uint8_t key[KEY_BYTES], const struct tun_flow *f)
{
	struct buf b = buf_of(key, KEY_BYTES);

	buf_bytes(&b, f->peer.b, sizeof f->peer.b);
	buf_be16(&b, f->proto);
	buf_be16(&b, f->our_port);
	buf_be16(&b, f->their_port);
}

static struct slot *set_of(struct tun_flows *t, const uint8_t key[KEY_BYTES])
{
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, key, KEY_BYTES, t->hash_key);
	return t->sets[hash % SETS];
}

static bool is_of(const struct slot *s, const uint8_t key[KEY_BYTES])
{
	return s->used != 0 && memcmp(s->key, key, KEY_BYTES) == 0;
}

static struct slot *find(struct tun_flows *t, const uint8_t key[KEY_BYTES])
{
	struct slot *set;

	if (t->last != NULL && is_of(t->last, key))
		return t->last;
	set = set_of(t, key);
	for (int i = 0; i < WAYS; i++) {
		if (is_of(&set[i], key))
			return t->last = &set[i];
	}
	return NULL;
}

static struct slot *oldest(struct slot *set)
{
	struct slot *s = set;

	for (int i = 1; i < WAYS; i++) {
		if (set[i].used < s->used)
			s = &set[i];
	}
	return s;
}

void tun_flows_note(struct tun_flows *t, const struct tun_flow *f, nsec now)
{
	uint8_t key[KEY_BYTES];
	struct slot *s;

	key_write(key, f);
	s = find(t, key);
	if (s == NULL) {
		s = oldest(set_of(t, key));
		memcpy(s->key, key, KEY_BYTES);
	}
	s->used = now;
}

bool tun_flows_handle(struct tun_flows *t, const struct tun_flow *f, nsec now)
{
	uint8_t key[KEY_BYTES];
	struct slot *s;

	key_write(key, f);
	s = find(t, key);
	if (s == NULL || now - s->used > TUN_FLOW_IDLE_NS)
		return false;
	s->used = now;
	return true;
}
