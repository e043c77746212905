/* Where nodes are: the signed record, and STORE, STORED, LOOKUP, FOUND and
 * NO_RECORD around it. */
#include <assert.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/schema/control.pb-c.h"

void record_seal(struct record *r)
{
	struct buf b = buf_of(r->body, sizeof r->body);

	buf_u8(&b, BODY_VERSION);
	buf_bytes(&b, r->id.b, ID_LEN);
	buf_be64(&b, r->issued_ms);
	buf_be16(&b, r->life_s);
	buf_u8(&b, r->flags);
	locator_write(&b, &r->at);
	assert(!b.bad);
	r->body_len = b.len;
}

static bool record_body_read(struct record *r)
{
	struct view v = view_of(r->body, r->body_len);
	uint8_t version = view_u8(&v);

	view_copy(&v, r->id.b, ID_LEN);
	r->issued_ms = view_be64(&v);
	r->life_s = view_be16(&v);
	r->flags = view_u8(&v);
	return version == BODY_VERSION && r->life_s <= RECORD_LIFE_S &&
	       locator_read(&r->at, &v) && view_left(&v) == 0 &&
	       locator_is_of(&r->at, &r->id);
}

static bool record_read(struct record *out, const Qanat__Record *pb)
{
	if (pb == NULL || pb->body.len > sizeof out->body ||
	    pb->chain.len == 0 || pb->chain.len > CHAIN_BYTES_MAX)
		return false;
	out->body_len = pb->body.len;
	out->chain_len = pb->chain.len;
	return bytes_read(out->body, out->body_len, &pb->body) &&
	       bytes_read(out->sig, SIG_LEN, &pb->sig) &&
	       bytes_read(out->chain, out->chain_len, &pb->chain) &&
	       record_body_read(out);
}

static void record_borrow(Qanat__Record *out, const struct record *r)
{
	assert(r->body_len <= sizeof r->body);
	assert(r->chain_len <= sizeof r->chain);
	*out = (Qanat__Record)QANAT__RECORD__INIT;
	out->body = bytes_of(r->body, r->body_len);
	out->sig = bytes_of(r->sig, SIG_LEN);
	out->chain = bytes_of(r->chain, r->chain_len);
}

bool record_parse(struct record *out, const uint8_t *data, size_t len)
{
	struct arena a;

	if (len > RECORD_BYTES_MAX)
		return false;
	return record_read(out,
			   (const Qanat__Record *)codec_unpack(
				   &a, &qanat__record__descriptor, data, len));
}

size_t record_write(uint8_t *out, size_t cap, const struct record *r)
{
	struct buf b = buf_of(out, cap);
	Qanat__Record pb;

	record_borrow(&pb, r);
	return codec_pack(&b, &pb.base);
}

/* How far up which tree a request goes. */
static bool way_read(uint8_t *tree, uint8_t *hops_left, uint32_t pb_tree,
		     uint32_t pb_hops_left)
{
	*tree = (uint8_t)pb_tree;
	*hops_left = (uint8_t)pb_hops_left;
	return pb_tree < TREES && pb_hops_left <= REQUEST_HOPS_MAX;
}

static bool store_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Store *pb = (const Qanat__Store *)base;
	struct msg_store *m = &out->store;

	return bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce) &&
	       way_read(&m->tree, &m->hops_left, pb->tree, pb->hops_left) &&
	       record_read(&m->record, pb->record);
}

static size_t store_write(struct buf *out, const struct msg *msg)
{
	const struct msg_store *m = &msg->store;
	Qanat__Store pb = QANAT__STORE__INIT;
	Qanat__Record record;

	record_borrow(&record, &m->record);
	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.tree = m->tree;
	pb.hops_left = m->hops_left;
	pb.record = &record;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_store = {
	.name = "STORE",
	.bytes_max = RECORD_BYTES_MAX,
	.desc = &qanat__store__descriptor,
	.read = store_read,
	.write = store_write,
};

static bool stored_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Stored *pb = (const Qanat__Stored *)base;

	return bytes_read(out->stored.nonce.b, NONCE_LEN, &pb->nonce);
}

