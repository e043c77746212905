#include "proto/base/view.h"

#include <string.h>

struct view view_of(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct view){ .pos = p, .end = len != 0 ? p + len : p };
}

size_t view_left(const struct view *v)
{
	return (size_t)(v->end - v->pos);
}

const uint8_t *view_bytes(struct view *v, size_t len)
{
	const uint8_t *p = v->pos;

	if (v->bad || view_left(v) < len) {
		v->bad = true;
		v->pos = v->end;
		return NULL;
	}
	if (len != 0)
		v->pos += len;
	return p;
}

static uint64_t view_be(struct view *v, size_t len)
{
	const uint8_t *p = view_bytes(v, len);
	uint64_t x = 0;

	if (p == NULL)
		return 0;
	for (size_t i = 0; i < len; i++)
		x = x << 8 | p[i];
	return x;
}

uint8_t view_u8(struct view *v)
{
	return (uint8_t)view_be(v, 1);
}

uint16_t view_be16(struct view *v)
{
	return (uint16_t)view_be(v, 2);
}

uint32_t view_be24(struct view *v)
{
	return (uint32_t)view_be(v, 3);
}

uint32_t view_be32(struct view *v)
{
	return (uint32_t)view_be(v, 4);
}

uint64_t view_be64(struct view *v)
{
	return view_be(v, 8);
}

uint64_t view_varint(struct view *v)
{
	size_t len;
	uint64_t x;

	if (v->bad || view_left(v) == 0) {
		v->bad = true;
		return 0;
	}
	len = (size_t)1 << (*v->pos >> 6);
	x = view_be(v, len);
	return v->bad ? 0 : x & (UINT64_MAX >> (66 - 8 * len));
}

void view_copy(struct view *v, void *out, size_t len)
{
	const uint8_t *p = view_bytes(v, len);

	if (len == 0)
		return;
	if (p != NULL)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

struct view view_sub(struct view *v, size_t len)
{
	const uint8_t *p = view_bytes(v, len);

	if (p == NULL)
		return (struct view){ .pos = v->end,
				      .end = v->end,
				      .bad = true };
	return view_of(p, len);
}
