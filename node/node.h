/* One running node: owns every part and joins them.
 *
 * The order of a turn: what came in is handled at once; at the turn's end the
 * outputs of the core are pulled, channels write into sessions, and sessions
 * write to the sockets, until nothing is left to do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "node/config/config.h"

struct node;

/* Opens everything: 0 or -errno with `why` fit for an operator. */
int node_new(struct node **out, const struct config *config,
	     const char *config_path, char *why, size_t why_cap);
/* Until SIGTERM or SIGINT; SIGHUP reloads. */
void node_run(struct node *n);
void node_free(struct node *n);

/* Reads the configuration again: all or nothing.  `why` says what was wrong,
 * or (0) which changes need a restart; "" if none. */
int node_reload(struct node *n, char *why, size_t why_cap);
