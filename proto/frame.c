#include "proto/frame.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/msg.h"

/* Holds one frame at a time: the bytes behind it stay with the caller until it
 * has been pulled. */
struct frame_reader {
	size_t len;
	bool pulled;
	uint8_t data[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
};

struct frame_reader *frame_reader_new(void)
{
	struct frame_reader *r = mem_new(r);

	return r;
}

void frame_reader_free(struct frame_reader *r)
{
	free(r);
}

static size_t body_len(const struct frame_reader *r)
{
	struct view v = view_of(r->data + 1, FRAME_HEADER_BYTES - 1);

	return view_be24(&v);
}

/* A type that we do not know is skipped, so it too may have a body. */
static bool is_too_long(const struct frame_reader *r)
{
	size_t max = msg_bytes_max(r->data[0]);

	return body_len(r) > (max != 0 ? max : FRAME_BYTES_MAX);
}

/* How long the data must get for the next step; what is there if the frame is
 * whole or will never be. */
static size_t wanted(const struct frame_reader *r)
{
	if (r->len < FRAME_HEADER_BYTES)
		return FRAME_HEADER_BYTES;
	if (is_too_long(r))
		return r->len;
	return FRAME_HEADER_BYTES + body_len(r);
}

static void drop_pulled(struct frame_reader *r)
{
	if (r->pulled)
		r->len = 0;
	r->pulled = false;
}

size_t frame_reader_feed(struct frame_reader *r, const uint8_t *data,
			 size_t len)
{
	size_t used = 0;

	drop_pulled(r);
	while (used < len && r->len < wanted(r)) {
		size_t n = wanted(r) - r->len;

		if (n > len - used)
			n = len - used;
		memcpy(r->data + r->len, data + used, n);
		r->len += n;
		used += n;
	}
	return used;
}

enum frame_verdict frame_reader_next(struct frame_reader *r, struct frame *out)
{
	drop_pulled(r);
	if (r->len < FRAME_HEADER_BYTES)
		return FRAME_MORE;
	if (is_too_long(r))
		return FRAME_TOO_LONG;
	if (r->len < wanted(r))
		return FRAME_MORE;
	r->pulled = true;
	*out = (struct frame){ .type = r->data[0],
			       .body = r->data + FRAME_HEADER_BYTES,
			       .len = body_len(r) };
	return FRAME_OK;
}

void frame_header_write(uint8_t out[FRAME_HEADER_BYTES], uint8_t type,
			size_t len)
{
	struct buf b = buf_of(out, FRAME_HEADER_BYTES);

	buf_u8(&b, type);
	buf_be24(&b, (uint32_t)len);
}
