/* Bytes as text and back: hexadecimal, base32, strict numbers, near matches.
 *
 * All parsers take the whole string or nothing: no leading blanks or signs, no
 * rest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * len digits and a NUL; `out` holds 2 * len + 1. */
void text_hex(char *out, const void *data, size_t len);

/* Exactly 2 * len digits of either case.  False leaves `out` undefined. */
bool text_hex_parse(void *out, size_t len, const char *text, size_t text_len);

/* RFC 4648 6, lower case, without padding.  `out` holds the length below and
 * a NUL. */
#define TEXT_BASE32_LEN(len) (((len)*8 + 4) / 5)
void text_base32(char *out, const void *data, size_t len);

/* Lower or upper case, no padding, unused bits zero. */
bool text_base32_parse(void *out, size_t len, const char *text,
		       size_t text_len);

/* A decimal number in [min, max]. */
bool text_u64(uint64_t *out, const char *text, uint64_t min, uint64_t max);

/* The edit distance (Levenshtein) of two short strings, at most `cap`. */
unsigned text_distance(const char *a, const char *b, unsigned cap);

/* Copies with a NUL, truncating; true if it all fitted. */
bool text_copy(char *out, size_t cap, const char *text);
