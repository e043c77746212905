/* The data header in front of every circuit packet.  protocol.md 4.
 *
 *   label(32)                              payload   (whole packet)
 *   label(32) number(16)                   payload   (first or last part)
 *
 * The label's top two bits say which part follows, or that a whole packet has
 * met congestion; the other 30 name the circuit at the receiver:
 * generation(10) index(20).  No protobuf, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

enum packet_part {
	PACKET_WHOLE = 0,
	PACKET_FIRST = 1,
	PACKET_LAST = 2,
	PACKET_MARKED = 3, /* on the wire only: whole, and met congestion */
};

enum packet_verdict {
	PACKET_OK,
	PACKET_SHORT, /* no room for the header, or an empty payload */
};

#define LABEL_MASK  UINT32_C(0x3fffffff) /* without the part bits */
#define LABEL_INDEX UINT32_C(0x000fffff)

struct packet {
	enum packet_part part;  /* never PACKET_MARKED */
	bool is_marked;         /* a whole one which met congestion */
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

/* Marks the packet behind this header as one that met congestion, unless it is
 * already; false if it is a part, which cannot be marked. */
bool packet_mark(uint8_t header[LABEL_BYTES]);

/* Replaces the label's 30 bits in a received packet, keeping the part bits. */
uint32_t packet_relabel(uint32_t received, uint32_t label);
