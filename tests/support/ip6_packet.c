#include "tests/support/ip6_packet.h"

#include <netinet/in.h>
#include <string.h>

#include "proto/base/buf.h"

size_t ip6_packet(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		  const struct addr *dst, uint8_t next_header,
		  uint8_t hop_limit, const void *payload, size_t len)
{
	struct buf b = buf_of(out, IP6_TEST_BYTES);
	uint8_t *body;

	buf_be32(&b, UINT32_C(6) << 28);
	buf_be16(&b, (uint16_t)len);
	buf_u8(&b, next_header);
	buf_u8(&b, hop_limit);
	buf_bytes(&b, src->b, sizeof src->b);
	buf_bytes(&b, dst->b, sizeof dst->b);
	body = buf_reserve(&b, len);
	if (payload != NULL)
		memcpy(body, payload, len);
	else
		memset(body, 0, len);
	return b.len;
}

size_t ip6_packet_udp(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		      const struct addr *dst, uint16_t src_port,
		      uint16_t dst_port)
{
	uint8_t body[12] = { 0 };
	struct buf b = buf_of(body, sizeof body);

	buf_be16(&b, src_port);
	buf_be16(&b, dst_port);
	buf_be16(&b, sizeof body);
	return ip6_packet(out, src, dst, IPPROTO_UDP, 64, body, sizeof body);
}

size_t ip6_packet_tcp(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		      const struct addr *dst, uint16_t src_port,
		      uint16_t dst_port, uint8_t flags)
{
	uint8_t body[20] = { 0 };
	struct buf b = buf_of(body, sizeof body);

	buf_be16(&b, src_port);
	buf_be16(&b, dst_port);
	buf_be64(&b, 0);
	buf_u8(&b, 5 << 4);
	buf_u8(&b, flags);
	return ip6_packet(out, src, dst, IPPROTO_TCP, 64, body, sizeof body);
}

size_t ip6_packet_fragment(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
			   const struct addr *dst, uint8_t next_header,
			   size_t offset, bool is_last, const void *payload,
			   size_t len)
{
	uint8_t body[IP6_TEST_BYTES];
	struct buf b = buf_of(body, sizeof body);

	buf_u8(&b, next_header);
	buf_u8(&b, 0);
	buf_be16(&b, (uint16_t)(offset | !is_last));
	buf_be32(&b, 0x12345678);
	buf_bytes(&b, payload, len);
	return ip6_packet(out, src, dst, IPPROTO_FRAGMENT, 64, body, b.len);
}

size_t ip6_packet_icmp(uint8_t out[IP6_TEST_BYTES], const struct addr *src,
		       const struct addr *dst, uint8_t type)
{
	const uint8_t body[8] = { type };

	return ip6_packet(out, src, dst, IPPROTO_ICMPV6, 64, body, sizeof body);
}
