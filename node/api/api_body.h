/* What a request says, and errors: JSON, without any I/O. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {"error": {"code", "message", "hint"}}; `hint` may be NULL. */
json_t *api_error(const char *code, const char *message, const char *hint);

/* The object that a body holds; {} for an empty one.  NULL with an error. */
json_t *api_body_parse(const char *data, size_t len, json_t **error);

/* Members of a body.  A failure gives *error, for 400; the first one wins, so
 * that all can be read before it is looked at. */
const char *api_text(const json_t *body, const char *key, json_t **error);
uint64_t api_number(const json_t *body, const char *key, uint64_t def,
		    uint64_t min, uint64_t max, json_t **error);
/* Keys that nobody reads are typing errors.  `known` ends with NULL. */
void api_only(const json_t *body, const char *const *known, json_t **error);
