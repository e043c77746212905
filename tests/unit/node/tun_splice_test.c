#include "node/splice/tun_splice.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/limits.h"
#include "tests/support/ip6_packet.h"

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id peer = { { 2, 2, 2 } };
static const struct node_id other = { { 3, 3, 3 } };

enum {
	FIN = 0x01,
	RST = 0x04,
	TCP_AT = 40,
	SEQ_AT = TCP_AT + 4,
	ACK_AT = TCP_AT + 8,
	OFFSET_AT = TCP_AT + 12,
	FLAGS_AT = TCP_AT + 13,
	SUM_AT = TCP_AT + 16,
	OPTIONS_AT = TCP_AT + 20,
	APP = 40000,
	OURS = 50000,
	WEB = 80,
};

#define NOW (1000 * NS_PER_S)

struct fixture {
	struct tun_splice *t;
	struct addr self, far;
	uint8_t packet[IP6_TEST_BYTES];
	size_t len;
	uint16_t inner; /* the far port of our socket's conversation */
};

static int set_up(void **state)
{
	static const uint8_t hash_key[16] = { 7 };
	struct fixture *f = mem_new(f);

	f->t = tun_splice_new(hash_key);
	f->self = addr_of(&net, &us);
	f->far = addr_of(&net, &peer);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tun_splice_free(f->t);
	free(f);
	return 0;
}

/* ---- a second opinion on checksums: RFC 1071 ---- */

