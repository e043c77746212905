#include "node/splice/tcp_join.h"

#include <stdlib.h>

#include "proto/base/mem.h"

struct end {
	struct tcp_join *join;
	struct end *other;
	struct tcp *tcp;
	bool ended; /* has sent its last byte */
};

struct tcp_join {
	struct loop *loop;
	struct end a, b;
	struct timer idle; /* set while half-open */
	nsec moved;
	tcp_join_done *done;
	void *ctx;
};

static void discard(struct tcp_join *j)
{
	loop_timer_set(j->loop, &j->idle, TIME_NEVER);
	free(j);
}

void tcp_join_close(struct tcp_join *j)
{
	tcp_reset(j->a.tcp);
	tcp_reset(j->b.tcp);
	discard(j);
}

static void finish(struct tcp_join *j)
{
	tcp_join_done *done = j->done;
	void *ctx = j->ctx;

	discard(j);
	done(ctx);
}

static void fail(struct tcp_join *j)
{
	tcp_reset(j->a.tcp);
	tcp_reset(j->b.tcp);
	finish(j);
}

static void idle_fired(struct timer *t)
{
	struct tcp_join *j = container_of(t, struct tcp_join, idle);
	nsec due = j->moved + TCP_JOIN_HALF_OPEN_NS;

	if (loop_now(j->loop) < due)
		loop_timer_set(j->loop, &j->idle, due);
	else
		fail(j);
}

static void finish_if_done(struct tcp_join *j)
{
	if (!j->a.ended || !j->b.ended || tcp_queued(j->a.tcp) > 0 ||
	    tcp_queued(j->b.tcp) > 0)
		return;
	tcp_close(j->a.tcp);
	tcp_close(j->b.tcp);
	finish(j);
}

static void end_connected(void *ctx)
{
	struct end *e = ctx;

	tcp_read(e->tcp, true);
	tcp_read(e->other->tcp, true);
}

static void end_data(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;

	e->join->moved = loop_now(e->join->loop);
	tcp_write(e->other->tcp, data, len);
	if (tcp_queued(e->other->tcp) > TCP_JOIN_QUEUE_BYTES)
		tcp_read(e->tcp, false);
}

static void end_ended(void *ctx)
{
	struct end *e = ctx;
	struct tcp_join *j = e->join;

	e->ended = true;
	j->moved = loop_now(j->loop);
	if (j->idle.index == 0)
		loop_timer_set(j->loop, &j->idle,
			       j->moved + TCP_JOIN_HALF_OPEN_NS);
	tcp_end(e->other->tcp);
	finish_if_done(j);
}

static void end_written(void *ctx)
{
	struct end *e = ctx;

	e->join->moved = loop_now(e->join->loop);
	if (tcp_queued(e->tcp) > TCP_JOIN_QUEUE_BYTES)
		return;
	if (!e->other->ended)
		tcp_read(e->other->tcp, true);
	finish_if_done(e->join);
}

static void end_failed(void *ctx, int rv)
{
	struct end *e = ctx;

	(void)rv;
	fail(e->join);
}

static const struct tcp_events events = {
	.connected = end_connected,
	.data = end_data,
	.ended = end_ended,
	.written = end_written,
	.failed = end_failed,
};

struct tcp_join *tcp_join_new(struct loop *l, struct tcp *a,
			      const union endpoint *to, tcp_join_done *done,
			      void *ctx)
{
	struct tcp_join *j = mem_new(j);

	j->loop = l;
	j->idle.fire = idle_fired;
	j->done = done;
	j->ctx = ctx;
	j->a = (struct end){ .join = j, .other = &j->b, .tcp = a };
	j->b = (struct end){ .join = j, .other = &j->a };
	tcp_set_events(a, &events, &j->a);
	j->b.tcp = tcp_connect(l, to, TCP_JOIN_CONNECT_NS, &events, &j->b);
	return j;
}
