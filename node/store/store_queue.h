/* Changes that wait for their commit: the last one of each key, bounded.
 * Private to store*.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "node/store/store_db.h"

#define STORE_WAITING_MAX       8192
#define STORE_WAITING_BYTES_MAX (16 * 1024 * 1024)

struct store_queue {
	uint8_t hash_key[HASH_KEY_BYTES]; /* peers choose ids */
	struct change *changes; /* a uthash table, in order of arrival */
	size_t n, n_bytes;
};

void store_queue_init(struct store_queue *q);
/* Takes `value` (heap, or NULL to delete the key) over; false if there is no
 * room. */
bool store_queue_put(struct store_queue *q, enum store_db db, const void *key,
		     size_t key_len, uint8_t *value, size_t len);
/* A failed batch goes back, but for what has changed since. */
void store_queue_put_back(struct store_queue *q, struct change *batch);
/* Hands out all; the queue is empty then. */
struct change *store_queue_take(struct store_queue *q);
void store_batch_free(struct change *batch);