static uint16_t sum_of(const uint8_t *packet, size_t len, size_t from)
{
	uint32_t sum = 0;

	for (size_t i = from; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)packet[i] << 8 : packet[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint16_t whole_sum(const uint8_t *packet, size_t len)
{
	uint32_t sum =
		sum_of(packet, len, 8) + IPPROTO_TCP + (uint32_t)(len - TCP_AT);

	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void complete(struct fixture *f)
{
	uint16_t sum;

	f->packet[SUM_AT] = f->packet[SUM_AT + 1] = 0;
	sum = (uint16_t)~whole_sum(f->packet, f->len);
	f->packet[SUM_AT] = (uint8_t)(sum >> 8);
	f->packet[SUM_AT + 1] = (uint8_t)sum;
}

static bool is_complete(const uint8_t *packet, size_t len)
{
	return whole_sum(packet, len) == 0xffff;
}

/* ---- packets ---- */

static void tcp(struct fixture *f, uint16_t src, uint16_t dst, uint8_t flags,
		size_t n_payload)
{
	f->len = ip6_packet_tcp(f->packet, &f->self, &f->far, src, dst, flags);
	for (size_t i = 0; i < n_payload; i++)
		f->packet[f->len++] = (uint8_t)(i * 7 + 1);
	f->packet[4] = (uint8_t)((f->len - TCP_AT) >> 8);
	f->packet[5] = (uint8_t)(f->len - TCP_AT);
	complete(f);
}

static enum tun_splice_verdict out(struct fixture *f, bool is_partial)
{
	return tun_splice_out(f->t, &peer, f->packet, &f->len, is_partial, NOW);
}

static enum tun_splice_verdict send_tcp(struct fixture *f, uint16_t src,
					uint16_t dst, uint8_t flags)
{
	tcp(f, src, dst, flags, 0);
	return out(f, false);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The packet looks as if the far node had sent it. */
static void assert_came_back(struct fixture *f, uint16_t src, uint16_t dst)
{
	assert_memory_equal(f->packet + 8, f->far.b, 16);
	assert_memory_equal(f->packet + 24, f->self.b, 16);
	assert_int_equal(get16(f->packet + TCP_AT), src);
	assert_int_equal(get16(f->packet + TCP_AT + 2), dst);
}

static struct tun_splice_flow *hold(struct fixture *f, uint16_t port)
{
	assert_int_equal(send_tcp(f, port, WEB, TCP_FLAG_SYN),
			 TUN_SPLICE_BEGINS);
	return tun_splice_hold(f->t, &peer, f->packet, f->len, NOW);
}

static struct tun_splice_flow *join(struct fixture *f)
{
	struct tun_splice_flow *flow = hold(f, APP);

	assert_non_null(flow);
	f->inner = tun_splice_join(f->t, flow, OURS);
	assert_true(f->inner >= 1024);
	return flow;
}

/* ---- tests ---- */

static void only_a_plain_syn_begins_a_flow(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *why;
		uint8_t flags;
		size_t n_payload;
		uint8_t options[4];
		enum tun_splice_verdict want;
	} cases[] = {
		{ "SYN", TCP_FLAG_SYN, 0, { 0 }, TUN_SPLICE_BEGINS },
		{ "with ECN",
		  TCP_FLAG_SYN | 0xc0,
		  0,
		  { 0 },
		  TUN_SPLICE_BEGINS },
		{ "SYN and ACK",
		  TCP_FLAG_SYN | TCP_FLAG_ACK,
		  0,
		  { 0 },
		  TUN_SPLICE_NONE },
		{ "ACK", TCP_FLAG_ACK, 0, { 0 }, TUN_SPLICE_NONE },
		{ "RST", RST, 0, { 0 }, TUN_SPLICE_NONE },
		{ "SYN and FIN",
		  TCP_FLAG_SYN | FIN,
		  0,
		  { 0 },
		  TUN_SPLICE_NONE },
		{ "data in the SYN", TCP_FLAG_SYN, 5, { 0 }, TUN_SPLICE_NONE },
		{ "options",
		  TCP_FLAG_SYN,
		  0,
		  { 1, 1, 4, 2 },
		  TUN_SPLICE_BEGINS },
		{ "signed: MD5",
		  TCP_FLAG_SYN,
		  0,
		  { 1, 1, 19, 2 },
		  TUN_SPLICE_NONE },
		{ "signed: AO", TCP_FLAG_SYN, 0, { 29, 4 }, TUN_SPLICE_NONE },
		{ "an option of no length",
		  TCP_FLAG_SYN,
		  0,
		  { 8, 0 },
		  TUN_SPLICE_NONE },
		{ "an option that is longer than the header",
		  TCP_FLAG_SYN,
		  0,
		  { 1, 1, 8, 10 },
		  TUN_SPLICE_NONE },
		{ "an option cut in its middle",
		  TCP_FLAG_SYN,
		  0,
		  { 1, 1, 1, 8 },
		  TUN_SPLICE_NONE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		tcp(f, APP, WEB, cases[i].flags, cases[i].n_payload);
		if (cases[i].options[0] != 0) {
			memcpy(f->packet + OPTIONS_AT, cases[i].options, 4);
			f->len += 4;
			f->packet[OFFSET_AT] = 6 << 4;
		}
		if (out(f, false) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void what_is_no_whole_tcp_is_left_alone(void **state)
{
	struct fixture *f = *state;

	join(f);
	f->len = ip6_packet_udp(f->packet, &f->self, &f->far, APP, WEB);
	assert_int_equal(out(f, false), TUN_SPLICE_NONE);
	tcp(f, APP, WEB, TCP_FLAG_ACK, 0);
	f->len--;
	assert_int_equal(out(f, false), TUN_SPLICE_NONE);
	tcp(f, APP, WEB, TCP_FLAG_ACK, 0);
	f->packet[OFFSET_AT] = 4 << 4;
	assert_int_equal(out(f, false), TUN_SPLICE_NONE);
	tcp(f, APP, WEB, TCP_FLAG_ACK, 0);
	f->packet[OFFSET_AT] = 6 << 4;
	assert_int_equal(out(f, false), TUN_SPLICE_NONE);
	tcp(f, APP, WEB, TCP_FLAG_ACK, 0);
	f->packet[6] = IPPROTO_FRAGMENT;
	assert_int_equal(out(f, false), TUN_SPLICE_NONE);
}

static void a_held_syn_is_not_sent_twice(void **state)
{
	struct fixture *f = *state;

	assert_non_null(hold(f, APP));
	assert_int_equal(send_tcp(f, APP, WEB, TCP_FLAG_SYN), TUN_SPLICE_DROP);
	assert_int_equal(tun_splice_counts(f->t)->n_again, 1);
	/* Nor is there a second flow between the same ports. */
	assert_null(tun_splice_hold(f->t, &peer, f->packet, f->len, NOW));
	assert_null(tun_splice_serve(f->t, &peer, APP, WEB, NOW));
	/* To another node it is another. */
	assert_int_equal(
		tun_splice_out(f->t, &other, f->packet, &f->len, false, NOW),
		TUN_SPLICE_BEGINS);
}

static void our_sockets_syn_lets_the_apps_in(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *flow;
	uint8_t syn[TUN_SPLICE_SYN_MAX];
	const uint8_t *held;
	size_t len;

	tcp(f, APP, WEB, TCP_FLAG_SYN, 0);
	memcpy(f->packet + SEQ_AT, "\1\2\3\4", 4);
	complete(f);
	memcpy(syn, f->packet, f->len);
	flow = tun_splice_hold(f->t, &peer, f->packet, f->len, NOW);
	held = tun_splice_syn(flow, &len);
	assert_int_equal(len, f->len);
	assert_memory_equal(held, syn, len);
	f->inner = tun_splice_join(f->t, flow, OURS);
	/* As often as it comes, whatever its checksum is. */
	for (int i = 0; i < 2; i++) {
		tcp(f, OURS, f->inner, TCP_FLAG_SYN, 0);
		assert_int_equal(out(f, true), TUN_SPLICE_LETS_IN);
		assert_int_equal(f->len, len);
		assert_came_back(f, f->inner, OURS);
		assert_memory_equal(f->packet + SEQ_AT, "\1\2\3\4", 4);
		assert_true(is_complete(f->packet, f->len));
	}
	/* Its answer reaches the app as the far node's. */
	assert_int_equal(
		send_tcp(f, OURS, f->inner, TCP_FLAG_SYN | TCP_FLAG_ACK),
		TUN_SPLICE_BACK);
	assert_came_back(f, WEB, APP);
	/* The app's SYN that comes again goes to our socket. */
	assert_int_equal(send_tcp(f, APP, WEB, TCP_FLAG_SYN), TUN_SPLICE_BACK);
	assert_came_back(f, f->inner, OURS);
}

static void segments_change_sides(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[] = { 0, 1, 2, 3, 700, 1351 };
	uint8_t before[IP6_TEST_BYTES];

	join(f);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		tcp(f, APP, WEB, TCP_FLAG_ACK, sizes[i]);
		memcpy(before, f->packet, f->len);
		assert_int_equal(out(f, false), TUN_SPLICE_BACK);
		assert_came_back(f, f->inner, OURS);
		assert_true(is_complete(f->packet, f->len));
		assert_memory_equal(f->packet, before, 8);
		assert_memory_equal(f->packet + SEQ_AT, before + SEQ_AT, 12);
		assert_memory_equal(f->packet + SUM_AT + 2, before + SUM_AT + 2,
				    f->len - SUM_AT - 2);
		tcp(f, OURS, f->inner, TCP_FLAG_ACK, sizes[i]);
		assert_int_equal(out(f, false), TUN_SPLICE_BACK);
		assert_came_back(f, WEB, APP);
		assert_true(is_complete(f->packet, f->len));
	}
	assert_int_equal(tun_splice_counts(f->t)->n_back, 2 * ARRAY_LEN(sizes));
}

/* Of every port: the carries of the sum. */
static void any_ports_leave_the_checksum_good(void **state)
{
	struct fixture *f = *state;
	static const uint16_t ports[] = { 1,     2,     255,   256,
					  32767, 32768, 65534, 65535 };

	for (size_t i = 0; i < ARRAY_LEN(ports); i++)
		for (size_t j = 0; j < ARRAY_LEN(ports); j++) {
			struct tun_splice_flow *flow;
			uint16_t q;

			if (i == j)
				continue;
			tcp(f, ports[i], 99, TCP_FLAG_SYN, 0);
			flow = tun_splice_hold(f->t, &peer, f->packet, f->len,
					       NOW);
			assert_non_null(flow);
			q = tun_splice_join(f->t, flow, ports[j]);
			assert_int_not_equal(q, 0);
			for (uint8_t k = 0; k < 20; k++) {
				tcp(f, ports[i], 99, TCP_FLAG_ACK, k);
				assert_int_equal(out(f, false),
						 TUN_SPLICE_BACK);
				assert_true(is_complete(f->packet, f->len));
				assert_came_back(f, q, ports[j]);
			}
			tun_splice_remove(f->t, flow);
		}
}

static void a_partial_checksum_stays_as_it_is(void **state)
{
	struct fixture *f = *state;

	join(f);
	tcp(f, APP, WEB, TCP_FLAG_ACK, 100);
	f->packet[SUM_AT] = 0x12;
	f->packet[SUM_AT + 1] = 0x34;
	assert_int_equal(out(f, true), TUN_SPLICE_BACK);
	assert_came_back(f, f->inner, OURS);
	assert_int_equal(get16(f->packet + SUM_AT), 0x1234);
}

static void a_served_flow_looks_like_the_far_app(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *flow =
		tun_splice_serve(f->t, &peer, WEB, APP, NOW);

	assert_non_null(flow);
	f->inner = tun_splice_join(f->t, flow, OURS);
	assert_int_equal(send_tcp(f, OURS, f->inner, TCP_FLAG_SYN),
			 TUN_SPLICE_BACK);
	assert_came_back(f, APP, WEB);
	assert_true(is_complete(f->packet, f->len));
	assert_int_equal(send_tcp(f, WEB, APP, TCP_FLAG_SYN | TCP_FLAG_ACK),
			 TUN_SPLICE_BACK);
	assert_came_back(f, f->inner, OURS);
}

static void what_comes_as_packets_is_no_part_of_a_flow(void **state)
{
	struct fixture *f = *state;

	join(f);
	f->len = ip6_packet_tcp(f->packet, &f->far, &f->self, WEB, APP,
				TCP_FLAG_ACK);
	assert_true(tun_splice_claims(f->t, &peer, f->packet, f->len));
	assert_false(tun_splice_claims(f->t, &other, f->packet, f->len));
	f->len = ip6_packet_tcp(f->packet, &f->far, &f->self, f->inner, OURS,
				TCP_FLAG_ACK);
	assert_true(tun_splice_claims(f->t, &peer, f->packet, f->len));
	f->len = ip6_packet_tcp(f->packet, &f->far, &f->self, WEB, APP + 1,
				TCP_FLAG_ACK);
	assert_false(tun_splice_claims(f->t, &peer, f->packet, f->len));
	assert_int_equal(tun_splice_counts(f->t)->n_foreign, 2);
}

static void a_flow_stays_until_both_ends_are_heard_of(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *flow = join(f);

	tun_splice_sweep(f->t, NOW + 100 * TUN_SPLICE_LEFT_NS);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, 1);
	tun_splice_leave(f->t, flow, NOW);
	assert_int_equal(send_tcp(f, OURS, f->inner, FIN | TCP_FLAG_ACK),
			 TUN_SPLICE_BACK);
	tun_splice_sweep(f->t, NOW + TUN_SPLICE_OVER_NS);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, 1);
	assert_int_equal(send_tcp(f, APP, WEB, FIN | TCP_FLAG_ACK),
			 TUN_SPLICE_BACK);
	/* The last acknowledgement is still carried. */
	assert_int_equal(send_tcp(f, OURS, f->inner, TCP_FLAG_ACK),
			 TUN_SPLICE_BACK);
	tun_splice_sweep(f->t, NOW + TUN_SPLICE_OVER_NS);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, 0);
	assert_int_equal(send_tcp(f, APP, WEB, TCP_FLAG_ACK), TUN_SPLICE_NONE);
}

static void one_that_never_ends_is_forgotten_later(void **state)
{
	struct fixture *f = *state;

	tun_splice_leave(f->t, join(f), NOW);
	tun_splice_sweep(f->t, NOW + TUN_SPLICE_LEFT_NS - 1);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, 1);
	tun_splice_sweep(f->t, NOW + TUN_SPLICE_LEFT_NS);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, 0);
}

static void a_reset_ends_it_from_either_side(void **state)
{
	struct fixture *f = *state;
	static const uint16_t from[] = { APP, OURS };

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		struct tun_splice_flow *flow = join(f);

		assert_int_equal(
			send_tcp(f, from[i], i == 0 ? WEB : f->inner, RST),
			TUN_SPLICE_BACK);
		assert_int_equal(f->packet[FLAGS_AT], RST);
		tun_splice_leave(f->t, flow, NOW);
		tun_splice_sweep(f->t, NOW + TUN_SPLICE_OVER_NS);
		assert_int_equal(tun_splice_counts(f->t)->n_flows, 0);
	}
}

