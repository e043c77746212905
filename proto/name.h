/* `.fuse` names.  protocol.md 1.5.
 *
 * [label.]<id>.fuse where <id> is 16 (10 bytes) or 52 (32 bytes) base32
 * digits; or a short name `alice.fuse` which a certificate or a petname
 * asserts.  Case does not matter; a trailing dot is allowed; parsing writes
 * lower case.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/id.h"

enum name_kind {
	NAME_ID,    /* 16 digits: `id` is set */
	NAME_HASH,  /* 52 digits: `hash` and `id` are set */
	NAME_SHORT, /* `shortname` is set: to be looked up */
};

enum name_verdict {
	NAME_OK,
	NAME_NOT_FUSE,  /* does not end in .fuse */
	NAME_MALFORMED, /* empty label, bad characters, too long or deep */
};

struct name {
	enum name_kind kind;
	struct node_id id;
	struct node_hash hash;
	char shortname[NAME_BYTES_MAX + 1];
	char label[NAME_BYTES_MAX + 1]; /* "" if there is none in front */
};

enum name_verdict name_parse(struct name *out, const char *text, size_t len);

#define NAME_ID_TEXT_MAX 22 /* 16 digits, ".fuse", NUL */
void name_of_id(char *out, const struct node_id *id);

/* [a-z0-9]([a-z0-9-]*[a-z0-9])?, at most NAME_BYTES_MAX, and not 16 or 52
 * base32 digits (which would be taken for an id). */
bool name_short_is_valid(const char *text);
