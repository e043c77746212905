#include "node/splice/bridge.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/fake_stream.h"
#include "tests/support/local_io.h"

struct fixture {
	struct loop *loop;
	struct tcp_listener *listener;
	struct tcp *tcp; /* accepted, not bridged yet */
	struct stream *stream;
	struct bridge *bridge;
	struct bridge_set set;
	int fd; /* the app */
	bool done;
};

static void accepted(void *ctx, struct tcp *t)
{
	struct fixture *f = ctx;

	f->tcp = t;
}

static void done(void *ctx)
{
	struct fixture *f = ctx;

	f->done = true;
	f->bridge = NULL;
}

static bool is_accepted(void *ctx)
{
	struct fixture *f = ctx;

	return f->tcp != NULL;
}

static bool is_done(void *ctx)
{
	struct fixture *f = ctx;

	return f->done;
}

static bool has_sent_end(void *ctx)
{
	struct fixture *f = ctx;

	return f->stream->end_sent;
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);
	union endpoint at = local_at(0);
	struct node_id peer = { { 1 } };

	f->loop = loop_new();
	assert_int_equal(
		tcp_listen(&f->listener, f->loop, &at, false, accepted, f), 0);
	assert_true(tcp_listener_local(f->listener, &at));
	f->fd = local_client(f->loop, ntohs(at.in.sin_port));
	assert_true(local_run_until(f->loop, is_accepted, f));
	f->stream = fake_stream_new(STREAM_TCP, &peer, "x", 80);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->bridge != NULL)
		bridge_close(f->bridge);
	assert_int_equal(f->set.n_open, 0);
	tcp_listener_close(f->listener);
	loop_free(f->loop);
	fake_stream_free(f->stream);
	close(f->fd);
	free(f);
	return 0;
}

static void join(struct fixture *f, const char *early, bool ended)
{
	f->bridge =
		bridge_new(f->loop, f->tcp, f->stream, (const uint8_t *)early,
			   strlen(early), ended, &f->set, done, f);
}

static void bytes_go_both_ways(void **state)
{
	struct fixture *f = *state;
	char in[6];

	join(f, "early ", false);
	assert_true(local_send(f->loop, f->fd, "request", 7));
	local_run_some(f->loop);
	assert_int_equal(f->stream->n_sent, 13);
	assert_memory_equal(f->stream->sent, "early request", 13);

	fake_stream_feed(f->stream, "answer", 6);
	assert_true(local_recv(f->loop, f->fd, in, 6));
	assert_memory_equal(in, "answer", 6);
	assert_int_equal(f->stream->n_consumed, 6);
	assert_int_equal(f->set.bytes_in, 6);
	assert_int_equal(f->set.bytes_out, 13);
}

static void half_closes_go_both_ways_and_end_it_cleanly(void **state)
{
	struct fixture *f = *state;
	char in[4];

	join(f, "", false);
	shutdown(f->fd, SHUT_WR);
	assert_true(local_run_until(f->loop, has_sent_end, f));
	fake_stream_feed(f->stream, "late", 4);
	assert_true(local_recv(f->loop, f->fd, in, 4));
	fake_stream_end(f->stream);
	assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	assert_false(f->done);
	fake_stream_closed(f->stream, STREAM_OK);
	assert_true(f->done);
	assert_int_equal(f->set.n_clean, 1);
}

static void the_far_end_may_end_first(void **state)
{
	struct fixture *f = *state;

	join(f, "", false);
	fake_stream_end(f->stream);
	assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	assert_true(local_send(f->loop, f->fd, "still", 5));
	shutdown(f->fd, SHUT_WR);
	assert_true(local_run_until(f->loop, has_sent_end, f));
	assert_int_equal(f->stream->n_sent, 5);
	fake_stream_closed(f->stream, STREAM_OK);
	assert_true(f->done);
}

static void an_app_that_ended_before_is_ended_at_once(void **state)
{
	struct fixture *f = *state;

	join(f, "all of it", true);
	assert_true(f->stream->end_sent);
	assert_int_equal(f->stream->n_sent, 9);
}

static void a_local_reset_resets_the_stream(void **state)
{
	struct fixture *f = *state;
	struct linger hard = { 1, 0 };

	join(f, "", false);
	setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(f->fd);
	f->fd = -1;
	assert_true(local_run_until(f->loop, is_done, f));
	assert_true(f->stream->closed_by_user);
	assert_int_equal(f->stream->why, STREAM_RESET);
	assert_int_equal(f->set.n_reset_near, 1);
}

static void a_far_reset_resets_the_socket(void **state)
{
	struct fixture *f = *state;

	join(f, "", false);
	fake_stream_closed(f->stream, STREAM_RESET);
	assert_true(f->done);
	assert_int_equal(local_next(f->loop, f->fd), LOCAL_RESET);
	assert_int_equal(f->set.n_reset_far, 1);
}

static void a_far_reset_after_a_half_close_is_a_reset_too(void **state)
{
	struct fixture *f = *state;

	join(f, "", false);
	fake_stream_end(f->stream);
	fake_stream_closed(f->stream, STREAM_RESET);
	assert_true(f->done);
	assert_int_equal(local_next(f->loop, f->fd), LOCAL_RESET);
}

/* The app sends far more than the stream takes: the rest stays in the kernel,
 * and the stream gets every byte in the end. */