static void the_same_ports_may_be_used_again(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *flow = join(f);

	send_tcp(f, APP, WEB, RST);
	/* As long as our socket stands, not. */
	assert_int_equal(send_tcp(f, APP, WEB, TCP_FLAG_SYN), TUN_SPLICE_BACK);
	tun_splice_leave(f->t, flow, NOW);
	flow = hold(f, APP);
	assert_non_null(flow);
	f->inner = tun_splice_join(f->t, flow, OURS);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, 1);
}

static void two_of_our_sockets_never_share_a_conversation(void **state)
{
	struct fixture *f = *state;
	uint16_t first, second;

	first = tun_splice_join(f->t, hold(f, APP), OURS);
	second = tun_splice_join(f->t, hold(f, APP + 1), OURS);
	assert_int_not_equal(first, 0);
	assert_int_not_equal(second, 0);
	assert_int_not_equal(first, second);
	send_tcp(f, APP + 1, WEB, TCP_FLAG_ACK);
	assert_came_back(f, second, OURS);
}

static void what_becomes_of_the_ports_is_told(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *flow = hold(f, APP);
	struct tun_splice_turn turns[2];
	struct node_id who;
	uint16_t port;

	assert_false(tun_splice_turns(flow, &who, turns));
	port = tun_splice_join(f->t, flow, OURS);
	assert_true(tun_splice_turns(flow, &who, turns));
	assert_memory_equal(&who, &peer, sizeof peer);
	for (int i = 0; i < 2; i++) {
		send_tcp(f, turns[i].our_port, turns[i].their_port,
			 TCP_FLAG_ACK);
		assert_came_back(f, turns[i].src_port, turns[i].dst_port);
	}
	assert_int_equal(turns[0].our_port, APP);
	assert_int_equal(turns[1].their_port, port);
}

