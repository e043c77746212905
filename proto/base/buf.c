#include "proto/base/buf.h"

#include <string.h>

struct buf buf_of(void *data, size_t cap)
{
	return (struct buf){ .data = data, .cap = cap };
}

size_t buf_left(const struct buf *b)
{
	return b->cap - b->len;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	uint8_t *p;

	if (b->bad || buf_left(b) < len) {
		b->bad = true;
		return NULL;
	}
	p = b->data + b->len;
	b->len += len;
	return p;
}

static void buf_be(struct buf *b, uint64_t x, size_t len)
{
	uint8_t *p = buf_reserve(b, len);

	if (p == NULL)
		return;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(x >> (8 * (len - 1 - i)));
}

void buf_u8(struct buf *b, uint8_t x)
{
	buf_be(b, x, 1);
}

void buf_be16(struct buf *b, uint16_t x)
{
	buf_be(b, x, 2);
}

void buf_be24(struct buf *b, uint32_t x)
{
	buf_be(b, x, 3);
}

void buf_be32(struct buf *b, uint32_t x)
{
	buf_be(b, x, 4);
}

void buf_be64(struct buf *b, uint64_t x)
{
	buf_be(b, x, 8);
}

void buf_varint(struct buf *b, uint64_t x)
{
	if (x < UINT64_C(1) << 6)
		buf_be(b, x, 1);
	else if (x < UINT64_C(1) << 14)
		buf_be(b, x | UINT64_C(1) << 14, 2);
	else if (x < UINT64_C(1) << 30)
		buf_be(b, x | UINT64_C(2) << 30, 4);
	else if (x < UINT64_C(1) << 62)
		buf_be(b, x | UINT64_C(3) << 62, 8);
	else
		b->bad = true;
}

void buf_bytes(struct buf *b, const void *data, size_t len)
{
	uint8_t *p = buf_reserve(b, len);

	if (p != NULL && len != 0)
		memcpy(p, data, len);
}
