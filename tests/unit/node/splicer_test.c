#include "node/splice/splicer.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/fake_stream.h"
#include "tests/support/ip6_packet.h"
#include "tests/support/local_io.h"

/* Our overlay address and the peer's are both ::1 here: what our socket
 * connects to is a server of the test's, in the place of the app. */
static const struct overlay_net net;
static const struct node_id us = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } };
static const struct node_id peer = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } };

enum {
	APP = 40000,
	RST_AND_ACK = 0x14,
	FLAGS_AT = 53,
};

struct fixture {
	struct loop *loop;
	struct dests *dests;
	struct splicer *splicer;
	struct addr self;
	int app;
	uint16_t port;
	uint8_t syn[IP6_TEST_BYTES];
	size_t len;
	uint8_t written[IP6_TEST_BYTES];
	size_t n_written, n_passed, n_unreachable;
};

static void write_io(void *ctx, const uint8_t *packet, size_t len)
{
	struct fixture *f = ctx;

	memcpy(f->written, packet, len);
	f->n_written++;
}

static void pass_io(void *ctx, const struct node_id *id, const uint8_t *packet,
		    size_t len)
{
	struct fixture *f = ctx;

	assert_true(id_equal(id, &peer));
	assert_int_equal(len, f->len);
	assert_memory_equal(packet, f->syn, len);
	f->n_passed++;
}

static void unreachable_io(void *ctx, const uint8_t *packet, size_t len)
{
	struct fixture *f = ctx;

	assert_int_equal(len, f->len);
	assert_memory_equal(packet, f->syn, len);
	f->n_unreachable++;
}

static const struct splicer_io io = {
	.write = write_io,
	.pass = pass_io,
	.unreachable = unreachable_io,
};

/* A server at ::1. */
static int listen_here(uint16_t *port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6,
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin6_port);
	return fd;
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);
	uint8_t secret[16] = { 0 };

	f->loop = loop_new();
	f->dests = fake_dests_new();
	f->self = addr_of(&net, &us);
	f->app = listen_here(&f->port);
	/* Our first socket connects to it. */
	secret[0] = (uint8_t)((f->port - 1) >> 8);
	secret[1] = (uint8_t)(f->port - 1);
	f->splicer = splicer_new(f->loop, f->dests, &net, &us, secret, &io, f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	splicer_free(f->splicer);
	loop_free(f->loop);
	fake_dests_free(f->dests);
	close(f->app);
	free(f);
	return 0;
}

/* As the TUN does it. */
static bool app_sends_syn(struct fixture *f, uint16_t port)
{
	f->len = ip6_packet_tcp(f->syn, &f->self, &f->self, port, f->port,
				TCP_FLAG_SYN);
	return splicer_out(f->splicer, &peer, f->syn, &f->len, false) ==
		       TUN_SPLICE_BEGINS &&
	       splicer_begin(f->splicer, &peer, f->syn, f->len);
}

static struct stream *last_asked(struct fixture *f)
{
	return f->dests->streams[f->dests->n_streams - 1];
}

static size_t n_flows(const struct fixture *f)
{
	return splicer_table(f->splicer)->n_flows;
}

struct awaited {
	struct fixture *f;
	int fd;
};

static bool is_accepted(void *ctx)
{
	struct awaited *a = ctx;

	if (a->fd < 0)
		a->fd = accept4(a->f->app, NULL, NULL, SOCK_NONBLOCK);
	return a->fd >= 0;
}

static bool is_joined(void *ctx)
{
	struct awaited *a = ctx;

	return splicer_counts(a->f->splicer)->n_joined > 0;
}

static void a_syn_asks_for_a_stream(void **state)
{
	struct fixture *f = *state;
	struct stream *s;

	assert_true(app_sends_syn(f, APP));
	s = last_asked(f);
	assert_true(id_equal(&s->peer, &peer));
	assert_int_equal(s->kind, STREAM_TCP);
	assert_int_equal(stream_port(s), f->port);
	assert_int_equal(stream_source(s), APP);
	assert_int_equal(f->n_passed + f->n_written, 0);
	assert_int_equal(n_flows(f), 1);
}

static void switched_off_nothing_begins(void **state)
{
	struct fixture *f = *state;

	splicer_set_on(f->splicer, false);
	assert_false(app_sends_syn(f, APP));
	assert_int_equal(f->dests->n_streams, 0);
	splicer_set_on(f->splicer, true);
	assert_true(app_sends_syn(f, APP));
}

static void what_each_refusal_does(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum stream_error why;
		size_t n_passed, n_written, n_unreachable;
	} cases[] = {
		{ STREAM_REFUSED, 0, 1, 0 },
		{ STREAM_UNREACHABLE, 0, 0, 1 },
		{ STREAM_TIMED_OUT, 0, 0, 0 },
		{ STREAM_NOT_ALLOWED, 1, 0, 0 },
		{ STREAM_HOST_UNKNOWN, 1, 0, 0 },
		{ STREAM_NET_UNREACHABLE, 1, 0, 0 },
		{ STREAM_RESET, 1, 0, 0 },
		{ STREAM_LIMIT, 1, 0, 0 },
		{ STREAM_UNSUPPORTED, 1, 0, 0 }, /* the last: see below */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		f->n_passed = f->n_written = f->n_unreachable = 0;
		assert_true(app_sends_syn(f, (uint16_t)(APP + i)));
		fake_stream_closed(last_asked(f), cases[i].why);
		if (f->n_passed != cases[i].n_passed ||
		    f->n_written != cases[i].n_written ||
		    f->n_unreachable != cases[i].n_unreachable)
			fail_msg("case %zu", i);
		if (cases[i].n_written > 0)
			assert_int_equal(f->written[FLAGS_AT], RST_AND_ACK);
	}
	/* It is not asked again. */
	assert_false(app_sends_syn(f, 50000));
	assert_int_equal(splicer_counts(f->splicer)->n_elsewhere, 1);
}

