/* HTTP Datagrams and capsules: RFC 9297, RFC 9298, RFC 9484. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/addr.h"
#include "proto/limits.h"

enum masque_verdict {
	MASQUE_OK,
	MASQUE_MORE,
	MASQUE_MALFORMED,
	MASQUE_TOO_LONG,
};

/* A QUIC DATAGRAM's content: quarter stream id, context id, payload. */
struct http_datagram {
	int64_t stream_id;
	uint64_t context; /* 0 carries packets */
	const uint8_t *payload;
	size_t len;
};
enum masque_verdict http_datagram_parse(struct http_datagram *out,
					const uint8_t *data, size_t len);
#define HTTP_DATAGRAM_HEADER_MAX 16
size_t http_datagram_header_write(uint8_t out[HTTP_DATAGRAM_HEADER_MAX],
				  int64_t stream_id, uint64_t context);

enum capsule_type {
	CAPSULE_DATAGRAM = 0x00,
	CAPSULE_ADDRESS_ASSIGN = 0x01,
	CAPSULE_ADDRESS_REQUEST = 0x02,
	CAPSULE_ROUTE_ADVERTISEMENT = 0x03,
};
#define CAPSULE_BYTES_MAX 2048

struct capsule {
	uint64_t type;
	const uint8_t *value; /* borrowed */
	size_t len;
};
/* Parses one capsule at the start of a growing buffer; `*used` is its length
 * when MASQUE_OK. */
enum masque_verdict capsule_parse(struct capsule *out, const uint8_t *data,
				  size_t len, size_t *used);

/* One assigned or advertised IPv6 address or range. */
struct capsule_address {
	uint64_t request_id;
	struct addr addr;
	uint8_t prefix_len;
};
/* ADDRESS_ASSIGN / ADDRESS_REQUEST with exactly the IPv6 entries; entries of
 * version 4 are skipped.  At most `max` are written to `out`. */
enum masque_verdict capsule_addresses_parse(struct capsule_address *out,
					    size_t max, size_t *n,
					    const struct capsule *c);
size_t capsule_address_assign_write(uint8_t *out, size_t cap,
				    const struct capsule_address *a);
/* ROUTE_ADVERTISEMENT of one IPv6 range (start = end = the address for /128),
 * all protocols. */
struct capsule_route {
	struct addr start;
	struct addr end;
	uint8_t protocol;
};
enum masque_verdict capsule_routes_parse(struct capsule_route *out, size_t max,
					 size_t *n, const struct capsule *c);
size_t capsule_route_write(uint8_t *out, size_t cap,
			   const struct capsule_route *r);

/* RFC 9298 3: "/.well-known/masque/udp/{host}/{port}/" with percent-decoding.
 * `host` holds 256 bytes. */
bool masque_udp_path_parse(char host[256], uint16_t *port, const char *path,
			   size_t len);
size_t masque_udp_path_write(char *out, size_t cap, const char *host,
			     uint16_t port);
#define MASQUE_IP_PATH "/.well-known/masque/ip/*/*/"

/* A TCP flow that is spliced, protocol.md 7.10:
 * "/.well-known/qanat/tcp/{port}/{source port}/".  Both are 1..65535. */
#define SPLICE_PROTOCOL "qanat-tcp"
bool splice_path_parse(uint16_t *port, uint16_t *source, const char *path,
		       size_t len);
size_t splice_path_write(char *out, size_t cap, uint16_t port, uint16_t source);

/* "host:port" of a CONNECT's :authority; IPv6 hosts in brackets (stripped). */
bool authority_parse(char host[256], uint16_t *port, const char *text,
		     size_t len);
