#include "proto/name.h"

#include <stdint.h>
#include <string.h>

#include "proto/base/text.h"

#define ID_DIGITS   TEXT_BASE32_LEN(ID_LEN)
#define HASH_DIGITS TEXT_BASE32_LEN(HASH_LEN)

static const char suffix[] = ".fuse";
#define SUFFIX_LEN (sizeof suffix - 1)

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_alnum(char c)
{
	c = lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* A host label of RFC 1123: letters, digits, hyphens inside. */
static bool is_label(const char *text, size_t len)
{
	if (len == 0 || len > NAME_BYTES_MAX)
		return false;
	if (!is_alnum(text[0]) || !is_alnum(text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(text[i]) && text[i] != '-')
			return false;
	}
	return true;
}

/* Digits of an id or a hash, whether or not they decode. */
static bool looks_like_id(const char *text, size_t len)
{
	if (len != ID_DIGITS && len != HASH_DIGITS)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = lower(text[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '2' && c <= '7')))
			return false;
	}
	return true;
}

static bool has_suffix(const char *text, size_t len)
{
	if (len < SUFFIX_LEN)
		return false;
	for (size_t i = 0; i < SUFFIX_LEN; i++) {
		if (lower(text[len - SUFFIX_LEN + i]) != suffix[i])
			return false;
	}
	return true;
}

static void copy_lower(char out[NAME_BYTES_MAX + 1], const char *text,
		       size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = lower(text[i]);
	out[len] = '\0';
}

/* The last label before the suffix: whom the name means. */
static enum name_verdict parse_owner(struct name *n, const char *text,
				     size_t len)
{
	if (!is_label(text, len))
		return NAME_MALFORMED;
	if (!looks_like_id(text, len)) {
		n->kind = NAME_SHORT;
		copy_lower(n->shortname, text, len);
		return NAME_OK;
	}
	if (len == ID_DIGITS) {
		n->kind = NAME_ID;
		return text_base32_parse(n->id.b, ID_LEN, text, len)
			       ? NAME_OK
			       : NAME_MALFORMED;
	}
	n->kind = NAME_HASH;
	if (!text_base32_parse(n->hash.b, HASH_LEN, text, len))
		return NAME_MALFORMED;
	n->id = id_of_hash(&n->hash);
	return NAME_OK;
}

enum name_verdict name_parse(struct name *out, const char *text, size_t len)
{
	struct name n = { 0 };
	enum name_verdict v;
	const char *dot;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (!has_suffix(text, len))
		return NAME_NOT_FUSE;
	len -= SUFFIX_LEN;

	dot = memchr(text, '.', len);
	if (dot != NULL) {
		size_t n_label = (size_t)(dot - text);

		if (!is_label(text, n_label))
			return NAME_MALFORMED;
		copy_lower(n.label, text, n_label);
		text += n_label + 1;
		len -= n_label + 1;
	}
	/* A second dot is no character of a label: too deep ends here. */
	v = parse_owner(&n, text, len);
	if (v == NAME_OK)
		*out = n;
	return v;
}

void name_of_id(char *out, const struct node_id *id)
{
	text_base32(out, id->b, sizeof id->b);
	memcpy(out + ID_DIGITS, suffix, sizeof suffix);
}

bool name_short_is_valid(const char *text)
{
	size_t len = strlen(text);

	if (!is_label(text, len) || looks_like_id(text, len))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] != lower(text[i]))
			return false;
	}
	return true;
}
