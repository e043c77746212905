/* IPv6 headers as the TUN checks them, and the ICMPv6 errors that we send to
 * our own apps.  RFC 8200, RFC 4443. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/addr.h"

#define IP6_HEADER_BYTES      40
#define ICMP6_ERROR_BYTES_MAX 1280

enum ip6_verdict {
	IP6_OK,
	IP6_SHORT,     /* under 40 bytes */
	IP6_VERSION,   /* not IPv6 */
	IP6_LENGTH,    /* payload length does not match the packet */
	IP6_HOP_LIMIT, /* 0 or 1 */
	IP6_SCOPE,     /* multicast, link-local, unspecified or loopback */
	IP6_VERDICTS,
};

struct ip6 {
	struct addr src;
	struct addr dst;
	uint8_t next_header;
	uint8_t hop_limit;
	size_t len; /* of the whole packet */
};

/* Header fields only; extension headers stay opaque.  IP6_SCOPE is judged on
 * both addresses. */
enum ip6_verdict ip6_parse(struct ip6 *out, const uint8_t *data, size_t len);

/* Marks a packet whose sender understands that as one that met congestion
 * (RFC 3168 5); false if it does not: nothing is changed then. */
bool ip6_mark(uint8_t header[IP6_HEADER_BYTES]);

enum icmp6_error {
	ICMP6_NO_ROUTE,            /* 1/0 */
	ICMP6_PROHIBITED,          /* 1/1 */
	ICMP6_ADDRESS_UNREACHABLE, /* 1/3 */
	ICMP6_PORT_UNREACHABLE,    /* 1/4 */
	ICMP6_TOO_BIG,             /* 2/0, with the MTU */
	ICMP6_HOP_LIMIT,           /* 3/0 */
};

/* Builds the error about `packet` (an IPv6 packet), from `from` to the
 * packet's source.  Returns its length; 0 if RFC 4443 2.4(e) forbids one (the
 * packet is an ICMPv6 error or redirect, or its source is not unicast) or the
 * packet is malformed. */
size_t icmp6_error_write(uint8_t out[ICMP6_ERROR_BYTES_MAX],
			 enum icmp6_error error, uint32_t mtu,
			 const struct addr *from, const uint8_t *packet,
			 size_t len);

/* What follows the header, perhaps behind a fragment header. */
struct ip6_upper {
	uint8_t proto; /* any other extension header is told as it is */
	size_t at;
	size_t offset; /* 0: of a whole packet, or of the first fragment */
};
/* False: malformed. */
bool ip6_upper(struct ip6_upper *out, const uint8_t *packet, size_t len);

/* The transport ports of a TCP or UDP packet or its first fragment, with no
 * other extension headers; false for anything else. */
bool ip6_ports(const uint8_t *packet, size_t len, uint8_t *proto,
	       uint16_t *src_port, uint16_t *dst_port);

/* Whether the packet, or first fragment, is an ICMPv6 echo request or reply, or
 * an error. */
bool ip6_is_icmp(const uint8_t *packet, size_t len, uint8_t *type);
