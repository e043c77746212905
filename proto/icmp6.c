#include "proto/icmp6.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

#define NEXT_HOP_BY_HOP  0
#define NEXT_TCP         6
#define NEXT_UDP         17
#define NEXT_ROUTING     43
#define NEXT_FRAGMENT    44
#define NEXT_ICMP6       58
#define NEXT_DESTINATION 60

#define TCP_HEADER_BYTES   20
#define UDP_HEADER_BYTES   8
#define ICMP6_HEADER_BYTES 8

#define FRAGMENT_HEADER_BYTES 8
#define FRAGMENT_OFFSET_MASK  0xfff8 /* in bytes */

/* A packet with more extension headers than that is not ours to explain. */
#define EXTENSIONS_MAX 8

#define HOP_LIMIT 64

enum icmp6_type {
	TYPE_UNREACHABLE = 1,
	TYPE_TOO_BIG = 2,
	TYPE_TIME_EXCEEDED = 3,
	TYPE_PARAMETER = 4,
	TYPE_ECHO_REQUEST = 128, /* from here on: informational */
	TYPE_ECHO_REPLY = 129,
	TYPE_REDIRECT = 137,
};

/* In the traffic class, which begins in the middle of the first byte. */
#define ECN_AT      1
#define ECN_CE      0x30
#define ECN_NOT_ECT 0x00

static bool is_multicast(const struct addr *a)
{
	return a->b[0] == 0xff;
}

/* :: */
static bool is_unspecified(const struct addr *a)
{
	static const struct addr zero;

	return memcmp(a, &zero, sizeof zero) == 0;
}

/* ::1 */
static bool is_loopback(const struct addr *a)
{
	static const struct addr one = { .b = { [15] = 1 } };

	return memcmp(a, &one, sizeof one) == 0;
}

static bool is_out_of_scope(const struct addr *a)
{
	bool is_link_local = a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;

	return is_multicast(a) || is_link_local || is_unspecified(a) ||
	       is_loopback(a);
}

/* The header, and whether the packet has the length it claims. */
static enum ip6_verdict header_read(struct ip6 *out, const uint8_t *data,
				    size_t len)
{
	struct view v = view_of(data, len);
	uint32_t first = view_be32(&v);
	size_t payload_len = view_be16(&v);

	out->next_header = view_u8(&v);
	out->hop_limit = view_u8(&v);
	view_copy(&v, out->src.b, sizeof out->src.b);
	view_copy(&v, out->dst.b, sizeof out->dst.b);
	out->len = len;
	if (v.bad)
		return IP6_SHORT;
	if (first >> 28 != 6)
		return IP6_VERSION;
	return payload_len == view_left(&v) ? IP6_OK : IP6_LENGTH;
}

enum ip6_verdict ip6_parse(struct ip6 *out, const uint8_t *data, size_t len)
{
	struct ip6 h;
	enum ip6_verdict verdict = header_read(&h, data, len);

	if (verdict != IP6_OK)
		return verdict;
	if (h.hop_limit <= 1)
		return IP6_HOP_LIMIT;
	if (is_out_of_scope(&h.src) || is_out_of_scope(&h.dst))
		return IP6_SCOPE;
	*out = h;
	return IP6_OK;
}

bool ip6_mark(uint8_t header[IP6_HEADER_BYTES])
{
	if ((header[ECN_AT] & ECN_CE) == ECN_NOT_ECT)
		return false;
	header[ECN_AT] |= ECN_CE;
	return true;
}

static bool is_extension(uint8_t next)
{
	return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING ||
	       next == NEXT_FRAGMENT || next == NEXT_DESTINATION;
}

/* Skips extension headers up to what the packet carries.  False if they do
 * not end, or if the start of it is in another fragment. */
static bool skip_extensions(struct view *v, uint8_t *next)
{
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(*next); i++) {
		bool is_fragment = *next == NEXT_FRAGMENT;
		uint8_t size;
		uint16_t offset;

		*next = view_u8(v);
		size = view_u8(v); /* in units of 8, without the first */
		offset = view_be16(v) >> 3;
		view_bytes(v, is_fragment ? 4 : 4 + (size_t)size * 8);
		if (v->bad || (is_fragment && offset != 0))
			return false;
	}
	return !is_extension(*next);
}

/* RFC 4443 2.4(e).  What cannot be told is treated as an error message: too
 * few errors are better than a storm of them. */
static bool may_be_answered(const struct ip6 *h, const uint8_t *packet,
			    enum icmp6_error error)
{
	struct view v = view_of(packet, h->len);
	uint8_t next = h->next_header;
	uint8_t type;

	if (is_multicast(&h->src) || is_unspecified(&h->src))
		return false;
	if (is_multicast(&h->dst) && error != ICMP6_TOO_BIG)
		return false;
	view_bytes(&v, IP6_HEADER_BYTES);
	if (!skip_extensions(&v, &next))
		return false;
	if (next != NEXT_ICMP6)
		return true;
	type = view_u8(&v);
	return !v.bad && type >= TYPE_ECHO_REQUEST && type != TYPE_REDIRECT;
}

static uint32_t sum_add(uint32_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	return sum;
}

