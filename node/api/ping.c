#include "node/api/ping.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/channel/dest.h"
#include "node/service/echo.h"
#include "node/io/loop.h"
#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"

enum ping_state {
	PING_STARTING,
	PING_CONNECTING,
	PING_OPENING,
	PING_SENDING,
	PING_WAITING, /* for the replies that are out */
	PING_OVER,    /* `done` follows from the loop */
};

struct ping {
	struct loop *loop;
	struct dests *dests;
	struct ping_config config;
	struct ping_result result;
	ping_done *done;
	void *ctx;
	enum ping_state state;
	struct timer timer;
	struct stream *stream; /* NULL: none, or gone */
	uint64_t token;        /* in each datagram: it is ours */
	nsec began;
	nsec sent[PING_COUNT_MAX];
};

static void ping_free(struct ping *p)
{
	loop_timer_set(p->loop, &p->timer, TIME_NEVER);
	dest_connect_cancel(p->dests, p);
	if (p->stream != NULL)
		stream_close(p->stream, STREAM_OK);
	free(p);
}

/* Callbacks may come from inside a call of ours: tell it later. */
static void over(struct ping *p)
{
	p->state = PING_OVER;
	loop_timer_set(p->loop, &p->timer, loop_now(p->loop));
}

static void send_one(struct ping *p)
{
	unsigned i = p->result.n_sent++;
	uint8_t out[PING_BYTES] = { 0 };
	struct buf b = buf_of(out, sizeof out);
	nsec now = loop_now(p->loop);

	buf_be64(&b, p->token);
	buf_be32(&b, i);
	p->sent[i] = now;
	stream_write(p->stream, out, sizeof out);
	if (p->result.n_sent < p->config.count) {
		loop_timer_set(p->loop, &p->timer, now + p->config.interval);
		return;
	}
	p->state = PING_WAITING;
	loop_timer_set(p->loop, &p->timer, now + p->config.timeout);
}

static void on_opened(void *ctx)
{
	struct ping *p = ctx;

	/* Nothing may be written from inside this call. */
	p->state = PING_SENDING;
	loop_timer_set(p->loop, &p->timer, loop_now(p->loop));
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	struct ping *p = ctx;
	struct view v = view_of(data, len);
	uint64_t token = view_be64(&v);
	uint32_t i = view_be32(&v);

	if (v.bad || token != p->token || i >= p->result.n_sent ||
	    p->result.rtt[i] != TIME_NEVER)
		return;
	p->result.rtt[i] = loop_now(p->loop) - p->sent[i];
	p->result.n_received++;
	if (p->state == PING_WAITING &&
	    p->result.n_received == p->result.n_sent)
		over(p);
}

static void on_closed(void *ctx, enum stream_error why)
{
	struct ping *p = ctx;

	p->stream = NULL;
	if (p->state == PING_OVER)
		return;
	p->result.why = why != STREAM_OK ? why : STREAM_RESET;
	over(p);
}

static void on_ended(void *ctx)
{
	(void)ctx; /* `closed` follows */
}

static const struct stream_events events = {
	.opened = on_opened,
	.data = on_data,
	.ended = on_ended,
	.closed = on_closed,
};

static void on_reported(void *ctx, const struct dest_report *report)
{
	struct ping *p = ctx;
	nsec now = loop_now(p->loop);

	p->result.is_up = report->is_up;
	p->result.is_proved = report->is_proved;
	p->result.connect = now - p->began;
	if (!report->is_up) {
		over(p);
		return;
	}
	p->state = PING_OPENING;
	p->stream = dest_stream(p->dests, &p->config.id, STREAM_UDP, ECHO_HOST,
				ECHO_PORT, &events, p);
	loop_timer_set(p->loop, &p->timer, now + p->config.timeout);
}

static void timer_fired(struct timer *t)
{
	struct ping *p = container_of(t, struct ping, timer);

	switch (p->state) {
	case PING_STARTING:
		p->state = PING_CONNECTING;
		p->began = loop_now(p->loop);
		dest_connect(p->dests, &p->config.id, on_reported, p);
		break;
	case PING_SENDING:
		send_one(p);
		break;
	case PING_OPENING:
		p->result.why = STREAM_TIMED_OUT;
		over(p);
		break;
	case PING_CONNECTING:
	case PING_WAITING:
		over(p);
		break;
	case PING_OVER:
		p->done(p->ctx, &p->result);
		ping_free(p);
		break;
	}
}

struct ping *ping_new(struct loop *l, struct dests *d,
		      const struct ping_config *config, ping_done *done,
		      void *ctx)
{
	struct ping *p = mem_new(p);

	p->loop = l;
	p->dests = d;
	p->config = *config;
	p->done = done;
	p->ctx = ctx;
	p->timer.fire = timer_fired;
	randombytes_buf(&p->token, sizeof p->token);
	for (size_t i = 0; i < PING_COUNT_MAX; i++)
		p->result.rtt[i] = TIME_NEVER;
	loop_timer_set(l, &p->timer, loop_now(l));
	return p;
}

void ping_cancel(struct ping *p)
{
	ping_free(p);
}
