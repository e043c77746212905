/* Both ends of a ping, each against a stream that is not real. */
#include "node/api/ping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/channel/dest.h"
#include "node/service/echo.h"
#include "node/io/loop.h"
#include "tests/support/fake_stream.h"
#include "tests/support/local_io.h"

static struct loop *loop;
static struct dests *dests;

/* What the ping is told of its connection. */
static struct dest_report report;
static bool is_silent;
static unsigned n_cancelled;

void dest_connect(struct dests *d, const struct node_id *id,
		  dest_reported *reported, void *ctx)
{
	(void)d;
	(void)id;
	if (!is_silent)
		reported(ctx, &report);
}

void dest_connect_cancel(struct dests *d, void *ctx)
{
	(void)d;
	(void)ctx;
	n_cancelled++;
}

static unsigned n_done;
static struct ping_result result;

static void done(void *ctx, const struct ping_result *r)
{
	assert_ptr_equal(ctx, &result);
	result = *r;
	n_done++;
}

static int set_up(void **state)
{
	(void)state;
	loop = loop_new();
	dests = fake_dests_new();
	report = (struct dest_report){ .is_up = true };
	is_silent = false;
	n_done = n_cancelled = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_dests_free(dests);
	loop_free(loop);
	return 0;
}

static struct ping *start(unsigned count)
{
	const struct ping_config config = {
		.id = { { 7 } },
		.count = count,
		.interval = 1 * NS_PER_MS,
		.timeout = 30 * NS_PER_MS,
	};

	return ping_new(loop, dests, &config, done, &result);
}

static bool is_done(void *ctx)
{
	(void)ctx;
	return n_done > 0;
}

static bool has_stream(void *ctx)
{
	(void)ctx;
	return dests->n_streams > 0;
}

/* The stream that the ping asked for, open. */
static struct stream *open_stream(void)
{
	struct stream *s;

	assert_true(local_run_until(loop, has_stream, NULL));
	s = dests->streams[0];
	assert_int_equal(s->kind, STREAM_UDP);
	assert_string_equal(s->host, ECHO_HOST);
	assert_int_equal(s->port, ECHO_PORT);
	fake_stream_open(s);
	return s;
}

static struct stream *awaited;
static size_t n_awaited;

static bool has_sent(void *ctx)
{
	(void)ctx;
	return awaited->n_datagrams >= n_awaited;
}

/* The `n`-th datagram as it was sent. */
static void next_datagram(struct stream *s, size_t n, uint8_t out[PING_BYTES])
{
	awaited = s;
	n_awaited = n;
	assert_true(local_run_until(loop, has_sent, NULL));
	assert_int_equal(s->n_sent, PING_BYTES);
	memcpy(out, s->sent, PING_BYTES);
}

static void answers_are_timed_and_losses_counted(void **state)
{
	uint8_t d[PING_BYTES];
	struct stream *s;

	(void)state;
	start(3);
	s = open_stream();
	next_datagram(s, 1, d);
	fake_stream_feed(s, d, sizeof d);
	next_datagram(s, 2, d);
	next_datagram(s, 3, d);
	fake_stream_feed(s, d, sizeof d);
	assert_true(local_run_until(loop, is_done, NULL));
	assert_int_equal(n_done, 1);
	assert_true(result.is_up);
	assert_int_equal(result.why, STREAM_OK);
	assert_int_equal(result.n_sent, 3);
	assert_int_equal(result.n_received, 2);
	assert_true(result.rtt[0] < 5 * NS_PER_S);
	assert_true(result.rtt[1] == TIME_NEVER);
	assert_true(result.rtt[2] < 5 * NS_PER_S);
	assert_true(s->closed_by_user);
}

