#include "proto/frame.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/msg.h"

/* Holds one frame at a time: the bytes behind it stay with the caller until it
 * has been pulled.  Between frames, nearly always, there is no body. */
struct frame_reader {
	uint8_t header[FRAME_HEADER_BYTES];
	uint8_t *body; /* of body_len() bytes; NULL: the header is not whole */
	size_t len;    /* of both */
	bool pulled;
};

struct frame_reader *frame_reader_new(void)
{
	struct frame_reader *r = mem_new(r);

	return r;
}

void frame_reader_free(struct frame_reader *r)
{
	if (r != NULL)
		free(r->body);
	free(r);
}

static size_t body_len(const struct frame_reader *r)
{
	struct view v = view_of(r->header + 1, FRAME_HEADER_BYTES - 1);

	return view_be24(&v);
}

/* A type that we do not know is skipped, so it too may have a body. */
static bool is_too_long(const struct frame_reader *r)
{
	size_t max = msg_bytes_max(r->header[0]);

	return body_len(r) > (max != 0 ? max : FRAME_BYTES_MAX);
}

static void drop_pulled(struct frame_reader *r)
{
	if (!r->pulled)
		return;
	free(r->body);
	*r = (struct frame_reader){ .len = 0 };
}

/* What is missing of `want` bytes of a part of which `have` are there. */
static size_t take(uint8_t *to, size_t have, size_t want, const uint8_t *data,
		   size_t len)
{
	size_t n = want - have;

	if (n > len)
		n = len;
	if (n > 0)
		memcpy(to + have, data, n);
	return n;
}

size_t frame_reader_feed(struct frame_reader *r, const uint8_t *data,
			 size_t len)
{
	size_t used = 0;

	drop_pulled(r);
	if (r->body == NULL) {
		used = take(r->header, r->len, sizeof r->header, data, len);
		r->len += used;
		if (r->len < sizeof r->header || is_too_long(r))
			return used;
		/* At least a byte: the body of a frame is never NULL. */
		r->body = mem_calloc(body_len(r) + 1, 1);
	}
	if (used < len) {
		size_t n = take(r->body, r->len - sizeof r->header, body_len(r),
				data + used, len - used);

		r->len += n;
		used += n;
	}
	return used;
}

enum frame_verdict frame_reader_next(struct frame_reader *r, struct frame *out)
{
	drop_pulled(r);
	if (r->len < sizeof r->header)
		return FRAME_MORE;
	if (is_too_long(r))
		return FRAME_TOO_LONG;
	if (r->len < sizeof r->header + body_len(r))
		return FRAME_MORE;
	r->pulled = true;
	*out = (struct frame){ .type = r->header[0],
			       .body = r->body,
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
