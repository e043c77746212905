#include "node/io/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
	KEEPALIVE_S = 60,
	QUEUE_MIN_BYTES = 4096,
	QUEUE_KEPT_BYTES = 16384, /* while idle */
	QUEUE_PUSH_BYTES = 65536  /* enough for a write of its own */
};

struct bytes {
	uint8_t *data;
	size_t len;
	size_t cap;
};

struct tcp {
	uv_tcp_t uv;
	struct loop *loop;
	const struct tcp_events *ev;
	void *ctx;

	uv_connect_t connect_req;
	struct timer late; /* the connect's deadline, or `late_error` */
	int late_error;    /* known inside a call, told after it */

	uv_write_t write_req;
	struct bytes flight;  /* with libuv */
	struct bytes waiting; /* behind it */
	bool writing;
	bool flush_due; /* at the end of the turn */
	bool shrunk;    /* `written` is due */

	uv_shutdown_t end_req;
	bool end_wanted;
	bool end_sent;

	bool closed; /* by us, or failed: no more events */
	bool gone;   /* libuv has let go of it */
};

static const struct tcp_events no_events;

static uv_stream_t *stream_of(struct tcp *t)
{
	return (uv_stream_t *)&t->uv;
}

/* ---- ends ---- */

static void release(struct tcp *t)
{
	free(t->flight.data);
	free(t->waiting.data);
	free(t);
}

static void freed(uv_handle_t *h)
{
	struct tcp *t = h->data;

	t->gone = true;
	if (!t->flush_due)
		release(t);
}

void tcp_close(struct tcp *t)
{
	t->closed = true;
	t->ev = &no_events;
	loop_timer_set(t->loop, &t->late, TIME_NEVER);
	uv_close((uv_handle_t *)&t->uv, freed);
}

void tcp_reset(struct tcp *t)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };
	uv_os_fd_t fd;

	/* uv_tcp_close_reset() refuses while a half-close is under way. */
	if (uv_fileno((uv_handle_t *)&t->uv, &fd) == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	tcp_close(t);
}

static void fail(struct tcp *t, int rv)
{
	if (t->closed)
		return;
	t->closed = true;
	uv_read_stop(stream_of(t));
	if (t->ev->failed != NULL)
		t->ev->failed(t->ctx, rv);
}

static void fail_late(struct tcp *t, int rv)
{
	t->late_error = rv;
	loop_timer_set(t->loop, &t->late, loop_now(t->loop));
}

/* ---- writing ---- */

static void bytes_add(struct bytes *b, const uint8_t *data, size_t len)
{
	size_t cap = b->cap != 0 ? b->cap : QUEUE_MIN_BYTES;

	while (cap < b->len + len)
		cap *= 2;
	if (cap != b->cap)
		b->data = mem_realloc(b->data, cap, 1);
	b->cap = cap;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void bytes_take(struct bytes *b, size_t len)
{
	b->len -= len;
	memmove(b->data, b->data + len, b->len);
	if (b->len == 0 && b->cap > QUEUE_KEPT_BYTES) {
		free(b->data);
		*b = (struct bytes){ 0 };
	}
}

static void end_done(uv_shutdown_t *req, int status)
{
	(void)req;
	(void)status;
}

static void flight_done(uv_write_t *req, int status);

/* Leaves the rest to libuv, which waits until the socket takes it. */
static void take_off(struct tcp *t)
{
	uv_buf_t b;
	int rv;

	t->flight = t->waiting;
	t->waiting = (struct bytes){ 0 };
	b = uv_buf_init((char *)t->flight.data, (unsigned)t->flight.len);
	t->write_req.data = t;
	rv = uv_write(&t->write_req, stream_of(t), &b, 1, flight_done);
	t->writing = rv == 0;
	if (rv < 0)
		fail_late(t, rv);
}

/* Sends what waits, then the half-close that waits behind it. */
static void push(struct tcp *t)
{
	uv_buf_t b;
	int n;

	if (t->writing || t->closed)
		return;
	if (t->waiting.len > 0) {
		b = uv_buf_init((char *)t->waiting.data,
				(unsigned)t->waiting.len);
		n = uv_try_write(stream_of(t), &b, 1);
		if (n > 0) {
			bytes_take(&t->waiting, (size_t)n);
			t->shrunk = true;
		}
	}
	/* An error is met again, and told, by the queued write. */
	if (t->waiting.len > 0) {
		take_off(t);
	} else if (t->end_wanted && !t->end_sent) {
		t->end_sent = true;
		uv_shutdown(&t->end_req, stream_of(t), end_done);
	}
}

static void tell_written(struct tcp *t)
{
	if (t->closed || !t->shrunk)
		return;
	t->shrunk = false;
	if (t->ev->written != NULL)
		t->ev->written(t->ctx);
}

static void turn_ends(void *p)
{
	struct tcp *t = p;

	t->flush_due = false;
	if (t->gone) {
		release(t);
		return;
	}
	push(t);
	tell_written(t);
}

static void flush_later(struct tcp *t)
{
	if (t->flush_due)
		return;
	t->flush_due = true;
	loop_defer(t->loop, turn_ends, t);
}

static void flight_done(uv_write_t *req, int status)
{
	struct tcp *t = req->data;

	loop_turn(t->loop);
	t->writing = false;
	free(t->flight.data);
	t->flight = (struct bytes){ 0 };
	if (t->closed)
		return;
	if (status < 0) {
		fail(t, status);
		return;
	}
	t->shrunk = true;
	push(t);
	tell_written(t);
}

void tcp_write(struct tcp *t, const uint8_t *data, size_t len)
{
	if (t->closed || len == 0)
		return;
	bytes_add(&t->waiting, data, len);
	if (t->waiting.len >= QUEUE_PUSH_BYTES)
		push(t);
	flush_later(t);
}

size_t tcp_queued(const struct tcp *t)
{
	return t->flight.len + t->waiting.len;
}

void tcp_end(struct tcp *t)
{
	t->end_wanted = true;
	flush_later(t);
}

/* ---- reading ---- */

static void read_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	/* libuv reads into it right after this call and hands it to
	 * read_done(): nothing in it outlives a callback. */
	struct tcp *t = h->data;
	size_t room = LOOP_SCRATCH_BYTES;

	(void)suggested;
	loop_turn(t->loop);
	if (t->ev->room != NULL)
		room = t->ev->room(t->ctx);
	if (room > LOOP_SCRATCH_BYTES)
		room = LOOP_SCRATCH_BYTES;
	*out = uv_buf_init((char *)loop_scratch(t->loop),
			   (unsigned)(room > 0 ? room : 1));
}

