#include "node/tun/tun_ip.h"

#include <netinet/in.h>

#include "proto/base/view.h"
#include "proto/limits.h"

enum {
	LATER_OFFSET_MIN = 24, /* behind any header that we judge */
	HOP_LIMIT_AT = 7,      /* RFC 8200 3 */
	SOURCE_AT = 8,
	TCP_FLAGS_AT = 13, /* RFC 9293 3.1 */
	TCP_SYN = 0x02,
	TCP_ACK = 0x10
};

void tun_ip_init(struct tun_ip *t, const struct overlay_net *net,
		 const struct node_id *self, const uint8_t hash_key[16],
		 tun_allow *allow, void *ctx, nsec now)
{
	*t = (struct tun_ip){ .self = addr_of(net, self),
			      .net = *net,
			      .flows = tun_flows_new(hash_key),
			      .allow = allow,
			      .ctx = ctx };
	for (int i = 0; i < TUN_SIDES; i++)
		bucket_init(&t->answers[i], TUN_ANSWER_RATE, TUN_ANSWER_BURST,
			    now);
}

void tun_ip_deinit(struct tun_ip *t)
{
	tun_flows_free(t->flows);
	t->flows = NULL;
}

static const enum tun_verdict of_header[IP6_VERDICTS] = {
	[IP6_OK] = TUN_PASS,
	[IP6_SHORT] = TUN_SHORT,
	[IP6_VERSION] = TUN_VERSION,
	[IP6_LENGTH] = TUN_LENGTH,
	[IP6_HOP_LIMIT] = TUN_HOP_LIMIT,
	[IP6_SCOPE] = TUN_SCOPE,
};

/* ---- out ---- */

/* Answers to it may come in. */
static void note_flow(struct tun_ip *t, const struct node_id *peer,
		      const uint8_t *packet, size_t len, nsec now)
{
	struct tun_flow f = { .peer = *peer };

	if (ip6_ports(packet, len, &f.proto, &f.our_port, &f.their_port) &&
	    f.proto == IPPROTO_UDP)
		tun_flows_note(t->flows, &f, now);
}

static enum tun_verdict judge_out(struct tun_ip *t, const uint8_t *packet,
				  size_t len, struct ip6 *h)
{
	enum tun_verdict verdict = of_header[ip6_parse(h, packet, len)];

	if (verdict != TUN_PASS)
		return verdict;
	if (!addr_equal(&h->src, &t->self))
		return TUN_SOURCE;
	if (!addr_in_net(&h->dst, &t->net) || addr_equal(&h->dst, &t->self))
		return TUN_DESTINATION;
	return TUN_PASS;
}

enum tun_verdict tun_ip_out(struct tun_ip *t, uint8_t *packet, size_t len,
			    nsec now, struct node_id *peer)
{
	struct ip6 h;
	enum tun_verdict verdict = judge_out(t, packet, len, &h);

	t->n[TUN_OUT][verdict]++;
	if (verdict != TUN_PASS)
		return verdict;
	*peer = addr_id(&h.dst);
	packet[HOP_LIMIT_AT]--;
	note_flow(t, peer, packet, len, now);
	return TUN_PASS;
}

/* ---- in ---- */

