#include "tests/support/fake_stream.h"
#include "tests/unit/node/socks_help.h"

static void a_name_is_connected_and_bridged(void **state)
{
	struct fixture *f = *state;
	struct stream *s;

	begin(f);
	greet(f);
	ask(f, SOCKS_CONNECT, f->host, 8080);
	local_run_some(f->loop);
	s = asked(f);
	assert_true(id_equal(&s->peer, &peer));
	assert_int_equal(s->kind, STREAM_TCP);
	assert_string_equal(s->host, f->host);
	assert_int_equal(s->port, 8080);

	fake_stream_open(s);
	assert_int_equal(reply(f), SOCKS_REPLY_OK);
	client_sends(f, "GET /", 5);
	local_run_some(f->loop);
	assert_memory_equal(s->sent, "GET /", 5);
	fake_stream_feed(s, "200", 3);
	client_gets(f, "200", 3);
	fake_stream_end(s);
	assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	shutdown(f->fd, SHUT_WR);
	local_run_some(f->loop);
	assert_true(s->end_sent);
	fake_stream_closed(s, STREAM_OK);
	assert_int_equal(socks_counts(f->socks)->n_open, 0);
	assert_int_equal(socks_counts(f->socks)->bridges.n_clean, 1);
}

static void whom_an_address_means(void **state)
{
	struct fixture *f = *state;
	char own_addr[ADDR_TEXT_MAX], label[64], upper[32], alice_host[32];
	const struct addr far = addr_of(&net, &peer);
	const struct {
		const char *why;
		const char *host;
		const char *want_host; /* NULL: refused */
		int reply;
	} cases[] = {
		{ "an id", f->host, f->host, 0 },
		{ "with a label", label, label, 0 },
		{ "in upper case", upper, f->host, 0 },
		{ "a short name", "alice.fuse", alice_host, 0 },
		{ "an overlay address as text", own_addr, f->host, 0 },
		{ "an unknown short name", "mallory.fuse", NULL, 4 },
		{ "a malformed id", "faqmce7yybsswacz.fuse.fuse.fuse", NULL,
		  4 },
		{ "an empty name", ".fuse", NULL, 4 },
		{ "a public name", "example.org", NULL, 2 },
		{ "a public address", "192.0.2.1", NULL, 2 },
		{ "another cluster", "fdcc:909:909::1", NULL, 3 },
		{ "a public IPv6 address", "2001:db8::1", NULL, 2 },
		{ "our loopback", "::1", NULL, 2 },
		{ "localhost", "localhost", NULL, 2 },
	};

	addr_text(own_addr, &far);
	name_of_id(alice_host, &alice);
	snprintf(label, sizeof label, "web.%s", f->host);
	for (size_t i = 0; i <= strlen(f->host); i++)
		upper[i] = f->host[i] >= 'a' && f->host[i] <= 'z'
				   ? (char)(f->host[i] - 32)
				   : f->host[i];
	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t before = f->dests->n_streams;

		reconnect(f);
		greet(f);
		ask(f, SOCKS_CONNECT, cases[i].host, 80);
		local_run_some(f->loop);
		if (cases[i].want_host != NULL) {
			assert_int_equal(f->dests->n_streams, before + 1);
			assert_string_equal(asked(f)->host, cases[i].want_host);
			fake_stream_open(asked(f));
		} else {
			assert_int_equal(f->dests->n_streams, before);
		}
		if (reply(f) != cases[i].reply)
			fail_msg("%s", cases[i].why);
	}
}