static size_t stored_write(struct buf *out, const struct msg *msg)
{
	Qanat__Stored pb = QANAT__STORED__INIT;

	pb.nonce = bytes_of(msg->stored.nonce.b, NONCE_LEN);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_stored = {
	.name = "STORED",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__stored__descriptor,
	.read = stored_read,
	.write = stored_write,
};

static bool lookup_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Lookup *pb = (const Qanat__Lookup *)base;
	struct msg_lookup *m = &out->lookup;

	m->newer_than_ms = pb->newer_than_ms;
	return bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce) &&
	       way_read(&m->tree, &m->hops_left, pb->tree, pb->hops_left) &&
	       bytes_read(m->id.b, ID_LEN, &pb->id);
}

static size_t lookup_write(struct buf *out, const struct msg *msg)
{
	const struct msg_lookup *m = &msg->lookup;
	Qanat__Lookup pb = QANAT__LOOKUP__INIT;

	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.tree = m->tree;
	pb.hops_left = m->hops_left;
	pb.id = bytes_of(m->id.b, ID_LEN);
	pb.newer_than_ms = m->newer_than_ms;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_lookup = {
	.name = "LOOKUP",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__lookup__descriptor,
	.read = lookup_read,
	.write = lookup_write,
};

static bool found_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Found *pb = (const Qanat__Found *)base;
	struct msg_found *m = &out->found;

	return bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce) &&
	       record_read(&m->record, pb->record);
}

static size_t found_write(struct buf *out, const struct msg *msg)
{
	const struct msg_found *m = &msg->found;
	Qanat__Found pb = QANAT__FOUND__INIT;
	Qanat__Record record;

	record_borrow(&record, &m->record);
	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.record = &record;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_found = {
	.name = "FOUND",
	.bytes_max = RECORD_BYTES_MAX,
	.desc = &qanat__found__descriptor,
	.read = found_read,
	.write = found_write,
};

void msg_no_record_seal(struct msg_no_record *m)
{
	struct buf b = buf_of(m->body, sizeof m->body);

	buf_bytes(&b, m->nonce.b, NONCE_LEN);
	buf_bytes(&b, m->id.b, ID_LEN);
	buf_u8(&b, m->tree);
	buf_be64(&b, m->issued_ms);
	buf_bytes(&b, m->replica.b, ID_LEN);
	assert(!b.bad && b.len == NO_RECORD_BODY_BYTES);
}

static bool absent_read(struct msg_no_record *m, const Qanat__NoRecord *pb)
{
	struct view v = view_of(m->body, sizeof m->body);

	if (pb->nonce.len != 0 ||
	    !bytes_read(m->body, sizeof m->body, &pb->body) ||
	    !bytes_read(m->sig, SIG_LEN, &pb->sig))
		return false;
	view_copy(&v, m->nonce.b, NONCE_LEN);
	view_copy(&v, m->id.b, ID_LEN);
	m->tree = view_u8(&v);
	m->issued_ms = view_be64(&v);
	view_copy(&v, m->replica.b, ID_LEN);
	return !v.bad && m->tree < TREES;
}

static bool no_record_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__NoRecord *pb = (const Qanat__NoRecord *)base;
	struct msg_no_record *m = &out->no_record;

	if (pb->code == 0 || pb->code >= NO_RECORD_CODES)
		return false;
	*m = (struct msg_no_record){ .code = (enum no_record_code)pb->code };
	if (m->code == NO_RECORD_ABSENT)
		return absent_read(m, pb);
	return pb->body.len == 0 && pb->sig.len == 0 &&
	       bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce);
}

static size_t no_record_write(struct buf *out, const struct msg *msg)
{
	const struct msg_no_record *m = &msg->no_record;
	Qanat__NoRecord pb = QANAT__NO_RECORD__INIT;

	pb.code = m->code;
	if (m->code == NO_RECORD_ABSENT) {
		pb.body = bytes_of(m->body, sizeof m->body);
		pb.sig = bytes_of(m->sig, SIG_LEN);
	} else {
		pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	}
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_no_record = {
	.name = "NO_RECORD",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__no_record__descriptor,
	.read = no_record_read,
	.write = no_record_write,
};
