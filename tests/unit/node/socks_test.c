#include "node/socks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "proto/socks5.h"
#include "tests/support/fake_stream.h"
#include "tests/support/local_io.h"

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id peer = { { 2, 2, 2 } };
static const struct node_id alice = { { 5, 5, 5 } };

struct fixture {
	struct loop *loop;
	struct dests *dests;
	struct config *config;
	struct socks *socks;
	uint16_t port;
	int fd; /* a client */
	char host[NAME_ID_TEXT_MAX];
	char why[512];
};

static bool lookup(void *ctx, const char *shortname, struct node_id *out)
{
	(void)ctx;
	if (strcmp(shortname, "alice") != 0)
		return false;
	*out = alice;
	return true;
}

static void begin(struct fixture *f)
{
	union endpoint at;

	assert_int_equal(
		socks_start(f->socks, f->config, f->why, sizeof f->why), 0);
	assert_true(socks_listens_at(f->socks, 0, &at));
	f->port = ntohs(at.in.sin_port);
	f->fd = local_client(f->loop, f->port);
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);

	f->loop = loop_new();
	f->dests = fake_dests_new();
	f->config = mem_new(f->config);
	f->config->socks.enabled = true;
	f->config->socks.listen.n = 1;
	f->config->socks.listen.at[0] = local_at(0);
	f->socks = socks_new(f->loop, f->dests, &net, lookup, NULL);
	name_of_id(f->host, &peer);
	f->fd = -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	socks_free(f->socks);
	loop_free(f->loop);
	fake_dests_free(f->dests);
	free(f->config);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
	return 0;
}

static void client_sends(struct fixture *f, const void *data, size_t len)
{
	assert_true(local_send(f->loop, f->fd, data, len));
}

static void client_gets(struct fixture *f, const void *want, size_t len)
{
	uint8_t got[512];

	assert_true(local_recv(f->loop, f->fd, got, len));
	assert_memory_equal(got, want, len);
}

static void greet(struct fixture *f)
{
	client_sends(f, "\5\1\0", 3);
	client_gets(f, "\5\0", 2);
}

static size_t request(uint8_t *out, uint8_t command, const char *host,
		      uint16_t port)
{
	size_t n = strlen(host);

	memcpy(out, (const uint8_t[]){ 5, command, 0, 3, (uint8_t)n }, 5);
	memcpy(out + 5, host, n);
	out[5 + n] = (uint8_t)(port >> 8);
	out[6 + n] = (uint8_t)port;
	return 7 + n;
}

static void ask(struct fixture *f, uint8_t command, const char *host,
		uint16_t port)
{
	uint8_t out[300];

	client_sends(f, out, request(out, command, host, port));
}

/* The reply's code; -1: none. */
static int reply(struct fixture *f)
{
	uint8_t got[10];

	if (!local_recv(f->loop, f->fd, got, sizeof got))
		return -1;
	assert_int_equal(got[0], 5);
	return got[1];
}

static struct stream *asked(struct fixture *f)
{
	assert_true(f->dests->n_streams > 0);
	return f->dests->streams[f->dests->n_streams - 1];
}

static void reconnect(struct fixture *f)
{
	close(f->fd);
	f->fd = local_client(f->loop, f->port);
}

/* ---- CONNECT ---- */

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

/* ---- users ---- */

static void password_file(struct fixture *f, char path[32], const char *text,
			  mode_t mode)
{
	int fd;

	strcpy(path, "/tmp/socks_test_XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	text_copy(f->config->socks.passwords, sizeof f->config->socks.passwords,
		  path);
}

/* Logs in, connects, and comes back with the tag of the stream. */
static struct dest_tag tag_of(struct fixture *f, const char *said, size_t len)
{
	reconnect(f);
	client_sends(f, "\5\2\0\2", 4);
	client_gets(f, "\5\2", 2);
	client_sends(f, said, len);
	client_gets(f, "\1\0", 2);
	ask(f, SOCKS_CONNECT, f->host, 80);
	local_run_some(f->loop);
	return asked(f)->tag;
}

static void any_user_is_a_tag_without_a_file(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *said;
		size_t len;
	} users[] = {
		{ "\1\3tor\0", 6 }, { "\1\3tor\1x", 7 }, { "\1\3rot\0", 6 },
		{ "\1\1t\2or", 6 }, { "\1\2to\1r", 6 },
	};
	struct dest_tag tags[ARRAY_LEN(users)];

	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct dest_tag again;

		tags[i] = tag_of(f, users[i].said, users[i].len);
		again = tag_of(f, users[i].said, users[i].len);
		assert_memory_equal(&again, &tags[i], sizeof again);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(&tags[k], &tags[i],
						sizeof tags[i]);
	}
}

static void without_a_user_there_is_no_tag(void **state)
{
	static const struct dest_tag none;
	struct fixture *f = *state;

	begin(f);
	greet(f);
	ask(f, SOCKS_CONNECT, f->host, 80);
	local_run_some(f->loop);
	assert_memory_equal(&asked(f)->tag, &none, sizeof none);
}

