#include "node/service/echo.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "node/io/loop.h"
#include "node/channel/stream.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

enum {
	QUEUE_MAX = 8,
};

/* A datagram cannot be answered from inside the callback that brings it: it
 * waits for the next turn. */
struct flow {
	struct flow *prev, *next;
	struct echo *echo;
	struct stream *stream;
	struct timer timer; /* the next turn, or idleness */
	nsec last_used;
	size_t n;
	struct {
		size_t len;
		uint8_t data[CIRCUIT_MTU_MAX];
	} queue[QUEUE_MAX];
};

struct echo {
	struct loop *loop;
	struct flow *flows;
	size_t n_flows;
	struct echo_counters count;
};

static void flow_free(struct flow *f)
{
	loop_timer_set(f->echo->loop, &f->timer, TIME_NEVER);
	DL_DELETE(f->echo->flows, f);
	f->echo->n_flows--;
	free(f);
}

static void answer(struct flow *f)
{
	for (size_t i = 0; i < f->n; i++) {
		size_t len = f->queue[i].len;

		if (stream_write(f->stream, f->queue[i].data, len) == len)
			f->echo->count.n_echoed++;
		else
			f->echo->count.n_dropped++;
	}
	f->n = 0;
}

static void timer_fired(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, timer);

	answer(f);
	if (loop_now(f->echo->loop) - f->last_used >= ECHO_IDLE_NS) {
		stream_close(f->stream, STREAM_OK);
		flow_free(f);
		return;
	}
	loop_timer_set(f->echo->loop, t, f->last_used + ECHO_IDLE_NS);
}

static void flow_data(void *ctx, const uint8_t *data, size_t len)
{
	struct flow *f = ctx;

	f->last_used = loop_now(f->echo->loop);
	if (f->n == QUEUE_MAX || len > sizeof f->queue[0].data) {
		f->echo->count.n_dropped++;
		return;
	}
	memcpy(f->queue[f->n].data, data, len);
	f->queue[f->n++].len = len;
	loop_timer_set(f->echo->loop, &f->timer, f->last_used);
}

static void flow_ended(void *ctx)
{
	struct flow *f = ctx;

	stream_close(f->stream, STREAM_OK);
	flow_free(f);
}

static void flow_closed(void *ctx, enum stream_error why)
{
	(void)why;
	flow_free(ctx);
}

static const struct stream_events events = {
	.data = flow_data,
	.ended = flow_ended,
	.closed = flow_closed,
};

static bool has_room(const struct echo *e, const struct stream *s)
{
	const struct flow *f;
	size_t n = 0;

	DL_FOREACH (e->flows, f)
		n += id_equal(stream_peer(f->stream), stream_peer(s));
	return n < ECHO_PEER_MAX && e->n_flows < ECHO_FLOWS_MAX;
}

bool echo_take(struct echo *e, struct stream *s)
{
	struct flow *f;

	if (strcmp(stream_host(s), ECHO_HOST) != 0)
		return false;
	if (stream_kind(s) != STREAM_UDP || stream_port(s) != ECHO_PORT) {
		e->count.n_refused++;
		stream_refuse(s, STREAM_REFUSED);
		return true;
	}
	if (!has_room(e, s)) {
		e->count.n_refused++;
		stream_refuse(s, STREAM_LIMIT);
		return true;
	}
	f = mem_new(f);
	f->echo = e;
	f->stream = s;
	f->timer.fire = timer_fired;
	f->last_used = loop_now(e->loop);
	loop_timer_set(e->loop, &f->timer, f->last_used + ECHO_IDLE_NS);
	DL_APPEND(e->flows, f);
	e->n_flows++;
	e->count.n_flows++;
	stream_set_events(s, &events, f);
	stream_accept(s);
	return true;
}

struct echo *echo_new(struct loop *l)
{
	struct echo *e = mem_new(e);

	e->loop = l;
	return e;
}

void echo_free(struct echo *e)
{
	if (e == NULL)
		return;
	while (e->flows != NULL) {
		stream_close(e->flows->stream, STREAM_OK);
		flow_free(e->flows);
	}
	free(e);
}

const struct echo_counters *echo_counters(const struct echo *e)
{
	return &e->count;
}
