/* Joining split packets at the far end of a circuit.  protocol.md 4.2.
 *
 * Each circuit has a joiner of its own, made when the first part comes, and
 * all joiners of a node share one limit.  A half takes the memory that it
 * needs, and only while it waits.
 *
 * What one circuit sends costs others nothing: the 17th half of a circuit takes
 * the place of that circuit's oldest, and when all places of the node are taken
 * the circuit with the most halves loses its oldest.  So a circuit that keeps
 * no more than PARTS_ALL_MAX divided by the number of circuits with halves
 * loses none of them to another.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/packet.h"

struct joiners;
struct joiner;

struct joiners *joiners_new(void);
void joiners_free(struct joiners *all); /* after its joiners; NULL is allowed */

/* `all` is borrowed. */
struct joiner *joiner_new(struct joiners *all);
/* Its halves are dropped and count as lost.  NULL is allowed. */
void joiner_free(struct joiner *j);

/* Feeds one packet of the circuit in.  Returns the whole payload with its
 * length, borrowed until the next call for any joiner of the node; or NULL if
 * the other part is awaited.  Time must not go back. */
const uint8_t *joiner_handle(struct joiner *j, const struct packet *p, nsec now,
			     size_t *len);

/* Parts dropped because their other half never came. */
uint64_t joiners_n_lost(const struct joiners *all);
/* Halves kept now, of all circuits. */
size_t joiners_n_kept(const struct joiners *all);
