#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/base/text.h"
#include "proto/masque.h"

static size_t from_hex(uint8_t *out, size_t cap, const char *hex)
{
	size_t len = strlen(hex) / 2;

	assert_true(len <= cap);
	assert_true(text_hex_parse(out, len, hex, strlen(hex)));
	return len;
}

static void http_datagrams(void **state)
{
	static const struct {
		const char *why;
		const char *hex;
		enum masque_verdict want;
		int64_t stream_id;
		uint64_t context;
		size_t len;
	} cases[] = {
		{ "empty", "", MASQUE_MALFORMED, 0, 0, 0 },
		{ "no context", "01", MASQUE_MALFORMED, 0, 0, 0 },
		{ "no payload", "0100", MASQUE_OK, 4, 0, 0 },
		{ "stream 0", "00006061", MASQUE_OK, 0, 0, 2 },
		{ "stream 252, in one byte", "3f00ab", MASQUE_OK, 252, 0, 1 },
		{ "stream 256, in two", "404000ab", MASQUE_OK, 256, 0, 1 },
		{ "stream 4, not shortest", "8000000100ab", MASQUE_OK, 4, 0,
		  1 },
		{ "another context", "0142a5ab", MASQUE_OK, 4, 0x2a5, 1 },
		{ "the last stream", "cfffffffffffffff00", MASQUE_OK,
		  INT64_C(0x3ffffffffffffffc), 0, 0 },
		{ "a stream that cannot be", "d00000000000000000",
		  MASQUE_MALFORMED, 0, 0, 0 },
		{ "a cut stream", "c0000000", MASQUE_MALFORMED, 0, 0, 0 },
		{ "a cut context", "0180", MASQUE_MALFORMED, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_datagram d;
		uint8_t data[32];
		size_t len = from_hex(data, sizeof data, cases[i].hex);
		enum masque_verdict v = http_datagram_parse(&d, data, len);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		if (v != MASQUE_OK)
			continue;
		assert_true(d.stream_id == cases[i].stream_id);
		assert_true(d.context == cases[i].context);
		assert_int_equal(d.len, cases[i].len);
		assert_ptr_equal(d.payload, data + len - d.len);
	}
}

static void datagram_headers_survive(void **state)
{
	struct rng r;

	(void)state;
	rng_init(&r, 1);
	for (int i = 0; i < 2000; i++) {
		uint8_t out[HTTP_DATAGRAM_HEADER_MAX];
		int64_t id = (int64_t)(rng_u64(&r) >> (2 + i % 61)) & ~3LL;
		uint64_t context = rng_u64(&r) >> (2 + (i / 61) % 62);
		size_t len = http_datagram_header_write(out, id, context);
		struct http_datagram d;

		assert_true(len != 0);
		assert_int_equal(http_datagram_parse(&d, out, len), MASQUE_OK);
		assert_true(d.stream_id == id && d.context == context);
	}
	{
		uint8_t out[HTTP_DATAGRAM_HEADER_MAX];

		/* What the byte budget counts on. */
		assert_int_equal(http_datagram_header_write(out, 252, 0), 2);
	}
}

static void capsules(void **state)
{
	static const struct {
		const char *why;
		const char *hex;
		enum masque_verdict want;
		uint64_t type;
		size_t len;
		size_t used;
	} cases[] = {
		{ "empty", "", MASQUE_MORE, 0, 0, 0 },
		{ "a type", "01", MASQUE_MORE, 0, 0, 0 },
		{ "half a length", "0140", MASQUE_MORE, 0, 0, 0 },
		{ "half a value", "0104abcd", MASQUE_MORE, 0, 0, 0 },
		{ "no value", "0100", MASQUE_OK, 1, 0, 2 },
		{ "one, and the next", "0002abcd03", MASQUE_OK, 0, 2, 4 },
		{ "an unknown type", "ffffffffffffffff01ab", MASQUE_OK,
		  UINT64_C(0x3fffffffffffffff), 1, 10 },
		{ "the longest, to come", "014800", MASQUE_MORE, 0, 0, 0 },
		{ "longer, known at once", "014801", MASQUE_TOO_LONG, 0, 0, 0 },
		{ "as long as can be said", "01ffffffffffffffff",
		  MASQUE_TOO_LONG, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct capsule c;
		uint8_t data[32];
		size_t len = from_hex(data, sizeof data, cases[i].hex);
		size_t used = 0;
		enum masque_verdict v = capsule_parse(&c, data, len, &used);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		assert_int_equal(used, cases[i].used);
		if (v != MASQUE_OK)
			continue;
		assert_true(c.type == cases[i].type);
		assert_int_equal(c.len, cases[i].len);
		assert_ptr_equal(c.value, data + used - c.len);
	}
}

static void the_longest_capsule_is_2048_bytes(void **state)
{
	uint8_t data[3 + CAPSULE_BYTES_MAX + 1] = { 0x00, 0x48, 0x00 };
	struct capsule c;
	size_t used;

	(void)state;
	for (size_t len = 0; len < 3 + CAPSULE_BYTES_MAX; len++)
		assert_int_equal(capsule_parse(&c, data, len, &used),
				 MASQUE_MORE);
	assert_int_equal(capsule_parse(&c, data, sizeof data, &used),
			 MASQUE_OK);
	assert_int_equal(c.len, CAPSULE_BYTES_MAX);
	assert_int_equal(used, 3 + CAPSULE_BYTES_MAX);
}

#define V6(last) "06fdcc4593bfc40000000000000000" last

static void addresses(void **state)
{
	static const struct {
		const char *why;
		uint64_t type;
		const char *hex;
		enum masque_verdict want;
		size_t n;
	} cases[] = {
		{ "no assignment", 1, "", MASQUE_OK, 0 },
		{ "one", 1, "00" V6("0001") "80", MASQUE_OK, 1 },
		{ "two", 1,
		  "00" V6("0001") "80"
				  "05" V6("0000") "30",
		  MASQUE_OK, 2 },
		{ "more than there is room for", 1,
		  "01" V6("0001") "80"
				  "02" V6("0002") "80"
						  "03" V6("0003") "80",
		  MASQUE_OK, 2 },
		{ "IPv4 is skipped", 1,
		  "0004c000020120"
		  "01" V6("0001") "80",
		  MASQUE_OK, 1 },
		{ "IPv4 with a long prefix", 1, "0004c000020121",
		  MASQUE_MALFORMED, 0 },
		{ "bits behind an IPv4 prefix", 1, "0004c000020118",
		  MASQUE_MALFORMED, 0 },
		{ "version 5", 1, "0005c000020120", MASQUE_MALFORMED, 0 },
		{ "a prefix of 129", 1, "00" V6("0001") "81", MASQUE_MALFORMED,
		  0 },
		{ "bits behind the prefix", 1, "00" V6("0001") "7f",
		  MASQUE_MALFORMED, 0 },
		{ "the last bit of the prefix", 1, "00" V6("0002") "7f",
		  MASQUE_OK, 1 },
		{ "the whole internet", 1,
		  "0006"
		  "00000000000000000000000000000000"
		  "00",
		  MASQUE_OK, 1 },
		{ "cut", 1, "00" V6("0001"), MASQUE_MALFORMED, 0 },
		{ "a second one cut", 1,
		  "00" V6("0001") "80"
				  "00",
		  MASQUE_MALFORMED, 0 },
		{ "a request", 2, "01" V6("0001") "80", MASQUE_OK, 1 },
		{ "a request for any", 2,
		  "010600000000000000000000000000000000"
		  "80",
		  MASQUE_OK, 1 },
		{ "a request for nothing", 2, "", MASQUE_MALFORMED, 0 },
		{ "a request with id 0", 2, "00" V6("0001") "80",
		  MASQUE_MALFORMED, 0 },
		{ "another type", 3, "00" V6("0001") "80", MASQUE_MALFORMED,
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct capsule_address out[2];
		uint8_t data[96];
		struct capsule c = {
			.type = cases[i].type,
			.value = data,
			.len = from_hex(data, sizeof data, cases[i].hex),
		};
		size_t n = 0;
		enum masque_verdict v =
			capsule_addresses_parse(out, ARRAY_LEN(out), &n, &c);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		if (v == MASQUE_OK)
			assert_int_equal(n, cases[i].n);
	}
}

static void an_assignment_survives(void **state)
{
	struct capsule_address a = { .request_id = 1, .prefix_len = 128 };
	struct capsule_address got;
	uint8_t data[64];
	struct capsule c;
	size_t len, used, n;

	(void)state;
	memset(a.addr.b, 0xfd, sizeof a.addr.b);
	len = capsule_address_assign_write(data, sizeof data, &a);
	assert_int_equal(len, 2 + 1 + 1 + 16 + 1);
	assert_memory_equal(data, "\x01\x13\x01\x06\xfd", 5);
	assert_int_equal(data[len - 1], 128);
	assert_int_equal(capsule_parse(&c, data, len, &used), MASQUE_OK);
	assert_int_equal(used, len);
	assert_int_equal(capsule_addresses_parse(&got, 1, &n, &c), MASQUE_OK);
	assert_int_equal(n, 1);
	assert_true(got.request_id == 1);
	assert_int_equal(got.prefix_len, 128);
	assert_memory_equal(got.addr.b, a.addr.b, 16);
	for (size_t cap = 0; cap < len; cap++)
		assert_int_equal(capsule_address_assign_write(data, cap, &a),
				 0);
}

#define IP(last) "fdcc4593bfc40000000000000000" last

static void routes(void **state)
{
	static const struct {
		const char *why;
		const char *hex;
		enum masque_verdict want;
		size_t n;
	} cases[] = {
		{ "none", "", MASQUE_OK, 0 },
		{ "one address", "06" IP("0001") IP("0001") "00", MASQUE_OK,
		  1 },
		{ "a range", "06" IP("0000") IP("ffff") "00", MASQUE_OK, 1 },
		{ "two in order",
		  "06" IP("0001") IP("0002") "00"
					     "06" IP("0003") IP("0004") "00",
		  MASQUE_OK, 2 },
		{ "overlapping",
		  "06" IP("0001") IP("0003") "00"
					     "06" IP("0003") IP("0004") "00",
		  MASQUE_MALFORMED, 0 },
		{ "out of order",
		  "06" IP("0003") IP("0004") "00"
					     "06" IP("0001") IP("0002") "00",
		  MASQUE_MALFORMED, 0 },
		{ "the same for another protocol",
		  "06" IP("0001") IP("0001") "06"
					     "06" IP("0001") IP("0001") "11",
		  MASQUE_OK, 2 },
		{ "protocols out of order",
		  "06" IP("0001") IP("0001") "11"
					     "06" IP("0002") IP("0002") "06",
		  MASQUE_MALFORMED, 0 },
		{ "IPv4 first, skipped",
		  "0400000000ffffffff00"
		  "06" IP("0001") IP("0001") "00",
		  MASQUE_OK, 1 },
		{ "IPv4 last",
		  "06" IP("0001") IP("0001") "00"
					     "0400000000ffffffff00",
		  MASQUE_MALFORMED, 0 },
		{ "backwards", "06" IP("0002") IP("0001") "00",
		  MASQUE_MALFORMED, 0 },
		{ "version 0", "0000", MASQUE_MALFORMED, 0 },
		{ "cut", "06" IP("0001") IP("0001"), MASQUE_MALFORMED, 0 },
		{ "more than there is room for",
		  "06" IP("0001")
			  IP("0001") "00"
				     "06" IP("0002")
					     IP("0002") "00"
							"06" IP("0003")
								IP("0003") "00",
		  MASQUE_OK, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct capsule_route out[2];
		uint8_t data[128];
		struct capsule c = {
			.type = CAPSULE_ROUTE_ADVERTISEMENT,
			.value = data,
			.len = from_hex(data, sizeof data, cases[i].hex),
		};
		size_t n = 0;
		enum masque_verdict v =
			capsule_routes_parse(out, ARRAY_LEN(out), &n, &c);

		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		if (v == MASQUE_OK)
			assert_int_equal(n, cases[i].n);
		c.type = CAPSULE_ADDRESS_ASSIGN;
		assert_int_equal(capsule_routes_parse(out, 2, &n, &c),
				 MASQUE_MALFORMED);
	}
}

static void a_route_survives(void **state)
{
	struct capsule_route r = { .protocol = 6 }, got;
	uint8_t data[64];
	struct capsule c;
	size_t len, used, n;

	(void)state;
	memset(r.start.b, 0xfc, 16);
	memset(r.end.b, 0xfd, 16);
	len = capsule_route_write(data, sizeof data, &r);
	assert_int_equal(len, 2 + 1 + 32 + 1);
	assert_int_equal(capsule_parse(&c, data, len, &used), MASQUE_OK);
	assert_int_equal(capsule_routes_parse(&got, 1, &n, &c), MASQUE_OK);
	assert_int_equal(n, 1);
	assert_memory_equal(got.start.b, r.start.b, 16);
	assert_memory_equal(got.end.b, r.end.b, 16);
	assert_int_equal(got.protocol, 6);
	for (size_t cap = 0; cap < len; cap++)
		assert_int_equal(capsule_route_write(data, cap, &r), 0);
}

#define UDP "/.well-known/masque/udp/"

static void udp_paths(void **state)
{
	static const struct {
		const char *path;
		const char *host; /* NULL: refused */
		uint16_t port;
	} cases[] = {
		{ UDP "192.0.2.6/443/", "192.0.2.6", 443 },
		{ UDP "bob.fuse/53/", "bob.fuse", 53 },
		{ UDP "2001%3Adb8%3A%3A42/443/", "2001:db8::42", 443 },
		{ UDP "2001%3adb8%3a%3a42/443/", "2001:db8::42", 443 },
		{ UDP "2001:db8::42/443/", "2001:db8::42", 443 },
		{ UDP "%62ob/1/", "bob", 1 },
		{ UDP "a/65535/", "a", 65535 },
		{ UDP "a/65536/", NULL, 0 },
		{ UDP "a/0/", NULL, 0 },
		{ UDP "a/-1/", NULL, 0 },
		{ UDP "a/+1/", NULL, 0 },
		{ UDP "a/ 1/", NULL, 0 },
		{ UDP "a/1x/", NULL, 0 },
		{ UDP "a//", NULL, 0 },
		{ UDP "/1/", NULL, 0 },
		{ UDP "//", NULL, 0 },
		{ UDP "/", NULL, 0 },
		{ UDP, NULL, 0 },
		{ UDP "a/1", NULL, 0 },
		{ UDP "a/1//", NULL, 0 },
		{ UDP "a/1/?x", NULL, 0 },
		{ UDP "a/b/1/", NULL, 0 },
		{ UDP "a%00b/1/", NULL, 0 },
		{ UDP "a%0ab/1/", NULL, 0 },
		{ UDP "a%2Fb/1/", NULL, 0 },
		{ UDP "a%20b/1/", NULL, 0 },
		{ UDP "a%zz/1/", NULL, 0 },
		{ UDP "a%4/1/", NULL, 0 },
		{ UDP "a%/1/", NULL, 0 },
		{ UDP "fe80%3A%3A1%25eth0/1/", NULL, 0 },
		{ UDP "a%3Ab/1/", NULL, 0 },
		{ UDP "\xc3\xbc/1/", NULL, 0 },
		{ "/.well-known/masque/ip/a/1/", NULL, 0 },
		{ "/.well-known/masque/udp", NULL, 0 },
		{ "", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char host[256] = "untouched";
		uint16_t port = 7;
		bool ok = masque_udp_path_parse(host, &port, cases[i].path,
						strlen(cases[i].path));

		if (ok != (cases[i].host != NULL))
			fail_msg("wrong: %s", cases[i].path);
		assert_string_equal(host, ok ? cases[i].host : "untouched");
		assert_int_equal(port, ok ? cases[i].port : 7);
	}
}

static void a_host_has_255_characters_at_most(void **state)
{
	(void)state;
	for (size_t len = 254; len <= 256; len++) {
		char name[257] = { 0 }, path[512], text[300], host[256];
		uint16_t port;
		size_t n;

		memset(name, 'h', len);
		n = masque_udp_path_write(path, sizeof path, name, 99);
		assert_int_equal(n, strlen(path));
		assert_int_equal(masque_udp_path_parse(host, &port, path, n),
				 len <= 255);
		memcpy(text, name, len);
		memcpy(text + len, ":99", 3);
		assert_int_equal(authority_parse(host, &port, text, len + 3),
				 len <= 255);
	}
}

static void udp_paths_survive(void **state)
{
	static const char *const hosts[] = { "bob.fuse", "192.0.2.1",
					     "fdcc:4593:bfc4::1", "a_b-c.D" };
	static const uint16_t ports[] = { 1, 9, 10, 443, 65535 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ports); k++) {
			char path[128], host[256];
			uint16_t port;
			size_t len = masque_udp_path_write(path, sizeof path,
							   hosts[i], ports[k]);

			assert_int_equal(len, strlen(path));
			assert_true(
				masque_udp_path_parse(host, &port, path, len));
			assert_string_equal(host, hosts[i]);
			assert_int_equal(port, ports[k]);
			assert_int_equal(masque_udp_path_write(path, len + 1,
							       hosts[i],
							       ports[k]),
					 len);
			assert_int_equal(masque_udp_path_write(
						 path, len, hosts[i], ports[k]),
					 0);
		}
	}
	{
		char path[128];

		masque_udp_path_write(path, sizeof path, "::1", 53);
		assert_string_equal(path, UDP "%3A%3A1/53/");
	}
}

static void authorities(void **state)
{
	static const struct {
		const char *text;
		const char *host;
		uint16_t port;
	} cases[] = {
		{ "bob.fuse:80", "bob.fuse", 80 },
		{ "192.0.2.1:65535", "192.0.2.1", 65535 },
		{ "[fdcc:4593:bfc4::1]:22", "fdcc:4593:bfc4::1", 22 },
		{ "[::ffff:192.0.2.1]:1", "::ffff:192.0.2.1", 1 },
		{ "a:1", "a", 1 },
		{ "a", NULL, 0 },
		{ "a:", NULL, 0 },
		{ ":1", NULL, 0 },
		{ "a:0", NULL, 0 },
		{ "a:65536", NULL, 0 },
		{ "a:000001", NULL, 0 },
		{ "a:1 ", NULL, 0 },
		{ "a b:1", NULL, 0 },
		{ "user@a:1", NULL, 0 },
		{ "a/b:1", NULL, 0 },
		{ "fdcc::1:22", NULL, 0 },
		{ "[fdcc::1]", NULL, 0 },
		{ "[]:1", NULL, 0 },
		{ "[a]:1", NULL, 0 },
		{ "[192.0.2.1]:1", NULL, 0 },
		{ "[:::]:1", NULL, 0 },
		{ "[fe80::1%25eth0]:1", NULL, 0 },
		{ "[fdcc::1:1", NULL, 0 },
		{ "fdcc::1]:1", NULL, 0 },
		{ "", NULL, 0 },
		{ ":", NULL, 0 },
		{ "[:1", NULL, 0 },
		{ "]:1", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char host[256] = "untouched";
		uint16_t port = 7;
		bool ok = authority_parse(host, &port, cases[i].text,
					  strlen(cases[i].text));

		if (ok != (cases[i].host != NULL))
			fail_msg("wrong: %s", cases[i].text);
		assert_string_equal(host, ok ? cases[i].host : "untouched");
		assert_int_equal(port, ok ? cases[i].port : 7);
	}
	{
		char host[256];
		uint16_t port;

		assert_false(authority_parse(host, &port, "a\0b:1", 5));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_datagrams),
		cmocka_unit_test(datagram_headers_survive),
		cmocka_unit_test(capsules),
		cmocka_unit_test(the_longest_capsule_is_2048_bytes),
		cmocka_unit_test(addresses),
		cmocka_unit_test(an_assignment_survives),
		cmocka_unit_test(routes),
		cmocka_unit_test(a_route_survives),
		cmocka_unit_test(udp_paths),
		cmocka_unit_test(a_host_has_255_characters_at_most),
		cmocka_unit_test(udp_paths_survive),
		cmocka_unit_test(authorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
