/* Packets of a flow are put together for the kernel. */
#include "tests/unit/node/tun_offload_help.h"

static struct tun_merge *new_merge(void)
{
	return calloc(1, sizeof(struct tun_merge));
}

static void what_was_cut_is_put_together_again(void **state)
{
	struct tun_merge *m = new_merge();
	struct virtio_net_hdr h;
	uint8_t packet[2048];
	size_t len;

	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		len = tcp_packet(packet, START_SEQ + 1000 * i,
				 i == 39 ? ACK | PSH : ACK,
				 i == 39 ? 10 : 1000);
		assert_int_equal(tun_merge_add(m, packet, len), TUN_MERGED);
	}
	len = tun_merge_take(m, &h);
	assert_int_equal(len, IP6 + TCP + 39010);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	assert_int_equal(h.gso_size, 1000);
	assert_int_equal(h.hdr_len, IP6 + TCP);
	assert_int_equal(m->packet[FLAGS_AT], ACK | PSH);
	assert_int_equal(m->packet[4] << 8 | m->packet[5], len - IP6);
	for (uint32_t i = 0; i < 39; i++) {
		tcp_packet(packet, START_SEQ + 1000 * i, ACK, 1000);
		assert_memory_equal(m->packet + IP6 + TCP + 1000 * i,
				    packet + IP6 + TCP, 1000);
	}
	/* Its checksum can be completed by whoever cuts it again. */
	{
		struct tun_split s;
		uint8_t out[2048];

		assert_true(tun_split_begin(&s, &h, m->packet, len));
		for (; !tun_split_is_done(&s); tun_split_advance(&s)) {
			size_t n;

			assert_non_null(tun_split_get(&s, out, sizeof out, &n));
			assert_true(sum_is_good(out, n));
		}
	}
	free(m);
}

/* With the ports and the checksum that udp_packet() leaves out. */
static size_t good_udp(uint8_t *p, size_t payload, uint16_t port)
{
	size_t len = udp_packet(p, payload);

	put16(p + IP6 + 2, port);
	put16(p + UDP_SUM,
	      (uint16_t)~fold(add_words(pseudo(p, len), p + IP6, len - IP6)));
	return len;
}

static void udp_packets_of_a_size_are_put_together(void **state)
{
	struct tun_merge *m = new_merge();
	struct virtio_net_hdr h;
	struct tun_split s;
	uint8_t packet[2048], out[2048];
	size_t len, n = 0;

	(void)state;
	for (int i = 0; i < 9; i++) {
		len = good_udp(packet, i == 8 ? 60 : 100, 7);
		assert_int_equal(tun_merge_add(m, packet, len), TUN_MERGED);
	}
	/* A short one is the last. */
	len = good_udp(packet, 60, 7);
	assert_int_equal(tun_merge_add(m, packet, len), TUN_MUST_FLUSH);
	len = tun_merge_take(m, &h);
	assert_int_equal(len, IP6 + UDP + 8 * 100 + 60);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
	assert_int_equal(h.gso_size, 100);
	assert_int_equal(h.csum_start, IP6);
	assert_int_equal(h.csum_offset, UDP_SUM - IP6);
	assert_true(tun_split_begin(&s, &h, m->packet, len));
	for (; !tun_split_is_done(&s); tun_split_advance(&s)) {
		const uint8_t *piece = tun_split_get(&s, out, sizeof out, &len);

		assert_int_equal(len, good_udp(packet, n < 8 ? 100 : 60, 7));
		assert_memory_equal(piece, packet, len);
		n++;
	}
	assert_int_equal(n, 9);
	free(m);
}