static void only_our_own_datagrams_count_and_once(void **state)
{
	uint8_t d[PING_BYTES], other[PING_BYTES];
	struct stream *s;

	(void)state;
	start(2);
	s = open_stream();
	next_datagram(s, 1, d);
	memcpy(other, d, sizeof d);
	other[0] ^= 1; /* another's token */
	fake_stream_feed(s, other, sizeof other);
	memcpy(other, d, sizeof d);
	other[11] = 1; /* not sent yet */
	fake_stream_feed(s, other, sizeof other);
	other[8] = 0xff; /* far out of the table */
	fake_stream_feed(s, other, sizeof other);
	fake_stream_feed(s, d, 5);
	fake_stream_feed(s, d, sizeof d);
	fake_stream_feed(s, d, sizeof d);
	assert_true(local_run_until(loop, is_done, NULL));
	assert_int_equal(result.n_sent, 2);
	assert_int_equal(result.n_received, 1);
}

static void no_path_is_told_with_its_proof(void **state)
{
	(void)state;
	report = (struct dest_report){ .is_up = false, .is_proved = true };
	start(1);
	assert_true(local_run_until(loop, is_done, NULL));
	assert_false(result.is_up);
	assert_true(result.is_proved);
	assert_int_equal(result.n_sent, 0);
	assert_int_equal(dests->n_streams, 0);
}

static void an_echo_that_refuses_is_told(void **state)
{
	(void)state;
	start(1);
	assert_true(local_run_until(loop, has_stream, NULL));
	fake_stream_closed(dests->streams[0], STREAM_HOST_UNKNOWN);
	assert_true(local_run_until(loop, is_done, NULL));
	assert_true(result.is_up);
	assert_int_equal(result.why, STREAM_HOST_UNKNOWN);
}

static void an_echo_that_says_nothing_times_out(void **state)
{
	(void)state;
	start(1);
	assert_true(local_run_until(loop, is_done, NULL));
	assert_int_equal(result.why, STREAM_TIMED_OUT);
	assert_true(dests->streams[0]->closed_by_user);
}

static void a_path_that_breaks_keeps_what_was_measured(void **state)
{
	uint8_t d[PING_BYTES];
	struct stream *s;

	(void)state;
	start(50);
	s = open_stream();
	next_datagram(s, 1, d);
	fake_stream_feed(s, d, sizeof d);
	fake_stream_closed(s, STREAM_RESET);
	assert_true(local_run_until(loop, is_done, NULL));
	assert_int_equal(result.why, STREAM_RESET);
	assert_int_equal(result.n_received, 1);
	assert_true(result.n_sent < 50);
}

static void a_cancelled_ping_says_nothing(void **state)
{
	struct ping *p;

	(void)state;
	ping_cancel(start(1));
	is_silent = true;
	p = start(1);
	local_run_some(loop);
	ping_cancel(p);
	is_silent = false;
	p = start(5);
	open_stream();
	ping_cancel(p);
	local_run_some(loop);
	assert_int_equal(n_done, 0);
	assert_int_equal(n_cancelled, 3);
	assert_true(dests->streams[0]->closed_by_user);
}

/* ---- the echo ---- */

static const struct node_id peer = { { 9 } };

static void the_echo_sends_back_in_the_next_turn(void **state)
{
	struct echo *e = echo_new(loop);
	struct stream *s =
		fake_stream_new(STREAM_UDP, &peer, ECHO_HOST, ECHO_PORT);

	(void)state;
	assert_true(echo_take(e, s));
	assert_true(s->accepted);
	fake_stream_feed(s, "one", 3);
	fake_stream_feed(s, "three", 5);
	assert_int_equal(s->n_datagrams, 0);
	local_run_some(loop);
	assert_int_equal(s->n_datagrams, 2);
	assert_int_equal(s->n_sent, 5);
	assert_memory_equal(s->sent, "three", 5);
	assert_int_equal(echo_counters(e)->n_echoed, 2);
	fake_stream_end(s);
	assert_true(s->closed_by_user);
	echo_free(e);
	fake_stream_free(s);
}