static void read_done(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct tcp *t = s->data;

	loop_turn(t->loop);
	if (t->closed || n == 0)
		return;
	if (n > 0) {
		if (t->ev->data != NULL)
			t->ev->data(t->ctx, (const uint8_t *)b->base,
				    (size_t)n);
	} else if (n == UV_EOF) {
		uv_read_stop(s);
		if (t->ev->ended != NULL)
			t->ev->ended(t->ctx);
	} else {
		fail(t, (int)n);
	}
}

void tcp_read(struct tcp *t, bool on)
{
	if (t->closed)
		return;
	if (on)
		uv_read_start(stream_of(t), read_room, read_done);
	else
		uv_read_stop(stream_of(t));
}

/* ---- beginnings ---- */

static void late_fired(struct timer *timer)
{
	struct tcp *t = container_of(timer, struct tcp, late);

	fail(t, t->late_error != 0 ? t->late_error : -ETIMEDOUT);
}

static struct tcp *tcp_new(struct loop *l)
{
	struct tcp *t = mem_new(t);

	t->loop = l;
	t->ev = &no_events;
	t->late.fire = late_fired;
	uv_tcp_init(loop_uv(l), &t->uv);
	t->uv.data = t;
	return t;
}

static void tune(struct tcp *t)
{
	uv_tcp_nodelay(&t->uv, 1);
	uv_tcp_keepalive(&t->uv, 1, KEEPALIVE_S);
}

struct tcp *tcp_accept(struct loop *l, uv_stream_t *server)
{
	struct tcp *t = tcp_new(l);

	if (uv_accept(server, stream_of(t)) < 0) {
		tcp_close(t);
		return NULL;
	}
	tune(t);
	return t;
}

static void connect_done(uv_connect_t *req, int status)
{
	struct tcp *t = req->data;

	loop_turn(t->loop);
	if (t->closed)
		return;
	loop_timer_set(t->loop, &t->late, TIME_NEVER);
	if (status < 0) {
		fail(t, status);
		return;
	}
	tune(t);
	if (t->ev->connected != NULL)
		t->ev->connected(t->ctx);
}

void tcp_begin(struct tcp *t, const union endpoint *to, nsec timeout,
	       const struct tcp_events *ev, void *ctx)
{
	struct loop *l = t->loop;
	int rv;

	loop_turn(l);
	tcp_set_events(t, ev, ctx);
	t->connect_req.data = t;
	rv = uv_tcp_connect(&t->connect_req, &t->uv, &to->sa, connect_done);
	if (rv < 0)
		fail_late(t, rv);
	else
		loop_timer_set(l, &t->late, loop_now(l) + timeout);
}

struct tcp *tcp_connect(struct loop *l, const union endpoint *to, nsec timeout,
			const struct tcp_events *ev, void *ctx)
{
	struct tcp *t = tcp_new(l);

	tcp_begin(t, to, timeout, ev, ctx);
	return t;
}

struct tcp *tcp_bind(struct loop *l, const union endpoint *at, uint16_t *port)
{
	struct tcp *t = tcp_new(l);
	union endpoint local;

	if (uv_tcp_bind(&t->uv, &at->sa, 0) < 0 || !tcp_local(t, &local)) {
		tcp_close(t);
		return NULL;
	}
	*port = endpoint_port(&local);
	return t;
}

void tcp_limit_buffers(struct tcp *t, int bytes)
{
	/* They fail for what is closed only, and take the number away. */
	int in = bytes, out = bytes;

	uv_recv_buffer_size((uv_handle_t *)&t->uv, &in);
	uv_send_buffer_size((uv_handle_t *)&t->uv, &out);
}

void tcp_set_events(struct tcp *t, const struct tcp_events *ev, void *ctx)
{
	t->ev = ev;
	t->ctx = ctx;
}

bool tcp_peer(const struct tcp *t, union endpoint *out)
{
	int len = sizeof *out;

	memset(out, 0, sizeof *out);
	return uv_tcp_getpeername(&t->uv, &out->sa, &len) == 0;
}

bool tcp_local(const struct tcp *t, union endpoint *out)
{
	int len = sizeof *out;

	memset(out, 0, sizeof *out);
	return uv_tcp_getsockname(&t->uv, &out->sa, &len) == 0;
}
