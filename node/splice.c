#include "node/splice.h"

#include <stdlib.h>

#include "proto/base/mem.h"

struct end {
	struct splice *splice;
	struct end *other;
	struct tcp *tcp;
	bool ended; /* has sent its last byte */
};

struct splice {
	struct loop *loop;
	struct end a, b;
	struct timer idle; /* set while half-open */
	nsec moved;
	splice_done *done;
	void *ctx;
};

static void discard(struct splice *sp)
{
	loop_timer_set(sp->loop, &sp->idle, TIME_NEVER);
	free(sp);
}

void splice_close(struct splice *sp)
{
	tcp_reset(sp->a.tcp);
	tcp_reset(sp->b.tcp);
	discard(sp);
}

static void finish(struct splice *sp)
{
	splice_done *done = sp->done;
	void *ctx = sp->ctx;

	discard(sp);
	done(ctx);
}

static void fail(struct splice *sp)
{
	tcp_reset(sp->a.tcp);
	tcp_reset(sp->b.tcp);
	finish(sp);
}

static void idle_fired(struct timer *t)
{
	struct splice *sp = container_of(t, struct splice, idle);
	nsec due = sp->moved + SPLICE_HALF_OPEN_NS;

	if (loop_now(sp->loop) < due)
		loop_timer_set(sp->loop, &sp->idle, due);
	else
		fail(sp);
}

static void finish_if_done(struct splice *sp)
{
	if (!sp->a.ended || !sp->b.ended || tcp_queued(sp->a.tcp) > 0 ||
	    tcp_queued(sp->b.tcp) > 0)
		return;
	tcp_close(sp->a.tcp);
	tcp_close(sp->b.tcp);
	finish(sp);
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

	e->splice->moved = loop_now(e->splice->loop);
	tcp_write(e->other->tcp, data, len);
	if (tcp_queued(e->other->tcp) > SPLICE_QUEUE_BYTES)
		tcp_read(e->tcp, false);
}

static void end_ended(void *ctx)
{
	struct end *e = ctx;
	struct splice *sp = e->splice;

	e->ended = true;
	sp->moved = loop_now(sp->loop);
	if (sp->idle.index == 0)
		loop_timer_set(sp->loop, &sp->idle,
			       sp->moved + SPLICE_HALF_OPEN_NS);
	tcp_end(e->other->tcp);
	finish_if_done(sp);
}

static void end_written(void *ctx)
{
	struct end *e = ctx;

	e->splice->moved = loop_now(e->splice->loop);
	if (tcp_queued(e->tcp) > SPLICE_QUEUE_BYTES)
		return;
	if (!e->other->ended)
		tcp_read(e->other->tcp, true);
	finish_if_done(e->splice);
}

static void end_failed(void *ctx, int rv)
{
	struct end *e = ctx;

	(void)rv;
	fail(e->splice);
}

static const struct tcp_events events = {
	.connected = end_connected,
	.data = end_data,
	.ended = end_ended,
	.written = end_written,
	.failed = end_failed,
};

struct splice *splice_new(struct loop *l, struct tcp *a,
			  const union endpoint *to, splice_done *done,
			  void *ctx)
{
	struct splice *sp = mem_new(sp);

	sp->loop = l;
	sp->idle.fire = idle_fired;
	sp->done = done;
	sp->ctx = ctx;
	sp->a = (struct end){ .splice = sp, .other = &sp->b, .tcp = a };
	sp->b = (struct end){ .splice = sp, .other = &sp->a };
	tcp_set_events(a, &events, &sp->a);
	sp->b.tcp = tcp_connect(l, to, SPLICE_CONNECT_NS, &events, &sp->b);
	return sp;
}
