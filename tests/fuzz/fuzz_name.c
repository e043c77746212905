/* Any text as a name.  What is accepted must come out in the one form. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_label(const char *label)
{
	size_t n = strlen(label);

	assert(n >= 1 && n <= NAME_BYTES_MAX);
	for (size_t i = 0; i < n; i++)
		assert(!(label[i] >= 'A' && label[i] <= 'Z') &&
		       label[i] != '.');
}

static void check_again(const struct name *n)
{
	char text[NAME_ID_TEXT_MAX];
	struct name again;

	name_of_id(text, &n->id);
	assert(name_parse(&again, text, strlen(text)) == NAME_OK);
	assert(again.kind == NAME_ID && id_equal(&again.id, &n->id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct name n;
	char *text;

	if (name_parse(&n, (const char *)data, len) == NAME_OK) {
		if (n.label[0] != '\0')
			check_label(n.label);
		if (n.kind == NAME_SHORT) {
			check_label(n.shortname);
			assert(name_short_is_valid(n.shortname));
		} else {
			check_again(&n);
		}
	}

	text = malloc(len + 1);
	if (text == NULL)
		abort();
	if (len != 0)
		memcpy(text, data, len);
	text[len] = '\0';
	if (name_short_is_valid(text))
		check_label(text);
	free(text);
	return 0;
}
