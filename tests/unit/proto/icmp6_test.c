#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/base/text.h"
#include "proto/icmp6.h"

/* Taken from a Linux loopback: a UDP datagram to a closed port, and the port
 * unreachable that the kernel answered. */
#define UDP_HEX                                                                \
	"600efdb600141140fdcc4593bfc400000000000000000001"                     \
	"fdcc4593bfc400000000000000000002138800090014067268656c6c6f2c20"       \
	"71616e6174"
#define ERROR_HEX                                                              \
	"600fe3a300443a40fdcc4593bfc400000000000000000002"                     \
	"fdcc4593bfc4000000000000000000010104416100000000" UDP_HEX

static size_t from_hex(uint8_t *out, const char *hex)
{
	size_t len = strlen(hex) / 2;

	assert_true(text_hex_parse(out, len, hex, strlen(hex)));
	return len;
}

static struct addr addr(const char *text)
{
	struct addr a;

	assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
	return a;
}

#define APP  "fdcc:4593:bfc4::1"
#define NODE "fdcc:4593:bfc4::2"

/* A packet with `payload` behind its header. */
static size_t make(uint8_t *out, size_t cap, const char *src, const char *dst,
		   uint8_t next, const void *payload, size_t len)
{
	struct addr s = addr(src), d = addr(dst);
	struct buf b = buf_of(out, cap);

	buf_be32(&b, 0x60000000);
	buf_be16(&b, (uint16_t)len);
	buf_u8(&b, next);
	buf_u8(&b, 64);
	buf_bytes(&b, s.b, 16);
	buf_bytes(&b, d.b, 16);
	buf_bytes(&b, payload, len);
	assert_false(b.bad);
	return b.len;
}

static void the_kernels_own_error_is_what_we_write(void **state)
{
	uint8_t udp[128], want[128], out[ICMP6_ERROR_BYTES_MAX];
	size_t udp_len = from_hex(udp, UDP_HEX);
	size_t want_len = from_hex(want, ERROR_HEX);
	struct addr node = addr(NODE);

	(void)state;
	assert_int_equal(icmp6_error_write(out, ICMP6_PORT_UNREACHABLE, 0,
					   &node, udp, udp_len),
			 want_len);
	/* But for the flow label, which the kernel draws by itself. */
	want[1] &= 0xf0;
	want[2] = want[3] = 0;
	assert_memory_equal(out, want, want_len);
}

/* The sum as RFC 1071 has it, over the pseudo-header too: 0 if it is right. */
static uint16_t verify_sum(const uint8_t *packet, size_t len)
{
	uint64_t sum = 58 + (len - 40);

	for (size_t i = 8; i < len; i += 2)
		sum += (uint64_t)packet[i] << 8 |
		       (i + 1 < len ? packet[i + 1] : 0);
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

static void errors_have_these_types(void **state)
{
	static const struct {
		enum icmp6_error error;
		uint8_t type;
		uint8_t code;
		uint32_t mtu;
	} cases[] = {
		{ ICMP6_NO_ROUTE, 1, 0, 0 },
		{ ICMP6_PROHIBITED, 1, 1, 0 },
		{ ICMP6_ADDRESS_UNREACHABLE, 1, 3, 0 },
		{ ICMP6_PORT_UNREACHABLE, 1, 4, 0 },
		{ ICMP6_TOO_BIG, 2, 0, 1280 },
		{ ICMP6_HOP_LIMIT, 3, 0, 0 },
	};
	uint8_t udp[128], out[ICMP6_ERROR_BYTES_MAX];
	size_t len = from_hex(udp, UDP_HEX);
	struct addr node = addr(NODE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = icmp6_error_write(out, cases[i].error, 1280, &node,
					     udp, len);

		assert_int_equal(n, 48 + len);
		assert_int_equal(out[40], cases[i].type);
		assert_int_equal(out[41], cases[i].code);
		assert_int_equal(out[44] << 24 | out[45] << 16 | out[46] << 8 |
					 out[47],
				 cases[i].mtu);
		assert_int_equal(verify_sum(out, n), 0);
		assert_memory_equal(out + 48, udp, len);
	}
}

static void errors_are_cut_at_the_least_mtu(void **state)
{
	uint8_t packet[40 + 9000], payload[9000];
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	struct addr node = addr(NODE);
	static const size_t sizes[] = { 0,    1,    2,    1191, 1192,
					1193, 1194, 1460, 9000 };

	(void)state;
	memset(payload, 0xa5, sizeof payload);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t len = make(packet, sizeof packet, APP, NODE, 17, payload,
				  sizes[i]);
		size_t n = icmp6_error_write(out, ICMP6_TOO_BIG, 1280, &node,
					     packet, len);
		struct ip6 h;

		assert_int_equal(n, 48 + len < 1280 ? 48 + len : 1280);
		assert_int_equal(verify_sum(out, n), 0);
		assert_int_equal(ip6_parse(&h, out, n), IP6_OK);
		assert_int_equal(h.next_header, 58);
		assert_int_equal(h.len, n);
		assert_memory_equal(out + 48, packet, n - 48);
	}
}

