#include "node/tun/tun_ip.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/ip6_packet.h"

#define NOW (1000 * NS_PER_S)

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct overlay_net other_net = { { 0xfd, 0xcc, 9, 9, 9, 9 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id peer = { { 2, 2, 2 } };
static const struct node_id third = { { 3, 3, 3 } };
static const uint8_t hash_key[16] = { 7 };

struct fixture {
	struct tun_ip ip;
	struct addr self;
	struct addr far;
	uint8_t packet[IP6_TEST_BYTES];
};

/* TCP 80 and UDP 53 are published, to `peer` alone. */
static bool allow(void *ctx, const struct node_id *id, uint8_t proto,
		  uint16_t port)
{
	(void)ctx;
	return id_equal(id, &peer) && ((proto == IPPROTO_TCP && port == 80) ||
				       (proto == IPPROTO_UDP && port == 53));
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);

	tun_ip_init(&f->ip, &net, &us, hash_key, allow, NULL, NOW);
	f->self = addr_of(&net, &us);
	f->far = addr_of(&net, &peer);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tun_ip_deinit(&f->ip);
	free(f);
	return 0;
}

/* ---- out ---- */

static void a_packet_to_a_node_goes_out_with_one_hop_less(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->self, &f->far, 128);
	struct node_id to;

	assert_int_equal(tun_ip_out(&f->ip, f->packet, len, NOW, &to),
			 TUN_PASS);
	assert_true(id_equal(&to, &peer));
	assert_int_equal(f->packet[7], 63);
	assert_int_equal(f->ip.n[TUN_OUT][TUN_PASS], 1);
}

static struct addr addr_text_to(const char *text)
{
	struct addr a;

	assert_true(addr_parse(&a, text));
	return a;
}

static void what_is_not_ours_does_not_go_out(void **state)
{
	struct fixture *f = *state;
	const struct addr self = f->self, far = f->far;
	const struct addr outside = addr_of(&other_net, &peer);
	const struct addr link_local = addr_text_to("fe80::1");
	const struct addr routers = addr_text_to("ff02::2");
	const struct addr none = addr_text_to("::");
	const struct {
		const char *why;
		struct addr src, dst;
		uint8_t hop_limit;
		int cut; /* bytes the packet is shorter than it claims */
		enum tun_verdict want;
	} cases[] = {
		{ "another source in the cluster", addr_of(&net, &third), far,
		  64, 0, TUN_SOURCE },
		{ "a source outside", outside, far, 64, 0, TUN_SOURCE },
		{ "another cluster", self, outside, 64, 0, TUN_DESTINATION },
		{ "ourselves", self, self, 64, 0, TUN_DESTINATION },
		{ "a router solicitation", link_local, routers, 255, 0,
		  TUN_SCOPE },
		{ "multicast", self, routers, 64, 0, TUN_SCOPE },
		{ "to a link-local address", self, link_local, 64, 0,
		  TUN_SCOPE },
		{ "no source", none, far, 64, 0, TUN_SCOPE },
		{ "hop limit 1", self, far, 1, 0, TUN_HOP_LIMIT },
		{ "hop limit 0", self, far, 0, 0, TUN_HOP_LIMIT },
		{ "a byte short", self, far, 64, 1, TUN_LENGTH },
		{ "a byte long", self, far, 64, -1, TUN_LENGTH },
		{ "less than a header", self, far, 64, 9, TUN_SHORT },
		{ "nothing", self, far, 64, 48, TUN_SHORT },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t *n = &f->ip.n[TUN_OUT][cases[i].want];
		uint64_t before = *n;
		struct node_id to;
		size_t len = ip6_packet(f->packet, &cases[i].src, &cases[i].dst,
					IPPROTO_ICMPV6, cases[i].hop_limit,
					"\x80\0\0\0\0\0\0\0", 8);

		if (tun_ip_out(&f->ip, f->packet,
			       (size_t)((int)len - cases[i].cut), NOW,
			       &to) != cases[i].want)
			fail_msg("%s", cases[i].why);
		assert_int_equal(*n, before + 1);
	}
}

static void ipv4_does_not_go_out(void **state)
{
	struct fixture *f = *state;
	struct node_id to;

	memset(f->packet, 0, 60);
	f->packet[0] = 0x45;
	assert_int_equal(tun_ip_out(&f->ip, f->packet, 60, NOW, &to),
			 TUN_VERSION);
}

/* ---- in ---- */

