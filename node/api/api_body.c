#include "node/api/api_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_t *api_error(const char *code, const char *message, const char *hint)
{
	json_t *e = json_object();
	json_t *text = json_string(message);

	/* Not UTF-8: what was quoted came from outside. */
	if (text == NULL)
		text = json_string("the request is not UTF-8");
	json_object_set_new(e, "code", json_string(code));
	json_object_set_new(e, "message", text);
	json_object_set_new(e, "hint",
			    hint != NULL ? json_string(hint) : json_null());
	return json_pack("{s:o}", "error", e);
}

static void complain(json_t **error, const char *message)
{
	if (*error == NULL)
		*error = api_error("bad-request", message, NULL);
}

json_t *api_body_parse(const char *data, size_t len, json_t **error)
{
	char message[JSON_ERROR_TEXT_LENGTH + 64];
	json_error_t why;
	json_t *body;

	if (len == 0)
		return json_object();
	body = json_loadb(data, len, JSON_REJECT_DUPLICATES, &why);
	if (body == NULL) {
		snprintf(message, sizeof message, "not JSON: %s in line %d",
			 why.text, why.line);
		complain(error, message);
		return NULL;
	}
	if (!json_is_object(body)) {
		json_decref(body);
		complain(error, "the body is not a JSON object");
		return NULL;
	}
	return body;
}

const char *api_text(const json_t *body, const char *key, json_t **error)
{
	const json_t *value = json_object_get(body, key);
	const char *text = json_string_value(value);
	char message[128];

	if (text != NULL && *text != '\0')
		return text;
	snprintf(message, sizeof message, "%s: %s", key,
		 value == NULL ? "missing" : "not a text");
	complain(error, message);
	return NULL;
}

uint64_t api_number(const json_t *body, const char *key, uint64_t def,
		    uint64_t min, uint64_t max, json_t **error)
{
	const json_t *value = json_object_get(body, key);
	json_int_t x = json_integer_value(value);
	char message[128];

	if (value == NULL)
		return def;
	if (json_is_integer(value) && x >= 0 && (uint64_t)x >= min &&
	    (uint64_t)x <= max)
		return (uint64_t)x;
	snprintf(message, sizeof message,
		 "%s: not a number in %" PRIu64 "..%" PRIu64, key, min, max);
	complain(error, message);
	return def;
}

void api_only(const json_t *body, const char *const *known, json_t **error)
{
	char message[128];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)body, key, value)
	{
		const char *const *k = known;

		(void)value;
		while (*k != NULL && strcmp(*k, key) != 0)
			k++;
		if (*k == NULL) {
			snprintf(message, sizeof message, "%.64s: unknown key",
				 key);
			complain(error, message);
		}
	}
}