static void the_echo_keeps_few_and_drops_the_rest(void **state)
{
	struct echo *e = echo_new(loop);
	struct stream *s =
		fake_stream_new(STREAM_UDP, &peer, ECHO_HOST, ECHO_PORT);
	uint8_t big[2000] = { 0 };

	(void)state;
	assert_true(echo_take(e, s));
	for (int i = 0; i < 12; i++)
		fake_stream_feed(s, "x", 1);
	fake_stream_feed(s, big, sizeof big);
	local_run_some(loop);
	assert_int_equal(echo_counters(e)->n_echoed, 8);
	assert_int_equal(echo_counters(e)->n_dropped, 5);
	fake_stream_closed(s, STREAM_RESET);
	echo_free(e);
	fake_stream_free(s);
}

static void the_echo_takes_only_what_is_meant_for_it(void **state)
{
	static const struct {
		const char *why, *host;
		enum stream_kind kind;
		uint16_t port;
		bool is_taken, is_accepted;
	} rows[] = {
		{ "a service's", "web", STREAM_UDP, 7, false, false },
		{ "a node's", "alice.fuse", STREAM_UDP, 7, false, false },
		{ "TCP", ECHO_HOST, STREAM_TCP, 7, true, false },
		{ "another port", ECHO_HOST, STREAM_UDP, 8, true, false },
		{ "the echo's", ECHO_HOST, STREAM_UDP, 7, true, true },
	};
	struct echo *e = echo_new(loop);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct stream *s = fake_stream_new(rows[i].kind, &peer,
						   rows[i].host, rows[i].port);

		if (echo_take(e, s) != rows[i].is_taken ||
		    s->accepted != rows[i].is_accepted ||
		    s->refused != (rows[i].is_taken && !rows[i].is_accepted))
			fail_msg("%s", rows[i].why);
		if (s->accepted)
			fake_stream_closed(s, STREAM_OK);
		fake_stream_free(s);
	}
	echo_free(e);
}

static void the_echo_has_limits_for_a_peer_and_for_all(void **state)
{
	enum {
		N = ECHO_FLOWS_MAX + ECHO_PEER_MAX
	};
	static struct stream *s[N + 1];
	struct echo *e = echo_new(loop);

	(void)state;
	for (size_t i = 0; i < ECHO_PEER_MAX + 1; i++) {
		s[i] = fake_stream_new(STREAM_UDP, &peer, ECHO_HOST, ECHO_PORT);
		assert_true(echo_take(e, s[i]));
		assert_int_equal(s[i]->accepted, i < ECHO_PEER_MAX);
	}
	assert_int_equal(s[ECHO_PEER_MAX]->why, STREAM_LIMIT);
	for (size_t i = ECHO_PEER_MAX + 1; i <= N; i++) {
		struct node_id other = { { (uint8_t)i, (uint8_t)(i >> 8), 1 } };

		s[i] = fake_stream_new(STREAM_UDP, &other, ECHO_HOST,
				       ECHO_PORT);
		assert_true(echo_take(e, s[i]));
		assert_int_equal(s[i]->accepted, i <= ECHO_FLOWS_MAX);
	}
	assert_int_equal(echo_counters(e)->n_flows, ECHO_FLOWS_MAX);
	echo_free(e);
	for (size_t i = 0; i <= N; i++) {
		assert_int_equal(s[i]->closed_by_user, s[i]->accepted);
		fake_stream_free(s[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_are_timed_and_losses_counted),
		TEST(only_our_own_datagrams_count_and_once),
		TEST(no_path_is_told_with_its_proof),
		TEST(an_echo_that_refuses_is_told),
		TEST(an_echo_that_says_nothing_times_out),
		TEST(a_path_that_breaks_keeps_what_was_measured),
		TEST(a_cancelled_ping_says_nothing),
		TEST(the_echo_sends_back_in_the_next_turn),
		TEST(the_echo_keeps_few_and_drops_the_rest),
		TEST(the_echo_takes_only_what_is_meant_for_it),
		TEST(the_echo_has_limits_for_a_peer_and_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