/* RFC 4443 2.3, RFC 8200 8.1.  32 bits hold the sum of a 64 KiB packet. */
static uint16_t checksum(const struct addr *src, const struct addr *dst,
			 const uint8_t *data, size_t len)
{
	uint32_t sum = (uint32_t)len + NEXT_ICMP6;

	sum = sum_add(sum, src->b, sizeof src->b);
	sum = sum_add(sum, dst->b, sizeof dst->b);
	sum = sum_add(sum, data, len);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static const struct {
	uint8_t type;
	uint8_t code;
} errors[] = {
	[ICMP6_NO_ROUTE] = { TYPE_UNREACHABLE, 0 },
	[ICMP6_PROHIBITED] = { TYPE_UNREACHABLE, 1 },
	[ICMP6_ADDRESS_UNREACHABLE] = { TYPE_UNREACHABLE, 3 },
	[ICMP6_PORT_UNREACHABLE] = { TYPE_UNREACHABLE, 4 },
	[ICMP6_TOO_BIG] = { TYPE_TOO_BIG, 0 },
	[ICMP6_HOP_LIMIT] = { TYPE_TIME_EXCEEDED, 0 },
};

size_t icmp6_error_write(uint8_t out[ICMP6_ERROR_BYTES_MAX],
			 enum icmp6_error error, uint32_t mtu,
			 const struct addr *from, const uint8_t *packet,
			 size_t len)
{
	const size_t head = IP6_HEADER_BYTES + ICMP6_HEADER_BYTES;
	struct buf b = buf_of(out, ICMP6_ERROR_BYTES_MAX);
	struct buf sum_at;
	struct ip6 h;

	if (header_read(&h, packet, len) != IP6_OK ||
	    !may_be_answered(&h, packet, error))
		return 0;
	if (len > ICMP6_ERROR_BYTES_MAX - head)
		len = ICMP6_ERROR_BYTES_MAX - head;

	buf_be32(&b, UINT32_C(6) << 28);
	buf_be16(&b, (uint16_t)(ICMP6_HEADER_BYTES + len));
	buf_u8(&b, NEXT_ICMP6);
	buf_u8(&b, HOP_LIMIT);
	buf_bytes(&b, from->b, sizeof from->b);
	buf_bytes(&b, h.src.b, sizeof h.src.b);

	buf_u8(&b, errors[error].type);
	buf_u8(&b, errors[error].code);
	sum_at = buf_of(buf_reserve(&b, 2), 2);
	memset(sum_at.data, 0, 2);
	buf_be32(&b, error == ICMP6_TOO_BIG ? mtu : 0);
	buf_bytes(&b, packet, len);
	buf_be16(&sum_at, checksum(from, &h.src, out + IP6_HEADER_BYTES,
				   b.len - IP6_HEADER_BYTES));
	return b.len;
}

bool ip6_upper(struct ip6_upper *out, const uint8_t *packet, size_t len)
{
	struct ip6_upper up = { .at = IP6_HEADER_BYTES };
	struct view v;
	struct ip6 h;

	if (header_read(&h, packet, len) != IP6_OK)
		return false;
	up.proto = h.next_header;
	if (h.next_header == NEXT_FRAGMENT) {
		v = view_of(packet, len);
		view_bytes(&v, IP6_HEADER_BYTES);
		up.proto = view_u8(&v);
		view_u8(&v);
		up.offset = view_be16(&v) & FRAGMENT_OFFSET_MASK;
		view_be32(&v);
		if (v.bad)
			return false;
		up.at += FRAGMENT_HEADER_BYTES;
	}
	*out = up;
	return true;
}

/* What `proto` begins with; false if it is not there, or not whole. */
static bool upper_read(struct view *v, const uint8_t *packet, size_t len,
		       uint8_t *proto, size_t least)
{
	struct ip6_upper up;

	if (!ip6_upper(&up, packet, len) || up.offset != 0)
		return false;
	*proto = up.proto;
	*v = view_of(packet, len);
	view_bytes(v, up.at);
	return view_left(v) >= least;
}

bool ip6_ports(const uint8_t *packet, size_t len, uint8_t *proto,
	       uint16_t *src_port, uint16_t *dst_port)
{
	struct view v;
	uint8_t p;

	if (!upper_read(&v, packet, len, &p, UDP_HEADER_BYTES))
		return false;
	if (p != NEXT_UDP &&
	    (p != NEXT_TCP || view_left(&v) < TCP_HEADER_BYTES))
		return false;
	*proto = p;
	*src_port = view_be16(&v);
	*dst_port = view_be16(&v);
	return true;
}

bool ip6_is_icmp(const uint8_t *packet, size_t len, uint8_t *type)
{
	struct view v;
	uint8_t p, t;

	if (!upper_read(&v, packet, len, &p, ICMP6_HEADER_BYTES) ||
	    p != NEXT_ICMP6)
		return false;
	t = view_u8(&v);
	*type = t;
	return (t >= TYPE_UNREACHABLE && t <= TYPE_PARAMETER) ||
	       t == TYPE_ECHO_REQUEST || t == TYPE_ECHO_REPLY;
}
