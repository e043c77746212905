/* IPv6 packets for tests and fuzz seeds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/addr.h"

#define IP6_TEST_BYTES 2048

/* A header and `len` bytes of payload (zeroes if NULL); the total length. */
size_t ip6_packet(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		  const struct addr *dst, uint8_t next_header,
		  uint8_t hop_limit, const void *payload, size_t len);
size_t ip6_packet_udp(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		      const struct addr *dst, uint16_t src_port,
		      uint16_t dst_port);
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_ACK 0x10
size_t ip6_packet_tcp(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		      const struct addr *dst, uint16_t src_port,
		      uint16_t dst_port, uint8_t flags);
/* A piece of a larger packet: `len` bytes of `payload` from `offset`, a
 * multiple of 8. */
size_t ip6_packet_fragment(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
			   const struct addr *dst, uint8_t next_header,
			   size_t offset, bool is_last, const void *payload,
			   size_t len);
size_t ip6_packet_icmp(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		       const struct addr *dst, uint8_t type);
