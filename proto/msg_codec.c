#include "proto/msg_codec.h"

#include <assert.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/frame.h"
#include "proto/schema/control.pb-c.h"

static const struct msg_codec *const codecs[MSG_TYPES] = {
	[MSG_HELLO] = &codec_hello,
	[MSG_LINK] = &codec_link,
	[MSG_PROBE] = &codec_probe,
	[MSG_ANSWER] = &codec_answer,
	[MSG_NAK] = &codec_nak,
	[MSG_OPEN] = &codec_open,
	[MSG_OPENED] = &codec_opened,
	[MSG_CLOSE] = &codec_close,
	[MSG_PEER_QUERY] = &codec_peer_query,
	[MSG_PEER_INFO] = &codec_peer_info,
	[MSG_PING] = &codec_ping,
	[MSG_BEACON] = &codec_beacon,
	[MSG_BEAT] = &codec_beat,
	[MSG_STORE] = &codec_store,
	[MSG_STORED] = &codec_stored,
	[MSG_LOOKUP] = &codec_lookup,
	[MSG_FOUND] = &codec_found,
	[MSG_NO_RECORD] = &codec_no_record,
	[MSG_TEST] = &codec_test,
	[MSG_RECEIPT] = &codec_receipt,
};

static const struct msg_codec *codec_find(uint8_t type)
{
	return type < MSG_TYPES ? codecs[type] : NULL;
}

static void *arena_alloc(void *ctx, size_t len)
{
	struct arena *a = ctx;
	size_t left = sizeof a->data - a->used;
	void *p = a->data + a->used;

	if (len > left)
		return NULL;
	len = (len + 15) & ~(size_t)15;
	a->used += len < left ? len : left;
	return p;
}

static void arena_free(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

/* The message in a field; NULL: the field is something else, or absent. */
static const ProtobufCMessage *message_in(const ProtobufCMessage *pb,
					  const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessage *sub;

	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return NULL;
	memcpy(&sub, (const uint8_t *)pb + f->offset, sizeof sub);
	return sub;
}

/* Unknown fields, also those of the one level of messages inside. */
static size_t n_unknown(const ProtobufCMessage *pb)
{
	const ProtobufCMessageDescriptor *d = pb->descriptor;
	size_t n = pb->n_unknown_fields;

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCMessage *sub = message_in(pb, &d->fields[i]);

		if (sub != NULL)
			n += sub->n_unknown_fields;
	}
	return n;
}

/* Those whose first field is a body that begins with its version. */
static bool is_versioned(const ProtobufCMessageDescriptor *d)
{
	const ProtobufCMessageDescriptor *const all[] = {
		&qanat__probe__descriptor,  &qanat__route__descriptor,
		&qanat__beacon__descriptor, &qanat__beat__descriptor,
		&qanat__record__descriptor, &qanat__appointment__descriptor,
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (d == all[i])
			return true;
	return false;
}

static bool has_newer_body(const ProtobufCMessage *pb)
{
	ProtobufCBinaryData body;

	if (!is_versioned(pb->descriptor))
		return false;
	memcpy(&body, (const uint8_t *)pb + pb->descriptor->fields[0].offset,
	       sizeof body);
	return body.len > 0 && body.data[0] > BODY_VERSION;
}

/* What a later version says, as a whole or in a part. */
static bool is_newer(const ProtobufCMessage *pb)
{
	const ProtobufCMessageDescriptor *d = pb->descriptor;

	if (has_newer_body(pb))
		return true;
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCMessage *sub = message_in(pb, &d->fields[i]);

		if (sub != NULL && has_newer_body(sub))
			return true;
	}
	return false;
}

const ProtobufCMessage *codec_unpack(struct arena *a,
				     const ProtobufCMessageDescriptor *desc,
				     const uint8_t *data, size_t len)
{
	ProtobufCAllocator allocator = { .alloc = arena_alloc,
					 .free = arena_free,
					 .allocator_data = a };
	const ProtobufCMessage *pb;

	a->used = 0;
	/* protobuf-c does arithmetic on `data` even if there is nothing. */
	pb = protobuf_c_message_unpack(desc, &allocator, len,
				       len != 0 ? data : a->data);
	if (pb != NULL && n_unknown(pb) > UNKNOWN_FIELDS_MAX)
		return NULL;
	return pb;
}

size_t codec_pack(struct buf *out, const ProtobufCMessage *pb)
{
	size_t len = protobuf_c_message_get_packed_size(pb);
	uint8_t *p = buf_reserve(out, len);

	return p != NULL ? protobuf_c_message_pack(pb, p) : 0;
}

bool bytes_read(void *out, size_t len, const ProtobufCBinaryData *b)
{
	if (b->len != len)
		return false;
	if (len != 0)
		memcpy(out, b->data, len);
	return true;
}

ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
	ProtobufCBinaryData b = { .len = len };

	/* The generated structs are for reading and writing both, and so are
	 * not const; packing does not write. */
	memcpy(&b.data, &data, sizeof b.data);
	return b;
}

size_t msg_bytes_max(uint8_t type)
{
	const struct msg_codec *c = codec_find(type);

	return c != NULL ? c->bytes_max : 0;
}

enum msg_verdict msg_parse(struct msg *out, uint8_t type, const uint8_t *body,
			   size_t len)
{
	const struct msg_codec *c = codec_find(type);
	const ProtobufCMessage *pb;
	struct arena a;

	if (c == NULL)
		return MSG_UNKNOWN;
	if (len > c->bytes_max)
		return MSG_TOO_LONG;
	pb = codec_unpack(&a, c->desc, body, len);
	if (pb == NULL)
		return MSG_MALFORMED;
	/* Not ours to judge: the sender is no worse for it. */
	if (is_newer(pb))
		return MSG_UNKNOWN;
	out->type = (enum msg_type)type;
	return c->read(out, pb) ? MSG_OK : MSG_INVALID;
}

size_t msg_write(uint8_t *out, size_t cap, const struct msg *m)
{
	struct buf b = buf_of(out, cap);
	uint8_t *header = buf_reserve(&b, FRAME_HEADER_BYTES);
	size_t len;

	if (header == NULL)
		return 0;
	assert(codec_find((uint8_t)m->type) != NULL);
	codecs[m->type]->write(&b, m);
	if (b.bad)
		return 0;
	len = b.len - FRAME_HEADER_BYTES;
	frame_header_write(header, (uint8_t)m->type, len);
	return b.len;
}

const char *msg_type_text(uint8_t type)
{
	const struct msg_codec *c = codec_find(type);

	return c != NULL ? c->name : "unknown";
}