static void a_reset_that_answers_the_syn(void **state)
{
	struct fixture *f = *state;
	uint8_t reset[TUN_SPLICE_RESET_BYTES];
	struct tun_splice_flow *flow;

	tcp(f, APP, WEB, TCP_FLAG_SYN, 0);
	memcpy(f->packet + SEQ_AT, "\xff\xff\xff\xff", 4);
	complete(f);
	flow = tun_splice_hold(f->t, &peer, f->packet, f->len, NOW);
	assert_int_equal(tun_splice_reset_write(reset, flow), sizeof reset);
	assert_true(is_complete(reset, sizeof reset));
	memcpy(f->packet, reset, sizeof reset);
	assert_came_back(f, WEB, APP);
	assert_int_equal(reset[FLAGS_AT], RST | TCP_FLAG_ACK);
	assert_memory_equal(reset + ACK_AT, "\0\0\0\0", 4);
	assert_int_equal(get16(reset + 4), 20);
}

static void one_peer_does_not_take_all(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *first = NULL;

	for (uint16_t i = 0; i < SPLICE_PER_PEER_MAX; i++) {
		struct tun_splice_flow *flow = tun_splice_serve(
			f->t, &peer, WEB, (uint16_t)(APP + i), NOW);

		assert_non_null(flow);
		if (first == NULL)
			first = flow;
	}
	assert_null(tun_splice_serve(f->t, &peer, WEB, 1, NOW));
	assert_int_equal(tun_splice_counts(f->t)->n_full, 1);
	assert_non_null(tun_splice_serve(f->t, &other, WEB, 1, NOW));
	/* What is over does not count. */
	tun_splice_leave(f->t, first, NOW);
	assert_non_null(tun_splice_serve(f->t, &peer, WEB, 1, NOW));
}

