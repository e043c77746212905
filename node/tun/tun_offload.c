#include "node/tun/tun_offload.h"
#include "proto/base/be.h"

#include <netinet/in.h>
#include <string.h>

/* Linux 6.2; older headers lack it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	IP6_BYTES = 40, /* RFC 8200 3 */
	IP6_LENGTH_AT = 4,
	IP6_NEXT_AT = 6,
	IP6_ADDRESSES_AT = 8,
	IP6_ADDRESSES_BYTES = 32,
	TCP_BYTES = 20, /* RFC 9293 3.1 */
	TCP_SEQ_AT = 4,
	TCP_OFFSET_AT = 12,
	TCP_FLAGS_AT = 13,
	TCP_SUM_AT = 16,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_CWR = 0x80,
	UDP_BYTES = 8, /* RFC 768 */
	UDP_LENGTH_AT = 4,
	UDP_SUM_AT = 6,
	UDP_PIECES_MAX = 64, /* what Linux takes from a program at once */
};

/* ---- checksums: RFC 1071, words in the machine's own order -------------- */

/* Several sums at once, which do not wait for each other. */
static size_t sum_blocks(uint64_t sum[4], const uint8_t *data, size_t len)
{
	const size_t block = 4 * sizeof(uint64_t);
	size_t n = 0;

	for (; len - n >= block; n += block) {
		uint64_t word[4];

		memcpy(word, data + n, sizeof word);
		for (size_t i = 0; i < 4; i++)
			sum[i] += (word[i] & UINT32_MAX) + (word[i] >> 32);
	}
	return n;
}

static uint64_t sum_add(uint64_t sum, const uint8_t *data, size_t len)
{
	uint64_t part[4] = { 0 };
	size_t n = sum_blocks(part, data, len);
	uint64_t a = part[0] + part[1] + part[2] + part[3];

	data += n;
	len -= n;
	while (len >= 4) {
		uint32_t word;

		memcpy(&word, data, sizeof word);
		a += word;
		data += 4;
		len -= 4;
	}
	if (len > 0) {
		uint32_t word = 0;

		memcpy(&word, data, len);
		a += word;
	}
	return sum + (a & UINT32_MAX) + (a >> 32);
}

static uint16_t sum_fold(uint64_t sum)
{
	while (sum > UINT16_MAX)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

/* RFC 8200 8.1. */
static uint64_t sum_pseudo(const uint8_t *packet, uint8_t protocol, size_t len)
{
	uint8_t tail[8] = { 0 };
	uint64_t sum =
		sum_add(0, packet + IP6_ADDRESSES_AT, IP6_ADDRESSES_BYTES);

	be32_put(tail, (uint32_t)len);
	tail[7] = protocol;
	return sum_add(sum, tail, sizeof tail);
}

static void sum_store(uint8_t *at, uint16_t folded)
{
	memcpy(at, &folded, sizeof folded);
}

static size_t sum_offset(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? TCP_SUM_AT : UDP_SUM_AT;
}

/* The whole checksum of a packet whose field is 0. */
static void complete(uint8_t *packet, size_t len, size_t transport,
		     uint8_t protocol)
{
	uint64_t sum = sum_pseudo(packet, protocol, len - transport);
	uint16_t folded;

	sum = sum_add(sum, packet + transport, len - transport);
	folded = (uint16_t)~sum_fold(sum);
	if (folded == 0 && protocol == IPPROTO_UDP)
		folded = UINT16_MAX;
	sum_store(packet + transport + sum_offset(protocol), folded);
}

/* ---- cutting ------------------------------------------------------------ */

/* What the kernel left undone: its field holds the sum of the pseudo header. */
static bool finish_checksum(const struct virtio_net_hdr *h, uint8_t *packet,
			    size_t len)
{
	size_t start = h->csum_start, at = start + h->csum_offset;
	uint16_t folded;

	if (start >= len || at + 2 > len)
		return false;
	folded = (uint16_t)~sum_fold(sum_add(0, packet + start, len - start));
	/* 0 would mean that a UDP packet has none; for TCP both are the same.
	 */
	sum_store(packet + at, folded != 0 ? folded : UINT16_MAX);
	return true;
}

static size_t transport_bytes(const uint8_t *packet, size_t len,
			      uint8_t protocol)
{
	size_t n;

	if (protocol == IPPROTO_UDP)
		return IP6_BYTES + UDP_BYTES <= len ? UDP_BYTES : 0;
	if (IP6_BYTES + TCP_BYTES > len)
		return 0;
	n = (size_t)(packet[IP6_BYTES + TCP_OFFSET_AT] >> 4) * 4;
	return n >= TCP_BYTES && IP6_BYTES + n <= len ? n : 0;
}

static bool begin_pieces(struct tun_split *s, const struct virtio_net_hdr *h,
			 uint8_t protocol)
{
	size_t n;

	if (s->len < IP6_BYTES || s->packet[IP6_NEXT_AT] != protocol)
		return false;
	n = transport_bytes(s->packet, s->len, protocol);
	if (n == 0 || h->gso_size == 0)
		return false;
	s->protocol = protocol;
	s->transport = IP6_BYTES;
	s->n_headers = IP6_BYTES + n;
	s->piece = h->gso_size;
	s->seq = be32_get(s->packet + IP6_BYTES + TCP_SEQ_AT);
	return true;
}

bool tun_split_begin(struct tun_split *s, const struct virtio_net_hdr *h,
		     uint8_t *packet, size_t len)
{
	*s = (struct tun_split){ .packet = packet, .len = len };
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 ||
		       finish_checksum(h, packet, len);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return begin_pieces(s, h, IPPROTO_TCP);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return begin_pieces(s, h, IPPROTO_UDP);
	default:
		return false;
	}
}