static void udp_that_differs_is_not_put_together(void **state)
{
	struct tun_merge *m = new_merge();
	uint8_t packet[2048];
	size_t len, n = 0;

	(void)state;
	len = good_udp(packet, 100, 7);
	assert_int_equal(tun_merge_add(m, packet, len), TUN_MERGED);
	/* Larger, of another class, without data: none may overtake. */
	len = good_udp(packet, 101, 7);
	assert_int_equal(tun_merge_add(m, packet, len), TUN_MUST_FLUSH);
	len = good_udp(packet, 100, 7);
	packet[1] ^= 0x10;
	assert_int_equal(tun_merge_add(m, packet, len), TUN_MUST_FLUSH);
	len = good_udp(packet, 0, 7);
	assert_int_equal(tun_merge_add(m, packet, len), TUN_MUST_FLUSH);
	len = good_udp(packet, 100, 8);
	assert_int_equal(tun_merge_add(m, packet, len), TUN_OTHER);
	len = tcp_packet(packet, 5, ACK, 100);
	assert_int_equal(tun_merge_add(m, packet, len), TUN_OTHER);
	/* As many as Linux takes. */
	len = good_udp(packet, 100, 7);
	while (tun_merge_add(m, packet, len) == TUN_MERGED)
		n++;
	assert_int_equal(n, 63);
	free(m);
}

static void one_packet_alone_goes_as_it_came(void **state)
{
	struct tun_merge *m = new_merge();
	struct virtio_net_hdr h;
	uint8_t packet[2048];
	size_t len = tcp_packet(packet, 5, ACK | PSH, 700);

	(void)state;
	assert_int_equal(tun_merge_add(m, packet, len), TUN_MERGED);
	assert_int_equal(tun_merge_take(m, &h), len);
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_memory_equal(m->packet, packet, len);
	assert_int_equal(m->len, 0);
	free(m);
}

typedef void change(uint8_t *packet);

static void other_port(uint8_t *p)
{
	p[IP6 + 1]++;
}

static void other_source(uint8_t *p)
{
	p[20]++;
}

static void other_protocol(uint8_t *p)
{
	p[6] = IPPROTO_UDP;
}

static void gap(uint8_t *p)
{
	set_seq(p, seq_of(p) + 1);
}

static void again(uint8_t *p)
{
	set_seq(p, seq_of(p) - 1000);
}

static void other_ack(uint8_t *p)
{
	p[IP6 + 11]++;
}

static void other_window(uint8_t *p)
{
	p[IP6 + 15]++;
}

static void other_options(uint8_t *p)
{
	p[IP6 + 31]++;
}

static void other_class(uint8_t *p)
{
	p[1] |= 0x30; /* ECN: congestion experienced */
}

static void other_hops(uint8_t *p)
{
	p[7]--;
}

static void a_fin(uint8_t *p)
{
	p[FLAGS_AT] |= FIN;
}

static void shorter_header(uint8_t *p)
{
	p[IP6 + 12] = 7 << 4;
}

static void nothing(uint8_t *p)
{
	(void)p;
}

