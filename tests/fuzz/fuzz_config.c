/* The configuration file.  What is taken must print and read back the same. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/config/config.h"
#include "proto/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *printed(const struct config *c, size_t *size)
{
	char *text;
	FILE *f = open_memstream(&text, size);

	assert(f != NULL);
	config_print(f, c);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct config c;
	char why[256], *one, *two;
	size_t one_len, two_len;

	if (config_parse(&c, (const char *)data, len, "f", why, sizeof why) !=
	    0) {
		assert(why[0] == 'f' && why[1] == ':');
		return 0;
	}
	one = printed(&c, &one_len);
	if (config_parse(&c, one, one_len, "f", why, sizeof why) != 0) {
		fprintf(stderr, "%s in\n%s\n", why, one);
		abort();
	}
	two = printed(&c, &two_len);
	assert(strcmp(one, two) == 0);
	free(one);
	free(two);
	return 0;
}