size_t tun_split_n(const struct tun_split *s)
{
	if (s->n_headers == 0)
		return 1;
	return (s->len - s->n_headers + s->piece - 1) / s->piece;
}

bool tun_split_is_done(const struct tun_split *s)
{
	return s->n_headers + s->offset >= s->len;
}

static size_t payload_left(const struct tun_split *s)
{
	return s->len - s->n_headers - s->offset;
}

static size_t piece_bytes(const struct tun_split *s)
{
	size_t left = payload_left(s);

	return left < s->piece || s->n_headers == 0 ? left : s->piece;
}

static void set_tcp(const struct tun_split *s, uint8_t *tcp, bool is_last)
{
	uint8_t drop = 0;

	be32_put(tcp + TCP_SEQ_AT, s->seq + (uint32_t)s->offset);
	if (!is_last)
		drop |= TCP_FIN | TCP_PSH;
	if (s->offset > 0)
		drop |= TCP_CWR;
	tcp[TCP_FLAGS_AT] &= (uint8_t)~drop;
}

const uint8_t *tun_split_get(const struct tun_split *s, uint8_t *out,
			     size_t cap, size_t *len)
{
	size_t n_payload = piece_bytes(s);
	uint8_t *transport = out + s->transport;

	*len = s->n_headers + n_payload;
	if (s->n_headers == 0)
		return s->packet;
	if (*len > cap)
		return NULL;
	memcpy(out, s->packet, s->n_headers);
	memcpy(out + s->n_headers, s->packet + s->n_headers + s->offset,
	       n_payload);
	be16_put(out + IP6_LENGTH_AT, *len - IP6_BYTES);
	if (s->protocol == IPPROTO_TCP)
		set_tcp(s, transport, n_payload == payload_left(s));
	else
		be16_put(transport + UDP_LENGTH_AT, *len - IP6_BYTES);
	be16_put(transport + sum_offset(s->protocol), 0);
	complete(out, *len, s->transport, s->protocol);
	return out;
}

void tun_split_advance(struct tun_split *s)
{
	s->offset += piece_bytes(s);
}

/* ---- putting together --------------------------------------------------- */

static size_t mergeable_udp(const uint8_t *packet, size_t len)
{
	const uint8_t *udp = packet + IP6_BYTES;

	if (len <= IP6_BYTES + UDP_BYTES ||
	    be16_get(packet + IP6_LENGTH_AT) != len - IP6_BYTES ||
	    be16_get(udp + UDP_LENGTH_AT) != len - IP6_BYTES ||
	    be16_get(udp + UDP_SUM_AT) == 0)
		return 0;
	return IP6_BYTES + UDP_BYTES;
}

/* Bytes of the headers of a UDP packet, or of a TCP packet that carries data
 * and no news but an acknowledgement; 0: it is none. */
static size_t mergeable(const uint8_t *packet, size_t len)
{
	uint8_t flags;
	size_t n;

	if (len > IP6_BYTES && packet[IP6_NEXT_AT] == IPPROTO_UDP)
		return mergeable_udp(packet, len);
	if (len < IP6_BYTES + TCP_BYTES || packet[IP6_NEXT_AT] != IPPROTO_TCP)
		return 0;
	n = transport_bytes(packet, len, IPPROTO_TCP);
	flags = packet[IP6_BYTES + TCP_FLAGS_AT];
	if (n == 0 || (flags & ~TCP_PSH) != TCP_ACK || IP6_BYTES + n >= len ||
	    be16_get(packet + IP6_LENGTH_AT) != len - IP6_BYTES)
		return 0;
	return IP6_BYTES + n;
}

bool tun_merge_can(const uint8_t *packet, size_t len, bool has_uso)
{
	return mergeable(packet, len) != 0 &&
	       (has_uso || packet[IP6_NEXT_AT] != IPPROTO_UDP);
}

static bool same_flow(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a + IP6_ADDRESSES_AT, b + IP6_ADDRESSES_AT,
		      IP6_ADDRESSES_BYTES) == 0 &&
	       memcmp(a + IP6_BYTES, b + IP6_BYTES, TCP_SEQ_AT) == 0;
}

