/* Identities that we know, with the chains that prove them.  protocol.md 5.2.
 *
 * Bounded: the one that was not used for longest goes first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"

struct known;

struct keyring {
	struct known *known; /* least recently used first */
};

void keyring_deinit(struct router *r);
size_t keyring_n_known(const struct router *r);

/* NULL if it is unknown or its certificate has expired.  Borrowed. */
const struct identity *keyring_find(struct router *r, const struct node_id *id,
				    nsec now);
/* As it is stored, without a look at its validity. */
const struct identity *keyring_peek(const struct router *r,
				    const struct node_id *id);
const struct identity *keyring_by_name(const struct router *r,
				       const char *shortname);
const uint8_t *keyring_chain(const struct router *r, const struct node_id *id,
			     size_t *len);

/* False if another key has this id already, or the chain is too long. */
bool keyring_add(struct router *r, const struct identity *who,
		 const uint8_t *chain, size_t chain_len);
