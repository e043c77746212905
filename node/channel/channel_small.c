/* Small packets that leave in the same turn share packets of the channel: most
 * of what a packet costs does not depend on its size. */
#include <stdlib.h>
#include <string.h>

#include "node/channel/channel_conn.h"
#include "proto/base/mem.h"

enum {
	BATCH_MAX = 64,
	BATCH_BYTES = 8192,
};

struct small_batch {
	size_t n, n_bytes;
	ngtcp2_vec vec[BATCH_MAX];
	uint8_t data[BATCH_BYTES];
};

static void forget_first(struct small_batch *b, size_t n)
{
	b->n -= n;
	if (b->n == 0)
		b->n_bytes = 0;
	else
		memmove(b->vec, b->vec + n, b->n * sizeof b->vec[0]);
}

bool channel_small_flush(struct channel *c)
{
	struct small_batch *b = c->small;
	struct quic_datagram list[BATCH_MAX];

	if (b == NULL || b->n == 0)
		return true;
	for (size_t i = 0; i < b->n; i++)
		list[i] = (struct quic_datagram){ &b->vec[i], 1 };
	forget_first(b, channel_write_datagrams(c, list, b->n));
	return b->n == 0;
}

static bool has_room(const struct small_batch *b, size_t len)
{
	return b->n < BATCH_MAX &&
	       b->n_bytes + SMALL_HEADER + len <= BATCH_BYTES;
}

bool channel_small_add(struct channel *c, uint8_t quarter,
		       const uint8_t *packet, size_t len)
{
	struct small_batch *b = c->small;
	uint8_t *at;

	if (b == NULL)
		b = c->small = mem_new(b);
	channel_mark(c);
	/* Those that are left keep their places: room comes when all are gone,
	 * or, of places in the list, with each. */
	if (!has_room(b, len) && (!channel_small_flush(c) || !has_room(b, len)))
		return false;
	at = b->data + b->n_bytes;
	at[0] = quarter;
	at[1] = 0; /* context */
	memcpy(at + SMALL_HEADER, packet, len);
	b->vec[b->n++] = (ngtcp2_vec){ at, SMALL_HEADER + len };
	b->n_bytes += SMALL_HEADER + len;
	return true;
}

void channel_small_free(struct channel *c)
{
	free(c->small);
}
