/* Cells about one peer, for the tables of `qanat status` and `peers`. */
#pragma once

#include <jansson.h>

#include "cmd/qanat/print.h"

/* Its name; or how the configuration calls it; or its id. */
const char *peer_name(const json_t *peer);
void peer_put_path(struct table *t, const json_t *peer);
void peer_put_traffic(struct table *t, const json_t *o);
