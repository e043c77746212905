/* Random valid control messages, and what must hold for any that was parsed:
 * for the unit tests and the fuzz targets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/rng.h"
#include "proto/msg.h"

/* Valid in every field, often at the edge of its range; sealed, not signed. */
void msg_random(struct msg *out, enum msg_type type, struct rng *r);
/* The same with at most three of everything: for tests which try each byte. */
void msg_random_small(struct msg *out, enum msg_type type, struct rng *r);
/* `n_hops` links; first_sig is drawn. */
void route_random(struct route_proof *out, size_t n_hops, struct rng *r);
/* Paths from any roots to `leaf`. */
void locator_random(struct locator *out, const struct node_id *leaf,
		    struct rng *r);
void record_random(struct record *out, struct rng *r);

/* NULL, or the invariant that `m` breaks. */
const char *msg_fault(const struct msg *m);
const char *route_fault(const struct route_proof *r);
const char *locator_fault(const struct locator *l);
const char *record_fault(const struct record *r);

/* Whether both say the same. */
bool msg_equal(const struct msg *a, const struct msg *b);
bool route_equal(const struct route_proof *a, const struct route_proof *b);
bool locator_equal(const struct locator *a, const struct locator *b);
bool record_equal(const struct record *a, const struct record *b);

/* Writes the message and reads it again. */
enum msg_verdict msg_reread(struct msg *got, const struct msg *m);
/* The frame in hexadecimal; good until the next call. */
const char *msg_hex(const struct msg *m);
