#include "node/store/store_queue.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

void store_queue_init(struct store_queue *q)
{
	*q = (struct store_queue){ .changes = NULL };
	randombytes_buf(q->hash_key, sizeof q->hash_key);
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
	const uint8_t *hash_key = q->hash_key;

	HASH_ADD(hh, q->changes, id, sizeof c->id, c);
	q->n++;
	q->n_bytes += c->len;
}

bool store_queue_put(struct store_queue *q, enum store_db db, const void *key,
		     size_t key_len, uint8_t *value, size_t len)
{
	const uint8_t *hash_key = q->hash_key;
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
	const uint8_t *hash_key = q->hash_key;
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

	q->changes = NULL;
	q->n = q->n_bytes = 0;
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