/* The app's end, and the stream. */
static int joined(struct fixture *f, struct stream **s)
{
	struct awaited a = { f, -1 };

	assert_true(app_sends_syn(f, APP));
	*s = last_asked(f);
	fake_stream_open(*s);
	assert_true(local_run_until(f->loop, is_accepted, &a));
	assert_true(local_run_until(f->loop, is_joined, &a));
	return a.fd;
}

static void the_stream_is_joined_to_the_app(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	char got[16];
	int fd = joined(f, &s);

	assert_true(local_send(f->loop, fd, "up", 2));
	local_run_some(f->loop);
	assert_int_equal(s->n_sent, 2);
	assert_memory_equal(s->sent, "up", 2);
	fake_stream_feed(s, "down", 4);
	assert_true(local_recv(f->loop, fd, got, 4));
	assert_memory_equal(got, "down", 4);
	fake_stream_end(s);
	assert_int_equal(local_next(f->loop, fd), LOCAL_EOF);
	close(fd);
}

static void what_the_service_says_first_is_kept(void **state)
{
	struct fixture *f = *state;
	struct awaited a = { f, -1 };
	struct stream *s;
	char got[16];

	assert_true(app_sends_syn(f, APP));
	s = last_asked(f);
	fake_stream_open(s);
	fake_stream_feed(s, "banner", 6);
	fake_stream_end(s);
	assert_true(local_run_until(f->loop, is_accepted, &a));
	assert_true(local_run_until(f->loop, is_joined, &a));
	assert_true(local_recv(f->loop, a.fd, got, 6));
	assert_memory_equal(got, "banner", 6);
	assert_int_equal(local_next(f->loop, a.fd), LOCAL_EOF);
	close(a.fd);
}

static void a_reset_stream_resets_the_app(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	int fd = joined(f, &s);

	fake_stream_closed(s, STREAM_RESET);
	assert_int_equal(local_next(f->loop, fd), LOCAL_RESET);
	assert_int_equal(splicer_bridged(f->splicer)->n_open, 0);
	close(fd);
}

static void an_app_that_has_gone_resets_the_stream(void **state)
{
	struct fixture *f = *state;
	struct stream *s;

	close(f->app); /* its kernel refuses */
	f->app = -1;
	assert_true(app_sends_syn(f, APP));
	s = last_asked(f);
	fake_stream_open(s);
	local_run_some(f->loop);
	assert_true(s->closed_by_user);
	assert_int_equal(s->why, STREAM_RESET);
	assert_int_equal(f->n_passed, 0);
	assert_int_equal(splicer_counts(f->splicer)->n_blocked, 0);
}

static void a_stream_that_ends_before_the_app_is_let_in(void **state)
{
	struct fixture *f = *state;
	struct stream *s;

	assert_true(app_sends_syn(f, APP));
	s = last_asked(f);
	fake_stream_open(s);
	fake_stream_closed(s, STREAM_RESET);
	assert_int_equal(f->n_written, 1);
	assert_int_equal(f->written[FLAGS_AT], RST_AND_ACK);
	local_run_some(f->loop);
	assert_int_equal(splicer_counts(f->splicer)->n_joined, 0);
}

static void stopping_resets_all(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	int fd = joined(f, &s);

	assert_true(app_sends_syn(f, APP + 1));
	splicer_stop(f->splicer);
	assert_true(s->closed_by_user);
	assert_int_equal(f->n_written, 1); /* the held one is told by hand */
	assert_int_equal(local_next(f->loop, fd), LOCAL_RESET);
	assert_false(app_sends_syn(f, APP + 2));
	close(fd);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void nothing_failed(void *ctx, int rv)
{
	(void)ctx;
	(void)rv;
}

static void a_served_flow_connects_from_a_port_of_its_own(void **state)
{
	static const struct tcp_events ev = { .connected = nothing,
					      .failed = nothing_failed };
	struct fixture *f = *state;
	struct tun_splice_flow *flow, *none;
	struct awaited a = { f, -1 };
	struct tcp *t =
		splicer_connect(f->splicer, &peer, 80, f->port, &ev, f, &flow);

	assert_non_null(t);
	assert_true(local_run_until(f->loop, is_accepted, &a));
	assert_int_equal(splicer_counts(f->splicer)->n_served, 1);
	/* The same app at the same port is one connection. */
	assert_null(
		splicer_connect(f->splicer, &peer, 80, f->port, &ev, f, &none));
	assert_null(none);
	tcp_reset(t);
	splicer_leave(f->splicer, flow);
	close(a.fd);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_syn_asks_for_a_stream),
		T(switched_off_nothing_begins),
		T(what_each_refusal_does),
		T(the_stream_is_joined_to_the_app),
		T(what_the_service_says_first_is_kept),
		T(a_reset_stream_resets_the_app),
		T(an_app_that_has_gone_resets_the_stream),
		T(a_stream_that_ends_before_the_app_is_let_in),
		T(stopping_resets_all),
		T(a_served_flow_connects_from_a_port_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
