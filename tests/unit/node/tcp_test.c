#include "node/io/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/splice/tcp_join.h"
#include "proto/base/mem.h"
#include "tests/support/local_io.h"

struct fixture {
	struct loop *loop;
	int server;
	uint16_t port;
	struct tcp *accepted;
	bool connected;
	int error;
	bool done;
};

static void connected(void *ctx)
{
	((struct fixture *)ctx)->connected = true;
}

static void failed(void *ctx, int rv)
{
	((struct fixture *)ctx)->error = rv;
}

static const struct tcp_events events = {
	.connected = connected,
	.failed = failed,
};

static bool is_told(void *ctx)
{
	struct fixture *f = ctx;

	return f->connected || f->error != 0;
}

static bool is_done(void *ctx)
{
	return ((struct fixture *)ctx)->done;
}

static bool is_accepted(void *ctx)
{
	return ((struct fixture *)ctx)->accepted != NULL;
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);

	f->loop = loop_new();
	f->server = local_server(&f->port);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	if (f->server >= 0)
		close(f->server);
	free(f);
	return 0;
}

static struct tcp *try_connect(struct fixture *f, const union endpoint *to,
			       nsec timeout)
{
	struct tcp *t;

	f->connected = false;
	f->error = 0;
	t = tcp_connect(f->loop, to, timeout, &events, f);
	assert_false(is_told(f)); /* never from inside the call */
	assert_true(local_run_until(f->loop, is_told, f));
	return t;
}

static void a_connect_ends_one_way_or_the_other(void **state)
{
	struct fixture *f = *state;
	union endpoint to = local_at(f->port), nowhere = { 0 };

	tcp_close(try_connect(f, &to, NS_PER_S));
	assert_true(f->connected);
	close(f->server);
	f->server = -1;
	tcp_close(try_connect(f, &to, NS_PER_S));
	assert_int_equal(f->error, -ECONNREFUSED);
	nowhere.in6.sin6_family = AF_INET6;
	nowhere.in6.sin6_port = htons(1);
	nowhere.in6.sin6_addr.s6_addr[0] = 0xff; /* TCP has no multicast */
	tcp_close(try_connect(f, &nowhere, NS_PER_S));
	assert_true(f->error < 0 && f->error != -ETIMEDOUT);
}

/* With the backlog full the kernel lets SYNs fall. */
static void a_connect_that_gets_no_answer_times_out(void **state)
{
	struct fixture *f = *state;
	union endpoint to = local_at(f->port);
	struct tcp *all[8];
	size_t n = 0;

	listen(f->server, 0);
	do {
		all[n++] = try_connect(f, &to, NS_PER_S / 4);
	} while (f->connected && n < ARRAY_LEN(all));
	assert_int_equal(f->error, -ETIMEDOUT);
	while (n > 0)
		tcp_close(all[--n]);
}

static void a_connect_can_be_given_up(void **state)
{
	struct fixture *f = *state;
	union endpoint to = local_at(f->port);

	tcp_close(tcp_connect(f->loop, &to, NS_PER_S, &events, f));
	tcp_reset(tcp_connect(f->loop, &to, NS_PER_S, &events, f));
	local_run_some(f->loop);
	assert_false(is_told(f));
}

static void what_is_written_while_connecting_is_sent(void **state)
{
	struct fixture *f = *state;
	union endpoint to = local_at(f->port);
	struct tcp *t = tcp_connect(f->loop, &to, NS_PER_S, &events, f);
	char in[5];
	int c;

	tcp_write(t, (const uint8_t *)"hello", 5);
	assert_int_equal(tcp_queued(t), 5);
	tcp_end(t);
	c = local_server_accept(f->loop, f->server);
	assert_true(local_recv(f->loop, c, in, 5));
	assert_int_equal(local_next(f->loop, c), LOCAL_EOF);
	assert_int_equal(tcp_queued(t), 0);
	tcp_close(t);
	close(c);
}

static void writing_after_the_end_fails_and_is_told_later(void **state)
{
	struct fixture *f = *state;
	union endpoint to = local_at(f->port);
	struct tcp *t = try_connect(f, &to, NS_PER_S);

	tcp_end(t);
	local_run_some(f->loop);
	tcp_write(t, (const uint8_t *)"late", 4);
	assert_int_equal(f->error, 0);
	local_run_some(f->loop);
	assert_int_equal(f->error, -EPIPE);
	tcp_close(t);
}

/* ---- two connections joined ---- */

static void on_accept(void *ctx, struct tcp *t)
{
	((struct fixture *)ctx)->accepted = t;
}

static void spliced(void *ctx)
{
	((struct fixture *)ctx)->done = true;
}

/* An app, joined through us with the server of the fixture. */
static int joined_client(struct fixture *f, struct tcp_listener **tl,
			 struct tcp_join **sp)
{
	union endpoint at = local_at(0), to = local_at(f->port);
	int fd;

	assert_int_equal(tcp_listen(tl, f->loop, &at, false, on_accept, f), 0);
	assert_true(tcp_listener_local(*tl, &at));
	fd = local_client(f->loop, ntohs(at.in.sin_port));
	assert_true(local_run_until(f->loop, is_accepted, f));
	*sp = tcp_join_new(f->loop, f->accepted, &to, spliced, f);
	return fd;
}

