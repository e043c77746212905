#include "node/splice/bridge.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
	OWN_MIN = 8192, /* cheaper to copy what is less */
};

enum flow {
	FLOW_OPEN,
	FLOW_ENDING, /* the source has ended; the rest is on its way */
	FLOW_ENDED,  /* its end has gone out as well */
};

struct bridge {
	struct loop *loop;
	struct tcp *tcp;
	struct stream *stream; /* NULL: has closed cleanly */
	enum flow out;         /* socket to stream */
	enum flow in;
	size_t owed; /* came from the stream, not consumed yet */

	uint8_t *rest; /* read from the socket, not taken by the stream */
	size_t rest_len;
	size_t rest_pos;

	struct timer credit; /* gives it in the turn that follows */
	struct timer idle;   /* set while half-open */
	nsec moved;          /* when bytes last did */

	struct bridge_set *set;
	bridge_done *done;
	void *ctx;
};

/* ---- the end ---- */

/* Both ends have been closed by the caller. */
static void discard(struct bridge *b)
{
	loop_timer_set(b->loop, &b->idle, TIME_NEVER);
	loop_timer_set(b->loop, &b->credit, TIME_NEVER);
	b->set->n_open--;
	free(b->rest);
	free(b);
}

static void finish(struct bridge *b)
{
	bridge_done *done = b->done;
	void *ctx = b->ctx;

	discard(b);
	done(ctx);
}

static void reset_both(struct bridge *b, enum stream_error why)
{
	tcp_reset(b->tcp);
	if (b->stream != NULL)
		stream_close(b->stream, why);
}

void bridge_close(struct bridge *b)
{
	reset_both(b, STREAM_RESET);
	discard(b);
}

static nsec idle_due(const struct bridge *b)
{
	nsec limit = b->set->half_open_ns;

	return b->moved + (limit != 0 ? limit : BRIDGE_HALF_OPEN_NS);
}

static void idle_fired(struct timer *t)
{
	struct bridge *b = container_of(t, struct bridge, idle);
	nsec due = idle_due(b);

	if (loop_now(b->loop) < due) {
		loop_timer_set(b->loop, &b->idle, due);
		return;
	}
	b->set->n_timed_out++;
	reset_both(b, STREAM_RESET);
	finish(b);
}

/* One direction has ended: from now on the other must keep moving. */
static void half_open(struct bridge *b)
{
	b->moved = loop_now(b->loop);
	if (b->idle.index == 0)
		loop_timer_set(b->loop, &b->idle, idle_due(b));
}

static void finish_if_done(struct bridge *b)
{
	if (b->out != FLOW_ENDED || b->in != FLOW_ENDED || b->stream != NULL)
		return;
	b->set->n_clean++;
	tcp_close(b->tcp);
	finish(b);
}

/* ---- socket to stream ---- */

/* Large reads go on as they are. */
static size_t write_stream(struct bridge *b, const uint8_t *data, size_t len)
{
	if (data != loop_scratch(b->loop) || len < OWN_MIN ||
	    len > stream_room(b->stream))
		return stream_write(b->stream, data, len);
	stream_write_own(b->stream, loop_scratch_take(b->loop, len), len);
	return len;
}

/* Passes on what it can, and keeps the rest; false if some is left. */
static bool pass_out(struct bridge *b, const uint8_t *data, size_t len)
{
	size_t taken = write_stream(b, data, len);

	b->moved = loop_now(b->loop);
	b->set->bytes_out += taken;
	if (taken == len)
		return true;
	b->rest_len = len - taken;
	b->rest_pos = 0;
	b->rest = mem_calloc(b->rest_len, 1);
	memcpy(b->rest, data + taken, b->rest_len);
	return false;
}

static void end_out(struct bridge *b)
{
	b->out = FLOW_ENDED;
	stream_end(b->stream);
}

static size_t tcp_room(void *ctx)
{
	struct bridge *b = ctx;

	return stream_room(b->stream) + BRIDGE_SLACK_BYTES;
}

static void tcp_data(void *ctx, const uint8_t *data, size_t len)
{
	struct bridge *b = ctx;

	if (!pass_out(b, data, len))
		tcp_read(b->tcp, false);
}

static void tcp_ended(void *ctx)
{
	struct bridge *b = ctx;

	b->out = FLOW_ENDING;
	half_open(b);
	if (b->rest == NULL)
		end_out(b);
}