static void the_inbound_policy_is_closed_by_default(void **state)
{
	struct fixture *f = *state;
	const uint8_t syn = TCP_FLAG_SYN, ack = TCP_FLAG_ACK;
	const struct {
		const char *why;
		uint8_t proto;
		uint16_t port; /* ICMPv6: the type */
		uint8_t flags;
		enum tun_verdict want;
	} cases[] = {
		{ "SYN to a published port", IPPROTO_TCP, 80, syn, TUN_PASS },
		{ "SYN to another", IPPROTO_TCP, 81, syn, TUN_CLOSED },
		{ "SYN with odd flags to another", IPPROTO_TCP, 81, syn | 1,
		  TUN_CLOSED },
		{ "the answer to our SYN", IPPROTO_TCP, 81, syn | ack,
		  TUN_PASS },
		{ "a segment", IPPROTO_TCP, 81, ack, TUN_PASS },
		{ "UDP to a published port", IPPROTO_UDP, 53, 0, TUN_PASS },
		{ "UDP to another", IPPROTO_UDP, 80, 0, TUN_CLOSED },
		{ "echo request", IPPROTO_ICMPV6, 128, 0, TUN_PASS },
		{ "echo reply", IPPROTO_ICMPV6, 129, 0, TUN_PASS },
		{ "unreachable", IPPROTO_ICMPV6, 1, 0, TUN_PASS },
		{ "too big", IPPROTO_ICMPV6, 2, 0, TUN_PASS },
		{ "router advertisement", IPPROTO_ICMPV6, 134, 0,
		  TUN_PROTOCOL },
		{ "neighbour advertisement", IPPROTO_ICMPV6, 136, 0,
		  TUN_PROTOCOL },
		{ "redirect", IPPROTO_ICMPV6, 137, 0, TUN_PROTOCOL },
		{ "GRE", IPPROTO_GRE, 0, 0, TUN_PROTOCOL },
		{ "hop-by-hop", IPPROTO_HOPOPTS, 0, 0, TUN_EXTENSION },
		{ "routing header", IPPROTO_ROUTING, 0, 0, TUN_EXTENSION },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len;

		if (cases[i].proto == IPPROTO_TCP)
			len = ip6_packet_tcp(f->packet, &f->far, &f->self, 4000,
					     cases[i].port, cases[i].flags);
		else if (cases[i].proto == IPPROTO_UDP)
			len = ip6_packet_udp(f->packet, &f->far, &f->self, 4000,
					     cases[i].port);
		else if (cases[i].proto == IPPROTO_ICMPV6)
			len = ip6_packet_icmp(f->packet, &f->far, &f->self,
					      (uint8_t)cases[i].port);
		else
			len = ip6_packet(f->packet, &f->far, &f->self,
					 cases[i].proto, 64, NULL, 24);
		if (tun_ip_in(&f->ip, &peer, f->packet, len, NOW) !=
		    cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

/* The first fragment is judged as the whole packet would be: without it the
 * others never become one. */
static void fragments_are_judged_by_the_first(void **state)
{
	struct fixture *f = *state;
	static const uint8_t to_53[24] = { 0x0f, 0xa0, 0, 53 };
	static const uint8_t to_54[24] = { 0x0f, 0xa0, 0, 54 };
	static const uint8_t syn_80[24] = { 0x0f, 0xa0, 0, 80, [13] = 2 };
	static const uint8_t syn_81[24] = { 0x0f, 0xa0, 0, 81, [13] = 2 };
	static const uint8_t echo[24] = { 128 };
	static const uint8_t redirect[24] = { 137 };
	const uint8_t tcp = IPPROTO_TCP, udp = IPPROTO_UDP,
		      icmp = IPPROTO_ICMPV6;
	const struct {
		const char *why;
		uint8_t proto;
		size_t offset;
		const uint8_t *data;
		size_t len;
		enum tun_verdict want;
	} cases[] = {
		{ "UDP to a published port", udp, 0, to_53, 24, TUN_PASS },
		{ "UDP to another", udp, 0, to_54, 24, TUN_CLOSED },
		{ "SYN to a published port", tcp, 0, syn_80, 24, TUN_PASS },
		{ "SYN to another", tcp, 0, syn_81, 24, TUN_CLOSED },
		{ "echo request", icmp, 0, echo, 24, TUN_PASS },
		{ "redirect", icmp, 0, redirect, 24, TUN_PROTOCOL },
		{ "later, UDP", udp, 1232, to_54, 24, TUN_PASS },
		{ "later, TCP", tcp, 1232, syn_81, 24, TUN_PASS },
		{ "later, ICMPv6", icmp, 1232, redirect, 24, TUN_PASS },
		{ "later, the last byte", udp, 65528, to_54, 1, TUN_PASS },
		{ "half a header", tcp, 0, syn_80, 19, TUN_MALFORMED },
		{ "half a UDP header", udp, 0, to_53, 7, TUN_MALFORMED },
		{ "one over the header", tcp, 8, syn_81, 24, TUN_MALFORMED },
		{ "over the end of it", tcp, 16, syn_81, 24, TUN_MALFORMED },
		{ "just behind it", tcp, 24, syn_81, 24, TUN_PASS },
		{ "of any protocol", udp, 16, to_54, 24, TUN_MALFORMED },
		{ "another protocol", IPPROTO_GRE, 0, to_53, 24, TUN_PROTOCOL },
		{ "later, another protocol", IPPROTO_GRE, 1232, to_53, 24,
		  TUN_PROTOCOL },
		{ "options in it", IPPROTO_DSTOPTS, 0, to_53, 24,
		  TUN_EXTENSION },
		{ "a fragment in it", IPPROTO_FRAGMENT, 0, to_53, 24,
		  TUN_EXTENSION },
		{ "later, a fragment in it", IPPROTO_FRAGMENT, 1232, to_53, 24,
		  TUN_EXTENSION },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = ip6_packet_fragment(
			f->packet, &f->far, &f->self, cases[i].proto,
			cases[i].offset, false, cases[i].data, cases[i].len);

		if (tun_ip_in(&f->ip, &peer, f->packet, len, NOW) !=
		    cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void a_fragment_has_the_same_ends_as_any_packet(void **state)
{
	struct fixture *f = *state;
	const struct addr elsewhere = addr_of(&net, &third);
	const uint8_t data[24] = { 128 };
	size_t len;

	for (size_t offset = 0; offset <= 1232; offset += 1232) {
		len = ip6_packet_fragment(f->packet, &elsewhere, &f->self,
					  IPPROTO_ICMPV6, offset, true, data,
					  sizeof data);
		assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
				 TUN_SOURCE);
		len = ip6_packet_fragment(f->packet, &f->far, &elsewhere,
					  IPPROTO_ICMPV6, offset, true, data,
					  sizeof data);
		assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
				 TUN_DESTINATION);
	}
	len = ip6_packet(f->packet, &f->far, &f->self, IPPROTO_FRAGMENT, 64,
			 NULL, 7);
	assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
			 TUN_MALFORMED);
}

static void a_large_question_lets_the_answer_in(void **state)
{
	struct fixture *f = *state;
	static const uint8_t udp[24] = { 0x0f, 0xa0, 0, 99 };
	struct node_id to;
	size_t len;

	len = ip6_packet_fragment(f->packet, &f->self, &f->far, IPPROTO_UDP, 0,
				  false, udp, sizeof udp);
	assert_int_equal(tun_ip_out(&f->ip, f->packet, len, NOW, &to),
			 TUN_PASS);
	len = ip6_packet_udp(f->packet, &f->far, &f->self, 99, 4000);
	assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
			 TUN_PASS);
}

static void a_peer_can_speak_only_for_itself_and_only_to_us(void **state)
{
	struct fixture *f = *state;
	const struct addr far = f->far, self = f->self;
	const struct addr elsewhere = addr_of(&net, &third);
	const struct addr outside = addr_text_to("2001:db8::1");
	const struct {
		const char *why;
		struct addr src, dst;
		enum tun_verdict want;
	} cases[] = {
		{ "as it should be", far, self, TUN_PASS },
		{ "as another node", elsewhere, self, TUN_SOURCE },
		{ "as ourselves", self, self, TUN_SOURCE },
		{ "from outside", outside, self, TUN_SOURCE },
		{ "to another node", far, elsewhere, TUN_DESTINATION },
		{ "to the outside", far, outside, TUN_DESTINATION },
		{ "to loopback", far, addr_text_to("::1"), TUN_SCOPE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = ip6_packet_icmp(f->packet, &cases[i].src,
					     &cases[i].dst, 128);

		if (tun_ip_in(&f->ip, &peer, f->packet, len, NOW) !=
		    cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void a_published_port_is_closed_to_who_is_not_allowed(void **state)
{
	struct fixture *f = *state;
	struct addr from = addr_of(&net, &third);
	size_t len = ip6_packet_tcp(f->packet, &from, &f->self, 4000, 80,
				    TCP_FLAG_SYN);

	assert_int_equal(tun_ip_in(&f->ip, &third, f->packet, len, NOW),
			 TUN_CLOSED);
}

static void half_a_transport_header_is_dropped(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet(f->packet, &f->far, &f->self, IPPROTO_TCP, 64,
				NULL, 13);

	assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
			 TUN_MALFORMED);
	len = ip6_packet(f->packet, &f->far, &f->self, IPPROTO_UDP, 64, NULL,
			 7);
	assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
			 TUN_MALFORMED);
}

static void udp_answers_come_in_while_the_flow_lives(void **state)
{
	struct fixture *f = *state;
	uint8_t answer[IP6_TEST_BYTES];
	struct node_id to;
	size_t len = ip6_packet_udp(f->packet, &f->self, &f->far, 5000, 123);
	size_t n = ip6_packet_udp(answer, &f->far, &f->self, 123, 5000);
	nsec now = NOW;

	assert_int_equal(tun_ip_in(&f->ip, &peer, answer, n, now), TUN_CLOSED);
	assert_int_equal(tun_ip_out(&f->ip, f->packet, len, now, &to),
			 TUN_PASS);
	now += TUN_FLOW_IDLE_NS;
	assert_int_equal(tun_ip_in(&f->ip, &peer, answer, n, now), TUN_PASS);
	now += TUN_FLOW_IDLE_NS;
	assert_int_equal(tun_ip_in(&f->ip, &peer, answer, n, now), TUN_PASS);
	now += TUN_FLOW_IDLE_NS + 1;
	assert_int_equal(tun_ip_in(&f->ip, &peer, answer, n, now), TUN_CLOSED);
}

static void a_flow_is_open_for_its_own_ports_and_peer_alone(void **state)
{
	struct fixture *f = *state;
	struct addr other = addr_of(&net, &third);
	struct node_id to;
	size_t len = ip6_packet_udp(f->packet, &f->self, &f->far, 5000, 123);

	tun_ip_out(&f->ip, f->packet, len, NOW, &to);
	len = ip6_packet_udp(f->packet, &f->far, &f->self, 124, 5000);
	assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
			 TUN_CLOSED);
	len = ip6_packet_udp(f->packet, &f->far, &f->self, 123, 5001);
	assert_int_equal(tun_ip_in(&f->ip, &peer, f->packet, len, NOW),
			 TUN_CLOSED);
	len = ip6_packet_udp(f->packet, &other, &f->self, 123, 5000);
	assert_int_equal(tun_ip_in(&f->ip, &third, f->packet, len, NOW),
			 TUN_CLOSED);
}

static void many_flows_push_out_the_oldest_only(void **state)
{
	struct tun_flows *t = tun_flows_new(hash_key);
	struct tun_flow f = { .peer = peer, .proto = IPPROTO_UDP };
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 20 * TUN_FLOWS_MAX; i++) {
		f.our_port = (uint16_t)i;
		f.their_port = (uint16_t)(i >> 16);
		tun_flows_note(t, &f, NOW + i);
		assert_true(tun_flows_handle(t, &f, NOW + i));
	}
	for (unsigned i = 0; i < 20 * TUN_FLOWS_MAX; i++) {
		f.our_port = (uint16_t)i;
		f.their_port = (uint16_t)(i >> 16);
		n += tun_flows_handle(t, &f, NOW + 20 * TUN_FLOWS_MAX);
	}
	assert_int_equal(n, TUN_FLOWS_MAX);
	tun_flows_free(t);
}

/* ---- answers ---- */

static void which_verdicts_are_answered(void **state)
{
	static const struct {
		enum tun_verdict verdict;
		int out, in; /* -1: silence */
	} cases[] = {
		{ TUN_PASS, -1, -1 },
		{ TUN_SHORT, -1, -1 },
		{ TUN_VERSION, -1, -1 },
		{ TUN_LENGTH, -1, -1 },
		{ TUN_HOP_LIMIT, ICMP6_HOP_LIMIT, ICMP6_HOP_LIMIT },
		{ TUN_SCOPE, -1, -1 },
		{ TUN_SOURCE, -1, -1 },
		{ TUN_DESTINATION, ICMP6_NO_ROUTE, -1 },
		{ TUN_EXTENSION, -1, ICMP6_PROHIBITED },
		{ TUN_MALFORMED, -1, -1 },
		{ TUN_CLOSED, -1, ICMP6_PROHIBITED },
		{ TUN_PROTOCOL, -1, ICMP6_PROHIBITED },
	};

	(void)state;
	assert_int_equal(ARRAY_LEN(cases), TUN_VERDICTS);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum icmp6_error e;
		int out = tun_ip_error_of(&e, TUN_OUT, cases[i].verdict)
				  ? (int)e
				  : -1;
		int in = tun_ip_error_of(&e, TUN_IN, cases[i].verdict) ? (int)e
								       : -1;

		assert_int_equal(out, cases[i].out);
		assert_int_equal(in, cases[i].in);
	}
}

static size_t answer(struct fixture *f, uint8_t *out, enum icmp6_error error,
		     size_t mtu, size_t len, nsec now)
{
	return tun_ip_answer(&f->ip, out, TUN_OUT, error, mtu, &f->self,
			     f->packet, len, now);
}

static void an_answer_tells_the_app_why(void **state)
{
	struct fixture *f = *state;
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	size_t len = ip6_packet(f->packet, &f->self, &f->far, IPPROTO_TCP, 64,
				NULL, 1460);
	size_t n = answer(f, out, ICMP6_TOO_BIG, 1410, len, NOW);

	assert_int_equal(n, ICMP6_ERROR_BYTES_MAX);
	assert_memory_equal(out + 8, f->self.b, 16);
	assert_memory_equal(out + 24, f->self.b, 16);
	assert_int_equal(out[40], 2);
	assert_int_equal(out[46] << 8 | out[47], 1410);
	assert_memory_equal(out + 48, f->packet, n - 48);

	n = answer(f, out, ICMP6_TOO_BIG, 1200, len, NOW);
	assert_int_equal(out[46] << 8 | out[47], 1280);
	n = answer(f, out, ICMP6_ADDRESS_UNREACHABLE, 0, len, NOW);
	assert_int_equal(out[40], 1);
	assert_int_equal(out[41], 3);
	assert_true(n > 0);
}

static void answers_are_limited(void **state)
{
	struct fixture *f = *state;
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	size_t len = ip6_packet_udp(f->packet, &f->self, &f->far, 1, 2);
	size_t n = 0;

	for (int i = 0; i < 3 * TUN_ANSWER_BURST; i++)
		n += answer(f, out, ICMP6_PROHIBITED, 0, len, NOW) > 0;
	assert_int_equal(n, TUN_ANSWER_BURST);
	assert_int_equal(f->ip.n_answers[TUN_OUT], TUN_ANSWER_BURST);
	assert_int_equal(f->ip.n_answers_limited[TUN_OUT],
			 2 * TUN_ANSWER_BURST);
	assert_true(answer(f, out, ICMP6_PROHIBITED, 0, len, NOW + NS_PER_S) >
		    0);
	/* The other side has its own. */
	assert_true(tun_ip_answer(&f->ip, out, TUN_IN, ICMP6_PROHIBITED, 0,
				  &f->self, f->packet, len, NOW) > 0);
}

static void nobody_is_told_about_what_he_did_not_send(void **state)
{
	struct fixture *f = *state;
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	size_t len = ip6_packet_udp(f->packet, &f->far, &f->self, 1, 2);

	assert_int_equal(answer(f, out, ICMP6_PROHIBITED, 0, len, NOW), 0);
	assert_int_equal(answer(f, out, ICMP6_PROHIBITED, 0, 7, NOW), 0);
	/* Nor of errors about errors. */
	len = ip6_packet_icmp(f->packet, &f->self, &f->far, 1);
	assert_int_equal(answer(f, out, ICMP6_PROHIBITED, 0, len, NOW), 0);
	assert_int_equal(f->ip.n_answers[TUN_OUT], 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_packet_to_a_node_goes_out_with_one_hop_less),
		CASE(what_is_not_ours_does_not_go_out),
		CASE(ipv4_does_not_go_out),
		CASE(the_inbound_policy_is_closed_by_default),
		CASE(fragments_are_judged_by_the_first),
		CASE(a_fragment_has_the_same_ends_as_any_packet),
		CASE(a_large_question_lets_the_answer_in),
		CASE(a_peer_can_speak_only_for_itself_and_only_to_us),
		CASE(a_published_port_is_closed_to_who_is_not_allowed),
		CASE(half_a_transport_header_is_dropped),
		CASE(udp_answers_come_in_while_the_flow_lives),
		CASE(a_flow_is_open_for_its_own_ports_and_peer_alone),
		CASE(many_flows_push_out_the_oldest_only),
		CASE(which_verdicts_are_answered),
		CASE(an_answer_tells_the_app_why),
		CASE(answers_are_limited),
		CASE(nobody_is_told_about_what_he_did_not_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
