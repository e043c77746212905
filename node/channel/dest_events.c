/* What channels tell a destination. */
#include "node/channel/dest_wait.h"
#include "proto/base/log.h"
#include "proto/name.h"

/* A channel unused for so long is not worth a new path. */
#define IDLE_NS (20 * NS_PER_S)

static void channel_up(void *ctx, struct channel *c)
{
	struct dests *d = ctx;
	struct dest *t = dest_of(d, c);

	if (t == NULL || t->client != c)
		return;
	t->is_connecting = false;
	t->is_second_try = false;
	t->unreachable_until = 0;
	loop_timer_set(d->loop, &t->retry, TIME_NEVER);
	while (t->streams != NULL) {
		struct stream *s = t->streams;

		t->streams = stream_next_waiting(s);
		channel_add_stream(c, s);
	}
	t->streams_tail = &t->streams;
	t->n_streams = 0;
	dest_hold_as_needed(dest_find(d, &t->id));
	dest_report_all(t, true, false);
}

static void channel_down(void *ctx, struct channel *c, const char *why)
{
	struct dests *d = ctx;
	struct dest *t = dest_of(d, c);
	char name[NAME_ID_TEXT_MAX];

	if (t == NULL)
		return;
	name_of_id(name, &t->id);
	log_debug("channel down: peer=%s why=\"%s\"", name, why);
	/* Who waited for this one may take another way. */
	if (d->packet_events != NULL)
		d->packet_events->unblocked(d->packet_ctx);
	if (t->server == c)
		t->server = NULL;
	if (t->client != c)
		return;
	t->client = NULL;
	loop_timer_set(d->loop, &t->retry, TIME_NEVER);
	dest_hold_as_needed(dest_find(d, &t->id));
	if (channel_circuit(c) != 0)
		dest_leave_circuit(d, channel_circuit(c));
	dest_give_up(t, false);
	/* It was reachable a moment ago: the next attempt may begin at once. */
	t->unreachable_until = 0;
}

static void channel_stream(void *ctx, struct stream *s)
{
	struct dests *d = ctx;

	if (d->request != NULL)
		d->request(d->request_ctx, s);
	else
		stream_refuse(s, STREAM_NOT_ALLOWED);
}

static void channel_packet(void *ctx, struct channel *c,
			   const struct node_id *peer, const uint8_t *data,
			   size_t len, bool is_marked)
{
	struct dests *d = ctx;

	(void)c;
	if (d->packet_events != NULL)
		d->packet_events->packet(d->packet_ctx, peer, data, len,
					 is_marked);
}

static void channel_unblocked(void *ctx, struct channel *c)
{
	struct dests *d = ctx;
	struct dest *t = dest_of(d, c);

	if (t != NULL)
		dest_flush_packets(t, c);
	if (d->packet_events != NULL)
		d->packet_events->unblocked(d->packet_ctx);
}

static void channel_stranded(void *ctx, struct channel *c, circuit_no lost)
{
	struct dests *d = ctx;
	struct dest *t = dest_of(d, c);

	if (t == NULL || t->client != c)
		return;
	if (channel_is_unused(c) &&
	    loop_now(d->loop) - channel_last_used(c) > IDLE_NS) {
		/* Nobody misses it. */
		channel_close(c, "idle");
		return;
	}
	t->lost = lost;
	router_connect(d->router, &t->id, lost, loop_now(d->loop));
}

static void channel_reachable(void *ctx, struct channel *c)
{
	struct dests *d = ctx;
	struct dest *t = dest_get(d, channel_peer(c));

	if (t == NULL)
		return;
	if (!channel_is_client(c))
		t->server = c;
	dest_flush_packets(t, c);
}

const struct channel_events dest_channel_events = {
	.up = channel_up,
	.down = channel_down,
	.stream = channel_stream,
	.packet = channel_packet,
	.unblocked = channel_unblocked,
	.stranded = channel_stranded,
	.reachable = channel_reachable,
};
