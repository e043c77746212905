/* What opens, ends and tests circuits: OPEN, OPENED, CLOSE, TEST and RECEIPT.
 */
#include <assert.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/packet.h"
#include "proto/schema/control.pb-c.h"

static bool mtu_read(uint16_t *out, uint32_t mtu)
{
	*out = (uint16_t)mtu;
	return mtu >= 1 && mtu <= UINT16_MAX;
}

static bool label_read(uint32_t *out, uint32_t label)
{
	*out = label;
	return (label & ~LABEL_MASK) == 0;
}

void msg_open_seal(struct msg_open *m)
{
	struct buf b = buf_of(m->body, sizeof m->body);
	uint8_t digest[HASH_LEN];

	route_proof_digest(digest, &m->route);
	buf_bytes(&b, digest, sizeof digest);
	buf_bytes(&b, m->open_id.b, NONCE_LEN);
	buf_be64(&b, m->issued_ms);
	assert(!b.bad && b.len == OPEN_BODY_BYTES);
}

/* The body is signed apart from the route: it must be about this one. */
static bool open_body_read(struct msg_open *m)
{
	struct view v = view_of(m->body, sizeof m->body);
	uint8_t digest[HASH_LEN], want[HASH_LEN];

	view_copy(&v, digest, sizeof digest);
	view_copy(&v, m->open_id.b, NONCE_LEN);
	m->issued_ms = view_be64(&v);
	route_proof_digest(want, &m->route);
	return !v.bad && memcmp(digest, want, sizeof want) == 0;
}

static bool open_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Open *pb = (const Qanat__Open *)base;
	struct msg_open *m = &out->open;

	if (!route_read(&m->route, pb->route) || m->route.first_sig != 0)
		return false;
	return bytes_read(m->body, sizeof m->body, &pb->body) &&
	       bytes_read(m->sig_origin, SIG_LEN, &pb->sig_origin) &&
	       open_body_read(m) && label_read(&m->label, pb->label) &&
	       mtu_read(&m->mtu, pb->mtu);
}

static size_t open_write(struct buf *out, const struct msg *msg)
{
	const struct msg_open *m = &msg->open;
	Qanat__Open pb = QANAT__OPEN__INIT;
	Qanat__Route route;

	route_borrow(&route, &m->route);
	pb.route = &route;
	pb.body = bytes_of(m->body, sizeof m->body);
	pb.sig_origin = bytes_of(m->sig_origin, SIG_LEN);
	pb.label = m->label;
	pb.mtu = m->mtu;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_open = {
	.name = "OPEN",
	.bytes_max = FRAME_ROUTING_BYTES_MAX,
	.desc = &qanat__open__descriptor,
	.read = open_read,
	.write = open_write,
};

static bool opened_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Opened *pb = (const Qanat__Opened *)base;
	struct msg_opened *m = &out->opened;

	return bytes_read(m->open_id.b, NONCE_LEN, &pb->open_id) &&
	       label_read(&m->label, pb->label) && mtu_read(&m->mtu, pb->mtu);
}

static size_t opened_write(struct buf *out, const struct msg *msg)
{
	const struct msg_opened *m = &msg->opened;
	Qanat__Opened pb = QANAT__OPENED__INIT;

	pb.open_id = bytes_of(m->open_id.b, NONCE_LEN);
	pb.label = m->label;
	pb.mtu = m->mtu;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_opened = {
	.name = "OPENED",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__opened__descriptor,
	.read = opened_read,
	.write = opened_write,
};

void msg_close_seal(struct msg_close *m)
{
	struct buf b = buf_of(m->body, sizeof m->body);

	buf_bytes(&b, m->open_id.b, NONCE_LEN);
	buf_u8(&b, (uint8_t)m->reason);
	buf_bytes(&b, m->reporter.b, ID_LEN);
	buf_bytes(&b, m->next.b, ID_LEN);
	assert(!b.bad && b.len == CLOSE_BODY_BYTES);
}

static bool reason_read(enum close_reason *out, uint32_t reason)
{
	*out = (enum close_reason)reason;
	return reason >= 1 && reason < CLOSE_REASONS;
}

static bool close_body_read(struct msg_close *m)
{
	static const struct nonce none;
	struct view v = view_of(m->body, sizeof m->body);
	uint8_t reason;

	view_copy(&v, m->open_id.b, NONCE_LEN);
	reason = view_u8(&v);
	view_copy(&v, m->reporter.b, ID_LEN);
	view_copy(&v, m->next.b, ID_LEN);
	return !v.bad && reason_read(&m->reason, reason) &&
	       memcmp(m->open_id.b, none.b, NONCE_LEN) != 0;
}

static bool close_signed_read(struct msg_close *m, const Qanat__Close *pb)
{
	m->label = 0;
	return pb->open_id.len == 0 && pb->label == 0 && pb->reason == 0 &&
	       pb->reporter.len == 0 &&
	       bytes_read(m->body, sizeof m->body, &pb->body) &&
	       bytes_read(m->sig, SIG_LEN, &pb->sig) && close_body_read(m);
}

static bool close_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Close *pb = (const Qanat__Close *)base;
	struct msg_close *m = &out->close;

	m->is_signed = pb->body.len != 0;
	if (m->is_signed)
		return close_signed_read(m, pb);
	m->next = (struct node_id){ 0 };
	return pb->sig.len == 0 && reason_read(&m->reason, pb->reason) &&
	       bytes_read(m->open_id.b, NONCE_LEN, &pb->open_id) &&
	       bytes_read(m->reporter.b, ID_LEN, &pb->reporter) &&
	       label_read(&m->label, pb->label);
}

