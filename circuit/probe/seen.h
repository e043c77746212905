/* Probes of others that we have seen, by (origin, nonce): the duplicate cache,
 * and what belongs to one probe.  protocol.md 5.3.
 *
 * An entry is made after the origin's signature was checked, is charged to the
 * neighbour that brought it first, and lives for PROBE_SEEN_NS, which is longer
 * than any probe is fresh.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

struct copy;
struct neighbour;

/* No padding: it is hashed. */
struct seen_key {
	struct node_id origin;
	struct nonce nonce;
};

struct seen {
	struct seen_key key;
	uint8_t body[PROBE_BODY_BYTES];
	uint8_t sig_origin[SIG_LEN]; /* checked together with `body` */
	bool is_flood;
	uint8_t ttl;
	struct node_id target;
	uint64_t issued_ms;
	uint32_t valid_ms;
	nsec valid_until;
	struct neighbour *charged;
	unsigned n_reoffers;
	/* As a relay. */
	struct copy *copies;
	unsigned n_forwarded;
	uint32_t relayed_cost; /* of the first; of a steered one the lowest */
	unsigned n_answers;
	struct node_hash *passed; /* the digests of these answers */
	/* As the target: what was answered. */
	struct hop_list *answered;
	unsigned n_answered;
	uint32_t best_cost;
	struct timer timer;
	UT_hash_handle hh;
};

struct seen *seen_find(struct router *r, const struct node_id *origin,
		       const struct nonce *nonce);

/* NULL if the caps leave no room. */
struct seen *seen_add(struct router *r, const struct msg_probe *p,
		      struct neighbour *from, nsec now);
/* As a relay: a copy of this cost was passed on. */
void seen_note_forwarded(struct seen *e, uint32_t cost);
/* As a relay: whether a copy was passed on that came from the same neighbour as
 * this one. */
bool seen_was_forwarded_from(const struct seen *e, const struct hop_list *path);
/* Whether two paths to one node come over the same last relay. */
bool seen_are_of_one(const struct seen *e, const struct hop_list *a,
		     const struct hop_list *b);
/* Whether two paths to one node come over different last relays, and at most
 * half of the relays of `a` are in `b`. */
bool seen_are_apart(const struct seen *e, const struct hop_list *a,
		    const struct hop_list *b);
void seen_free(struct router *r, struct seen *e);
void seen_timeout(struct router *r, struct timer *t, nsec now);
