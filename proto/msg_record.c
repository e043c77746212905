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

void appointment_seal(struct appointment *a)
{
	struct buf b = buf_of(a->body, sizeof a->body);

	buf_u8(&b, BODY_VERSION);
	buf_u8(&b, a->tree);
	buf_u8(&b, a->part);
	buf_bytes(&b, a->root.b, ID_LEN);
	buf_bytes(&b, a->member.b, ID_LEN);
	buf_be64(&b, a->issued_ms);
	assert(!b.bad && b.len == APPOINTMENT_BODY_BYTES);
}

static bool appointment_body_read(struct appointment *a)
{
	struct view v = view_of(a->body, sizeof a->body);
	uint8_t version = view_u8(&v);

	a->tree = view_u8(&v);
	a->part = view_u8(&v);
	view_copy(&v, a->root.b, ID_LEN);
	view_copy(&v, a->member.b, ID_LEN);
	a->issued_ms = view_be64(&v);
	return version == BODY_VERSION && a->tree < TREES;
}

/* The member's place is under the root that signed. */
static bool appointment_read(bool *has, struct appointment *a,
			     const Qanat__Appointment *pb)
{
	struct view at;

	*has = pb != NULL;
	if (pb == NULL)
		return true;
	at = view_of(pb->at.data, pb->at.len);
	return bytes_read(a->body, sizeof a->body, &pb->body) &&
	       bytes_read(a->sig, SIG_LEN, &pb->sig) &&
	       appointment_body_read(a) && coord_read(&a->at, &at) &&
	       view_left(&at) == 0 && a->at.n > 0 &&
	       id_equal(&a->at.hop[0].id, &a->root) &&
	       id_equal(&a->at.hop[a->at.n - 1].id, &a->member);
}

struct lent_appointment {
	Qanat__Appointment pb;
	uint8_t at[COORD_BYTES_MAX];
};

static Qanat__Appointment *appointment_borrow(struct lent_appointment *out,
					      bool has,
					      const struct appointment *a)
{
	struct buf at = buf_of(out->at, sizeof out->at);

	if (!has)
		return NULL;
	coord_write(&at, &a->at);
	out->pb = (Qanat__Appointment)QANAT__APPOINTMENT__INIT;
	out->pb.body = bytes_of(a->body, sizeof a->body);
	out->pb.sig = bytes_of(a->sig, SIG_LEN);
	out->pb.at = bytes_of(out->at, at.len);
	return &out->pb;
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

	m->registers = pb->registers;
	return bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce) &&
	       way_read(&m->tree, &m->hops_left, pb->tree, pb->hops_left) &&
	       appointment_read(&m->has_appointment, &m->appointment,
				pb->appointment) &&
	       !(m->registers && m->has_appointment) &&
	       record_read(&m->record, pb->record);
}

static size_t store_write(struct buf *out, const struct msg *msg)
{
	const struct msg_store *m = &msg->store;
	Qanat__Store pb = QANAT__STORE__INIT;
	struct lent_appointment lent;
	Qanat__Record record;

	record_borrow(&record, &m->record);
	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.tree = m->tree;
	pb.hops_left = m->hops_left;
	pb.record = &record;
	pb.registers = m->registers;
	pb.appointment =
		appointment_borrow(&lent, m->has_appointment, &m->appointment);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_store = {
	.name = "STORE",
	.bytes_max = REQUEST_BYTES_MAX,
	.desc = &qanat__store__descriptor,
	.read = store_read,
	.write = store_write,
};

static bool stored_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Stored *pb = (const Qanat__Stored *)base;

	struct msg_stored *m = &out->stored;

	m->n_kept = pb->n_kept;
	return bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce) &&
	       appointment_read(&m->has_appointment, &m->appointment,
				pb->appointment) &&
	       (m->n_kept == 0 || m->has_appointment);
}

static size_t stored_write(struct buf *out, const struct msg *msg)
{
	const struct msg_stored *m = &msg->stored;
	Qanat__Stored pb = QANAT__STORED__INIT;
	struct lent_appointment lent;

	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.n_kept = m->n_kept;
	pb.appointment =
		appointment_borrow(&lent, m->has_appointment, &m->appointment);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_stored = {
	.name = "STORED",
	.bytes_max = REPLY_BYTES_MAX,
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
	       appointment_read(&m->has_appointment, &m->appointment,
				pb->appointment) &&
	       bytes_read(m->id.b, ID_LEN, &pb->id);
}

static size_t lookup_write(struct buf *out, const struct msg *msg)
{
	const struct msg_lookup *m = &msg->lookup;
	Qanat__Lookup pb = QANAT__LOOKUP__INIT;
	struct lent_appointment lent;

	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.tree = m->tree;
	pb.hops_left = m->hops_left;
	pb.id = bytes_of(m->id.b, ID_LEN);
	pb.newer_than_ms = m->newer_than_ms;
	pb.appointment =
		appointment_borrow(&lent, m->has_appointment, &m->appointment);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_lookup = {
	.name = "LOOKUP",
	.bytes_max = REPLY_BYTES_MAX,
	.desc = &qanat__lookup__descriptor,
	.read = lookup_read,
	.write = lookup_write,
};

static bool found_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Found *pb = (const Qanat__Found *)base;
	struct msg_found *m = &out->found;

	return bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce) &&
	       appointment_read(&m->has_appointment, &m->appointment,
				pb->appointment) &&
	       record_read(&m->record, pb->record);
}

static size_t found_write(struct buf *out, const struct msg *msg)
{
	const struct msg_found *m = &msg->found;
	Qanat__Found pb = QANAT__FOUND__INIT;
	struct lent_appointment lent;
	Qanat__Record record;

	record_borrow(&record, &m->record);
	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.record = &record;
	pb.appointment =
		appointment_borrow(&lent, m->has_appointment, &m->appointment);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_found = {
	.name = "FOUND",
	.bytes_max = REQUEST_BYTES_MAX,
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

/* Whether it is that of a member, and its chain. */
static bool member_read(struct msg_no_record *m, const Qanat__NoRecord *pb)
{
	if (!appointment_read(&m->has_appointment, &m->appointment,
			      pb->appointment) ||
	    pb->chain.len > CHAIN_BYTES_MAX ||
	    (pb->chain.len > 0) != m->has_appointment)
		return false;
	m->chain_len = pb->chain.len;
	return bytes_read(m->chain, m->chain_len, &pb->chain) &&
	       (!m->has_appointment ||
		(m->appointment.tree == m->tree &&
		 id_equal(&m->appointment.member, &m->replica)));
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
	return !v.bad && m->tree < TREES && member_read(m, pb);
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
	       pb->appointment == NULL && pb->chain.len == 0 &&
	       bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce);
}

static size_t no_record_write(struct buf *out, const struct msg *msg)
{
	const struct msg_no_record *m = &msg->no_record;
	Qanat__NoRecord pb = QANAT__NO_RECORD__INIT;
	struct lent_appointment lent;

	pb.code = m->code;
	if (m->code == NO_RECORD_ABSENT) {
		pb.body = bytes_of(m->body, sizeof m->body);
		pb.sig = bytes_of(m->sig, SIG_LEN);
		pb.appointment = appointment_borrow(&lent, m->has_appointment,
						    &m->appointment);
		pb.chain = bytes_of(m->chain, m->chain_len);
	} else {
		pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	}
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_no_record = {
	.name = "NO_RECORD",
	.bytes_max = REPLY_BYTES_MAX,
	.desc = &qanat__no_record__descriptor,
	.read = no_record_read,
	.write = no_record_write,
};
