/* The body of a request to the control API, and its members. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/api_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const known[] = { "dst", "count", "timeout_ms",
					     NULL };
	json_t *error = NULL;
	json_t *body = api_body_parse((const char *)data, len, &error);
	const char *dst;
	uint64_t count;
	char *text;

	/* Either a body or a reason, and the reason can be sent. */
	assert((body == NULL) == (error != NULL));
	if (body != NULL) {
		dst = api_text(body, "dst", &error);
		count = api_number(body, "count", 4, 1, 100, &error);
		assert((dst != NULL && *dst != '\0') || error != NULL);
		assert(count >= 1 && count <= 100);
		api_only(body, known, &error);
	}
	if (error != NULL) {
		text = json_dumps(error, JSON_COMPACT);
		assert(text != NULL);
		free(text);
	}
	json_decref(error);
	json_decref(body);
	return 0;
}