static void a_password_file_is_required_to_match(void **state)
{
	struct fixture *f = *state;
	char path[32];
	static const struct {
		const char *said;
		size_t len;
		bool ok;
	} cases[] = {
		{ "\1\3ann\6secret", 12, true },
		{ "\1\3bob\4a:b ", 10, true },
		{ "\1\3ann\5secre", 11, false },
		{ "\1\3ann\7secrets", 13, false },
		{ "\1\3bob\6secret", 12, false },
		{ "\1\3eve\0", 6, false },
		{ "\1\0\0", 3, false },
	};

	password_file(f, path, "# users\n\nann:secret\r\nbob:a:b \n", 0600);
	begin(f);
	unlink(path);
	client_sends(f, "\5\1\0", 3);
	client_gets(f, "\5\377", 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		reconnect(f);
		client_sends(f, "\5\2\0\2", 4);
		client_gets(f, "\5\2", 2);
		client_sends(f, cases[i].said, cases[i].len);
		client_gets(f, cases[i].ok ? "\1\0" : "\1\1", 2);
		if (!cases[i].ok)
			assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	}
	assert_int_equal(socks_counts(f->socks)->n_auth_failed, 6);
}

static void a_bad_password_file_is_explained(void **state)
{
	struct fixture *f = *state;
	static char long_line[700];
	const struct {
		const char *text;
		mode_t mode;
		int rv;
		const char *why;
	} cases[] = {
		{ "ann:x\n", 0640, -EPERM, "can be read by others" },
		{ "ann:x\n", 0604, -EPERM, "Run: chmod 600" },
		{ "ann:x\nbob\n", 0600, -EINVAL, ":2: want user:password" },
		{ ":x\n", 0600, -EINVAL, ":1: want user:password" },
		{ "# nobody\n", 0600, -EINVAL, "no user:password line" },
		{ long_line, 0600, -EINVAL, "longer than 255" },
	};

	memset(long_line, 'a', sizeof long_line - 1);
	memcpy(long_line, "ann:", 4);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char path[32];
		int rv;

		password_file(f, path, cases[i].text, cases[i].mode);
		rv = socks_start(f->socks, f->config, f->why, sizeof f->why);
		unlink(path);
		assert_int_equal(rv, cases[i].rv);
		assert_non_null(strstr(f->why, cases[i].why));
	}
	text_copy(f->config->socks.passwords, sizeof f->config->socks.passwords,
		  "/nonexistent");
	assert_int_equal(
		socks_start(f->socks, f->config, f->why, sizeof f->why),
		-ENOENT);
	assert_non_null(strstr(f->why, "/nonexistent"));
}

static void a_port_in_use_is_explained(void **state)
{
	struct fixture *f = *state;
	uint16_t port;
	int fd = local_server(&port);

	f->config->socks.listen.n = 2;
	f->config->socks.listen.at[1] = local_at(port);
	assert_int_equal(
		socks_start(f->socks, f->config, f->why, sizeof f->why),
		-EADDRINUSE);
	assert_non_null(strstr(f->why, "for SOCKS: address already in use"));
	close(fd);
}

/* ---- UDP ---- */

static uint16_t associate(struct fixture *f)
{
	uint8_t got[10];

	greet(f);
	client_sends(f, "\5\3\0\1\0\0\0\0\0\0", 10);
	assert_true(local_recv(f->loop, f->fd, got, sizeof got));
	assert_memory_equal(got, "\5\0\0\1\177\0\0\1", 8);
	return (uint16_t)(got[8] << 8 | got[9]);
}

static size_t datagram(uint8_t *out, const char *host, uint16_t port,
		       const char *payload)
{
	size_t n = request(out, 0, host, port);

	out[0] = 0;
	memcpy(out + n, payload, strlen(payload));
	return n + strlen(payload);
}

static void udp_sends(struct fixture *f, int udp, uint16_t to, const void *data,
		      size_t len)
{
	union endpoint e = local_at(to);

	sendto(udp, data, len, 0, &e.sa, sizeof e.in);
	local_run_some(f->loop);
}

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
		CASE(any_user_is_a_tag_without_a_file),
		CASE(without_a_user_there_is_no_tag),
		CASE(a_password_file_is_required_to_match),
		CASE(a_bad_password_file_is_explained),
		CASE(a_port_in_use_is_explained),
		CASE(datagrams_go_both_ways_in_their_wrapping),
		CASE(each_target_has_its_stream),
		CASE(what_may_not_pass_is_counted),
		CASE(the_queue_of_an_opening_flow_is_bounded),
		CASE(a_flow_that_failed_is_not_asked_for_at_once),
		CASE(an_association_ends_with_its_connection),
		CASE(the_client_may_go_at_any_time),
		CASE(the_server_may_end_at_any_time),
		CASE(many_connections_at_once),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
