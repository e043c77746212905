/* Messages as bytes. */
#include <assert.h>

#include "proto/base/text.h"
#include "tests/support/msgs.h"

#define FRAME_CAP (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)

enum msg_verdict msg_reread(struct msg *got, const struct msg *m)
{
	static uint8_t frame[FRAME_CAP];
	size_t len = msg_write(frame, sizeof frame, m);

	assert(len >= FRAME_HEADER_BYTES);
	return msg_parse(got, frame[0], frame + FRAME_HEADER_BYTES,
			 len - FRAME_HEADER_BYTES);
}

const char *msg_hex(const struct msg *m)
{
	static uint8_t frame[FRAME_CAP];
	static char hex[2 * FRAME_CAP + 1];

	text_hex(hex, frame, msg_write(frame, sizeof frame, m));
	return hex;
}
