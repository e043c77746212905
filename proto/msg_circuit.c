/* What opens and ends circuits: OPEN, OPENED, CLOSE, and NAK. */
#include <assert.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/packet.h"
#include "proto/schema/control.pb-c.h"

static bool nak_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Nak *pb = (const Qanat__Nak *)base;
	struct msg_nak *m = &out->nak;

	if (pb->code == 0 || pb->code >= NAK_CODES)
		return false;
	m->code = (enum nak_code)pb->code;
	return bytes_read(m->origin.b, ID_LEN, &pb->origin) &&
	       bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce);
}

static size_t nak_write(struct buf *out, const struct msg *msg)
{
	const struct msg_nak *m = &msg->nak;
	Qanat__Nak pb = QANAT__NAK__INIT;

	pb.origin = bytes_of(m->origin.b, ID_LEN);
	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.code = m->code;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_nak = {
	.name = "NAK",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__nak__descriptor,
	.read = nak_read,
	.write = nak_write,
};

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

static bool close_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Close *pb = (const Qanat__Close *)base;
	struct msg_close *m = &out->close;

	if (pb->reason == 0 || pb->reason >= CLOSE_REASONS)
		return false;
	m->reason = (enum close_reason)pb->reason;
	return bytes_read(m->open_id.b, NONCE_LEN, &pb->open_id) &&
	       bytes_read(m->reporter.b, ID_LEN, &pb->reporter) &&
	       label_read(&m->label, pb->label);
}

static size_t close_write(struct buf *out, const struct msg *msg)
{
	const struct msg_close *m = &msg->close;
	Qanat__Close pb = QANAT__CLOSE__INIT;

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
