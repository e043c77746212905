/* A borrowed run of bytes with a reading position and an error that sticks.
 *
 * A read past the end yields zero (or NULL) and sets `bad`: read all fields in
 * wire order and judge once.  All integers are in network order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view {
	const uint8_t *pos;
	const uint8_t *end;
	bool bad;
};

struct view view_of(const void *data, size_t len);
size_t view_left(const struct view *v);

uint8_t view_u8(struct view *v);
uint16_t view_be16(struct view *v);
uint32_t view_be24(struct view *v);
uint32_t view_be32(struct view *v);
uint64_t view_be64(struct view *v);

/* RFC 9000 16: variable-length integer. */
uint64_t view_varint(struct view *v);

/* Borrows `len` bytes; NULL if there are fewer. */
const uint8_t *view_bytes(struct view *v, size_t len);

/* Copies `len` bytes; `out` is zeroed if there are fewer. */
void view_copy(struct view *v, void *out, size_t len);

/* The next `len` bytes as a view of their own (bad if there are fewer). */
struct view view_sub(struct view *v, size_t len);
