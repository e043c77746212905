#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

/* Peers choose ids: a keyed hash, so that they cannot choose collisions. */
static unsigned keyed_hash(const void *key, size_t len);
#define HASH_FUNCTION(key, len, hashv) ((hashv) = keyed_hash(key, len))

#include "node/store_queue.h"
#include "proto/base/mem.h"

/* Drawn once a process, when the first change is queued. */
static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static bool has_hash_key;

static unsigned keyed_hash(const void *key, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	unsigned h;

	if (!has_hash_key) {
		randombytes_buf(hash_key, sizeof hash_key);
		has_hash_key = true;
	}
	crypto_shorthash(out, key, len, hash_key);
	memcpy(&h, out, sizeof h);
	return h;
}

static void change_free(struct change *c)
{
	free(c->value);
	free(c);
}

static void queue_remove(struct store_queue *q, struct change *c)
{
	HASH_DEL(q->changes, c);
	q->n--;
	q->n_bytes -= c->len;
}

static void queue_add(struct store_queue *q, struct change *c)
{
	HASH_ADD(hh, q->changes, id, sizeof c->id, c);
	q->n++;
	q->n_bytes += c->len;
}

bool store_queue_put(struct store_queue *q, enum store_db db, const void *key,
		     size_t key_len, uint8_t *value, size_t len)
{
	struct change *c = mem_new(c), *old;

	c->id.db = (uint8_t)db;
	c->id.len = (uint8_t)key_len;
	memcpy(c->id.key, key, key_len);
	c->is_del = value == NULL;
	c->value = value;
	c->len = len;
	HASH_FIND(hh, q->changes, &c->id, sizeof c->id, old);
	if (old != NULL) {
		queue_remove(q, old);
		change_free(old);
	}
	if (q->n >= STORE_WAITING_MAX ||
	    q->n_bytes + len > STORE_WAITING_BYTES_MAX) {
		change_free(c);
		return false;
	}
	queue_add(q, c);
	return true;
}

void store_queue_put_back(struct store_queue *q, struct change *batch)
{
	struct change *c, *next, *newer;

	HASH_ITER (hh, batch, c, next) {
		HASH_DEL(batch, c);
		HASH_FIND(hh, q->changes, &c->id, sizeof c->id, newer);
		if (newer != NULL)
			change_free(c);
		else
			queue_add(q, c);
	}
}

struct change *store_queue_take(struct store_queue *q)
{
	struct change *batch = q->changes;

	*q = (struct store_queue){ .changes = NULL };
	return batch;
}

void store_batch_free(struct change *batch)
{
	struct change *c, *next;

	HASH_ITER (hh, batch, c, next) {
		HASH_DEL(batch, c);
		change_free(c);
	}
}
