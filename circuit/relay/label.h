/* The labels that we chose for packets we want to receive.  protocol.md 6.3.
 *
 * generation(10) index(20): the index finds the slot at once, the generation
 * tells its uses apart.  A label is valid on the session it was given to and
 * nowhere else.  The same label is not given out twice within LABEL_REUSE_NS:
 * each re-use of a slot takes the next generation, and a slot rests between
 * uses for so long that the generations do not come round in that time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/rng.h"
#include "proto/base/time.h"

struct circuit;
struct label_table;

/* What a label means.  `circuit` is borrowed from the circuit table. */
struct label_use {
	uint32_t session;
	struct circuit *circuit;
	unsigned side;
};

/* Draws the first generations from `rng`, which is borrowed. */
struct label_table *label_table_new(struct rng *rng);
void label_table_free(struct label_table *t);

/* A label, never 0; 0 if the table is full. */
uint32_t label_add(struct label_table *t, const struct label_use *use,
		   nsec now);
/* The label must be in use. */
void label_remove(struct label_table *t, uint32_t label, nsec now);

/* NULL if this session was not given this label. */
const struct label_use *label_find(const struct label_table *t,
				   uint32_t session, uint32_t label);
size_t label_n_used(const struct label_table *t);
