#include "node/channel/dest_wait.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
	WAITING_PACKETS_MAX = 64
};

void dest_fail_later(struct dests *d, struct stream *s, enum stream_error why)
{
	stream_blame(s, why);
	stream_set_next_waiting(s, d->failed);
	d->failed = s;
	d->counters.n_streams_failed++;
}

void dest_fail_streams(struct dest *t)
{
	while (t->streams != NULL) {
		struct stream *s = t->streams;

		t->streams = stream_next_waiting(s);
		dest_fail_later(t->dests, s, STREAM_UNREACHABLE);
	}
	t->streams_tail = &t->streams;
	t->n_streams = 0;
}

static struct held *take_packet(struct dest *t)
{
	struct held *h = t->packets;

	if (h == NULL)
		return NULL;
	t->packets = h->next;
	if (t->packets == NULL)
		t->packets_tail = &t->packets;
	t->n_packets--;
	return h;
}

void dest_fail_packets(struct dest *t)
{
	struct dests *d = t->dests;
	struct held *h;

	while ((h = take_packet(t)) != NULL) {
		d->counters.n_packets_unreachable++;
		if (d->packet_events != NULL)
			d->packet_events->unreachable(d->packet_ctx, h->data,
						      h->len);
		free(h);
	}
}

void dest_report_all(struct dest *t, bool is_up, bool is_proved)
{
	const struct dest_report r = {
		.is_up = is_up,
		.is_proved = is_proved,
		.took = loop_now(t->dests->loop) - t->began,
	};

	while (t->waiters != NULL) {
		struct waiter *w = t->waiters;

		t->waiters = w->next;
		w->reported(w->ctx, &r);
		free(w);
	}
}

void dest_flush_packets(struct dest *t, struct channel *c)
{
	while (t->packets != NULL) {
		struct held *h = t->packets;
		enum dest_packet_verdict v;
		size_t mtu;

		v = channel_send_ip(c, h->data, h->len, &mtu);
		if (v == DEST_BLOCKED)
			return;
		if (v == DEST_TOO_BIG && t->dests->packet_events != NULL)
			t->dests->packet_events->too_big(t->dests->packet_ctx,
							 h->data, h->len, mtu);
		free(take_packet(t));
	}
}

void dest_hold_packet(struct dest *t, const uint8_t *packet, size_t len)
{
	struct held *h;

	t->dests->counters.n_packets_waited++;
	if (t->n_packets >= WAITING_PACKETS_MAX) {
		t->dests->counters.n_packets_dropped++;
		free(take_packet(t));
	}
	h = mem_calloc(1, sizeof *h + len);
	h->len = len;
	memcpy(h->data, packet, len);
	*t->packets_tail = h;
	t->packets_tail = &h->next;
	t->n_packets++;
}

void dest_drop_packets(struct dest *t)
{
	while (t->packets != NULL)
		free(take_packet(t));
}
