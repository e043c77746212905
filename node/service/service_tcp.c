/* One TCP stream that we serve: connect, accept, bridge. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/service/service_impl.h"
#include "proto/base/mem.h"

static void try_next(struct serving *v);

static enum stream_error error_of(int rv)
{
	switch (-rv) {
	case ECONNREFUSED:
	case ECONNRESET:
		return STREAM_REFUSED;
	case ETIMEDOUT:
		return STREAM_TIMED_OUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN: /* no local port is left */
		return STREAM_LIMIT;
	default:
		return STREAM_NET_UNREACHABLE;
	}
}

/* ---- while connecting ---- */

static void early_data(void *ctx, const uint8_t *data, size_t len)
{
	struct serving *v = ctx;

	if (len > SERVICE_EARLY_MAX - v->n_early) {
		v->services->counts.n_over_limit++;
		serving_tcp_close(v);
		return;
	}
	v->early = mem_realloc(v->early, v->n_early + len + 1, 1);
	memcpy(v->early + v->n_early, data, len);
	v->n_early += len;
}

static void early_end(void *ctx)
{
	struct serving *v = ctx;

	v->is_ended = true;
}

static void writable(void *ctx)
{
	(void)ctx; /* we write nothing before the bridge does */
}

static void early_closed(void *ctx, enum stream_error why)
{
	struct serving *v = ctx;

	(void)why;
	v->stream = NULL;
	serving_tcp_close(v);
}

static const struct stream_events waiting = {
	.data = early_data,
	.ended = early_end,
	.writable = writable,
	.closed = early_closed,
};

void serving_tcp_close(struct serving *v)
{
	if (v->bridge != NULL)
		bridge_close(v->bridge);
	if (v->tcp != NULL)
		tcp_reset(v->tcp);
	if (v->stream != NULL)
		stream_close(v->stream, STREAM_RESET);
	serving_remove(v);
}

/* ---- connected ---- */

static void bridged(void *ctx)
{
	struct serving *v = ctx;

	v->bridge = NULL;
	serving_remove(v);
}

static void connected(void *ctx)
{
	struct serving *v = ctx;
	struct stream *stream = v->stream;
	struct tcp *tcp = v->tcp;

	v->stream = NULL;
	v->tcp = NULL;
	stream_accept(stream);
	v->bridge =
		bridge_new(v->services->loop, tcp, stream, NULL, 0, false,
			   v->is_spliced ? splicer_bridges(v->services->splicer)
					 : &v->services->counts.bridges,
			   bridged, v);
	bridge_handle_early(v->bridge, v->early, v->n_early, v->is_ended);
	free(v->early);
	v->early = NULL;
}

static void failed(void *ctx, int rv)
{
	struct serving *v = ctx;

	tcp_close(v->tcp);
	v->tcp = NULL;
	/* The first target says best what is wrong. */
	if (v->why == STREAM_OK)
		v->why = error_of(rv);
	try_next(v);
}

static const struct tcp_events connecting = {
	.connected = connected,
	.failed = failed,
};

static void connect_spliced(struct serving *v)
{
	v->i_to = v->n_to;
	v->tcp = splicer_connect(v->services->splicer, &v->peer, v->port,
				 stream_source(v->stream), &connecting, v,
				 &v->flow);
	if (v->tcp != NULL)
		return;
	v->why = STREAM_LIMIT;
	try_next(v);
}

static void try_next(struct serving *v)
{
	if (v->i_to == v->n_to) {
		v->services->counts.n_connect_failed++;
		stream_refuse(v->stream, v->why);
		serving_remove(v);
		return;
	}
	if (v->is_spliced)
		connect_spliced(v);
	else
		v->tcp = tcp_connect(v->services->loop, &v->to[v->i_to++],
				     SERVICE_CONNECT_NS, &connecting, v);
}

void serving_tcp_start(struct serving *v)
{
	stream_set_events(v->stream, &waiting, v);
	try_next(v);
}
