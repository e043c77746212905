/* Packets that may belong to flows which end here: records of one byte of what
 * to do, one of length, and a TCP segment; whatever the packets are, what is
 * written back is as long, from the far end to us, and its checksum as good or
 * bad as before. */
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "node/splice/tun_splice.h"

enum {
	IP6 = 40,
	TCP = 20,
	PACKET_MAX = IP6 + 255,
	FLOWS_MAX = 8,
	DO_JOIN = 0x01,    /* the flow that has begun last */
	DO_LEAVE = 0x02,   /* the one before it */
	DO_PARTIAL = 0x04, /* the packet's checksum is */
	DO_RAW = 0x08,     /* leave its header as it is */
	DO_SWEEP = 0x10,
	DO_REMOVE = 0x20,
};

#define NOW (1000 * NS_PER_S)

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id peer = { { 2, 2, 2 } };

struct run {
	struct tun_splice *t;
	struct tun_splice_flow *flows[FLOWS_MAX]; /* ours, newest first */
	struct addr self, far;
	uint16_t port;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint32_t residue(const uint8_t *packet, size_t len)
{
	uint32_t sum = IPPROTO_TCP + (uint32_t)(len - IP6);

	for (size_t i = 8; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)packet[i] << 8 : packet[i];
	return sum % 0xffff;
}

static void check_back(const struct run *r, const uint8_t *packet, size_t len)
{
	assert(len >= IP6 + TCP);
	assert(memcmp(packet + 8, r->far.b, 16) == 0);
	assert(memcmp(packet + 24, r->self.b, 16) == 0);
}

static void drop_last(struct run *r)
{
	struct tun_splice_flow *f = r->flows[FLOWS_MAX - 1];

	if (f != NULL)
		tun_splice_leave(r->t, f, NOW);
	memmove(r->flows + 1, r->flows, sizeof r->flows - sizeof r->flows[0]);
	r->flows[0] = NULL;
}

static void begin(struct run *r, const uint8_t *packet, size_t len)
{
	struct tun_splice_flow *f =
		tun_splice_hold(r->t, &peer, packet, len, NOW);
	uint8_t reset[TUN_SPLICE_RESET_BYTES];

	assert(f != NULL && len <= TUN_SPLICE_SYN_MAX);
	assert(tun_splice_reset_write(reset, f) == sizeof reset);
	assert(residue(reset, sizeof reset) == 0);
	check_back(r, reset, sizeof reset);
	drop_last(r);
	r->flows[0] = f;
}

static void act(struct run *r, uint8_t what)
{
	if ((what & DO_JOIN) != 0 && r->flows[0] != NULL) {
		assert(tun_splice_join(r->t, r->flows[0], ++r->port) != 0);
		/* Once each. */
		drop_last(r);
	}
	if ((what & DO_LEAVE) != 0 && r->flows[1] != NULL) {
		tun_splice_leave(r->t, r->flows[1], NOW);
		r->flows[1] = NULL;
	}
	if ((what & DO_REMOVE) != 0 && r->flows[1] != NULL) {
		tun_splice_remove(r->t, r->flows[1]);
		r->flows[1] = NULL;
	}
	if ((what & DO_SWEEP) != 0)
		tun_splice_sweep(r->t, NOW + TUN_SPLICE_OVER_NS);
}

static void packet_out(struct run *r, uint8_t what, uint8_t *packet, size_t len)
{
	bool is_partial = (what & DO_PARTIAL) != 0;
	uint32_t before = len >= IP6 + TCP ? residue(packet, len) : 0;
	size_t n = len;

	switch (tun_splice_out(r->t, &peer, packet, &n, is_partial, NOW)) {
	case TUN_SPLICE_BEGINS:
		begin(r, packet, len);
		break;
	case TUN_SPLICE_BACK:
		assert(n == len);
		check_back(r, packet, n);
		assert(is_partial || residue(packet, n) == before);
		break;
	case TUN_SPLICE_LETS_IN:
		assert(n >= IP6 + TCP && n <= TUN_SPLICE_SYN_MAX);
		check_back(r, packet, n);
		break;
	case TUN_SPLICE_NONE:
	case TUN_SPLICE_DROP:
		assert(n == len);
		break;
	}
}

static void mend(const struct run *r, uint8_t *packet, size_t len)
{
	memset(packet, 0, IP6);
	packet[0] = 0x60;
	packet[4] = (uint8_t)((len - IP6) >> 8);
	packet[5] = (uint8_t)(len - IP6);
	packet[6] = IPPROTO_TCP;
	packet[7] = 64;
	memcpy(packet + 8, r->self.b, 16);
	memcpy(packet + 24, r->far.b, 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* Our sockets' far ports begin at 1024. */
	static const uint8_t hash_key[16] = { 0 };
	struct run r = { .t = tun_splice_new(hash_key),
			 .self = addr_of(&net, &us),
			 .far = addr_of(&net, &peer) };

	while (len >= 2) {
		uint8_t packet[PACKET_MAX + TUN_SPLICE_SYN_MAX], what = data[0];
		size_t n = data[1] < len - 2 ? data[1] : len - 2;

		mend(&r, packet, IP6 + n);
		memcpy(packet + IP6, data + 2, n);
		if ((what & DO_RAW) != 0)
			packet[6] = IPPROTO_FRAGMENT;
		act(&r, what);
		tun_splice_claims(r.t, &peer, packet, IP6 + n);
		packet_out(&r, what, packet, IP6 + n);
		data += 2 + n;
		len -= 2 + n;
	}
	assert(tun_splice_counts(r.t)->n_flows <= 0xffff);
	tun_splice_free(r.t);
	return 0;
}
