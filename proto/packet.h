/* The data header in front of every circuit packet.  protocol.md 4.
 *
 *   label(32)                              payload   (whole packet)
 *   label(32) number(16)                   payload   (first or last part)
 *
 * The label's top two bits say which part follows, the other 30 name the
 * circuit at the receiver: generation(10) index(20).  No protobuf, no
 * allocation.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

enum packet_part {
	PACKET_WHOLE = 0,
	PACKET_FIRST = 1,
	PACKET_LAST = 2,
};

enum packet_verdict {
	PACKET_OK,
	PACKET_SHORT, /* no room for the header, or an empty payload */
	PACKET_PART,  /* the reserved fourth value of the part bits */
};

#define LABEL_MASK  UINT32_C(0x3fffffff) /* without the part bits */
#define LABEL_INDEX UINT32_C(0x000fffff)

struct packet {
	enum packet_part part;
	uint32_t label;         /* masked */
	uint16_t number;        /* of the split packet; 0 for a whole one */
	const uint8_t *payload; /* borrowed */
	size_t len;
};

enum packet_verdict packet_parse(struct packet *out, const uint8_t *data,
				 size_t len);

/* Writes the header; returns its length (4 or 6). */
#define PACKET_HEADER_MAX 6
size_t packet_header_write(uint8_t out[PACKET_HEADER_MAX],
			   enum packet_part part, uint32_t label,
			   uint16_t number);

/* Replaces the label's 30 bits in a received packet, keeping the part bits. */
uint32_t packet_relabel(uint32_t received, uint32_t label);
