/* Large packets that the kernel hands over are cut. */
#include "tests/unit/node/tun_offload_help.h"

static void a_large_tcp_packet_becomes_many_good_ones(void **state)
{
	static uint8_t packet[TUN_PACKET_MAX + 1], sent[TUN_PACKET_MAX + 1];
	const size_t sizes[] = { 1, 999, 1000, 1001, 2000, 64000 };

	(void)state;
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t len = tcp_packet(packet, START_SEQ,
					ACK | PSH | FIN | CWR, sizes[k]);
		struct virtio_net_hdr h = undone(packet, len,
						 VIRTIO_NET_HDR_GSO_TCPV6 |
							 VIRTIO_NET_HDR_GSO_ECN,
						 1000);
		struct tun_split s;
		uint8_t out[2048];
		size_t offset = 0, n;

		memcpy(sent, packet, len);
		assert_true(tun_split_begin(&s, &h, packet, len));
		assert_int_equal(tun_split_n(&s), (sizes[k] + 999) / 1000);
		while (!tun_split_is_done(&s)) {
			const uint8_t *p =
				tun_split_get(&s, out, sizeof out, &n);
			bool is_last = offset + 1000 >= sizes[k];
			uint8_t flags = ACK;

			assert_non_null(p);
			assert_true(sum_is_good(p, n));
			assert_int_equal(p[4] << 8 | p[5], n - IP6);
			assert_int_equal(seq_of(p), START_SEQ + offset);
			flags |= (uint8_t)(is_last ? PSH | FIN : 0);
			flags |= (uint8_t)(offset == 0 ? CWR : 0);
			assert_int_equal(p[FLAGS_AT], flags);
			assert_memory_equal(p + IP6 + TCP,
					    sent + IP6 + TCP + offset,
					    n - IP6 - TCP);
			offset += n - IP6 - TCP;
			tun_split_advance(&s);
		}
		assert_int_equal(offset, sizes[k]);
	}
}

static void a_large_udp_packet_becomes_many_good_ones(void **state)
{
	static uint8_t packet[TUN_PACKET_MAX + 1];
	size_t len = udp_packet(packet, 2500), n, total = 0;
	struct virtio_net_hdr h =
		undone(packet, len, VIRTIO_NET_HDR_GSO_UDP_L4, 1000);
	struct tun_split s;
	uint8_t out[2048];

	(void)state;
	assert_true(tun_split_begin(&s, &h, packet, len));
	for (; !tun_split_is_done(&s); tun_split_advance(&s)) {
		assert_non_null(tun_split_get(&s, out, sizeof out, &n));
		assert_true(sum_is_good(out, n));
		assert_int_equal(out[IP6 + 4] << 8 | out[IP6 + 5], n - IP6);
		total += n - IP6 - UDP;
	}
	assert_int_equal(total, 2500);
}

static void an_undone_checksum_is_completed(void **state)
{
	uint8_t packet[2048], out[2048];
	struct tun_split s;
	size_t n;

	(void)state;
	for (size_t size = 1; size < 40; size++) {
		size_t len = size % 2 ? udp_packet(packet, size)
				      : tcp_packet(packet, 9, ACK, size);
		struct virtio_net_hdr h =
			undone(packet, len, VIRTIO_NET_HDR_GSO_NONE, 0);

		assert_true(tun_split_begin(&s, &h, packet, len));
		assert_ptr_equal(tun_split_get(&s, out, sizeof out, &n),
				 packet);
		assert_int_equal(n, len);
		assert_true(sum_is_good(packet, len));
		tun_split_advance(&s);
		assert_true(tun_split_is_done(&s));
	}
}

static void a_whole_packet_is_left_alone(void **state)
{
	struct virtio_net_hdr h = { 0 };
	uint8_t packet[2048], was[2048], out[2048];
	size_t len = tcp_packet(packet, 9, ACK, 100), n;
	struct tun_split s;

	(void)state;
	memcpy(was, packet, len);
	assert_true(tun_split_begin(&s, &h, packet, len));
	assert_ptr_equal(tun_split_get(&s, out, sizeof out, &n), packet);
	assert_int_equal(n, len);
	assert_memory_equal(was, packet, len);
}

static void headers_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		uint8_t gso_type;
		uint16_t gso_size, start, offset;
		uint8_t protocol, data_offset;
		size_t len;
		const char *why;
	} rows[] = {
		{ 1, 1000, 0, 0, IPPROTO_TCP, 8, 172, "TSO for IPv4" },
		{ 3, 1000, 0, 0, IPPROTO_UDP, 8, 172, "UFO" },
		{ 4, 0, 0, 0, IPPROTO_TCP, 8, 172, "pieces of no bytes" },
		{ 4, 1000, 0, 0, IPPROTO_UDP, 8, 172, "TSO for UDP" },
		{ 5, 1000, 0, 0, IPPROTO_TCP, 8, 172, "USO for TCP" },
		{ 4, 1000, 0, 0, IPPROTO_TCP, 4, 172, "a TCP header of 16" },
		{ 4, 1000, 0, 0, IPPROTO_TCP, 15, 90, "options cut off" },
		{ 4, 1000, 0, 0, IPPROTO_TCP, 8, 59, "half a TCP header" },
		{ 4, 1000, 0, 0, IPPROTO_TCP, 8, 20, "half an IP header" },
		{ 5, 1000, 0, 0, IPPROTO_UDP, 8, 47, "half a UDP header" },
		{ 0, 0, 172, 0, IPPROTO_TCP, 8, 172, "sum from behind" },
		{ 0, 0, 40, 131, IPPROTO_TCP, 8, 172, "sum to behind" },
	};
	uint8_t packet[2048];
	struct tun_split s;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct virtio_net_hdr h = {
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = rows[i].gso_type,
			.gso_size = rows[i].gso_size,
			.csum_start = rows[i].start,
			.csum_offset = rows[i].offset,
		};

		tcp_packet(packet, 1, ACK, 100);
		packet[6] = rows[i].protocol;
		packet[IP6 + 12] = (uint8_t)(rows[i].data_offset << 4);
		if (tun_split_begin(&s, &h, packet, rows[i].len))
			fail_msg("taken: %s", rows[i].why);
	}
}

static void a_piece_over_the_room_is_refused(void **state)
{
	uint8_t packet[4096], out[2048];
	size_t len = tcp_packet(packet, 1, ACK, 3000), n;
	struct virtio_net_hdr h =
		undone(packet, len, VIRTIO_NET_HDR_GSO_TCPV6, 1000);
	struct tun_split s;

	(void)state;
	assert_true(tun_split_begin(&s, &h, packet, len));
	assert_null(tun_split_get(&s, out, IP6 + TCP + 999, &n));
	assert_non_null(tun_split_get(&s, out, IP6 + TCP + 1000, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_tcp_packet_becomes_many_good_ones),
		cmocka_unit_test(a_large_udp_packet_becomes_many_good_ones),
		cmocka_unit_test(an_undone_checksum_is_completed),
		cmocka_unit_test(a_whole_packet_is_left_alone),
		cmocka_unit_test(headers_that_do_not_fit_are_refused),
		cmocka_unit_test(a_piece_over_the_room_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
