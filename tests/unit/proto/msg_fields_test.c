/* Every field of every message: its bytes on the wire and its range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/frame.h"
#include "proto/msg.h"
#include "proto/packet.h"
#include "tests/support/msgs.h"

#define FRAME_CAP (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)

#define ID_HEX    "00010203040506070809"
#define NONCE_HEX "101112131415161718191a1b1c1d1e1f"

static const struct node_id id = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
static const struct nonce nonce = { { 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
				      0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
				      0x1e, 0x1f } };

/* Worked out by hand from the schema and protobuf's encoding rules. */
static void small_messages_have_these_bytes(void **state)
{
	const struct {
		struct msg m;
		const char *hex;
	} cases[] = {
		{ { .type = MSG_HELLO,
		    .hello = { .version = 1,
			       .name = "bob",
			       .transit = true,
			       .port = 4433,
			       .direct = true } },
		  "0100000e"
		  "0801"
		  "1203626f62"
		  "1801"
		  "20d122"
		  "3001" },
		{ { .type = MSG_HELLO,
		    .hello = { .version = 1, .instance = 0x0102030405060708 } },
		  "0100000b"
		  "0801"
		  "290807060504030201" },
		{ { .type = MSG_LINK,
		    .link = { .cost_100us = 100,
			      .mtu = 1440,
			      .loss = 3,
			      .rate = 20 } },
		  "02000009"
		  "0864"
		  "10a00b"
		  "1803"
		  "2014" },
		{ { .type = MSG_NAK,
		    .nak = { .origin = id, .nonce = nonce, .code = NAK_TTL } },
		  "05000020"
		  "0a0a" ID_HEX "1210" NONCE_HEX "1803" },
		{ { .type = MSG_OPENED,
		    .opened = { .open_id = nonce,
				.label = 0x2abbccdd,
				.mtu = 1400 } },
		  "0700001a"
		  "0a10" NONCE_HEX "15ddccbb2a"
		  "18f80a" },
		{ { .type = MSG_CLOSE,
		    .close = { .open_id = nonce,
			       .label = 1,
			       .reason = CLOSE_IDLE,
			       .reporter = id } },
		  "08000025"
		  "0a10" NONCE_HEX "1501000000"
		  "1802"
		  "220a" ID_HEX },
		{ { .type = MSG_PEER_QUERY,
		    .peer_query = { .n = 2, .ids = { id, id } } },
		  "09000016"
		  "0a14" ID_HEX ID_HEX },
		{ { .type = MSG_PEER_INFO,
		    .peer_info = { .id = id,
				   .chain_len = 2,
				   .chain = { 0xde, 0xad } } },
		  "0a000010"
		  "0a0a" ID_HEX "1202dead" },
		{ { .type = MSG_PING,
		    .ping = { .token = UINT64_C(0x0102030405060708),
			      .is_reply = true } },
		  "0b00000b"
		  "090807060504030201"
		  "1001" },
		{ { .type = MSG_PING }, "0b000000" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t frame[FRAME_CAP];
		char hex[2 * 64 + 1];
		size_t len = msg_write(frame, sizeof frame, &cases[i].m);
		struct msg got;

		assert_in_range(len, FRAME_HEADER_BYTES, 64);
		text_hex(hex, frame, len);
		assert_string_equal(hex, cases[i].hex);
		assert_int_equal(msg_reread(&got, &cases[i].m), MSG_OK);
		assert_true(msg_equal(&got, &cases[i].m));
	}
}

static void a_probe_has_these_bytes(void **state)
{
	struct msg m = { .type = MSG_PROBE,
			 .probe = { .flags = PROBE_FLAG_FLOOD,
				    .ttl = 8,
				    .target = id,
				    .nonce = nonce,
				    .issued_ms = UINT64_C(0x0000018abcdef012),
				    .valid_ms = 30000,
				    .deadline_ms = 500 } };
	struct hop_list *hops = &m.probe.hops;
	uint8_t frame[FRAME_CAP];
	char hex[2 * 256 + 1];
	size_t len;

	(void)state;
	memset(m.probe.origin.b, 0xaa, ID_LEN);
	memset(m.probe.sig_origin, 0x55, SIG_LEN);
	hops->n = 1;
	hops->hop[0] = (struct hop){
		.cost_100us = 0x0102, .mtu = 0x0304, .loss = 5, .rate = 6
	};
	memset(hops->hop[0].id.b, 0xbb, ID_LEN);
	msg_probe_seal(&m.probe);
	len = msg_write(frame, sizeof frame, &m);
	assert_in_range(len, FRAME_HEADER_BYTES, 256);
	text_hex(hex, frame, len);
	assert_string_equal(hex, "0300008c"
				 "0a33"
				 "010108"
				 "aaaaaaaaaaaaaaaaaaaa" ID_HEX NONCE_HEX
				 "0000018abcdef012"
				 "00007530"
				 "1240"
				 "55555555555555555555555555555555"
				 "55555555555555555555555555555555"
				 "55555555555555555555555555555555"
				 "55555555555555555555555555555555"
				 "18f403"
				 "2210"
				 "bbbbbbbbbbbbbbbbbbbb"
				 "0102"
				 "0304"
				 "05"
				 "06");
}

/* Spoilers: each turns a valid message into an invalid one. */
static void version_2(struct msg *m)
{
	m->hello.version = 2;
}

static void version_0(struct msg *m)
{
	m->hello.version = 0;
}

static void newline(struct msg *m)
{
	strcpy(m->hello.name, "a\nb");
}

static void delete_character(struct msg *m)
{
	strcpy(m->hello.name, "a\x7f");
}

static void c1_control(struct msg *m)
{
	strcpy(m->hello.name, "\xc2\x9b"
			      "31m");
}

static void overlong(struct msg *m)
{
	strcpy(m->hello.name, "\xc0\xaf");
}

static void overlong_of_three(struct msg *m)
{
	strcpy(m->hello.name, "\xe0\x80\xaf");
}

static void surrogate(struct msg *m)
{
	strcpy(m->hello.name, "\xed\xa0\x80");
}

static void beyond_unicode(struct msg *m)
{
	strcpy(m->hello.name, "\xf4\x90\x80\x80");
}

static void lone_continuation(struct msg *m)
{
	strcpy(m->hello.name, "\x80");
}

static void cut_character(struct msg *m)
{
	strcpy(m->hello.name, "abc\xe2\x9c");
}

static void byte_ff(struct msg *m)
{
	strcpy(m->hello.name, "\xff");
}

static void link_without_mtu(struct msg *m)
{
	m->link.mtu = 0;
}

static void ttl_0(struct msg *m)
{
	m->probe.hops.n = 0;
	m->probe.ttl = 0;
	msg_probe_seal(&m->probe);
}

static void ttl_65(struct msg *m)
{
	m->probe.ttl = HOPS_MAX + 1;
	msg_probe_seal(&m->probe);
}

static void probe_version(struct msg *m)
{
	m->probe.body[0] = 0;
}

static void valid_too_long(struct msg *m)
{
	m->probe.valid_ms = PROBE_VALID_MS + 1;
	msg_probe_seal(&m->probe);
}

static void deadline_too_far(struct msg *m)
{
	m->probe.deadline_ms = PROBE_DEADLINE_MAX_MS + 1;
}

static void to_oneself(struct msg *m)
{
	m->probe.target = m->probe.origin;
	msg_probe_seal(&m->probe);
}

static void make_relays(struct msg *m, size_t n)
{
	struct hop_list *hops = &m->probe.hops;

	m->probe.ttl = HOPS_MAX;
	msg_probe_seal(&m->probe);
	memset(hops, 0, sizeof *hops);
	for (size_t i = 0; i < n; i++) {
		hops->hop[i].id.b[0] = (uint8_t)i;
		hops->hop[i].mtu = 1;
	}
	hops->n = n;
}

static void relay_twice(struct msg *m)
{
	make_relays(m, 5);
	m->probe.hops.hop[4].id = m->probe.hops.hop[0].id;
}

static void origin_as_relay(struct msg *m)
{
	make_relays(m, 5);
	m->probe.hops.hop[2].id = m->probe.origin;
}

static void target_as_relay(struct msg *m)
{
	make_relays(m, 5);
	m->probe.hops.hop[4].id = m->probe.target;
}

static void relay_without_mtu(struct msg *m)
{
	make_relays(m, 5);
	m->probe.hops.hop[3].mtu = 0;
}

static void more_relays_than_ttl(struct msg *m)
{
	make_relays(m, 5);
	m->probe.ttl = 5;
	msg_probe_seal(&m->probe);
}

static void no_room_for_the_target(struct msg *m)
{
	make_relays(m, HOPS_MAX);
}

static void nak_code_0(struct msg *m)
{
	m->nak.has_blame = false;
	m->nak.code = (enum nak_code)0;
}

static void nak_code_unknown(struct msg *m)
{
	m->nak.has_blame = false;
	m->nak.code = NAK_CODES;
}

static void open_label(struct msg *m)
{
	m->open.label = LABEL_MASK + 1;
}

static void open_mtu(struct msg *m)
{
	m->open.mtu = 0;
}

static void open_other_route(struct msg *m)
{
	m->open.route.sig_target[0] ^= 1;
}

static void open_first_sig(struct msg *m)
{
	struct rng r;

	rng_init(&r, 9);
	route_random(&m->open.route, 4, &r);
	m->open.route.first_sig = 1;
	msg_open_seal(&m->open);
}

static void opened_label(struct msg *m)
{
	m->opened.label = UINT32_MAX;
}

static void opened_mtu(struct msg *m)
{
	m->opened.mtu = 0;
}

static void close_reason_0(struct msg *m)
{
	m->close.is_signed = false;
	m->close.reason = (enum close_reason)0;
}

static void close_reason_8(struct msg *m)
{
	m->close.is_signed = false;
	m->close.reason = CLOSE_REASONS;
}

static void close_label(struct msg *m)
{
	m->close.is_signed = false;
	m->close.label = LABEL_MASK + 1;
}

static void query_nobody(struct msg *m)
{
	m->peer_query.n = 0;
}

static void values_out_of_range_are_invalid(void **state)
{
	static const struct {
		const char *why;
		enum msg_type type;
		void (*spoil)(struct msg *m);
	} cases[] = {
		{ "a version we do not speak", MSG_HELLO, version_2 },
		{ "no version", MSG_HELLO, version_0 },
		{ "a line feed in a name", MSG_HELLO, newline },
		{ "DEL in a name", MSG_HELLO, delete_character },
		{ "a C1 control: CSI", MSG_HELLO, c1_control },
		{ "an overlong slash", MSG_HELLO, overlong },
		{ "overlong in three bytes", MSG_HELLO, overlong_of_three },
		{ "half a surrogate pair", MSG_HELLO, surrogate },
		{ "over U+10FFFF", MSG_HELLO, beyond_unicode },
		{ "a continuation byte alone", MSG_HELLO, lone_continuation },
		{ "a character cut short", MSG_HELLO, cut_character },
		{ "0xff is never UTF-8", MSG_HELLO, byte_ff },
		{ "a link without MTU", MSG_LINK, link_without_mtu },
		{ "no link may be crossed", MSG_PROBE, ttl_0 },
		{ "more links than HOPS_MAX", MSG_PROBE, ttl_65 },
		{ "version 0 of the body", MSG_PROBE, probe_version },
		{ "valid over the limit", MSG_PROBE, valid_too_long },
		{ "a deadline over the limit", MSG_PROBE, deadline_too_far },
		{ "origin and target are one", MSG_PROBE, to_oneself },
		{ "a loop", MSG_PROBE, relay_twice },
		{ "a loop through the origin", MSG_PROBE, origin_as_relay },
		{ "went past its target", MSG_PROBE, target_as_relay },
		{ "a hop without MTU", MSG_PROBE, relay_without_mtu },
		{ "further than its ttl", MSG_PROBE, more_relays_than_ttl },
		{ "no room for the target", MSG_PROBE, no_room_for_the_target },
		{ "no code", MSG_NAK, nak_code_0 },
		{ "an unknown code", MSG_NAK, nak_code_unknown },
		{ "a label with part bits", MSG_OPEN, open_label },
		{ "a circuit without MTU", MSG_OPEN, open_mtu },
		{ "signed about another route", MSG_OPEN, open_other_route },
		{ "a signature is missing", MSG_OPEN, open_first_sig },
		{ "a label with part bits", MSG_OPENED, opened_label },
		{ "a circuit without MTU", MSG_OPENED, opened_mtu },
		{ "no reason", MSG_CLOSE, close_reason_0 },
		{ "an unknown reason", MSG_CLOSE, close_reason_8 },
		{ "a label with part bits", MSG_CLOSE, close_label },
		{ "a query for nobody", MSG_PEER_QUERY, query_nobody },
	};
	struct rng r;

	(void)state;
	rng_init(&r, 10);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m, got;

		msg_random(&m, cases[i].type, &r);
		assert_int_equal(msg_reread(&got, &m), MSG_OK);
		cases[i].spoil(&m);
		if (msg_reread(&got, &m) != MSG_INVALID)
			fail_msg("accepted: %s", cases[i].why);
	}
}

static void values_at_the_edge_are_valid(void **state)
{
	struct msg m, got;
	struct rng r;

	(void)state;
	rng_init(&r, 11);
	msg_random(&m, MSG_PROBE, &r);
	m.probe.valid_ms = PROBE_VALID_MS;
	m.probe.deadline_ms = PROBE_DEADLINE_MAX_MS;
	make_relays(&m, HOPS_MAX - 1);
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_true(msg_equal(&m, &got));
	make_relays(&m, 5);
	m.probe.ttl = 6;
	msg_probe_seal(&m.probe);
	assert_int_equal(msg_reread(&got, &m), MSG_OK);

	msg_random(&m, MSG_HELLO, &r);
	strcpy(m.hello.name,
	       "\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf\xc2\xa0");
	assert_int_equal(msg_reread(&got, &m), MSG_OK);
	assert_string_equal(got.hello.name, m.hello.name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_messages_have_these_bytes),
		cmocka_unit_test(a_probe_has_these_bytes),
		cmocka_unit_test(values_out_of_range_are_invalid),
		cmocka_unit_test(values_at_the_edge_are_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
