/* What neighbours tell each other: HELLO, LINK, PING, and certificates. */
#include <assert.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/schema/control.pb-c.h"

#define HELLO_VERSION 1

/* RFC 3629: no overlong forms, no surrogates; nor C0, DEL and C1 controls,
 * which would reach a terminal. */
static bool text_is_clean(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	for (size_t i = 0; i < len;) {
		uint8_t b = s[i++];
		unsigned more = b < 0x80    ? 0
				: b < 0xc0  ? 4
				: b < 0xe0  ? 1
				: b < 0xf0  ? 2
				: b <= 0xf4 ? 3
					    : 4;
		uint32_t c = more == 0 ? b : b & (0x3fU >> more);

		if (more > 3 || len - i < more)
			return false;
		for (unsigned k = 0; k < more; k++, i++) {
			if ((s[i] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < least[more] || c > 0x10ffff ||
		    (c >= 0xd800 && c <= 0xdfff))
			return false;
		if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
			return false;
	}
	return true;
}

static bool hello_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Hello *pb = (const Qanat__Hello *)base;
	struct msg_hello *m = &out->hello;

	if (pb->version != HELLO_VERSION || pb->port > UINT16_MAX ||
	    pb->name.len > NAME_BYTES_MAX ||
	    !text_is_clean(pb->name.data, pb->name.len))
		return false;
	*m = (struct msg_hello){ .version = pb->version,
				 .transit = pb->transit,
				 .port = (uint16_t)pb->port,
				 .instance = pb->instance,
				 .direct = pb->direct,
				 .sealed = pb->sealed };
	if (pb->name.len != 0)
		memcpy(m->name, pb->name.data, pb->name.len);
	return true;
}

static size_t hello_write(struct buf *out, const struct msg *msg)
{
	const struct msg_hello *m = &msg->hello;
	Qanat__Hello pb = QANAT__HELLO__INIT;

	pb.version = m->version;
	pb.name = bytes_of(m->name, strnlen(m->name, NAME_BYTES_MAX));
	pb.transit = m->transit;
	pb.port = m->port;
	pb.instance = m->instance;
	pb.direct = m->direct;
	pb.sealed = m->sealed;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_hello = {
	.name = "HELLO",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__hello__descriptor,
	.read = hello_read,
	.write = hello_write,
};

static bool link_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Link *pb = (const Qanat__Link *)base;

	if (pb->cost_100us > LINK_COST_MAX_100US || pb->mtu == 0 ||
	    pb->mtu > UINT16_MAX || pb->loss > UINT8_MAX ||
	    pb->rate > UINT8_MAX)
		return false;
	out->link = (struct msg_link){ .cost_100us = (uint16_t)pb->cost_100us,
				       .mtu = (uint16_t)pb->mtu,
				       .loss = (uint8_t)pb->loss,
				       .rate = (uint8_t)pb->rate };
	return true;
}

static size_t link_write(struct buf *out, const struct msg *msg)
{
	const struct msg_link *m = &msg->link;
	Qanat__Link pb = QANAT__LINK__INIT;

	pb.cost_100us = m->cost_100us;
	pb.mtu = m->mtu;
	pb.loss = m->loss;
	pb.rate = m->rate;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_link = {
	.name = "LINK",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__link__descriptor,
	.read = link_read,
	.write = link_write,
};

static bool peer_query_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__PeerQuery *pb = (const Qanat__PeerQuery *)base;
	struct msg_peer_query *m = &out->peer_query;

	m->n = pb->ids.len / ID_LEN;
	if (m->n == 0 || m->n > PEER_QUERY_IDS_MAX)
		return false;
	return bytes_read(m->ids, m->n * ID_LEN, &pb->ids);
}

static size_t peer_query_write(struct buf *out, const struct msg *msg)
{
	const struct msg_peer_query *m = &msg->peer_query;
	Qanat__PeerQuery pb = QANAT__PEER_QUERY__INIT;

	assert(m->n <= PEER_QUERY_IDS_MAX);
	pb.ids = bytes_of(m->ids, m->n * ID_LEN);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_peer_query = {
	.name = "PEER_QUERY",
	.bytes_max = PEER_QUERY_BYTES_MAX,
	.desc = &qanat__peer_query__descriptor,
	.read = peer_query_read,
	.write = peer_query_write,
};

static bool peer_info_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__PeerInfo *pb = (const Qanat__PeerInfo *)base;
	struct msg_peer_info *m = &out->peer_info;

	if (pb->chain.len > CHAIN_BYTES_MAX)
		return false;
	m->chain_len = pb->chain.len;
	return bytes_read(m->id.b, ID_LEN, &pb->id) &&
	       bytes_read(m->chain, m->chain_len, &pb->chain);
}

static size_t peer_info_write(struct buf *out, const struct msg *msg)
{
	const struct msg_peer_info *m = &msg->peer_info;
	Qanat__PeerInfo pb = QANAT__PEER_INFO__INIT;

	assert(m->chain_len <= CHAIN_BYTES_MAX);
	pb.id = bytes_of(m->id.b, ID_LEN);
	pb.chain = bytes_of(m->chain, m->chain_len);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_peer_info = {
	.name = "PEER_INFO",
	.bytes_max = PEER_INFO_BYTES_MAX,
	.desc = &qanat__peer_info__descriptor,
	.read = peer_info_read,
	.write = peer_info_write,
};

static bool ping_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Ping *pb = (const Qanat__Ping *)base;

	out->ping = (struct msg_ping){ .token = pb->token,
				       .is_reply = pb->is_reply,
				       .n_sealed = pb->n_sealed };
	return true;
}

static size_t ping_write(struct buf *out, const struct msg *msg)
{
	Qanat__Ping pb = QANAT__PING__INIT;

	pb.token = msg->ping.token;
	pb.is_reply = msg->ping.is_reply;
	pb.n_sealed = msg->ping.n_sealed;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_ping = {
	.name = "PING",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__ping__descriptor,
	.read = ping_read,
	.write = ping_write,
};
