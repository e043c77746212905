/* Looking for a path: PROBE, and NAK where it leads nowhere. */
#include <assert.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/schema/control.pb-c.h"

#define AVOID_TAG_BYTES 4

uint32_t avoid_tag(const struct nonce *nonce, const struct node_id *id)
{
	uint8_t in[NONCE_LEN + ID_LEN];
	struct node_hash h;
	struct view v;

	memcpy(in, nonce->b, NONCE_LEN);
	memcpy(in + NONCE_LEN, id->b, ID_LEN);
	h = hash_of(in, sizeof in);
	v = view_of(h.b, sizeof h.b);
	return view_be32(&v);
}

static bool probe_body_read(struct msg_probe *m)
{
	struct view v = view_of(m->body, sizeof m->body);
	uint8_t version = view_u8(&v);

	m->flags = view_u8(&v);
	m->ttl = view_u8(&v);
	view_copy(&v, m->origin.b, ID_LEN);
	view_copy(&v, m->target.b, ID_LEN);
	view_copy(&v, m->nonce.b, NONCE_LEN);
	m->issued_ms = view_be64(&v);
	m->valid_ms = view_be32(&v);
	return !v.bad && version == BODY_VERSION && m->ttl >= 1 &&
	       m->ttl <= HOPS_MAX && m->valid_ms <= PROBE_VALID_MS &&
	       memcmp(m->origin.b, m->target.b, ID_LEN) != 0;
}

void msg_probe_seal(struct msg_probe *m)
{
	struct buf b = buf_of(m->body, sizeof m->body);

	buf_u8(&b, BODY_VERSION);
	buf_u8(&b, m->flags);
	buf_u8(&b, m->ttl);
	buf_bytes(&b, m->origin.b, ID_LEN);
	buf_bytes(&b, m->target.b, ID_LEN);
	buf_bytes(&b, m->nonce.b, NONCE_LEN);
	buf_be64(&b, m->issued_ms);
	buf_be32(&b, m->valid_ms);
	assert(!b.bad && b.len == PROBE_BODY_BYTES);
}

static bool probe_path_read(struct msg_probe *m, const Qanat__Probe *pb)
{
	struct view v = view_of(pb->hops.data, pb->hops.len);
	size_t n = pb->hops.len / HOP_WIRE_BYTES;

	/* It has crossed one link more than it has relays; so there is room for
	 * the target behind them too. */
	return n < m->ttl && hops_read(&m->hops, n, &v) && view_left(&v) == 0 &&
	       !hops_contain(&m->hops, &m->origin) &&
	       !hops_contain(&m->hops, &m->target);
}

static bool avoid_read(struct msg_probe *m, const ProtobufCBinaryData *b)
{
	struct view v = view_of(b->data, b->len);

	m->n_avoid = b->len / AVOID_TAG_BYTES;
	if (b->len > AVOID_MAX * AVOID_TAG_BYTES)
		return false;
	for (size_t i = 0; i < m->n_avoid; i++)
		m->avoid[i] = view_be32(&v);
	return view_left(&v) == 0;
}

/* Not `to` as a whole: it is 3 KB, and floods go through here too. */
static void steering_clear(struct msg_probe *m)
{
	m->tree = TREE_FLOOD;
	m->round = 0;
	m->budget = 0;
	for (size_t i = 0; i < TREES; i++)
		m->to.tree[i].n = 0;
	m->n_avoid = 0;
	m->chain_len = 0;
}

static bool flood_read(struct msg_probe *m, const Qanat__Probe *pb)
{
	steering_clear(m);
	return pb->tree == 0 && pb->round == 0 && pb->budget == 0 &&
	       pb->to.len == 0 && pb->avoid.len == 0 && pb->chain.len == 0 &&
	       protobuf_c_message_get_packed_size(&pb->base) <= PROBE_BYTES_MAX;
}

static bool steering_read(struct msg_probe *m, const Qanat__Probe *pb)
{
	struct view to = view_of(pb->to.data, pb->to.len);

	if (pb->tree > TREE_ANY || pb->round >= ROUNDS_MAX ||
	    pb->budget > PROBE_BUDGET_MAX || pb->chain.len > CHAIN_BYTES_MAX)
		return false;
	m->tree = (uint8_t)pb->tree;
	m->round = (uint8_t)pb->round;
	m->budget = (uint16_t)pb->budget;
	m->chain_len = pb->chain.len;
	return locator_read(&m->to, &to) && view_left(&to) == 0 &&
	       locator_is_of(&m->to, &m->target) && avoid_read(m, &pb->avoid) &&
	       bytes_read(m->chain, m->chain_len, &pb->chain);
}

static bool probe_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Probe *pb = (const Qanat__Probe *)base;
	struct msg_probe *m = &out->probe;

	m->deadline_ms = pb->deadline_ms;
	if (!bytes_read(m->body, sizeof m->body, &pb->body) ||
	    !bytes_read(m->sig_origin, SIG_LEN, &pb->sig_origin) ||
	    !probe_body_read(m) || m->deadline_ms > PROBE_DEADLINE_MAX_MS ||
	    !probe_path_read(m, pb))
		return false;
	return m->flags & PROBE_FLAG_FLOOD ? flood_read(m, pb)
					   : steering_read(m, pb);
}

