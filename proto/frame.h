/* Frames of the control stream: type(1) length(3) body.  protocol.md 3.1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

enum frame_verdict {
	FRAME_OK,
	FRAME_MORE,     /* wait for more bytes */
	FRAME_TOO_LONG, /* the length is over the cap of its type: close */
};

struct frame {
	uint8_t type;
	const uint8_t *body; /* borrowed from the reader */
	size_t len;
};

/* Gathers stream bytes into frames; bounded by FRAME_BYTES_MAX. */
struct frame_reader;
struct frame_reader *frame_reader_new(void);
void frame_reader_free(struct frame_reader *r);

/* Takes bytes in; returns how many were taken (all, unless a frame waits to be
 * pulled). */
size_t frame_reader_feed(struct frame_reader *r, const uint8_t *data,
			 size_t len);
/* Pulls one frame; its body is valid until the next call on `r`. */
enum frame_verdict frame_reader_next(struct frame_reader *r, struct frame *out);

/* Writes the 4-byte header. */
void frame_header_write(uint8_t out[FRAME_HEADER_BYTES], uint8_t type,
			size_t len);