/* The rest of the digest is for the far end's certificate to match. */
static void a_full_digest_is_expected_of_the_far_end(void **state)
{
	static const char digest[] =
		"a3r73d62fg5wbk2zkv66mhw3blwnwiyrgs7dbz23ivpy4g3zf6uq";
	static const uint8_t spki_hash[HASH_LEN] = {
		0x06, 0xe3, 0xfd, 0x8f, 0xda, 0x29, 0xbb, 0x60,
		0xab, 0x59, 0x55, 0x7d, 0xe6, 0x1e, 0xdb, 0x0a,
		0xec, 0xdb, 0x23, 0x11, 0x34, 0xbe, 0x30, 0xe7,
		0x5b, 0x45, 0x5f, 0x8e, 0x1b, 0x79, 0x2f, 0xa9,
	};
	struct fixture *f = *state;
	char host[80];

	snprintf(host, sizeof host, "%s.fuse", digest);
	begin(f);
	greet(f);
	ask(f, SOCKS_CONNECT, host, 80);
	local_run_some(f->loop);
	assert_memory_equal(asked(f)->peer.b, spki_hash, ID_LEN);
	assert_string_equal(asked(f)->host, "a3r73d62fg5wbk2z.fuse");
	assert_true(asked(f)->has_expected);
	assert_memory_equal(asked(f)->expected.b, spki_hash, HASH_LEN);
	fake_stream_closed(asked(f), STREAM_HOST_UNKNOWN);
	assert_int_equal(reply(f), SOCKS_REPLY_HOST_UNREACHABLE);

	reconnect(f);
	greet(f);
	ask(f, SOCKS_CONNECT, f->host, 80);
	local_run_some(f->loop);
	assert_false(asked(f)->has_expected);
}

static void addresses_mean_the_same_in_binary(void **state)
{
	struct fixture *f = *state;
	const struct addr far = addr_of(&net, &peer);
	uint8_t out[22] = { 5, 1, 0, 4 };

	begin(f);
	greet(f);
	memcpy(out + 4, far.b, 16);
	out[21] = 22;
	client_sends(f, out, sizeof out);
	local_run_some(f->loop);
	assert_true(id_equal(&asked(f)->peer, &peer));
	assert_string_equal(asked(f)->host, f->host);
	assert_int_equal(asked(f)->port, 22);

	reconnect(f);
	greet(f);
	out[6] ^= 1;
	client_sends(f, out, sizeof out);
	assert_int_equal(reply(f), SOCKS_REPLY_NET_UNREACHABLE);

	reconnect(f);
	greet(f);
	client_sends(f, "\5\1\0\1\12\0\0\1\0\120", 10);
	assert_int_equal(reply(f), SOCKS_REPLY_NOT_ALLOWED);
}

static void every_failure_has_its_reply(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum stream_error error;
		int reply;
	} cases[] = {
		{ STREAM_OK, 1 },
		{ STREAM_UNREACHABLE, 4 },
		{ STREAM_NOT_ALLOWED, 2 },
		{ STREAM_REFUSED, 5 },
		{ STREAM_TIMED_OUT, 4 },
		{ STREAM_HOST_UNKNOWN, 4 },
		{ STREAM_NET_UNREACHABLE, 3 },
		{ STREAM_RESET, 1 },
		{ STREAM_LIMIT, 1 },
		{ STREAM_UNSUPPORTED, 1 },
	};

	assert_int_equal(ARRAY_LEN(cases), STREAM_ERRORS);
	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		reconnect(f);
		greet(f);
		ask(f, SOCKS_CONNECT, f->host, 80);
		local_run_some(f->loop);
		fake_stream_closed(asked(f), cases[i].error);
		assert_int_equal(reply(f), cases[i].reply);
		assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	}
	close(f->fd);
	f->fd = -1;
	local_run_some(f->loop);
	assert_int_equal(socks_counts(f->socks)->n_open, 0);
}