/* The lists of a probe as they are on the wire. */
struct probe_lists {
	uint8_t hops[HOPS_MAX * HOP_WIRE_BYTES];
	uint8_t to[LOCATOR_BYTES_MAX];
	uint8_t avoid[AVOID_MAX * AVOID_TAG_BYTES];
};

static void steering_write(Qanat__Probe *pb, struct probe_lists *l,
			   const struct msg_probe *m)
{
	struct buf to = buf_of(l->to, sizeof l->to);
	struct buf avoid = buf_of(l->avoid, sizeof l->avoid);

	assert(m->n_avoid <= AVOID_MAX && m->chain_len <= CHAIN_BYTES_MAX);
	locator_write(&to, &m->to);
	for (size_t i = 0; i < m->n_avoid; i++)
		buf_be32(&avoid, m->avoid[i]);
	pb->tree = m->tree;
	pb->round = m->round;
	pb->budget = m->budget;
	pb->to = bytes_of(l->to, to.len);
	pb->avoid = bytes_of(l->avoid, avoid.len);
	pb->chain = bytes_of(m->chain, m->chain_len);
}

static size_t probe_write(struct buf *out, const struct msg *msg)
{
	const struct msg_probe *m = &msg->probe;
	Qanat__Probe pb = QANAT__PROBE__INIT;
	struct probe_lists l;
	struct buf hops = buf_of(l.hops, sizeof l.hops);

	hops_write(&hops, &m->hops);
	pb.body = bytes_of(m->body, sizeof m->body);
	pb.sig_origin = bytes_of(m->sig_origin, SIG_LEN);
	pb.deadline_ms = m->deadline_ms;
	pb.hops = bytes_of(l.hops, hops.len);
	if ((m->flags & PROBE_FLAG_FLOOD) == 0)
		steering_write(&pb, &l, m);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_probe = {
	.name = "PROBE",
	.bytes_max = STEER_PROBE_BYTES_MAX,
	.desc = &qanat__probe__descriptor,
	.read = probe_read,
	.write = probe_write,
};

void msg_nak_seal(struct msg_nak *m)
{
	struct buf b = buf_of(m->body, sizeof m->body);

	buf_bytes(&b, m->origin.b, ID_LEN);
	buf_bytes(&b, m->nonce.b, NONCE_LEN);
	buf_u8(&b, m->tree);
	buf_u8(&b, (uint8_t)m->code);
	buf_bytes(&b, m->reporter.b, ID_LEN);
	buf_bytes(&b, m->next.b, ID_LEN);
	assert(!b.bad && b.len == NAK_BODY_BYTES);
}

static bool nak_about_read(struct msg_nak *m, uint32_t tree, uint32_t code)
{
	m->tree = (uint8_t)tree;
	m->code = (enum nak_code)code;
	return tree <= TREE_FLOOD && code >= 1 && code < NAK_CODES;
}

static bool nak_body_read(struct msg_nak *m)
{
	struct view v = view_of(m->body, sizeof m->body);
	uint8_t tree, code;

	view_copy(&v, m->origin.b, ID_LEN);
	view_copy(&v, m->nonce.b, NONCE_LEN);
	tree = view_u8(&v);
	code = view_u8(&v);
	view_copy(&v, m->reporter.b, ID_LEN);
	view_copy(&v, m->next.b, ID_LEN);
	return !v.bad && nak_about_read(m, tree, code) &&
	       memcmp(m->reporter.b, m->next.b, ID_LEN) != 0;
}

static bool nak_blame_read(struct msg_nak *m, const Qanat__Nak *pb)
{
	return pb->origin.len == 0 && pb->nonce.len == 0 && pb->code == 0 &&
	       pb->tree == 0 &&
	       bytes_read(m->body, sizeof m->body, &pb->body) &&
	       bytes_read(m->sig, SIG_LEN, &pb->sig) && nak_body_read(m);
}

static bool nak_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Nak *pb = (const Qanat__Nak *)base;
	struct msg_nak *m = &out->nak;

	m->has_blame = pb->body.len != 0;
	m->budget = (uint16_t)pb->budget;
	if (pb->budget > PROBE_BUDGET_MAX)
		return false;
	if (m->has_blame)
		return nak_blame_read(m, pb);
	m->reporter = m->next = (struct node_id){ 0 };
	return pb->sig.len == 0 && nak_about_read(m, pb->tree, pb->code) &&
	       bytes_read(m->origin.b, ID_LEN, &pb->origin) &&
	       bytes_read(m->nonce.b, NONCE_LEN, &pb->nonce);
}

static size_t nak_write(struct buf *out, const struct msg *msg)
{
	const struct msg_nak *m = &msg->nak;
	Qanat__Nak pb = QANAT__NAK__INIT;

	pb.budget = m->budget;
	if (m->has_blame) {
		pb.body = bytes_of(m->body, sizeof m->body);
		pb.sig = bytes_of(m->sig, SIG_LEN);
		return codec_pack(out, &pb.base);
	}
	pb.origin = bytes_of(m->origin.b, ID_LEN);
	pb.nonce = bytes_of(m->nonce.b, NONCE_LEN);
	pb.code = m->code;
	pb.tree = m->tree;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_nak = {
	.name = "NAK",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__nak__descriptor,
	.read = nak_read,
	.write = nak_write,
};