/* All but length, sequence number, PSH and checksum are alike: traffic class,
 * hop limit, acknowledgement, window, options. */
static bool same_headers(const uint8_t *a, const uint8_t *b, size_t n)
{
	const uint8_t *ta = a + IP6_BYTES, *tb = b + IP6_BYTES;
	const size_t ack = TCP_SEQ_AT + 4, window = TCP_FLAGS_AT + 1;
	const size_t rest = TCP_SUM_AT + 2;

	if (memcmp(a, b, IP6_LENGTH_AT) != 0 ||
	    a[IP6_NEXT_AT + 1] != b[IP6_NEXT_AT + 1])
		return false;
	return a[IP6_NEXT_AT] == IPPROTO_UDP ||
	       (memcmp(ta + ack, tb + ack, TCP_FLAGS_AT - ack) == 0 &&
		memcmp(ta + window, tb + window, TCP_SUM_AT - window) == 0 &&
		memcmp(ta + rest, tb + rest, n - IP6_BYTES - rest) == 0);
}

static bool is_next(const struct tun_merge *m, const uint8_t *packet)
{
	if (packet[IP6_NEXT_AT] == IPPROTO_UDP)
		return m->n_pieces < UDP_PIECES_MAX;
	return be32_get(packet + IP6_BYTES + TCP_SEQ_AT) == m->next_seq;
}

static bool is_pushed(const uint8_t *packet)
{
	return packet[IP6_NEXT_AT] == IPPROTO_TCP &&
	       (packet[IP6_BYTES + TCP_FLAGS_AT] & TCP_PSH) != 0;
}

static void start(struct tun_merge *m, const uint8_t *packet, size_t len,
		  size_t n_headers)
{
	memcpy(m->packet, packet, len);
	m->len = len;
	m->n_headers = n_headers;
	m->piece = len - n_headers;
	m->n_pieces = 1;
	m->next_seq =
		be32_get(packet + IP6_BYTES + TCP_SEQ_AT) + (uint32_t)m->piece;
	m->is_closed = is_pushed(packet);
}

static void append(struct tun_merge *m, const uint8_t *packet, size_t n_payload)
{
	memcpy(m->packet + m->len, packet + m->n_headers, n_payload);
	m->len += n_payload;
	m->n_pieces++;
	m->next_seq += (uint32_t)n_payload;
	if (is_pushed(packet)) {
		m->packet[IP6_BYTES + TCP_FLAGS_AT] |= TCP_PSH;
		m->is_closed = true;
	}
	if (n_payload < m->piece)
		m->is_closed = true;
}

enum tun_merge_verdict tun_merge_add(struct tun_merge *m, const uint8_t *packet,
				     size_t len)
{
	size_t n_headers = mergeable(packet, len);
	size_t n_payload = len - n_headers;

	if (m->len == 0 && n_headers == 0)
		return TUN_OTHER;
	if (m->len == 0) {
		start(m, packet, len, n_headers);
		return TUN_MERGED;
	}
	if (len < IP6_BYTES + UDP_BYTES ||
	    packet[IP6_NEXT_AT] != m->packet[IP6_NEXT_AT] ||
	    !same_flow(m->packet, packet))
		return TUN_OTHER;
	if (n_headers != m->n_headers || m->is_closed || n_payload > m->piece ||
	    m->len + n_payload > TUN_PACKET_MAX || !is_next(m, packet) ||
	    !same_headers(m->packet, packet, n_headers))
		return TUN_MUST_FLUSH;
	append(m, packet, n_payload);
	return TUN_MERGED;
}

size_t tun_merge_take(struct tun_merge *m, struct virtio_net_hdr *h)
{
	uint8_t *packet = m->packet;
	uint8_t protocol = packet[IP6_NEXT_AT];
	bool is_udp = protocol == IPPROTO_UDP;
	size_t len = m->len;

	m->len = 0;
	*h = (struct virtio_net_hdr){ 0 };
	if (m->n_pieces == 1)
		return len;
	be16_put(packet + IP6_LENGTH_AT, len - IP6_BYTES);
	if (is_udp)
		be16_put(packet + IP6_BYTES + UDP_LENGTH_AT, len - IP6_BYTES);
	sum_store(packet + IP6_BYTES + sum_offset(protocol),
		  sum_fold(sum_pseudo(packet, protocol, len - IP6_BYTES)));
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->gso_type =
		is_udp ? VIRTIO_NET_HDR_GSO_UDP_L4 : VIRTIO_NET_HDR_GSO_TCPV6;
	h->gso_size = (uint16_t)m->piece;
	h->hdr_len = (uint16_t)m->n_headers;
	h->csum_start = IP6_BYTES;
	h->csum_offset = (uint16_t)sum_offset(protocol);
	return len;
}
