/* Who keeps the records of a tree in a large network, part by part, as its root
 * has signed it: what replies told us, and what we are appointed to ourselves.
 * protocol.md 11.6.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"

struct known_part;
struct our_part;

struct parts {
	struct known_part *known;
	struct our_part *ours;
	uint32_t n_kept[RECORD_PARTS]; /* of our kept records */
};

void parts_deinit(struct router *r);
/* Those that are over. */
void parts_sweep(struct router *r, nsec now);

uint8_t record_part(const struct node_id *id);

/* Whether the root of this tree, as we know it, has appointed the member for
 * the part that this record is in, and lately. */
enum part_verdict {
	PART_GOOD,
	PART_BAD,
	PART_RATE, /* over VERIFY_RATE: nothing is known */
};
enum part_verdict part_check(struct router *r, const struct node_id *id,
			     unsigned tree, const struct appointment *a,
			     nsec now);

/* The member that a request for this record is handed over to: as the root, the
 * one that we have appointed; else what replies told.  False: nobody but the
 * root is known. */
bool part_find(struct router *r, const struct node_id *id, unsigned tree,
	       struct appointment *out, nsec now);
/* A reply came from this member; checks it. */
void part_learn(struct router *r, const struct node_id *id, unsigned tree,
		const struct appointment *a, nsec now);
/* The member that we handed a request over to did not reply. */
void part_failed(struct router *r, const struct node_id *id, unsigned tree,
		 nsec now);

/* As the member, after the check: notes that we serve it.  True if that is so
 * for long enough that all owners have stored here. */
bool part_serve(struct router *r, const struct appointment *a, nsec now);