/* Enough of them that some sums carry twice. */
static void sums_are_right_whatever_the_packet_says(void **state)
{
	uint8_t packet[1280], payload[1232], out[ICMP6_ERROR_BYTES_MAX];
	struct addr node = addr(NODE);
	struct rng r;

	(void)state;
	rng_init(&r, 1);
	for (int i = 0; i < 3000; i++) {
		size_t len = (size_t)rng_below(&r, sizeof payload + 1);
		size_t n;

		rng_fill(&r, payload, len);
		len = make(packet, sizeof packet, APP, NODE, 17, payload, len);
		n = icmp6_error_write(out, ICMP6_NO_ROUTE, 0, &node, packet,
				      len);
		assert_true(n != 0);
		assert_int_equal(verify_sum(out, n), 0);
	}
}

/* RFC 4443 2.4(e) */
static void some_packets_get_no_error(void **state)
{
	static const struct {
		const char *why;
		const char *src;
		const char *dst;
		uint8_t next;
		const char *payload;
		enum icmp6_error error;
		bool want;
	} cases[] = {
		{ "UDP", APP, NODE, 17, "0102030405060708", ICMP6_NO_ROUTE,
		  true },
		{ "an echo request", APP, NODE, 58, "8000000000000000",
		  ICMP6_NO_ROUTE, true },
		{ "an echo reply", APP, NODE, 58, "8100000000000000",
		  ICMP6_NO_ROUTE, true },
		{ "an ICMPv6 error", APP, NODE, 58, "0104000000000000",
		  ICMP6_NO_ROUTE, false },
		{ "the last error type", APP, NODE, 58, "7f00000000000000",
		  ICMP6_NO_ROUTE, false },
		{ "a redirect", APP, NODE, 58, "8900000000000000",
		  ICMP6_NO_ROUTE, false },
		{ "ICMPv6 without a type", APP, NODE, 58, "", ICMP6_NO_ROUTE,
		  false },
		{ "an error behind options", APP, NODE, 60,
		  "3a00010400000000"
		  "0104000000000000",
		  ICMP6_NO_ROUTE, false },
		{ "an error behind longer options", APP, NODE, 0,
		  "3a01010c000000000000000000000000"
		  "0104000000000000",
		  ICMP6_NO_ROUTE, false },
		{ "an echo behind options", APP, NODE, 60,
		  "3a00010400000000"
		  "8000000000000000",
		  ICMP6_NO_ROUTE, true },
		{ "the first fragment of an echo", APP, NODE, 44,
		  "3a00000100000001"
		  "8000000000000000",
		  ICMP6_NO_ROUTE, true },
		{ "a later fragment", APP, NODE, 44,
		  "3a00000900000001"
		  "8000000000000000",
		  ICMP6_NO_ROUTE, false },
		{ "options that run over the end", APP, NODE, 60,
		  "3a10010400000000", ICMP6_NO_ROUTE, false },
		{ "options without end", APP, NODE, 60,
		  "3c000104000000003c000104000000003c00010400000000"
		  "3c000104000000003c000104000000003c00010400000000"
		  "3c000104000000003c000104000000003c00010400000000"
		  "1100010400000000",
		  ICMP6_NO_ROUTE, false },
		{ "to a group", APP, "ff02::1", 17, "0102030405060708",
		  ICMP6_NO_ROUTE, false },
		{ "to a group, but too big", APP, "ff02::1", 17,
		  "0102030405060708", ICMP6_TOO_BIG, true },
		{ "from nobody", "::", NODE, 17, "0102030405060708",
		  ICMP6_NO_ROUTE, false },
		{ "from a group", "ff05::2", NODE, 17, "0102030405060708",
		  ICMP6_NO_ROUTE, false },
	};
	struct addr node = addr(NODE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[256], payload[128];
		uint8_t out[ICMP6_ERROR_BYTES_MAX];
		size_t len = from_hex(payload, cases[i].payload);

		len = make(packet, sizeof packet, cases[i].src, cases[i].dst,
			   cases[i].next, payload, len);
		if ((icmp6_error_write(out, cases[i].error, 1280, &node, packet,
				       len) != 0) != cases[i].want)
			fail_msg("wrong: %s", cases[i].why);
	}
}