static void a_splice_passes_bytes_and_ends(void **state)
{
	struct fixture *f = *state;
	struct tcp_listener *tl;
	struct tcp_join *sp;
	char in[8];
	int fd = joined_client(f, &tl, &sp);
	int c = local_server_accept(f->loop, f->server);

	assert_true(local_send(f->loop, fd, "request", 7));
	shutdown(fd, SHUT_WR);
	assert_true(local_recv(f->loop, c, in, 7));
	assert_int_equal(local_next(f->loop, c), LOCAL_EOF);
	assert_true(local_send(f->loop, c, "answer", 6));
	close(c);
	assert_true(local_recv(f->loop, fd, in, 6));
	assert_memory_equal(in, "answer", 6);
	assert_int_equal(local_next(f->loop, fd), LOCAL_EOF);
	assert_true(local_run_until(f->loop, is_done, f));
	close(fd);
	tcp_listener_close(tl);
}

static void a_join_holds_back_who_sends_too_fast(void **state)
{
	struct fixture *f = *state;
	enum {
		PIECE = 1 << 16,
		PIECES = 400
	};
	struct tcp_listener *tl;
	struct tcp_join *sp;
	uint8_t *piece = mem_calloc(PIECE, 1), *got = mem_calloc(PIECE, 1);
	size_t sent = 0, received = 0;
	int fd = joined_client(f, &tl, &sp);
	int c = local_server_accept(f->loop, f->server);

	/* Nobody reads at the other end: the kernel's buffers fill. */
	for (int idle = 0; idle < 50 && sent < (size_t)PIECE * PIECES; idle++) {
		ssize_t n = send(fd, piece, PIECE, MSG_NOSIGNAL);

		if (n > 0) {
			sent += (size_t)n;
			idle = 0;
		}
		uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
	}
	assert_true(sent < (size_t)PIECE * PIECES);
	shutdown(fd, SHUT_WR);
	for (;;) {
		ssize_t n = recv(c, got, PIECE, 0);

		if (n == 0)
			break;
		received += n > 0 ? (size_t)n : 0;
		uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
	}
	assert_int_equal(received, sent);
	tcp_join_close(sp);
	assert_false(f->done);
	close(fd);
	close(c);
	free(piece);
	free(got);
	tcp_listener_close(tl);
}

static void a_splice_passes_resets(void **state)
{
	struct fixture *f = *state;
	struct linger hard = { 1, 0 };
	struct tcp_listener *tl;
	struct tcp_join *sp;
	int fd = joined_client(f, &tl, &sp);
	int c = local_server_accept(f->loop, f->server);

	local_run_some(f->loop);
	setsockopt(c, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(c);
	assert_int_equal(local_next(f->loop, fd), LOCAL_RESET);
	assert_true(f->done);
	close(fd);
	tcp_listener_close(tl);
}

static void a_splice_that_cannot_connect_resets(void **state)
{
	struct fixture *f = *state;
	struct tcp_listener *tl;
	struct tcp_join *sp;
	int fd;

	close(f->server);
	f->server = -1;
	fd = joined_client(f, &tl, &sp);
	assert_int_equal(local_next(f->loop, fd), LOCAL_RESET);
	assert_true(f->done);
	close(fd);
	tcp_listener_close(tl);
}

static void a_listener_tells_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	union endpoint at = local_at(f->port);
	struct tcp_listener *tl = NULL;

	assert_int_equal(tcp_listen(&tl, f->loop, &at, false, on_accept, f),
			 -EADDRINUSE);
	assert_null(tl);
}

/* What a peer gets rid of that is not read here. */
static size_t n_unread(struct fixture *f, int limit)
{
	const union endpoint any = local_at(0), to = local_at(f->port);
	static const uint8_t zeros[4096];
	uint16_t port;
	struct tcp *t = tcp_bind(f->loop, &any, &port);
	size_t total = 0;
	ssize_t n;
	int fd;

	assert_non_null(t);
	if (limit > 0)
		tcp_limit_buffers(t, limit);
	f->connected = false;
	f->error = 0;
	tcp_begin(t, &to, NS_PER_S, &events, f);
	assert_true(local_run_until(f->loop, is_told, f));
	assert_true(f->connected);
	fd = local_server_accept(f->loop, f->server);
	while ((n = send(fd, zeros, sizeof zeros, MSG_DONTWAIT)) > 0)
		total += (size_t)n;
	close(fd);
	tcp_reset(t);
	return total;
}

static void limited_buffers_hold_back_the_peer(void **state)
{
	struct fixture *f = *state;
	size_t all = n_unread(f, 0), some = n_unread(f, 8192);

	assert_true(some > 0);
	assert_true(some < all);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_connect_ends_one_way_or_the_other),
		CASE(a_connect_that_gets_no_answer_times_out),
		CASE(a_connect_can_be_given_up),
		CASE(what_is_written_while_connecting_is_sent),
		CASE(writing_after_the_end_fails_and_is_told_later),
		CASE(a_splice_passes_bytes_and_ends),
		CASE(a_join_holds_back_who_sends_too_fast),
		CASE(a_splice_passes_resets),
		CASE(a_splice_that_cannot_connect_resets),
		CASE(a_listener_tells_what_is_wrong),
		CASE(limited_buffers_hold_back_the_peer),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
