#include "proto/base/text.h"

#include <string.h>

void text_hex(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool text_hex_parse(void *out, size_t len, const char *text, size_t text_len)
{
	uint8_t *p = out;

	if (text_len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int hi = hex_value(text[2 * i]);
		int lo = hex_value(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

void text_base32(char *out, const void *data, size_t len)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	const uint8_t *p = data;
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < len; i++) {
		acc = (acc << 8 | p[i]) & 0xfff;
		bits += 8;
		while (bits >= 5) {
			bits -= 5;
			*out++ = digits[acc >> bits & 31];
		}
	}
	if (bits > 0)
		*out++ = digits[acc << (5 - bits) & 31];
	*out = '\0';
}

static int base32_value(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

bool text_base32_parse(void *out, size_t len, const char *text, size_t text_len)
{
	uint8_t *p = out;
	uint32_t acc = 0;
	unsigned bits = 0;

	if (text_len != TEXT_BASE32_LEN(len))
		return false;
	for (size_t i = 0; i < text_len; i++) {
		int x = base32_value(text[i]);

		if (x < 0)
			return false;
		acc = (acc << 5 | (uint32_t)x) & 0xfff;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			*p++ = (uint8_t)(acc >> bits);
		}
	}
	return (acc & ((1u << bits) - 1)) == 0;
}

bool text_u64(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
	uint64_t x = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' ||
		    __builtin_mul_overflow(x, 10, &x) ||
		    __builtin_add_overflow(x, (uint64_t)(*text - '0'), &x))
			return false;
	}
	if (x < min || x > max)
		return false;
	*out = x;
	return true;
}

unsigned text_distance(const char *a, const char *b, unsigned cap)
{
	enum {
		MAX = 64
	};
	unsigned row[MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > MAX || m > MAX)
		return cap;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m] < cap ? row[m] : cap;
}

bool text_copy(char *out, size_t cap, const char *text)
{
	size_t len = strlen(text);
	bool fits = len < cap;

	if (cap == 0)
		return false;
	if (!fits)
		len = cap - 1;
	memcpy(out, text, len);
	out[len] = '\0';
	return fits;
}