static void other_commands_and_addresses_have_theirs(void **state)
{
	struct fixture *f = *state;

	begin(f);
	greet(f);
	ask(f, SOCKS_BIND, f->host, 80);
	assert_int_equal(reply(f), SOCKS_REPLY_COMMAND);
	reconnect(f);
	greet(f);
	ask(f, 9, f->host, 80);
	assert_int_equal(reply(f), SOCKS_REPLY_COMMAND);
	reconnect(f);
	greet(f);
	client_sends(f, "\5\1\0\7\0\0\0\0\0\0", 10);
	assert_int_equal(reply(f), SOCKS_REPLY_ADDRESS_TYPE);
}

/* What follows the request at once goes first, once the stream is open. */
static void early_data_is_kept(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300] = { 5, 1, 0 };
	size_t n = 3 + request(out + 3, SOCKS_CONNECT, f->host, 80);

	begin(f);
	memcpy(out + n, "early", 5);
	client_sends(f, out, n + 5);
	client_gets(f, "\5\0", 2);
	client_sends(f, " bird", 5);
	shutdown(f->fd, SHUT_WR);
	local_run_some(f->loop);
	fake_stream_open(asked(f));
	assert_int_equal(reply(f), SOCKS_REPLY_OK);
	assert_int_equal(asked(f)->n_sent, 10);
	assert_memory_equal(asked(f)->sent, "early bird", 10);
	assert_true(asked(f)->end_sent);
}

static void early_data_is_bounded(void **state)
{
	struct fixture *f = *state;
	static uint8_t piece[65536];
	size_t sent = 0;

	begin(f);
	greet(f);
	ask(f, SOCKS_CONNECT, f->host, 80);
	local_run_some(f->loop);
	for (int i = 0; i < 2000; i++) {
		ssize_t n = send(f->fd, piece, sizeof piece, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
	}
	assert_true(sent < 2000 * sizeof piece);
	asked(f)->room = SIZE_MAX / 2;
	fake_stream_open(asked(f));
	assert_int_equal(asked(f)->n_sent, SOCKS_EARLY_MAX);
	shutdown(f->fd, SHUT_WR);
	while (!asked(f)->end_sent)
		local_run_some(f->loop);
	assert_int_equal(asked(f)->n_sent, sent);
}

static void a_byte_at_a_time_will_do(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300] = { 5, 2, 0, 1 };
	size_t n = 4 + request(out + 4, SOCKS_CONNECT, f->host, 80);

	begin(f);
	for (size_t i = 0; i < n; i++)
		client_sends(f, out + i, 1);
	local_run_some(f->loop);
	assert_int_equal(asked(f)->port, 80);
}

/* ---- what is no SOCKS ---- */

static void other_protocols_are_closed_and_counted(void **state)
{
	struct fixture *f = *state;
	static const char *const said[] = {
		"GET http://x.fuse/ HTTP/1.1\r\n\r\n",
		"CONNECT x.fuse:80 HTTP/1.1\r\n\r\n",
		"\4\1\0\120\0\0\0\1x",
		"\26\3\1\2",
	};

	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		reconnect(f);
		client_sends(f, said[i], strlen(said[i]) + 1);
		assert_true(local_next(f->loop, f->fd) == LOCAL_EOF ||
			    local_next(f->loop, f->fd) == LOCAL_RESET);
	}
	assert_int_equal(socks_counts(f->socks)->n_not_socks, ARRAY_LEN(said));
	assert_int_equal(socks_counts(f->socks)->n_open, 0);
}

static void a_malformed_message_is_closed_and_counted(void **state)
{
	struct fixture *f = *state;

	begin(f);
	client_sends(f, "\5\0", 2);
	assert_int_not_equal(local_next(f->loop, f->fd), LOCAL_DATA);
	reconnect(f);
	greet(f);
	client_sends(f, "\5\1\0\3\0\0\120", 7);
	assert_int_not_equal(local_next(f->loop, f->fd), LOCAL_DATA);
	assert_int_equal(socks_counts(f->socks)->n_malformed, 2);
}

/* ---- ends, in every state ---- */

