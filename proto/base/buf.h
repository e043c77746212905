/* Writing into memory that the caller owns, with an error that sticks.
 *
 * A write that does not fit changes nothing and sets `bad`: do all the steps
 * and look at `bad` at the end.  All integers are in network order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool bad;
};

struct buf buf_of(void *data, size_t cap);
size_t buf_left(const struct buf *b);

void buf_u8(struct buf *b, uint8_t x);
void buf_be16(struct buf *b, uint16_t x);
void buf_be24(struct buf *b, uint32_t x);
void buf_be32(struct buf *b, uint32_t x);
void buf_be64(struct buf *b, uint64_t x);

/* RFC 9000 16, shortest form. */
void buf_varint(struct buf *b, uint64_t x);

void buf_bytes(struct buf *b, const void *data, size_t len);

/* Room for `len` bytes to be filled in by the caller; NULL if it is not
 * there. */
uint8_t *buf_reserve(struct buf *b, size_t len);