static size_t close_write(struct buf *out, const struct msg *msg)
{
	const struct msg_close *m = &msg->close;
	Qanat__Close pb = QANAT__CLOSE__INIT;

	if (m->is_signed) {
		pb.body = bytes_of(m->body, sizeof m->body);
		pb.sig = bytes_of(m->sig, SIG_LEN);
		return codec_pack(out, &pb.base);
	}
	pb.open_id = bytes_of(m->open_id.b, NONCE_LEN);
	pb.label = m->label;
	pb.reason = m->reason;
	pb.reporter = bytes_of(m->reporter.b, ID_LEN);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_close = {
	.name = "CLOSE",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__close__descriptor,
	.read = close_read,
	.write = close_write,
};

static bool hop_number_read(uint8_t *out, uint32_t hop)
{
	*out = (uint8_t)hop;
	return hop >= 1 && hop <= HOPS_MAX;
}

static bool test_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Test *pb = (const Qanat__Test *)base;
	struct msg_test *m = &out->test;

	m->token = pb->token;
	return bytes_read(m->open_id.b, NONCE_LEN, &pb->open_id) &&
	       hop_number_read(&m->hop, pb->hop);
}

static size_t test_write(struct buf *out, const struct msg *msg)
{
	const struct msg_test *m = &msg->test;
	Qanat__Test pb = QANAT__TEST__INIT;

	pb.open_id = bytes_of(m->open_id.b, NONCE_LEN);
	pb.token = m->token;
	pb.hop = m->hop;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_test = {
	.name = "TEST",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__test__descriptor,
	.read = test_read,
	.write = test_write,
};

void msg_receipt_seal(struct msg_receipt *m)
{
	struct buf b = buf_of(m->body, sizeof m->body);

	buf_bytes(&b, m->open_id.b, NONCE_LEN);
	buf_be64(&b, m->token);
	buf_u8(&b, m->hop);
	buf_bytes(&b, m->node.b, ID_LEN);
	buf_be64(&b, m->n_forth);
	buf_be64(&b, m->n_back);
	assert(!b.bad && b.len == RECEIPT_BODY_BYTES);
}

static bool receipt_body_read(struct msg_receipt *m)
{
	struct view v = view_of(m->body, sizeof m->body);

	view_copy(&v, m->open_id.b, NONCE_LEN);
	m->token = view_be64(&v);
	m->hop = view_u8(&v);
	view_copy(&v, m->node.b, ID_LEN);
	m->n_forth = view_be64(&v);
	m->n_back = view_be64(&v);
	return !v.bad && hop_number_read(&m->hop, m->hop);
}

static bool receipt_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Receipt *pb = (const Qanat__Receipt *)base;
	struct msg_receipt *m = &out->receipt;

	return bytes_read(m->body, sizeof m->body, &pb->body) &&
	       bytes_read(m->sig, SIG_LEN, &pb->sig) && receipt_body_read(m);
}

static size_t receipt_write(struct buf *out, const struct msg *msg)
{
	Qanat__Receipt pb = QANAT__RECEIPT__INIT;

	pb.body = bytes_of(msg->receipt.body, sizeof msg->receipt.body);
	pb.sig = bytes_of(msg->receipt.sig, SIG_LEN);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_receipt = {
	.name = "RECEIPT",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__receipt__descriptor,
	.read = receipt_read,
	.write = receipt_write,
};