static void a_full_table_forgets_what_is_over_first(void **state)
{
	struct fixture *f = *state;
	struct tun_splice_flow *flow[SPLICE_FLOWS_MAX];

	for (size_t i = 0; i < SPLICE_FLOWS_MAX; i++) {
		struct node_id id = { { (uint8_t)(i / 100), 9 } };

		flow[i] = tun_splice_serve(f->t, &id, WEB,
					   (uint16_t)(i % 100 + 1), NOW);
		assert_non_null(flow[i]);
	}
	assert_null(tun_splice_serve(f->t, &peer, WEB, 1, NOW));
	assert_int_equal(tun_splice_counts(f->t)->n_full, 1);
	tun_splice_leave(f->t, flow[7], NOW);
	assert_non_null(tun_splice_serve(f->t, &peer, WEB, 1, NOW));
	assert_int_equal(tun_splice_counts(f->t)->n_evicted, 1);
	assert_int_equal(tun_splice_counts(f->t)->n_flows, SPLICE_FLOWS_MAX);
	assert_null(tun_splice_serve(f->t, &peer, WEB, 2, NOW));
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(only_a_plain_syn_begins_a_flow),
		T(what_is_no_whole_tcp_is_left_alone),
		T(a_held_syn_is_not_sent_twice),
		T(our_sockets_syn_lets_the_apps_in),
		T(segments_change_sides),
		T(any_ports_leave_the_checksum_good),
		T(a_partial_checksum_stays_as_it_is),
		T(a_served_flow_looks_like_the_far_app),
		T(what_comes_as_packets_is_no_part_of_a_flow),
		T(a_flow_stays_until_both_ends_are_heard_of),
		T(one_that_never_ends_is_forgotten_later),
		T(a_reset_ends_it_from_either_side),
		T(the_same_ports_may_be_used_again),
		T(two_of_our_sockets_never_share_a_conversation),
		T(what_becomes_of_the_ports_is_told),
		T(a_reset_that_answers_the_syn),
		T(one_peer_does_not_take_all),
		T(a_full_table_forgets_what_is_over_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
