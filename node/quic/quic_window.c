/* The flow-control windows of a connection and of its streams. */
#include <stdlib.h>

#include "discovery/keyed_hash.h"
#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"

struct stream_window {
	int64_t id;
	struct window window;
	UT_hash_handle hh;
};

static struct stream_window *find(const struct quic *q, int64_t id)
{
	const uint8_t *hash_key = q->hash_key;
	struct stream_window *s;

	HASH_FIND(hh, q->stream_windows, &id, sizeof id, s);
	return s;
}

void quic_window_open(struct quic *q, int64_t id)
{
	const uint8_t *hash_key = q->hash_key;
	struct stream_window *s = find(q, id);

	/* A session has its control stream alone, which never needs more. */
	if (s != NULL || !q->config.is_channel)
		return;
	s = mem_new(s);
	s->id = id;
	window_init(&s->window, NULL, QUIC_STREAM_WINDOW, q->now);
	HASH_ADD(hh, q->stream_windows, id, sizeof s->id, s);
}

static void forget(struct quic *q, struct stream_window *s)
{
	HASH_DEL(q->stream_windows, s);
	free(s);
}

void quic_window_close(struct quic *q, int64_t id)
{
	struct stream_window *s = find(q, id);

	if (s != NULL)
		forget(q, s);
}

void quic_windows_free(struct quic *q)
{
	struct stream_window *s, *next;

	HASH_ITER (hh, q->stream_windows, s, next)
		forget(q, s);
	window_deinit(&q->window);
}

void quic_stream_consumed(struct quic *q, int64_t id, size_t len)
{
	ngtcp2_conn_info info;
	struct stream_window *s;
	size_t credit;

	if (q->state >= QUIC_CLOSING || len == 0)
		return;
	ngtcp2_conn_get_conn_info(quic_conn(q), &info);
	credit = window_take(&q->window, len, QUIC_CONN_WINDOW_MAX, q->now,
			     info.smoothed_rtt);
	ngtcp2_conn_extend_max_offset(quic_conn(q), credit);
	s = find(q, id);
	/* One that nobody reads must not hold up all others. */
	if (s != NULL)
		len = window_take(&s->window, len, q->window.size / 2, q->now,
				  info.smoothed_rtt);
	if (len > 0)
		ngtcp2_conn_extend_max_stream_offset(quic_conn(q), id, len);
}
