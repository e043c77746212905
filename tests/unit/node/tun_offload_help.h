/* Large packets of TCP and UDP, and a second opinion on checksums. */
#pragma once

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/tun/tun_offload.h"
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

static inline uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	return sum;
}

static inline uint16_t fold(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint32_t pseudo(const uint8_t *packet, size_t len)
{
	return add_words(0, packet + 8, 32) + (uint32_t)(len - IP6) + packet[6];
}

static inline bool sum_is_good(const uint8_t *packet, size_t len)
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

static inline void put16(uint8_t *p, size_t x)
{
	p[0] = (uint8_t)(x >> 8);
	p[1] = (uint8_t)x;
}

static inline uint32_t seq_of(const uint8_t *packet)
{
	const uint8_t *p = packet + IP6 + 4;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline void set_seq(uint8_t *packet, uint32_t seq)
{
	put16(packet + IP6 + 4, seq >> 16);
	put16(packet + IP6 + 6, seq & 0xffff);
}

static inline void fill(uint8_t *p, size_t len, uint64_t seed)
{
	struct rng r;

	rng_init(&r, seed);
	rng_fill(&r, p, len);
}

static inline size_t tcp_packet(uint8_t *p, uint32_t seq, uint8_t flags,
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

static inline size_t udp_packet(uint8_t *p, size_t payload)
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
static inline struct virtio_net_hdr undone(uint8_t *packet, size_t len,
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
