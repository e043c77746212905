/* Beacon trees: BEACON and BEAT. */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/schema/control.pb-c.h"

/* id(80) cost(16) sig(512) */
#define TREE_HOP_WIRE_BYTES (ID_LEN + 2 + SIG_LEN)

void tree_root_seal(struct tree_root *t)
{
	struct buf b = buf_of(t->body, sizeof t->body);

	buf_u8(&b, BODY_VERSION);
	buf_u8(&b, t->tree);
	buf_bytes(&b, t->root.b, ID_LEN);
	buf_be64(&b, t->issued_ms);
	buf_be32(&b, t->n_nodes);
	assert(!b.bad && b.len == TREE_ROOT_BODY_BYTES);
}

static bool root_body_read(struct tree_root *t)
{
	struct view v = view_of(t->body, sizeof t->body);
	uint8_t version = view_u8(&v);

	t->tree = view_u8(&v);
	view_copy(&v, t->root.b, ID_LEN);
	t->issued_ms = view_be64(&v);
	t->n_nodes = view_be32(&v);
	return !v.bad && version == BODY_VERSION && t->tree < TREES;
}

static bool root_read(struct tree_root *t, const ProtobufCBinaryData *body,
		      const ProtobufCBinaryData *sig)
{
	return bytes_read(t->body, sizeof t->body, body) &&
	       bytes_read(t->sig, SIG_LEN, sig) && root_body_read(t);
}

void tree_chain_first(uint8_t chain[HASH_LEN], const struct tree_root *root)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, root->body, sizeof root->body);
	crypto_hash_sha256_update(&st, root->sig, SIG_LEN);
	crypto_hash_sha256_final(&st, chain);
}

static void tree_hop_write(struct buf *out, const struct tree_hop *h)
{
	buf_bytes(out, h->id.b, ID_LEN);
	buf_be16(out, h->cost);
	buf_bytes(out, h->sig, SIG_LEN);
}

void tree_chain_next(uint8_t chain[HASH_LEN], const struct tree_hop *hop)
{
	uint8_t in[HASH_LEN + TREE_HOP_WIRE_BYTES];
	struct buf b = buf_of(in, sizeof in);

	buf_bytes(&b, chain, HASH_LEN);
	tree_hop_write(&b, hop);
	assert(!b.bad && b.len == sizeof in);
	crypto_hash_sha256(chain, in, sizeof in);
}

void tree_hop_payload(uint8_t out[TREE_HOP_PAYLOAD_BYTES],
		      const uint8_t chain[HASH_LEN], const struct node_id *next,
		      uint16_t cost)
{
	struct buf b = buf_of(out, TREE_HOP_PAYLOAD_BYTES);

	buf_bytes(&b, chain, HASH_LEN);
	buf_bytes(&b, next->b, ID_LEN);
	buf_be16(&b, cost);
	assert(!b.bad && b.len == TREE_HOP_PAYLOAD_BYTES);
}

static bool tree_path_has(const struct msg_beacon *m, size_t n,
			  const struct node_id *id)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(m->hop[i].id.b, id->b, ID_LEN) == 0)
			return true;
	return false;
}

static bool tree_path_read(struct msg_beacon *m, const ProtobufCBinaryData *b)
{
	struct view v = view_of(b->data, b->len);

	m->n = b->len / TREE_HOP_WIRE_BYTES;
	if (m->n == 0 || m->n > TREE_PATH_MAX ||
	    b->len % TREE_HOP_WIRE_BYTES != 0)
		return false;
	for (size_t i = 0; i < m->n; i++) {
		struct tree_hop *h = &m->hop[i];

		view_copy(&v, h->id.b, ID_LEN);
		h->cost = view_be16(&v);
		view_copy(&v, h->sig, SIG_LEN);
		if (tree_path_has(m, i, &h->id))
			return false;
	}
	return !v.bad && memcmp(m->hop[0].id.b, m->root.root.b, ID_LEN) == 0;
}

static bool beacon_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Beacon *pb = (const Qanat__Beacon *)base;
	struct msg_beacon *m = &out->beacon;

	return root_read(&m->root, &pb->body, &pb->sig_root) &&
	       tree_path_read(m, &pb->hops);
}

static size_t beacon_write(struct buf *out, const struct msg *msg)
{
	const struct msg_beacon *m = &msg->beacon;
	uint8_t hops[TREE_PATH_MAX * TREE_HOP_WIRE_BYTES];
	struct buf b = buf_of(hops, sizeof hops);
	Qanat__Beacon pb = QANAT__BEACON__INIT;

	assert(m->n <= TREE_PATH_MAX);
	for (size_t i = 0; i < m->n; i++)
		tree_hop_write(&b, &m->hop[i]);
	pb.body = bytes_of(m->root.body, sizeof m->root.body);
	pb.sig_root = bytes_of(m->root.sig, SIG_LEN);
	pb.hops = bytes_of(hops, b.len);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_beacon = {
	.name = "BEACON",
	.bytes_max = BEACON_MSG_BYTES_MAX,
	.desc = &qanat__beacon__descriptor,
	.read = beacon_read,
	.write = beacon_write,
};

static bool beat_read(struct msg *out, const ProtobufCMessage *base)
{
	const Qanat__Beat *pb = (const Qanat__Beat *)base;

	return root_read(&out->beat.root, &pb->body, &pb->sig_root);
}

static size_t beat_write(struct buf *out, const struct msg *msg)
{
	const struct tree_root *root = &msg->beat.root;
	Qanat__Beat pb = QANAT__BEAT__INIT;

	pb.body = bytes_of(root->body, sizeof root->body);
	pb.sig_root = bytes_of(root->sig, SIG_LEN);
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_beat = {
	.name = "BEAT",
	.bytes_max = FRAME_SMALL_BYTES_MAX,
	.desc = &qanat__beat__descriptor,
	.read = beat_read,
	.write = beat_write,
};
