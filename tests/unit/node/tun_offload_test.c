#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/tun_offload.h"
#include "proto/base/rng.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	IP6 = 40,
	TCP = 32, /* with timestamps */
	UDP = 8,
	FIN = 0x01,
	PSH = 0x08,
	ACK = 0x10,
	CWR = 0x80,
	FLAGS_AT = IP6 + 13,
	TCP_SUM = IP6 + 16,
	UDP_SUM = IP6 + 6,
	START_SEQ = 0xfffff000 & 0x7fffffff,
};

/* ---- a second opinion on checksums: byte by byte, RFC 1071 -------------- */

static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t pseudo(const uint8_t *packet, size_t len)
{
	return add_words(0, packet + 8, 32) + (uint32_t)(len - IP6) + packet[6];
}

static bool sum_is_good(const uint8_t *packet, size_t len)
{
	uint32_t sum = pseudo(packet, len);

	/* In two steps, as a whole packet would overflow. */
	sum = fold(sum);
	for (size_t i = IP6; i < len; i += 1024)
		sum = fold(add_words(sum, packet + i,
				     len - i < 1024 ? len - i : 1024));
	return sum == 0xffff;
}

/* ---- packets ------------------------------------------------------------ */

static void put16(uint8_t *p, size_t x)
{
	p[0] = (uint8_t)(x >> 8);
	p[1] = (uint8_t)x;
}

static uint32_t seq_of(const uint8_t *packet)
{
	const uint8_t *p = packet + IP6 + 4;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static void set_seq(uint8_t *packet, uint32_t seq)
{
	put16(packet + IP6 + 4, seq >> 16);
	put16(packet + IP6 + 6, seq & 0xffff);
}

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	struct rng r;

	rng_init(&r, seed);
	rng_fill(&r, p, len);
}

static size_t tcp_packet(uint8_t *p, uint32_t seq, uint8_t flags,
			 size_t payload)
{
	size_t len = IP6 + TCP + payload;

	memset(p, 0, IP6 + TCP);
	p[0] = 0x60;
	put16(p + 4, len - IP6);
	p[6] = IPPROTO_TCP;
	p[7] = 63;
	fill(p + 8, 32, 1);
	put16(p + IP6, 5201);
	put16(p + IP6 + 2, 40000);
	set_seq(p, seq);
	put16(p + IP6 + 8, 77);
	p[IP6 + 12] = TCP / 4 << 4;
	p[FLAGS_AT] = flags;
	put16(p + IP6 + 14, 500);
	fill(p + IP6 + 20, TCP - 20, 2);
	fill(p + IP6 + TCP, payload, seq);
	put16(p + TCP_SUM, 0);
	put16(p + TCP_SUM,
	      (uint16_t)~fold(add_words(pseudo(p, len), p + IP6, len - IP6)));
	return len;
}

static size_t udp_packet(uint8_t *p, size_t payload)
{
	size_t len = IP6 + UDP + payload;

	memset(p, 0, IP6 + UDP);
	p[0] = 0x60;
	put16(p + 4, len - IP6);
	p[6] = IPPROTO_UDP;
	p[7] = 63;
	fill(p + 8, 32, 3);
	put16(p + IP6 + 4, len - IP6);
	fill(p + IP6 + UDP, payload, 4);
	return len;
}

/* As the kernel leaves it. */
static struct virtio_net_hdr undone(uint8_t *packet, size_t len,
				    uint8_t gso_type, size_t gso_size)
{
	size_t at = packet[6] == IPPROTO_TCP ? TCP_SUM : UDP_SUM;

	put16(packet + at, fold(pseudo(packet, len)));
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = gso_type,
		.gso_size = (uint16_t)gso_size,
		.csum_start = IP6,
		.csum_offset = (uint16_t)(at - IP6),
	};
}

/* ---- cutting ------------------------------------------------------------ */

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

/* ---- putting together --------------------------------------------------- */

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
		cmocka_unit_test(a_large_tcp_packet_becomes_many_good_ones),
		cmocka_unit_test(a_large_udp_packet_becomes_many_good_ones),
		cmocka_unit_test(an_undone_checksum_is_completed),
		cmocka_unit_test(a_whole_packet_is_left_alone),
		cmocka_unit_test(headers_that_do_not_fit_are_refused),
		cmocka_unit_test(a_piece_over_the_room_is_refused),
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