static enum tun_verdict judge_tcp(struct tun_ip *t, const struct node_id *peer,
				  const uint8_t *packet, size_t len, size_t at)
{
	struct view v = view_of(packet, len);
	uint16_t src, dst;
	uint8_t proto, flags;

	if (!ip6_ports(packet, len, &proto, &src, &dst))
		return TUN_MALFORMED;
	view_bytes(&v, at + TCP_FLAGS_AT);
	flags = view_u8(&v);
	if ((flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return TUN_PASS;
	return t->allow(t->ctx, peer, proto, dst) ? TUN_PASS : TUN_CLOSED;
}

static enum tun_verdict judge_udp(struct tun_ip *t, const struct node_id *peer,
				  const uint8_t *packet, size_t len, nsec now)
{
	struct tun_flow f = { .peer = *peer };

	if (!ip6_ports(packet, len, &f.proto, &f.their_port, &f.our_port))
		return TUN_MALFORMED;
	if (tun_flows_handle(t->flows, &f, now) ||
	    t->allow(t->ctx, peer, f.proto, f.our_port))
		return TUN_PASS;
	return TUN_CLOSED;
}

static enum tun_verdict judge_first(struct tun_ip *t,
				    const struct node_id *peer,
				    const struct ip6_upper *up,
				    const uint8_t *packet, size_t len, nsec now)
{
	uint8_t type;

	switch (up->proto) {
	case IPPROTO_TCP:
		return judge_tcp(t, peer, packet, len, up->at);
	case IPPROTO_UDP:
		return judge_udp(t, peer, packet, len, now);
	default: /* IPPROTO_ICMPV6 */
		return ip6_is_icmp(packet, len, &type) ? TUN_PASS
						       : TUN_PROTOCOL;
	}
}

/* Without the first, which was judged, the kernel makes nothing of it; and it
 * must not write over what was judged. */
static enum tun_verdict judge_later(const struct ip6_upper *up)
{
	return up->offset >= LATER_OFFSET_MIN ? TUN_PASS : TUN_MALFORMED;
}

static enum tun_verdict judge_transport(struct tun_ip *t,
					const struct node_id *peer,
					const uint8_t *packet, size_t len,
					nsec now)
{
	struct ip6_upper up;

	if (!ip6_upper(&up, packet, len))
		return TUN_MALFORMED;
	switch (up.proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMPV6:
		return up.offset == 0
			       ? judge_first(t, peer, &up, packet, len, now)
			       : judge_later(&up);
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
		return TUN_EXTENSION;
	default:
		return TUN_PROTOCOL;
	}
}

static enum tun_verdict judge_in(struct tun_ip *t, const struct node_id *peer,
				 const uint8_t *packet, size_t len, nsec now)
{
	struct addr from = addr_of(&t->net, peer);
	struct ip6 h;
	enum tun_verdict verdict = of_header[ip6_parse(&h, packet, len)];

	if (verdict != TUN_PASS)
		return verdict;
	if (!addr_equal(&h.src, &from))
		return TUN_SOURCE;
	if (!addr_equal(&h.dst, &t->self))
		return TUN_DESTINATION;
	return judge_transport(t, peer, packet, len, now);
}

enum tun_verdict tun_ip_in(struct tun_ip *t, const struct node_id *peer,
			   const uint8_t *packet, size_t len, nsec now)
{
	enum tun_verdict verdict = judge_in(t, peer, packet, len, now);

	t->n[TUN_IN][verdict]++;
	return verdict;
}

/* ---- answers ---- */

bool tun_ip_error_of(enum icmp6_error *error, enum tun_side side,
		     enum tun_verdict verdict)
{
	switch (verdict) {
	case TUN_HOP_LIMIT:
		*error = ICMP6_HOP_LIMIT;
		return true;
	case TUN_DESTINATION:
		*error = ICMP6_NO_ROUTE;
		return side == TUN_OUT;
	case TUN_CLOSED:
	case TUN_PROTOCOL:
	case TUN_EXTENSION:
		*error = ICMP6_PROHIBITED;
		return side == TUN_IN;
	default:
		return false;
	}
}

static bool comes_from(const uint8_t *packet, size_t len, const struct addr *a)
{
	struct view v = view_of(packet, len);
	struct addr src;

	view_bytes(&v, SOURCE_AT);
	view_copy(&v, src.b, sizeof src.b);
	return !v.bad && addr_equal(&src, a);
}

size_t tun_ip_answer(struct tun_ip *t, uint8_t out[ICMP6_ERROR_BYTES_MAX],
		     enum tun_side side, enum icmp6_error error, size_t mtu,
		     const struct addr *to, const uint8_t *packet, size_t len,
		     nsec now)
{
	size_t n;

	if (!comes_from(packet, len, to))
		return 0;
	if (mtu < TUN_MTU_MIN)
		mtu = TUN_MTU_MIN;
	n = icmp6_error_write(out, error, (uint32_t)mtu, &t->self, packet, len);
	if (n == 0)
		return 0;
	if (!bucket_take(&t->answers[side], now)) {
		t->n_answers_limited[side]++;
		return 0;
	}
	t->n_answers[side]++;
	return n;
}