static void a_full_stream_stops_the_reading(void **state)
{
	struct fixture *f = *state;
	enum {
		TOTAL = 1 << 20
	};
	uint8_t *data = mem_calloc(TOTAL, 1);
	size_t sent = 0;

	for (size_t i = 0; i < TOTAL; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	f->stream->room = 1000;
	join(f, "", false);
	for (int i = 0; i < 100; i++) {
		ssize_t n =
			send(f->fd, data + sent, TOTAL - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
	}
	assert_int_equal(f->stream->n_sent, 1000);
	assert_int_equal(f->stream->room, 0);
	for (int rounds = 0; f->stream->n_sent < TOTAL; rounds++) {
		ssize_t n =
			send(f->fd, data + sent, TOTAL - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		local_run_some(f->loop);
		if (f->stream->room == 0)
			fake_stream_add_room(f->stream, 100000);
		assert_in_range(rounds, 0, 1000);
	}
	assert_memory_equal(f->stream->sent, data, TOTAL);
	free(data);
}

static void an_end_waits_for_the_rest(void **state)
{
	struct fixture *f = *state;

	f->stream->room = 3;
	join(f, "", false);
	assert_true(local_send(f->loop, f->fd, "abcdef", 6));
	shutdown(f->fd, SHUT_WR);
	local_run_some(f->loop);
	assert_int_equal(f->stream->n_sent, 3);
	assert_false(f->stream->end_sent);
	fake_stream_add_room(f->stream, 100);
	assert_true(local_run_until(f->loop, has_sent_end, f));
	assert_memory_equal(f->stream->sent, "abcdef", 6);
}

static void early_bytes_are_kept_when_there_is_no_room(void **state)
{
	struct fixture *f = *state;

	f->stream->room = 2;
	join(f, "abcdef", true);
	assert_false(f->stream->end_sent);
	fake_stream_add_room(f->stream, 2);
	assert_int_equal(f->stream->n_sent, 4);
	fake_stream_add_room(f->stream, 2);
	assert_memory_equal(f->stream->sent, "abcdef", 6);
	assert_true(f->stream->end_sent);
}

/* What the app does not read is not consumed, so the window closes; all of it
 * arrives, also after the stream has closed. */
static void an_app_that_does_not_read_closes_the_window(void **state)
{
	struct fixture *f = *state;
	enum {
		PIECE = 65536,
		PIECES = 200
	};
	uint8_t *piece = mem_calloc(PIECE, 1), *got = mem_calloc(PIECE, 1);

	join(f, "", true);
	for (int i = 0; i < PIECES; i++) {
		memset(piece, i, PIECE);
		fake_stream_feed(f->stream, piece, PIECE);
	}
	local_run_some(f->loop);
	assert_true(f->stream->n_consumed < (size_t)PIECE * PIECES);
	fake_stream_end(f->stream);
	fake_stream_closed(f->stream, STREAM_OK);
	assert_false(f->done);
	for (int i = 0; i < PIECES; i++) {
		memset(piece, i, PIECE);
		assert_true(local_recv(f->loop, f->fd, got, PIECE));
		assert_memory_equal(got, piece, PIECE);
	}
	assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	assert_true(local_run_until(f->loop, is_done, f));
	assert_int_equal(f->set.n_clean, 1);
	assert_int_equal(f->set.bytes_in, (size_t)PIECE * PIECES);
	free(piece);
	free(got);
}

static void it_can_be_closed_while_bytes_are_queued(void **state)
{
	struct fixture *f = *state;
	static const uint8_t piece[1 << 20];

	join(f, "", false);
	for (int i = 0; i < 16; i++)
		fake_stream_feed(f->stream, piece, sizeof piece);
	bridge_close(f->bridge);
	f->bridge = NULL;
	assert_true(f->stream->closed_by_user);
	assert_false(f->done);
}

static void a_reset_with_bytes_queued_frees_them(void **state)
{
	struct fixture *f = *state;
	static const uint8_t piece[1 << 20];

	join(f, "", false);
	for (int i = 0; i < 16; i++)
		fake_stream_feed(f->stream, piece, sizeof piece);
	fake_stream_end(f->stream);
	fake_stream_closed(f->stream, STREAM_UNREACHABLE);
	assert_true(f->done);
}

static void a_half_open_bridge_that_stands_still_is_given_up(void **state)
{
	struct fixture *f = *state;

	f->set.half_open_ns = 50 * NS_PER_MS;
	join(f, "", false);
	local_run_some(f->loop);
	fake_stream_end(f->stream);
	assert_true(local_run_until(f->loop, is_done, f));
	assert_int_equal(f->set.n_timed_out, 1);
	assert_true(f->stream->closed_by_user);
	assert_int_equal(f->stream->why, STREAM_RESET);
}

static void a_half_open_bridge_that_moves_is_kept(void **state)
{
	struct fixture *f = *state;
	char in;

	f->set.half_open_ns = 200 * NS_PER_MS;
	join(f, "", true);
	for (int i = 0; i < 60; i++) { /* longer than the limit in all */
		fake_stream_feed(f->stream, "x", 1);
		assert_true(local_recv(f->loop, f->fd, &in, 1));
		local_run_some(f->loop);
	}
	assert_false(f->done);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(bytes_go_both_ways),
		CASE(half_closes_go_both_ways_and_end_it_cleanly),
		CASE(the_far_end_may_end_first),
		CASE(an_app_that_ended_before_is_ended_at_once),
		CASE(a_local_reset_resets_the_stream),
		CASE(a_far_reset_resets_the_socket),
		CASE(a_far_reset_after_a_half_close_is_a_reset_too),
		CASE(a_full_stream_stops_the_reading),
		CASE(an_end_waits_for_the_rest),
		CASE(early_bytes_are_kept_when_there_is_no_room),
		CASE(an_app_that_does_not_read_closes_the_window),
		CASE(it_can_be_closed_while_bytes_are_queued),
		CASE(a_reset_with_bytes_queued_frees_them),
		CASE(a_half_open_bridge_that_stands_still_is_given_up),
		CASE(a_half_open_bridge_that_moves_is_kept),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
