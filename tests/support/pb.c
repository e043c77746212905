#include "tests/support/pb.h"

static void varint(struct buf *out, uint64_t x)
{
	for (; x >= 0x80; x >>= 7)
		buf_u8(out, (uint8_t)(0x80 | (x & 0x7f)));
	buf_u8(out, (uint8_t)x);
}

void pb_bytes(struct buf *out, unsigned number, const void *data, size_t len)
{
	buf_u8(out, (uint8_t)(number << 3 | 2));
	varint(out, len);
	buf_bytes(out, data, len);
}

void pb_uint(struct buf *out, unsigned number, uint64_t x)
{
	buf_u8(out, (uint8_t)(number << 3));
	varint(out, x);
}