static void malformed_packets_get_no_error(void **state)
{
	uint8_t udp[128], out[ICMP6_ERROR_BYTES_MAX];
	size_t len = from_hex(udp, UDP_HEX);
	struct addr node = addr(NODE);

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_int_equal(icmp6_error_write(out, ICMP6_NO_ROUTE, 0,
						   &node, udp, n),
				 0);
	udp[0] = 0x45;
	assert_int_equal(
		icmp6_error_write(out, ICMP6_NO_ROUTE, 0, &node, udp, len), 0);
}

static void headers_are_judged(void **state)
{
	static const struct {
		const char *why;
		const char *src;
		const char *dst;
		size_t at; /* a byte to change */
		uint8_t to;
		enum ip6_verdict want;
	} cases[] = {
		{ "good", APP, NODE, 0, 0x60, IP6_OK },
		{ "traffic class and flow label", APP, NODE, 0, 0x6f, IP6_OK },
		{ "IPv4", APP, NODE, 0, 0x45, IP6_VERSION },
		{ "version 7", APP, NODE, 0, 0x70, IP6_VERSION },
		{ "shorter than it says", APP, NODE, 5, 9, IP6_LENGTH },
		{ "longer than it says", APP, NODE, 5, 7, IP6_LENGTH },
		{ "a jumbogram", APP, NODE, 5, 0, IP6_LENGTH },
		{ "hop limit 0", APP, NODE, 7, 0, IP6_HOP_LIMIT },
		{ "hop limit 1", APP, NODE, 7, 1, IP6_HOP_LIMIT },
		{ "hop limit 2", APP, NODE, 7, 2, IP6_OK },
		{ "from ::", "::", NODE, 0, 0x60, IP6_SCOPE },
		{ "to ::", APP, "::", 0, 0x60, IP6_SCOPE },
		{ "from ::1", "::1", NODE, 0, 0x60, IP6_SCOPE },
		{ "to ::1", APP, "::1", 0, 0x60, IP6_SCOPE },
		{ "to ::2", APP, "::2", 0, 0x60, IP6_OK },
		{ "from a group", "ff02::1", NODE, 0, 0x60, IP6_SCOPE },
		{ "to a group", APP, "ff0e::1", 0, 0x60, IP6_SCOPE },
		{ "from a link-local", "fe80::1", NODE, 0, 0x60, IP6_SCOPE },
		{ "to a link-local", APP, "febf::1", 0, 0x60, IP6_SCOPE },
		{ "just over link-local", APP, "fec0::1", 0, 0x60, IP6_OK },
	};
	static const uint8_t payload[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[64];
		size_t len = make(packet, sizeof packet, cases[i].src,
				  cases[i].dst, 17, payload, sizeof payload);
		enum ip6_verdict v;
		struct ip6 h;

		packet[cases[i].at] = cases[i].to;
		v = ip6_parse(&h, packet, len);
		if (v != cases[i].want)
			fail_msg("%s: verdict %d", cases[i].why, (int)v);
		for (size_t n = 0; n < IP6_HEADER_BYTES; n++)
			assert_int_equal(ip6_parse(&h, packet, n), IP6_SHORT);
	}
}

static void header_fields_are_read(void **state)
{
	struct addr app = addr(APP), node = addr(NODE);
	uint8_t udp[128];
	size_t len = from_hex(udp, UDP_HEX);
	struct ip6 h;

	(void)state;
	assert_int_equal(ip6_parse(&h, udp, len), IP6_OK);
	assert_memory_equal(h.src.b, app.b, 16);
	assert_memory_equal(h.dst.b, node.b, 16);
	assert_int_equal(h.next_header, 17);
	assert_int_equal(h.hop_limit, 64);
	assert_int_equal(h.len, len);
}

static void ports_are_those_of_whole_headers_only(void **state)
{
	static const uint8_t tcp[20] = { 0x12, 0x34, 0x01, 0xbb };
	uint8_t packet[128];
	uint16_t src, dst;
	uint8_t proto;
	size_t len = from_hex(packet, UDP_HEX);

	(void)state;
	assert_true(ip6_ports(packet, len, &proto, &src, &dst));
	assert_int_equal(proto, 17);
	assert_int_equal(src, 5000);
	assert_int_equal(dst, 9);

	len = make(packet, sizeof packet, APP, NODE, 6, tcp, 20);
	assert_true(ip6_ports(packet, len, &proto, &src, &dst));
	assert_int_equal(proto, 6);
	assert_int_equal(src, 0x1234);
	assert_int_equal(dst, 443);
	assert_false(ip6_ports(packet, len - 1, &proto, &src, &dst));

	len = make(packet, sizeof packet, APP, NODE, 6, tcp, 19);
	assert_false(ip6_ports(packet, len, &proto, &src, &dst));
	len = make(packet, sizeof packet, APP, NODE, 17, tcp, 8);
	assert_true(ip6_ports(packet, len, &proto, &src, &dst));
	len = make(packet, sizeof packet, APP, NODE, 17, tcp, 7);
	assert_false(ip6_ports(packet, len, &proto, &src, &dst));
	len = make(packet, sizeof packet, APP, NODE, 58, tcp, 20);
	assert_false(ip6_ports(packet, len, &proto, &src, &dst));
}

