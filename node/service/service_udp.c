/* One UDP stream that we serve: datagrams between it and a socket that is
 * connected to the service. */
#include <errno.h>

#include "node/service/service_impl.h"
#include "proto/base/mem.h"

static void moved(struct serving *v)
{
	v->moved = loop_now(v->services->loop);
}

static void end(struct serving *v, enum stream_error why)
{
	if (v->stream != NULL)
		stream_close(v->stream, why);
	if (v->dgram != NULL)
		dgram_close(v->dgram);
	serving_remove(v);
}

void serving_udp_close(struct serving *v)
{
	end(v, STREAM_RESET);
}

static void idle_fired(struct timer *t)
{
	struct serving *v = container_of(t, struct serving, idle);
	nsec due = v->moved + SERVICE_UDP_IDLE_NS;

	if (loop_now(v->services->loop) < due)
		loop_timer_set(v->services->loop, t, due);
	else
		end(v, STREAM_OK);
}

/* ---- to the service ---- */

static void stream_data(void *ctx, const uint8_t *data, size_t len)
{
	struct serving *v = ctx;
	struct service_counts *n = &v->services->counts;

	moved(v);
	if (dgram_send(v->dgram, NULL, NULL, 0, data, len))
		n->n_datagrams_in++;
	else
		n->n_datagrams_dropped++;
}

static void stream_ended(void *ctx)
{
	end(ctx, STREAM_OK);
}

static void stream_writable(void *ctx)
{
	(void)ctx; /* a datagram that did not fit is gone */
}

static void stream_closed(void *ctx, enum stream_error why)
{
	struct serving *v = ctx;

	(void)why;
	v->stream = NULL;
	end(v, STREAM_OK);
}

static const struct stream_events stream_side = {
	.data = stream_data,
	.ended = stream_ended,
	.writable = stream_writable,
	.closed = stream_closed,
};

/* ---- from the service ---- */

static void dgram_data(void *ctx, const union endpoint *from,
		       const uint8_t *data, size_t len)
{
	struct serving *v = ctx;
	struct service_counts *n = &v->services->counts;

	(void)from;
	moved(v);
	if (len <= stream_datagram_max(v->stream) &&
	    stream_write(v->stream, data, len) == len)
		n->n_datagrams_out++;
	else
		n->n_datagrams_dropped++;
}

static void dgram_failed(void *ctx, int rv)
{
	struct serving *v = ctx;

	v->services->counts.n_connect_failed++;
	/* RFC 9298 3.1: a flow that fails is ended, so that it is known. */
	end(v, rv == -ECONNREFUSED ? STREAM_REFUSED : STREAM_RESET);
}

static const struct dgram_events dgram_side = {
	.data = dgram_data,
	.failed = dgram_failed,
};

void serving_udp_start(struct serving *v)
{
	struct services *s = v->services;

	/* Nothing tells whether UDP is served there: the first it is. */
	if (dgram_connect(&v->dgram, s->loop, &v->to[0], &dgram_side, v) < 0) {
		s->counts.n_connect_failed++;
		stream_refuse(v->stream, STREAM_NET_UNREACHABLE);
		v->stream = NULL;
		serving_remove(v);
		return;
	}
	stream_set_events(v->stream, &stream_side, v);
	stream_accept(v->stream);
	moved(v);
	v->idle.fire = idle_fired;
	loop_timer_set(s->loop, &v->idle, v->moved + SERVICE_UDP_IDLE_NS);
}
