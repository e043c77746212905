/* Asking the running daemon through its control socket. */
#pragma once

#include <jansson.h>

#include "cmd/qanat/options.h"

/* Exit code; 0 and the reply's body in `out`.  What went wrong has been said
 * then. */
int client_get(const struct options *o, const char *path, json_t **out);
/* `?key=value` is added to the path; a NULL value: nothing is. */
int client_get_with(const struct options *o, const char *path, const char *key,
		    const char *value, json_t **out);
/* Takes `body` over; NULL: none. */
int client_post(const struct options *o, const char *path, json_t *body,
		json_t **out);

/* As client_get(), but silent if no daemon runs. */
int client_try(const struct options *o, const char *path, json_t **out);

/* Prints a reply as --json wants it, and lets go of it; returns EXIT_DONE. */
int client_print_json(json_t *body);
