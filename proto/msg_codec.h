/* Between the files proto/msg_*.c only: how each message type is read from and
 * written to protobuf.
 *
 * A reader gets a message that protobuf-c has unpacked and fills in the struct,
 * judging every size and range; a writer fills in the generated struct and
 * hands it to codec_pack().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"
#include "proto/msg.h"

struct ProtobufCBinaryData;
struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

struct msg_codec {
	const char *name;
	size_t bytes_max;
	const struct ProtobufCMessageDescriptor *desc;
	/* False: MSG_INVALID. */
	bool (*read)(struct msg *out, const struct ProtobufCMessage *pb);
	size_t (*write)(struct buf *out, const struct msg *m);
};

extern const struct msg_codec codec_hello, codec_link, codec_peer_query,
	codec_peer_info, codec_ping;
extern const struct msg_codec codec_probe, codec_answer;
extern const struct msg_codec codec_nak, codec_open, codec_opened, codec_close;
extern const struct msg_codec codec_beacon, codec_beat;
extern const struct msg_codec codec_store, codec_stored, codec_lookup,
	codec_found, codec_no_record;
extern const struct msg_codec codec_test, codec_receipt;

/* Of every body that has one: its first byte. */
#define BODY_VERSION 1

/* Unpacks without the heap.  protobuf-c turns a few bytes into many (a small
 * field costs it 40 bytes of bookkeeping), so everything it asks for comes out
 * of this one block, and a message that needs more is malformed. */
#define ARENA_BYTES_MAX 65536
struct arena {
	_Alignas(16) uint8_t data[ARENA_BYTES_MAX];
	size_t used;
};

/* NULL if it is not protobuf, needs more than the arena has, or has too many
 * unknown fields.  The result lives in the arena. */
const struct ProtobufCMessage *codec_unpack(
	struct arena *a, const struct ProtobufCMessageDescriptor *desc,
	const uint8_t *data, size_t len);
/* Returns the length, 0 if it does not fit. */
size_t codec_pack(struct buf *out, const struct ProtobufCMessage *pb);

/* Copies a field of exactly `len` bytes; false if its length is another. */
bool bytes_read(void *out, size_t len, const struct ProtobufCBinaryData *b);
/* Borrows `data` for packing. */
struct ProtobufCBinaryData bytes_of(const void *data, size_t len);

/* False if an id occurs twice. */
bool hops_read(struct hop_list *out, size_t n, struct view *v);
void hops_write(struct buf *out, const struct hop_list *hops);
bool hops_contain(const struct hop_list *hops, const struct node_id *id);

struct Qanat__Route;
bool route_read(struct route_proof *out, const struct Qanat__Route *pb);
void route_borrow(struct Qanat__Route *out, const struct route_proof *r);
