/* The TUN's checks on arbitrary packets.  First byte: the direction, and
 * whether a fixed IPv6 header is set right (so that mutations reach the
 * transport); the rest is the packet. */
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "node/tun/tun_ip.h"
#include "proto/limits.h"

#define NOW (1000 * NS_PER_S)

enum {
	FLAG_OUT = 1,
	FLAG_MEND = 2, /* version, length and addresses */
	MENDED_BYTES = 40
};

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id peer = { { 2, 2, 2 } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool allow(void *ctx, const struct node_id *id, uint8_t proto,
		  uint16_t port)
{
	(void)ctx;
	(void)id;
	return proto == IPPROTO_TCP && port == 80;
}

static void mend(uint8_t *packet, size_t len, const struct addr *src,
		 const struct addr *dst)
{
	if (len < MENDED_BYTES)
		return;
	packet[0] = 0x60;
	packet[4] = (uint8_t)((len - MENDED_BYTES) >> 8);
	packet[5] = (uint8_t)(len - MENDED_BYTES);
	memcpy(packet + 8, src->b, sizeof src->b);
	memcpy(packet + 24, dst->b, sizeof dst->b);
}

static void check_answer(struct tun_ip *t, enum tun_side side,
			 enum tun_verdict verdict, const struct addr *to,
			 const uint8_t *packet, size_t len)
{
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	enum icmp6_error error;
	struct ip6 h;
	size_t n;

	if (!tun_ip_error_of(&error, side, verdict))
		return;
	n = tun_ip_answer(t, out, side, error, 0, to, packet, len, NOW);
	if (n == 0)
		return;
	assert(n <= sizeof out && n <= len + 48);
	assert(ip6_parse(&h, out, n) == IP6_OK);
	assert(addr_equal(&h.src, &t->self) && addr_equal(&h.dst, to));
	/* An error about an error would be a storm. */
	assert(tun_ip_answer(t, out, side, error, 0, &t->self, out, n, NOW) ==
	       0);
}

static void check_out(struct tun_ip *t, uint8_t *packet, size_t len)
{
	struct addr to;
	struct node_id id;
	struct ip6 h;
	enum tun_verdict verdict = tun_ip_out(t, packet, len, NOW, &id);

	check_answer(t, TUN_OUT, verdict, &t->self, packet, len);
	if (verdict != TUN_PASS)
		return;
	to = addr_of(&net, &id);
	packet[7]++;
	assert(ip6_parse(&h, packet, len) == IP6_OK);
	assert(addr_equal(&h.src, &t->self) && addr_equal(&h.dst, &to));
	assert(!addr_equal(&h.dst, &t->self) && h.hop_limit > 1);
}

static void check_in(struct tun_ip *t, const uint8_t *packet, size_t len)
{
	struct addr from = addr_of(&net, &peer);
	enum tun_verdict verdict = tun_ip_in(t, &peer, packet, len, NOW);
	struct ip6_upper up;
	struct ip6 h;

	check_answer(t, TUN_IN, verdict, &from, packet, len);
	if (verdict != TUN_PASS)
		return;
	assert(ip6_parse(&h, packet, len) == IP6_OK);
	assert(addr_equal(&h.src, &from) && addr_equal(&h.dst, &t->self));
	assert(ip6_upper(&up, packet, len));
	assert(up.proto == IPPROTO_TCP || up.proto == IPPROTO_UDP ||
	       up.proto == IPPROTO_ICMPV6);
	assert(up.offset == 0 || up.offset >= 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t hash_key[16] = { 0 };
	struct addr self = addr_of(&net, &us), far = addr_of(&net, &peer);
	struct tun_ip t;
	uint8_t *packet;

	if (len == 0)
		return 0;
	/* A copy of its own, so that the sanitizer sees a byte too far. */
	packet = malloc(len - 1 > 0 ? len - 1 : 1);
	if (packet == NULL)
		return 0;
	memcpy(packet, data + 1, len - 1);
	tun_ip_init(&t, &net, &us, hash_key, allow, NULL, NOW);
	if (data[0] & FLAG_OUT) {
		if (data[0] & FLAG_MEND)
			mend(packet, len - 1, &self, &far);
		check_out(&t, packet, len - 1);
	} else {
		if (data[0] & FLAG_MEND)
			mend(packet, len - 1, &far, &self);
		check_in(&t, packet, len - 1);
	}
	tun_ip_deinit(&t);
	free(packet);
	return 0;
}
