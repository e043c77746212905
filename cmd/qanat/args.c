#include "cmd/qanat/args.h"

#include <stdio.h>
#include <string.h>

#include "cmd/qanat/say.h"
#include "proto/base/text.h"
#include "proto/name.h"

/* With or without ".fuse", in any case. */
static bool parse_short(struct name *n, const char *text)
{
	char full[NAME_BYTES_MAX + sizeof ".fuse"];
	size_t len = strlen(text);
	bool whole = name_parse(n, text, len) == NAME_OK;

	if (!whole) {
		if (len > NAME_BYTES_MAX)
			return false;
		snprintf(full, sizeof full, "%s.fuse", text);
		whole = name_parse(n, full, strlen(full)) == NAME_OK;
	}
	return whole && n->kind == NAME_SHORT && n->label[0] == '\0';
}

bool arg_name(char out[NAME_BYTES_MAX + 1], const char *text)
{
	struct name n;

	if (parse_short(&n, text))
		return text_copy(out, NAME_BYTES_MAX + 1, n.shortname);
	say_error(EXIT_WRONG_USE,
		  "\"%s\" is no short name: up to %d of a-z, 0-9 and '-' "
		  "inside, and not 16 or 52 digits as in an id",
		  text, NAME_BYTES_MAX);
	return false;
}

bool arg_days(uint64_t *out, const char *text)
{
	if (text_u64(out, text, 1, DAYS_MAX))
		return true;
	say_error(EXIT_WRONG_USE, "\"%s\" is no number of days from 1 to %d",
		  text, DAYS_MAX);
	return false;
}
