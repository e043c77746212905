#include "proto/packet.h"

#include "proto/base/buf.h"
#include "proto/base/view.h"

#define PART_SHIFT 30

enum packet_verdict packet_parse(struct packet *out, const uint8_t *data,
				 size_t len)
{
	struct view v = view_of(data, len);
	uint32_t first = view_be32(&v);
	uint32_t part = first >> PART_SHIFT;
	bool is_marked = part == PACKET_MARKED;
	uint16_t number = 0;

	if (is_marked)
		part = PACKET_WHOLE;
	if (part != PACKET_WHOLE)
		number = view_be16(&v);
	if (v.bad || view_left(&v) == 0)
		return PACKET_SHORT;
	*out = (struct packet){ .part = (enum packet_part)part,
				.is_marked = is_marked,
				.label = first & LABEL_MASK,
				.number = number,
				.payload = v.pos,
				.len = view_left(&v) };
	return PACKET_OK;
}

size_t packet_header_write(uint8_t out[PACKET_HEADER_MAX],
			   enum packet_part part, uint32_t label,
			   uint16_t number)
{
	struct buf b = buf_of(out, PACKET_HEADER_MAX);

	buf_be32(&b, (uint32_t)part << PART_SHIFT | (label & LABEL_MASK));
	if (part == PACKET_FIRST || part == PACKET_LAST)
		buf_be16(&b, number);
	return b.len;
}

bool packet_mark(uint8_t header[LABEL_BYTES])
{
	unsigned part = header[0] >> (PART_SHIFT % 8);

	if (part == PACKET_FIRST || part == PACKET_LAST)
		return false;
	header[0] |= PACKET_MARKED << (PART_SHIFT % 8);
	return true;
}

uint32_t packet_relabel(uint32_t received, uint32_t label)
{
	return (received & ~LABEL_MASK) | (label & LABEL_MASK);
}
