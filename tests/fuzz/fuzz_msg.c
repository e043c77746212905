/* A control message: its type, then its body. */
#include <stddef.h>
#include <stdint.h>

#include "proto/msg.h"
#include "tests/support/check.h"
#include "tests/support/msgs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t frame[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
	static struct msg m, again;
	size_t n;

	if (len == 0 || msg_parse(&m, data[0], data + 1, len - 1) != MSG_OK)
		return 0;
	check(msg_fault(&m) == NULL);
	n = msg_write(frame, sizeof frame, &m);
	check(n >= FRAME_HEADER_BYTES && frame[0] == data[0]);
	check(msg_parse(&again, frame[0], frame + FRAME_HEADER_BYTES,
			n - FRAME_HEADER_BYTES) == MSG_OK);
	check(msg_equal(&m, &again));
	return 0;
}