static void only_what_follows_is_put_together(void **state)
{
	static const struct {
		change *change;
		size_t payload;
		enum tun_merge_verdict verdict;
		const char *why;
	} rows[] = {
		{ nothing, 1000, TUN_MERGED, "the next one" },
		{ nothing, 1001, TUN_MUST_FLUSH, "larger than the first" },
		{ nothing, 0, TUN_MUST_FLUSH, "a bare acknowledgement" },
		{ other_port, 1000, TUN_OTHER, "another port" },
		{ other_source, 1000, TUN_OTHER, "another node" },
		{ other_protocol, 1000, TUN_OTHER, "another protocol" },
		{ gap, 1000, TUN_MUST_FLUSH, "a gap" },
		{ again, 1000, TUN_MUST_FLUSH, "a retransmission" },
		{ other_ack, 1000, TUN_MUST_FLUSH, "another acknowledgement" },
		{ other_window, 1000, TUN_MUST_FLUSH, "another window" },
		{ other_options, 1000, TUN_MUST_FLUSH, "another timestamp" },
		{ other_class, 1000, TUN_MUST_FLUSH, "an ECN mark" },
		{ other_hops, 1000, TUN_MUST_FLUSH, "another hop limit" },
		{ a_fin, 1000, TUN_MUST_FLUSH, "the last one" },
		{ shorter_header, 1000, TUN_MUST_FLUSH, "fewer options" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tun_merge *m = new_merge();
		uint8_t packet[2048];
		size_t len = tcp_packet(packet, 5, ACK, 1000);
		enum tun_merge_verdict v;

		assert_int_equal(tun_merge_add(m, packet, len), TUN_MERGED);
		len = tcp_packet(packet, 1005, ACK, rows[i].payload);
		rows[i].change(packet);
		v = tun_merge_add(m, packet, len);
		if (v != rows[i].verdict)
			fail_msg("%s: %d", rows[i].why, v);
		free(m);
	}
}

static void nothing_follows_a_push_or_a_short_one(void **state)
{
	struct tun_merge *m = new_merge();
	struct virtio_net_hdr h;
	uint8_t packet[2048];

	(void)state;
	tun_merge_add(m, packet, tcp_packet(packet, 5, ACK | PSH, 1000));
	assert_int_equal(
		tun_merge_add(m, packet, tcp_packet(packet, 1005, ACK, 1000)),
		TUN_MUST_FLUSH);
	tun_merge_take(m, &h);
	tun_merge_add(m, packet, tcp_packet(packet, 5, ACK, 1000));
	tun_merge_add(m, packet, tcp_packet(packet, 1005, ACK, 999));
	assert_int_equal(
		tun_merge_add(m, packet, tcp_packet(packet, 2004, ACK, 999)),
		TUN_MUST_FLUSH);
	free(m);
}

static void it_never_grows_over_what_ip_can_say(void **state)
{
	struct tun_merge *m = new_merge();
	uint8_t packet[2048];
	uint32_t seq = 5;

	(void)state;
	while (tun_merge_add(m, packet, tcp_packet(packet, seq, ACK, 1400)) ==
	       TUN_MERGED)
		seq += 1400;
	assert_true(m->len <= TUN_PACKET_MAX);
	assert_true(m->len + 1400 > TUN_PACKET_MAX);
	free(m);
}

static void what_carries_no_data_begins_nothing(void **state)
{
	uint8_t packet[2048];

	(void)state;
	assert_true(
		tun_merge_can(packet, tcp_packet(packet, 1, ACK, 1), false));
	assert_false(
		tun_merge_can(packet, tcp_packet(packet, 1, ACK, 0), false));
	assert_false(
		tun_merge_can(packet, tcp_packet(packet, 1, 0x02, 10), false));
	assert_false(tun_merge_can(
		packet, tcp_packet(packet, 1, ACK | 0x04, 10), false));
	assert_false(tun_merge_can(packet, tcp_packet(packet, 1, ACK, 10) - 1,
				   false));
	assert_false(tun_merge_can(packet, udp_packet(packet, 10), true));
	assert_true(tun_merge_can(packet, good_udp(packet, 10, 1), true));
	assert_false(tun_merge_can(packet, good_udp(packet, 10, 1), false));
	assert_false(tun_merge_can(packet, good_udp(packet, 0, 1), true));
	assert_false(tun_merge_can(packet, good_udp(packet, 10, 1) - 1, true));
	assert_false(tun_merge_can(packet, 10, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_cut_is_put_together_again),
		cmocka_unit_test(udp_packets_of_a_size_are_put_together),
		cmocka_unit_test(udp_that_differs_is_not_put_together),
		cmocka_unit_test(one_packet_alone_goes_as_it_came),
		cmocka_unit_test(only_what_follows_is_put_together),
		cmocka_unit_test(nothing_follows_a_push_or_a_short_one),
		cmocka_unit_test(it_never_grows_over_what_ip_can_say),
		cmocka_unit_test(what_carries_no_data_begins_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
