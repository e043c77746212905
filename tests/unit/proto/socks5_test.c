#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/socks5.h"

#define TEXT(s) (const uint8_t *)(s), sizeof(s) - 1

static void greetings(void **state)
{
	static const struct {
		const char *why;
		const uint8_t *data;
		size_t len;
		enum socks_verdict want;
		size_t used;
		bool no_auth;
		bool password;
	} cases[] = {
		{ "nothing yet", TEXT(""), SOCKS_MORE, 0, 0, 0 },
		{ "a version", TEXT("\5"), SOCKS_MORE, 0, 0, 0 },
		{ "methods to come", TEXT("\5\2\0"), SOCKS_MORE, 0, 0, 0 },
		{ "no authentication", TEXT("\5\1\0"), SOCKS_OK, 3, true,
		  false },
		{ "curl's", TEXT("\5\2\0\1"), SOCKS_OK, 4, true, false },
		{ "password only", TEXT("\5\1\2"), SOCKS_OK, 3, false, true },
		{ "both, request behind", TEXT("\5\2\2\0\5\1"), SOCKS_OK, 4,
		  true, true },
		{ "GSSAPI only", TEXT("\5\1\1"), SOCKS_OK, 3, false, false },
		{ "no method at all", TEXT("\5\0"), SOCKS_MALFORMED, 0, 0, 0 },
		{ "SOCKS4", TEXT("\4\1"), SOCKS_NOT_SOCKS5, 0, 0, 0 },
		{ "HTTP GET", TEXT("GET / HTTP/1.1\r\n"), SOCKS_NOT_SOCKS5, 0,
		  0, 0 },
		{ "HTTP CONNECT, one byte of it", TEXT("C"), SOCKS_NOT_SOCKS5,
		  0, 0, 0 },
		{ "TLS", TEXT("\x16\3\1"), SOCKS_NOT_SOCKS5, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct socks_greeting g = { 0 };
		size_t used = 0;
		enum socks_verdict v = socks_greeting_parse(
			&g, cases[i].data, cases[i].len, &used);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		assert_int_equal(used, cases[i].used);
		assert_int_equal(g.no_auth, cases[i].no_auth);
		assert_int_equal(g.password, cases[i].password);
	}
}

static void credentials(void **state)
{
	static const struct {
		const char *why;
		const uint8_t *data;
		size_t len;
		enum socks_verdict want;
		size_t used;
		const char *user;
		const char *password;
	} cases[] = {
		{ "nothing yet", TEXT(""), SOCKS_MORE, 0, "", "" },
		{ "half a user", TEXT("\1\5ali"), SOCKS_MORE, 0, "", "" },
		{ "half a password", TEXT("\1\2me\3ab"), SOCKS_MORE, 0, "",
		  "" },
		{ "both", TEXT("\1\2me\3abcX"), SOCKS_OK, 8, "me", "abc" },
		{ "an empty password", TEXT("\1\2me\0"), SOCKS_OK, 5, "me",
		  "" },
		{ "both empty", TEXT("\1\0\0"), SOCKS_OK, 3, "", "" },
		{ "a NUL in the user", TEXT("\1\2m\0"), SOCKS_MALFORMED, 0, "",
		  "" },
		{ "a NUL in the password", TEXT("\1\1m\2p\0"), SOCKS_MALFORMED,
		  0, "", "" },
		{ "another version", TEXT("\5\1m\1p"), SOCKS_MALFORMED, 0, "",
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct socks_credentials c = { "", "" };
		size_t used = 0;
		enum socks_verdict v = socks_credentials_parse(
			&c, cases[i].data, cases[i].len, &used);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		assert_int_equal(used, cases[i].used);
		assert_string_equal(c.user, cases[i].user);
		assert_string_equal(c.password, cases[i].password);
	}
}

static void credentials_of_255_bytes_fit(void **state)
{
	uint8_t data[1 + 256 + 256] = { 1, 255 };
	struct socks_credentials c;
	size_t used;

	(void)state;
	memset(data + 2, 'u', 255);
	data[257] = 255;
	memset(data + 258, 'p', 255);
	for (size_t len = 0; len < sizeof data; len++)
		assert_int_equal(socks_credentials_parse(&c, data, len, &used),
				 SOCKS_MORE);
	assert_int_equal(socks_credentials_parse(&c, data, sizeof data, &used),
			 SOCKS_OK);
	assert_int_equal(used, sizeof data);
	assert_int_equal(strlen(c.user), 255);
	assert_int_equal(strlen(c.password), 255);
}

static void requests(void **state)
{
	static const struct {
		const char *why;
		const uint8_t *data;
		size_t len;
		enum socks_verdict want;
		size_t used;
		enum socks_command command;
		enum socks_address_type type;
		const char *host; /* a domain, or the bytes of an address */
		uint16_t port;
	} cases[] = {
		{ "a header", TEXT("\5\1\0"), SOCKS_MORE, 0, 0, 0, NULL, 0 },
		{ "an IPv4 address cut", TEXT("\5\1\0\1\x7f\0\0\1\0"),
		  SOCKS_MORE, 0, 0, 0, NULL, 0 },
		{ "IPv4", TEXT("\5\1\0\1\x7f\0\0\1\0\x50rest"), SOCKS_OK, 10,
		  SOCKS_CONNECT, SOCKS_IPV4, "\x7f\0\0\1", 80 },
		{ "IPv6",
		  TEXT("\5\3\0\4\xfd\xcc\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe"
		       "\xff\xff"),
		  SOCKS_OK, 22, SOCKS_UDP_ASSOCIATE, SOCKS_IPV6,
		  "\xfd\xcc\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe", 65535 },
		{ "a name",
		  TEXT("\5\1\0\3\x8"
		       "bob.fuse\x1f\x90"),
		  SOCKS_OK, 15, SOCKS_CONNECT, SOCKS_DOMAIN, "bob.fuse", 8080 },
		{ "BIND is parsed", TEXT("\5\2\0\3\1a\0\1"), SOCKS_OK, 8,
		  SOCKS_BIND, SOCKS_DOMAIN, "a", 1 },
		{ "a reserved byte that is set", TEXT("\5\1\x7f\3\1a\0\1"),
		  SOCKS_OK, 8, SOCKS_CONNECT, SOCKS_DOMAIN, "a", 1 },
		{ "port 0", TEXT("\5\1\0\3\1a\0\0"), SOCKS_OK, 8, SOCKS_CONNECT,
		  SOCKS_DOMAIN, "a", 0 },
		{ "an empty name", TEXT("\5\1\0\3\0\0\1"), SOCKS_MALFORMED, 0,
		  0, 0, NULL, 0 },
		{ "a NUL in a name", TEXT("\5\1\0\3\3a\0b\0\1"),
		  SOCKS_MALFORMED, 0, 0, 0, NULL, 0 },
		{ "a name that is all NUL", TEXT("\5\1\0\3\1\0\0\1"),
		  SOCKS_MALFORMED, 0, 0, 0, NULL, 0 },
		{ "an unknown address type", TEXT("\5\1\0\2"),
		  SOCKS_ADDRESS_TYPE, 0, 0, 0, NULL, 0 },
		{ "an unknown command, not whole", TEXT("\5\4\0\3\1a\0"),
		  SOCKS_MORE, 0, 0, 0, NULL, 0 },
		{ "an unknown command", TEXT("\5\4\0\3\1a\0\1"), SOCKS_COMMAND,
		  0, 0, 0, NULL, 0 },
		{ "command 0", TEXT("\5\0\0\3\1a\0\1"), SOCKS_COMMAND, 0, 0, 0,
		  NULL, 0 },
		{ "another version", TEXT("\4\1\0\3\1a\0\1"), SOCKS_NOT_SOCKS5,
		  0, 0, 0, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct socks_request r;
		size_t used = 0;
		enum socks_verdict v = socks_request_parse(&r, cases[i].data,
							   cases[i].len, &used);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		assert_int_equal(used, cases[i].used);
		if (v != SOCKS_OK)
			continue;
		assert_int_equal(r.command, cases[i].command);
		assert_int_equal(r.address.type, cases[i].type);
		assert_int_equal(r.address.port, cases[i].port);
		if (r.address.type == SOCKS_DOMAIN)
			assert_string_equal(r.address.domain, cases[i].host);
		else
			assert_memory_equal(r.address.ip, cases[i].host,
					    r.address.type == SOCKS_IPV4 ? 4
									 : 16);
	}
}

static void every_message_may_come_byte_by_byte(void **state)
{
	static const uint8_t all[] = "\5\2\0\2"
				     "\1\2me\2pw"
				     "\5\1\0\3\x8"
				     "bob.fuse\x1f\x90";
	struct socks_credentials c;
	struct socks_greeting g;
	struct socks_request r;
	const uint8_t *p = all;
	size_t used;

	(void)state;
	for (size_t len = 0; len < 4; len++)
		assert_int_equal(socks_greeting_parse(&g, p, len, &used),
				 SOCKS_MORE);
	assert_int_equal(socks_greeting_parse(&g, p, 4, &used), SOCKS_OK);
	p += used;
	for (size_t len = 0; len < 7; len++)
		assert_int_equal(socks_credentials_parse(&c, p, len, &used),
				 SOCKS_MORE);
	assert_int_equal(socks_credentials_parse(&c, p, 7, &used), SOCKS_OK);
	p += used;
	for (size_t len = 0; len < 15; len++)
		assert_int_equal(socks_request_parse(&r, p, len, &used),
				 SOCKS_MORE);
	assert_int_equal(socks_request_parse(&r, p, 15, &used), SOCKS_OK);
	assert_ptr_equal(p + used, all + sizeof all - 1);
}

static void datagrams(void **state)
{
	static const struct {
		const char *why;
		const uint8_t *data;
		size_t len;
		enum socks_verdict want;
		size_t payload;
	} cases[] = {
		{ "empty", TEXT(""), SOCKS_MALFORMED, 0 },
		{ "cut in the header", TEXT("\0\0\0\1\x7f\0\0\1\0"),
		  SOCKS_MALFORMED, 0 },
		{ "no payload", TEXT("\0\0\0\1\x7f\0\0\1\0\x35"), SOCKS_OK, 0 },
		{ "a payload", TEXT("\0\0\0\3\1a\0\x35query"), SOCKS_OK, 5 },
		{ "a fragment", TEXT("\0\0\1\3\1a\0\x35query"), SOCKS_FRAGMENT,
		  0 },
		{ "the last fragment", TEXT("\0\0\x81\3\1a\0\x35query"),
		  SOCKS_FRAGMENT, 0 },
		{ "an unknown address type", TEXT("\0\0\0\5\1a\0\x35query"),
		  SOCKS_ADDRESS_TYPE, 0 },
		{ "an empty name", TEXT("\0\0\0\3\0\0\x35query"),
		  SOCKS_MALFORMED, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct socks_datagram d;
		enum socks_verdict v =
			socks_datagram_parse(&d, cases[i].data, cases[i].len);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		if (v != SOCKS_OK)
			continue;
		assert_int_equal(d.len, cases[i].payload);
		assert_int_equal(d.address.port, 53);
		assert_ptr_equal(d.payload, cases[i].data + cases[i].len -
						    cases[i].payload);
	}
}

static void replies_have_these_bytes(void **state)
{
	const struct socks_address v4 = { .type = SOCKS_IPV4,
					  .ip = { 192, 0, 2, 1 },
					  .port = 0x1234 };
	uint8_t out[SOCKS_REPLY_BYTES_MAX];

	(void)state;
	assert_int_equal(socks_method_write(out, SOCKS_PASSWORD), 2);
	assert_memory_equal(out, "\5\2", 2);
	assert_int_equal(socks_method_write(out, SOCKS_NO_METHOD), 2);
	assert_memory_equal(out, "\5\xff", 2);
	assert_int_equal(socks_auth_write(out, true), 2);
	assert_memory_equal(out, "\1\0", 2);
	assert_int_equal(socks_auth_write(out, false), 2);
	assert_memory_equal(out, "\1\1", 2);
	assert_int_equal(socks_reply_write(out, SOCKS_REPLY_OK, &v4), 10);
	assert_memory_equal(out, "\5\0\0\1\xc0\0\2\1\x12\x34", 10);
	assert_int_equal(
		socks_reply_write(out, SOCKS_REPLY_HOST_UNREACHABLE, NULL), 10);
	assert_memory_equal(out, "\5\4\0\1\0\0\0\0\0\0", 10);
	assert_int_equal(socks_datagram_header_write(out, &v4), 10);
	assert_memory_equal(out, "\0\0\0\1\xc0\0\2\1\x12\x34", 10);
}

static void every_address_survives_a_datagram_header(void **state)
{
	uint8_t out[SOCKS_REPLY_BYTES_MAX];
	struct socks_datagram d;
	struct rng r;

	(void)state;
	rng_init(&r, 1);
	for (int i = 0; i < 2000; i++) {
		struct socks_address a = { .port = (uint16_t)rng_u64(&r) };
		size_t len;

		switch (i % 3) {
		case 0:
			a.type = SOCKS_IPV4;
			rng_fill(&r, a.ip, 4);
			break;
		case 1:
			a.type = SOCKS_IPV6;
			rng_fill(&r, a.ip, 16);
			break;
		default:
			a.type = SOCKS_DOMAIN;
			memset(a.domain, 'a', 1 + rng_below(&r, 255));
			break;
		}
		len = socks_datagram_header_write(out, &a);
		assert_true(len <= SOCKS_REPLY_BYTES_MAX);
		assert_int_equal(socks_datagram_parse(&d, out, len), SOCKS_OK);
		assert_int_equal(d.len, 0);
		assert_int_equal(d.address.type, a.type);
		assert_int_equal(d.address.port, a.port);
		assert_memory_equal(d.address.ip, a.ip, 16);
		assert_string_equal(d.address.domain, a.domain);
	}
}

static void the_longest_name_fills_the_reply(void **state)
{
	uint8_t out[SOCKS_REPLY_BYTES_MAX];
	struct socks_address a = { .type = SOCKS_DOMAIN, .port = 1 };
	struct socks_request r;
	size_t used;

	(void)state;
	memset(a.domain, 'x', 255);
	assert_int_equal(socks_reply_write(out, SOCKS_REPLY_OK, &a),
			 SOCKS_REPLY_BYTES_MAX);
	/* A reply has a request's form; code 0 in the place of a command. */
	out[1] = SOCKS_CONNECT;
	assert_int_equal(socks_request_parse(&r, out, sizeof out, &used),
			 SOCKS_OK);
	assert_int_equal(used, sizeof out);
	assert_string_equal(r.address.domain, a.domain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greetings),
		cmocka_unit_test(credentials),
		cmocka_unit_test(credentials_of_255_bytes_fit),
		cmocka_unit_test(requests),
		cmocka_unit_test(every_message_may_come_byte_by_byte),
		cmocka_unit_test(datagrams),
		cmocka_unit_test(replies_have_these_bytes),
		cmocka_unit_test(every_address_survives_a_datagram_header),
		cmocka_unit_test(the_longest_name_fills_the_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