static void tcp_failed(void *ctx, int rv)
{
	struct bridge *b = ctx;

	(void)rv;
	b->set->n_reset_near++;
	reset_both(b, STREAM_RESET);
	finish(b);
}

static void stream_writable(void *ctx)
{
	struct bridge *b = ctx;
	size_t left = b->rest_len - b->rest_pos;
	size_t taken;

	if (b->rest == NULL)
		return;
	taken = stream_write(b->stream, b->rest + b->rest_pos, left);
	b->moved = loop_now(b->loop);
	b->set->bytes_out += taken;
	b->rest_pos += taken;
	if (taken < left)
		return;
	free(b->rest);
	b->rest = NULL;
	if (b->out == FLOW_ENDING)
		end_out(b);
	else
		tcp_read(b->tcp, true);
}

/* ---- stream to socket ---- */

/* After the queue has grown or shrunk. */
static void consume(struct bridge *b)
{
	size_t queued = tcp_queued(b->tcp);
	size_t kept =
		queued > BRIDGE_QUEUE_BYTES ? queued - BRIDGE_QUEUE_BYTES : 0;

	b->moved = loop_now(b->loop);
	if (b->stream == NULL || b->owed <= kept)
		return;
	stream_consumed(b->stream, b->owed - kept);
	b->owed = kept;
}

static void stream_data(void *ctx, const uint8_t *data, size_t len)
{
	struct bridge *b = ctx;

	tcp_write(b->tcp, data, len);
	b->set->bytes_in += len;
	b->owed += len;
	consume(b);
}

static void credit_due(struct timer *t)
{
	consume(container_of(t, struct bridge, credit));
}

/* The end has gone out when nothing is queued in front of it. */
static void end_in_if_sent(struct bridge *b)
{
	if (b->in == FLOW_ENDING && tcp_queued(b->tcp) == 0)
		b->in = FLOW_ENDED;
}

static void tcp_written(void *ctx)
{
	struct bridge *b = ctx;

	b->moved = loop_now(b->loop);
	/* This turn's packets may have gone: credit given now would wait until
	 * something else happens. */
	if (b->owed > 0)
		loop_timer_set(b->loop, &b->credit, b->moved);
	end_in_if_sent(b);
	finish_if_done(b);
}

static void end_in(struct bridge *b)
{
	if (b->in != FLOW_OPEN)
		return;
	b->in = FLOW_ENDING;
	half_open(b);
	tcp_end(b->tcp);
	end_in_if_sent(b);
}

static void stream_ended(void *ctx)
{
	end_in(ctx);
}

static void stream_closed(void *ctx, enum stream_error why)
{
	struct bridge *b = ctx;

	b->stream = NULL;
	if (why != STREAM_OK) {
		b->set->n_reset_far++;
		tcp_reset(b->tcp);
		finish(b);
		return;
	}
	/* What has come may still be on its way to the app. */
	tcp_read(b->tcp, false);
	b->out = FLOW_ENDED;
	end_in(b);
	finish_if_done(b);
}

static const struct tcp_events tcp_side = {
	.room = tcp_room,
	.data = tcp_data,
	.ended = tcp_ended,
	.written = tcp_written,
	.failed = tcp_failed,
};

static const struct stream_events stream_side = {
	.data = stream_data,
	.ended = stream_ended,
	.writable = stream_writable,
	.closed = stream_closed,
};

struct bridge *bridge_new(struct loop *l, struct tcp *tcp, struct stream *s,
			  const uint8_t *early, size_t n_early, bool ended,
			  struct bridge_set *set, bridge_done *done, void *ctx)
{
	struct bridge *b = mem_new(b);

	b->loop = l;
	b->tcp = tcp;
	b->stream = s;
	b->idle.fire = idle_fired;
	b->credit.fire = credit_due;
	b->set = set;
	b->done = done;
	b->ctx = ctx;
	set->n_made++;
	set->n_open++;
	tcp_set_events(tcp, &tcp_side, b);
	stream_set_events(s, &stream_side, b);
	if (n_early > 0 && !pass_out(b, early, n_early))
		tcp_read(tcp, false);
	else if (!ended)
		tcp_read(tcp, true);
	if (ended)
		tcp_ended(b);
	return b;
}

void bridge_handle_early(struct bridge *b, const uint8_t *data, size_t len,
			 bool ended)
{
	if (len > 0)
		stream_data(b, data, len);
	if (ended)
		end_in(b);
}
