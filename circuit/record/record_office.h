/* The root of a tree in a large network: volunteers have registered with it,
 * and it appoints one of them for each part of its records.  protocol.md 11.6.
 *
 * Which one is for a hash under a key of our own: nobody can choose a name that
 * makes him the keeper of a certain record.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"

struct office;

void offices_deinit(struct router *r);
/* We are no longer the root. */
void office_close(struct router *r, unsigned tree);
void offices_sweep(struct router *r, nsec now);

/* Whether a node of these is to register, drawn by its id: some DIRECTORY_WANT
 * of `n_nodes` do. */
bool office_wants(const struct node_id *id, unsigned tree, uint32_t n_nodes);

/* A volunteer's record, checked.  False: it is no volunteer, has no place in
 * this tree, or there is no room. */
bool office_register(struct router *r, unsigned tree, const struct record *rec,
		     nsec now);

/* Whom we have appointed; false: we keep this part ourselves. */
bool office_find(struct router *r, unsigned tree, uint8_t part,
		 struct appointment *out, nsec now);
void office_failed(struct router *r, unsigned tree, uint8_t part, nsec now);
/* The member has replied; it says how many records it keeps. */
void office_replied(struct router *r, unsigned tree, uint8_t part,
		    const struct node_id *member, uint32_t n_kept);

/* Records of the tree by what the members say; 0: they have not. */
uint32_t office_n_records(const struct router *r, unsigned tree);
