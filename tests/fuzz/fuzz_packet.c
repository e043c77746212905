/* Circuit packets into the joiners of two circuits: each behind a byte of time
 * (in units of 10 ms) and a 2-byte length. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/view.h"
#include "proto/joiner.h"
#include "tests/support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_header(const struct packet *p, const uint8_t *data)
{
	uint8_t header[PACKET_HEADER_MAX];
	enum packet_part part = p->is_marked ? PACKET_MARKED : p->part;
	size_t n = packet_header_write(header, part, p->label, p->number);

	check(p->len != 0 && p->label <= LABEL_MASK);
	check(!p->is_marked || p->part == PACKET_WHOLE);
	check(packet_mark(header) == (p->part == PACKET_WHOLE));
	packet_header_write(header, part, p->label, p->number);
	check(data + n == p->payload);
	check(memcmp(header, data, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct joiners *all = joiners_new();
	struct joiner *j[] = { joiner_new(all), joiner_new(all) };
	struct view v = view_of(data, len);
	nsec now = 0;

	while (view_left(&v) != 0) {
		struct packet p;
		const uint8_t *bytes, *whole;
		size_t n, joined = 0;

		now += view_u8(&v) * 10 * NS_PER_MS;
		n = view_be16(&v);
		if (n > view_left(&v))
			n = view_left(&v);
		bytes = view_bytes(&v, n);
		if (bytes == NULL || packet_parse(&p, bytes, n) != PACKET_OK)
			continue;
		check_header(&p, bytes);
		whole = joiner_handle(j[p.label % 2], &p, now, &joined);
		check(whole == NULL || joined >= p.len);
		check(whole != NULL || p.part != PACKET_WHOLE);
		check(whole == NULL || p.part != PACKET_FIRST ||
		      memcmp(whole, p.payload, p.len) == 0);
		check(whole == NULL || p.part != PACKET_LAST ||
		      memcmp(whole + joined - p.len, p.payload, p.len) == 0);
	}
	joiner_free(j[0]);
	joiner_free(j[1]);
	joiners_free(all);
	return 0;
}