static void the_client_may_go_at_any_time(void **state)
{
	struct fixture *f = *state;
	struct linger hard = { 1, 0 };

	begin(f);
	for (int stage = 0; stage < 8; stage++) {
		struct stream *s = NULL;

		reconnect(f);
		if (stage / 2 >= 1)
			greet(f);
		if (stage / 2 >= 2) {
			ask(f, SOCKS_CONNECT, f->host, 80);
			local_run_some(f->loop);
			s = asked(f);
		}
		if (stage / 2 == 3)
			fake_stream_open(s);
		if (stage % 2 == 1)
			setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &hard,
				   sizeof hard);
		close(f->fd);
		f->fd = -1;
		local_run_some(f->loop);
		/* A FIN may be a half-close: the rest is the far end's. */
		if (s != NULL && !s->gone) {
			assert_int_equal(stage % 2, 0);
			fake_stream_closed(s, STREAM_RESET);
		}
		local_run_some(f->loop);
		assert_int_equal(socks_counts(f->socks)->n_open, 0);
	}
}

static void the_server_may_end_at_any_time(void **state)
{
	struct fixture *f = *state;
	uint8_t out[300];
	uint16_t port, client_port;
	int udp = local_udp(&client_port);
	int fds[6];

	begin(f);
	for (int i = 0; i < 6; i++) {
		f->fd = i == 0 ? f->fd : local_client(f->loop, f->port);
		fds[i] = f->fd;
		if (i == 0)
			continue;
		if (i == 5) {
			port = associate(f);
			udp_sends(f, udp, port, out,
				  datagram(out, f->host, 53, "x"));
			continue;
		}
		greet(f);
		if (i == 1)
			continue;
		ask(f, SOCKS_CONNECT, i == 4 ? "x.org" : f->host, 80);
		local_run_some(f->loop);
		if (i == 3)
			fake_stream_open(asked(f));
	}
	local_run_some(f->loop);
	assert_int_equal(socks_counts(f->socks)->n_open, 6);
	socks_free(f->socks);
	f->socks = NULL;
	for (size_t i = 0; i < f->dests->n_streams; i++)
		assert_true(f->dests->streams[i]->closed_by_user);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	f->fd = -1;
	close(udp);
}

static void many_connections_at_once(void **state)
{
	struct fixture *f = *state;
	enum {
		N = 300
	};
	int fds[N];

	begin(f);
	close(f->fd);
	for (int i = 0; i < N; i++) {
		uint8_t out[300] = { 5, 1, 0 };
		union endpoint to = local_at(f->port);
		size_t n = 3 + request(out + 3, SOCKS_CONNECT, f->host,
				       (uint16_t)(i + 1));

		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], &to.sa, sizeof to.in), 0);
		assert_int_equal(send(fds[i], out, n, MSG_NOSIGNAL), n);
		uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
	}
	local_run_some(f->loop);
	assert_int_equal(f->dests->n_streams, N);
	for (int i = 0; i < N; i++)
		fake_stream_open(f->dests->streams[i]);
	for (int i = 0; i < N; i++) {
		uint8_t got[12];

		assert_true(local_recv(f->loop, fds[i], got, sizeof got));
		assert_memory_equal(got, "\5\0\5\0", 4);
		close(fds[i]);
	}
	f->fd = -1;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_name_is_connected_and_bridged),
		CASE(whom_an_address_means),
		CASE(a_full_digest_is_expected_of_the_far_end),
		CASE(addresses_mean_the_same_in_binary),
		CASE(every_failure_has_its_reply),
		CASE(other_commands_and_addresses_have_theirs),
		CASE(early_data_is_kept),
		CASE(early_data_is_bounded),
		CASE(a_byte_at_a_time_will_do),
		CASE(other_protocols_are_closed_and_counted),
		CASE(a_malformed_message_is_closed_and_counted),
		CASE(the_client_may_go_at_any_time),
		CASE(the_server_may_end_at_any_time),
		CASE(many_connections_at_once),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
