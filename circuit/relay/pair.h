/* How many circuits one neighbour has asked for over another: none of them
 * fills a link that others need.  protocol.md 6.1.
 */
#pragma once

#include <stdbool.h>

#include "circuit/router.h"
#include "circuit/table.h"

struct session;

/* No padding: it is hashed. */
struct pair_key {
	struct node_id asker, next;
};

struct circuit_pair {
	struct pair_key key;
	unsigned n;
	UT_hash_handle hh;
};

/* Either may be NULL: then we are that end, and there is no pair. */
bool pair_is_full(struct router *r, const struct session *asker,
		  const struct session *next);
struct circuit_pair *pair_join(struct router *r, const struct session *asker,
			       const struct session *next);
void pair_leave(struct router *r, struct circuit_pair *p);
