/* A control stream: a byte that says in which chunks it comes, then the
 * stream.  However it is cut, the same frames must come out. */
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/msg.h"
#include "tests/support/check.h"
#include "tests/support/msgs.h"

struct result {
	size_t n_frames;
	size_t n_bytes;
	enum frame_verdict last;
};

static void handle(const struct frame *f)
{
	static struct msg m;

	if (msg_parse(&m, f->type, f->body, f->len) == MSG_OK)
		check(msg_fault(&m) == NULL);
}

static struct result read_all(const uint8_t *data, size_t len, size_t chunk)
{
	struct frame_reader *r = frame_reader_new();
	struct result res = { .last = FRAME_MORE };
	size_t pos = 0, taken;

	do {
		size_t n = len - pos < chunk ? len - pos : chunk;
		struct frame f;

		taken = frame_reader_feed(r, data + pos, n);
		check(taken <= n);
		pos += taken;
		while ((res.last = frame_reader_next(r, &f)) == FRAME_OK) {
			check(f.len <= FRAME_BYTES_MAX);
			handle(&f);
			res.n_frames++;
			res.n_bytes += FRAME_HEADER_BYTES + f.len;
		}
	} while (pos < len && res.last == FRAME_MORE);
	check(res.n_bytes <= pos);
	frame_reader_free(r);
	return res;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct result whole, cut;

	if (len == 0)
		return 0;
	whole = read_all(data + 1, len - 1, SIZE_MAX);
	cut = read_all(data + 1, len - 1, 1U + data[0]);
	check(whole.n_frames == cut.n_frames);
	check(whole.n_bytes == cut.n_bytes);
	check(whole.last == cut.last);
	return 0;
}
