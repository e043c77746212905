/* Random valid control messages, and what must hold for any that was parsed:
 * for the unit tests and the fuzz targets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/rng.h"
#include "proto/msg.h"

/* Valid in every field, often at the edge of its range; sealed, not signed. */
void msg_random(struct msg *out, enum msg_type type, struct rng *r);
/* `n_hops` links; first_sig is drawn. */
void route_random(struct route_proof *out, size_t n_hops, struct rng *r);

/* NULL, or the invariant that `m` breaks. */
const char *msg_fault(const struct msg *m);
const char *route_fault(const struct route_proof *r);

/* Whether both say the same. */
bool msg_equal(const struct msg *a, const struct msg *b);
bool route_equal(const struct route_proof *a, const struct route_proof *b);