static void the_first_fragment_has_ports_and_later_ones_have_not(void **state)
{
	uint8_t udp[24] = { 17, 0, 0, 1, 0, 0, 0, 7, 0x12, 0x34, 0, 53 };
	uint8_t packet[128];
	struct ip6_upper up;
	uint16_t src, dst;
	uint8_t proto;
	size_t len = make(packet, sizeof packet, APP, NODE, 44, udp, 24);

	(void)state;
	assert_true(ip6_upper(&up, packet, len));
	assert_int_equal(up.proto, 17);
	assert_int_equal(up.at, 48);
	assert_int_equal(up.offset, 0);
	assert_true(ip6_ports(packet, len, &proto, &src, &dst));
	assert_int_equal(proto, 17);
	assert_int_equal(src, 0x1234);
	assert_int_equal(dst, 53);
	/* Its header must be whole. */
	len = make(packet, sizeof packet, APP, NODE, 44, udp, 15);
	assert_false(ip6_ports(packet, len, &proto, &src, &dst));
	len = make(packet, sizeof packet, APP, NODE, 44, udp, 7);
	assert_false(ip6_upper(&up, packet, len));

	udp[2] = 0x04; /* 1024 and more: bits that are not of the offset */
	udp[3] = 0x07;
	len = make(packet, sizeof packet, APP, NODE, 44, udp, 24);
	assert_true(ip6_upper(&up, packet, len));
	assert_int_equal(up.offset, 1024);
	assert_int_equal(up.proto, 17);
	assert_false(ip6_ports(packet, len, &proto, &src, &dst));
	packet[40] = 58;
	assert_false(ip6_is_icmp(packet, len, &proto));
}

static void pings_and_errors_are_recognized(void **state)
{
	(void)state;
	for (unsigned t = 0; t <= UINT8_MAX; t++) {
		uint8_t payload[8] = { (uint8_t)t };
		uint8_t packet[64];
		size_t len = make(packet, sizeof packet, APP, NODE, 58, payload,
				  sizeof payload);
		uint8_t type = 0;
		bool want = (t >= 1 && t <= 4) || t == 128 || t == 129;

		assert_int_equal(ip6_is_icmp(packet, len, &type), want);
		if (want)
			assert_int_equal(type, t);
		packet[6] = 17;
		assert_false(ip6_is_icmp(packet, len, &type));
		len = make(packet, sizeof packet, APP, NODE, 58, payload, 7);
		assert_false(ip6_is_icmp(packet, len, &type));
	}
}

static void whoever_understands_marks_gets_one(void **state)
{
	static const struct {
		const char *why;
		uint8_t before, after;
		bool is_marked;
	} cases[] = {
		{ "not ECN-capable", 0x0e, 0x0e, false },
		{ "the same with a class", 0xc0, 0xc0, false },
		{ "ECT(1)", 0x10, 0x30, true },
		{ "ECT(0)", 0x20, 0x30, true },
		{ "ECT(0) with class and flow", 0xef, 0xff, true },
		{ "marked already", 0x35, 0x35, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[64], want[64];
		size_t len = make(packet, sizeof packet, APP, NODE, 17,
				  "payload", 7);

		packet[1] = cases[i].before;
		memcpy(want, packet, len);
		want[1] = cases[i].after;
		if (ip6_mark(packet) != cases[i].is_marked ||
		    memcmp(packet, want, len) != 0)
			fail_msg("%s", cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernels_own_error_is_what_we_write),
		cmocka_unit_test(errors_have_these_types),
		cmocka_unit_test(errors_are_cut_at_the_least_mtu),
		cmocka_unit_test(sums_are_right_whatever_the_packet_says),
		cmocka_unit_test(some_packets_get_no_error),
		cmocka_unit_test(malformed_packets_get_no_error),
		cmocka_unit_test(headers_are_judged),
		cmocka_unit_test(header_fields_are_read),
		cmocka_unit_test(whoever_understands_marks_gets_one),
		cmocka_unit_test(ports_are_those_of_whole_headers_only),
		cmocka_unit_test(
			the_first_fragment_has_ports_and_later_ones_have_not),
		cmocka_unit_test(pings_and_errors_are_recognized),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
