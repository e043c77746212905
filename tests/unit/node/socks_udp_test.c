/* UDP ASSOCIATE. */
#include "tests/support/fake_stream.h"
#include "tests/unit/node/socks_help.h"

static void datagrams_go_both_ways_in_their_wrapping(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300], got[300];
	union endpoint from;
	uint16_t port, client_port;
	int udp = local_udp(&client_port);
	size_t n;

	begin(f);
	port = associate(f);
	n = datagram(out, f->host, 53, "first");
	udp_sends(f, udp, port, out, n);
	assert_int_equal(f->dests->n_streams, 1);
	assert_int_equal(asked(f)->kind, STREAM_UDP);
	assert_string_equal(asked(f)->host, f->host);
	assert_int_equal(asked(f)->port, 53);
	/* It waits until the stream is open. */
	assert_int_equal(asked(f)->n_datagrams, 0);
	udp_sends(f, udp, port, out, datagram(out, f->host, 53, "next"));
	fake_stream_open(asked(f));
	assert_int_equal(asked(f)->n_datagrams, 2);
	assert_memory_equal(asked(f)->sent, "next", 4);
	assert_int_equal(f->dests->n_streams, 1);

	fake_stream_feed(asked(f), "answer", 6);
	n = (size_t)local_recv_datagram(f->loop, udp, got, sizeof got, &from);
	assert_int_equal(ntohs(from.in.sin_port), port);
	assert_int_equal(n, datagram(out, f->host, 53, "answer"));
	assert_memory_equal(got, out, n);
	close(udp);
}

static void each_target_has_its_stream(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300];
	uint16_t port, client_port;
	int udp = local_udp(&client_port);

	begin(f);
	port = associate(f);
	for (uint16_t i = 1; i <= SOCKS_FLOWS_MAX; i++)
		udp_sends(f, udp, port, out, datagram(out, f->host, i, "x"));
	assert_int_equal(f->dests->n_streams, SOCKS_FLOWS_MAX);
	/* The first is used again, so the second is the oldest. */
	udp_sends(f, udp, port, out, datagram(out, f->host, 1, "x"));
	udp_sends(f, udp, port, out, datagram(out, f->host, 1000, "x"));
	assert_int_equal(f->dests->n_streams, SOCKS_FLOWS_MAX + 1);
	assert_false(f->dests->streams[0]->gone);
	assert_true(f->dests->streams[1]->closed_by_user);
	close(udp);
}

static void what_may_not_pass_is_counted(void **state)
{
	struct fixture *f = *state;
	const struct socks_counts *n = socks_counts(f->socks);
	uint8_t out[2000];
	uint16_t port, client_port;
	int udp = local_udp(&client_port), stranger = local_udp(&client_port);
	size_t len;

	begin(f);
	port = associate(f);
	len = datagram(out, f->host, 53, "x");
	udp_sends(f, udp, port, out, len);
	assert_int_equal(f->dests->n_streams, 1);
	udp_sends(f, stranger, port, out, len);
	assert_int_equal(n->n_datagrams_strange, 1);
	out[2] = 1; /* a fragment */
	udp_sends(f, udp, port, out, len);
	udp_sends(f, udp, port, "", 0);
	udp_sends(f, udp, port, "garbage", 7);
	udp_sends(f, udp, port, out, datagram(out, "example.org", 53, "x"));
	assert_int_equal(n->n_datagrams_refused, 4);
	assert_int_equal(f->dests->n_streams, 1);

	fake_stream_open(asked(f));
	len = datagram(out, f->host, 53, "");
	memset(out + len, 'x', 1201);
	udp_sends(f, udp, port, out, len + 1201);
	assert_int_equal(n->n_datagrams_dropped, 1);
	close(udp);
	close(stranger);
}

static void the_queue_of_an_opening_flow_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300];
	uint16_t port, client_port;
	int udp = local_udp(&client_port);

	begin(f);
	port = associate(f);
	for (int i = 0; i < SOCKS_FLOW_WAIT_MAX + 5; i++)
		udp_sends(f, udp, port, out, datagram(out, f->host, 53, "x"));
	assert_int_equal(socks_counts(f->socks)->n_datagrams_dropped, 5);
	fake_stream_open(asked(f));
	assert_int_equal(asked(f)->n_datagrams, SOCKS_FLOW_WAIT_MAX);
	close(udp);
}

static void a_flow_that_failed_is_not_asked_for_at_once(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300];
	uint16_t port, client_port;
	int udp = local_udp(&client_port);
	size_t len;

	begin(f);
	port = associate(f);
	len = datagram(out, f->host, 53, "x");
	udp_sends(f, udp, port, out, len);
	fake_stream_closed(asked(f), STREAM_UNREACHABLE);
	udp_sends(f, udp, port, out, len);
	assert_int_equal(f->dests->n_streams, 1);
	close(udp);
}

static void an_association_ends_with_its_connection(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300];
	uint16_t port, client_port;
	int udp = local_udp(&client_port);
	union endpoint e;
	int error = 0;
	socklen_t len = sizeof error;

	begin(f);
	port = associate(f);
	udp_sends(f, udp, port, out, datagram(out, f->host, 53, "x"));
	close(f->fd);
	f->fd = -1;
	local_run_some(f->loop);
	assert_true(asked(f)->closed_by_user);
	assert_int_equal(socks_counts(f->socks)->n_open, 0);
	e = local_at(port);
	assert_int_equal(connect(udp, &e.sa, sizeof e.in), 0);
	assert_int_equal(send(udp, "x", 1, 0), 1);
	local_run_some(f->loop);
	getsockopt(udp, SOL_SOCKET, SO_ERROR, &error, &len);
	assert_int_equal(error, ECONNREFUSED);
	close(udp);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(datagrams_go_both_ways_in_their_wrapping),
		CASE(each_target_has_its_stream),
		CASE(what_may_not_pass_is_counted),
		CASE(the_queue_of_an_opening_flow_is_bounded),
		CASE(a_flow_that_failed_is_not_asked_for_at_once),
		CASE(an_association_ends_with_its_connection),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
