/* Paths: lists of hops, the signed route and ANSWER. */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "proto/msg_codec.h"
#include "proto/schema/control.pb-c.h"

/* The route's body without its hops. */
#define ROUTE_BODY_FIXED_BYTES 78

static struct hop hop_read(struct view *v)
{
	struct hop h;

	view_copy(v, h.id.b, ID_LEN);
	h.cost_100us = view_be16(v);
	h.mtu = view_be16(v);
	h.loss = view_u8(v);
	h.rate = view_u8(v);
	return h;
}

static void hop_write(struct buf *out, const struct hop *h)
{
	buf_bytes(out, h->id.b, ID_LEN);
	buf_be16(out, h->cost_100us);
	buf_be16(out, h->mtu);
	buf_u8(out, h->loss);
	buf_u8(out, h->rate);
}

bool hops_contain(const struct hop_list *hops, const struct node_id *id)
{
	for (size_t i = 0; i < hops->n; i++)
		if (memcmp(hops->hop[i].id.b, id->b, ID_LEN) == 0)
			return true;
	return false;
}

bool hops_read(struct hop_list *out, size_t n, struct view *v)
{
	out->n = 0;
	if (n > HOPS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct hop h = hop_read(v);

		if (v->bad || h.mtu == 0 || hops_contain(out, &h.id))
			return false;
		out->hop[out->n++] = h;
	}
	return true;
}

void hops_write(struct buf *out, const struct hop_list *hops)
{
	assert(hops->n <= HOPS_MAX);
	for (size_t i = 0; i < hops->n; i++)
		hop_write(out, &hops->hop[i]);
}

/* Also what makes a route free of loops: no id twice, the origin in no place,
 * the target in the last. */
static bool route_body_read(struct route_proof *r)
{
	struct view v = view_of(r->body, r->body_len);
	uint8_t version = view_u8(&v);
	uint8_t n;

	view_copy(&v, r->origin.b, ID_LEN);
	view_copy(&v, r->target.b, ID_LEN);
	view_copy(&v, r->nonce.b, NONCE_LEN);
	view_copy(&v, r->probe_hash, HASH_LEN);
	r->expiry_ms = view_be64(&v);
	n = view_u8(&v);
	if (v.bad || version != BODY_VERSION || n == 0 ||
	    !hops_read(&r->hops, n, &v) || view_left(&v) != 0)
		return false;
	return !hops_contain(&r->hops, &r->origin) &&
	       memcmp(r->hops.hop[n - 1].id.b, r->target.b, ID_LEN) == 0;
}

void route_proof_seal(struct route_proof *r)
{
	struct buf b = buf_of(r->body, sizeof r->body);

	buf_u8(&b, BODY_VERSION);
	buf_bytes(&b, r->origin.b, ID_LEN);
	buf_bytes(&b, r->target.b, ID_LEN);
	buf_bytes(&b, r->nonce.b, NONCE_LEN);
	buf_bytes(&b, r->probe_hash, HASH_LEN);
	buf_be64(&b, r->expiry_ms);
	buf_u8(&b, (uint8_t)r->hops.n);
	hops_write(&b, &r->hops);
	assert(!b.bad);
	r->body_len = b.len;
}

void route_proof_digest(uint8_t out[HASH_LEN], const struct route_proof *r)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, r->body, r->body_len);
	crypto_hash_sha256_update(&st, r->sig_target, SIG_LEN);
	crypto_hash_sha256_final(&st, out);
}

bool route_read(struct route_proof *out, const Qanat__Route *pb)
{
	size_t n;

	if (pb == NULL || pb->body.len < ROUTE_BODY_FIXED_BYTES ||
	    pb->body.len > sizeof out->body)
		return false;
	out->body_len = pb->body.len;
	memcpy(out->body, pb->body.data, out->body_len);
	if (!route_body_read(out) ||
	    !bytes_read(out->sig_target, SIG_LEN, &pb->sig_target))
		return false;
	n = out->hops.n - 1;
	if (pb->first_sig > n)
		return false;
	out->first_sig = pb->first_sig;
	return bytes_read(out->sigs[out->first_sig],
			  (n - out->first_sig) * SIG_LEN, &pb->sigs);
}

void route_borrow(Qanat__Route *out, const struct route_proof *r)
{
	size_t n = r->hops.n - 1;

	assert(r->hops.n >= 1 && r->hops.n <= HOPS_MAX);
	assert(r->first_sig <= n && r->body_len <= sizeof r->body);
	*out = (Qanat__Route)QANAT__ROUTE__INIT;
	out->body = bytes_of(r->body, r->body_len);
	out->sig_target = bytes_of(r->sig_target, SIG_LEN);
	out->first_sig = (uint32_t)r->first_sig;
	out->sigs =
		bytes_of(r->sigs[r->first_sig], (n - r->first_sig) * SIG_LEN);
}

bool route_proof_parse(struct route_proof *out, const uint8_t *data, size_t len)
{
	struct arena a;

	if (len > FRAME_ROUTING_BYTES_MAX)
		return false;
	return route_read(out,
			  (const Qanat__Route *)codec_unpack(
				  &a, &qanat__route__descriptor, data, len));
}

size_t route_proof_write(uint8_t *out, size_t cap, const struct route_proof *r)
{
	struct buf b = buf_of(out, cap);
	Qanat__Route pb;

	route_borrow(&pb, r);
	return codec_pack(&b, &pb.base);
}

static bool answer_read(struct msg *out, const ProtobufCMessage *base)
{
	return route_read(&out->answer.route,
			  ((const Qanat__Answer *)base)->route);
}

static size_t answer_write(struct buf *out, const struct msg *msg)
{
	Qanat__Answer pb = QANAT__ANSWER__INIT;
	Qanat__Route route;

	route_borrow(&route, &msg->answer.route);
	pb.route = &route;
	return codec_pack(out, &pb.base);
}

const struct msg_codec codec_answer = {
	.name = "ANSWER",
	.bytes_max = FRAME_ROUTING_BYTES_MAX,
	.desc = &qanat__answer__descriptor,
	.read = answer_read,
	.write = answer_write,
};
