/* Records: what we keep for others as a replica, what we have looked up, and
 * our own.  protocol.md 11.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/timer.h"

struct session;
struct stored_record;

struct records {
	struct stored_record *stored; /* as a replica */
	struct stored_record *cached; /* least recently used first */
	/* Our own record: when it was made and stored last, and what the trees
	 * were like then. */
	uint64_t own_version;
	uint64_t own_issued_ms;
	unsigned n_stores_early;
	nsec own_stored, next_store;
	struct timer timer;
};

void records_init(struct router *r, nsec now);
void records_deinit(struct router *r);

/* Checks a record as it came: chain, signature, lifetime.  False if it is not
 * good; `who` (may be NULL) is the identity that its chain shows. */
bool record_check(struct router *r, const struct record *rec, nsec now);

/* As a replica.  False: a cap is reached or a newer one is there. */
bool record_keep(struct router *r, const struct record *rec, nsec now);
const struct record *record_kept(struct router *r, const struct node_id *id,
				 nsec now);
size_t records_n_kept(const struct router *r);

/* What lookups brought, ours and those we passed on. */
void record_cache(struct router *r, const struct record *rec, nsec now);
const struct record *record_cached(struct router *r, const struct node_id *id,
				   nsec now);
/* It led nowhere: the next attempt looks up anew. */
void record_forget(struct router *r, const struct node_id *id);

/* Our locator has changed: the replicas are told, soon. */
void records_moved(struct router *r, nsec now);
void record_timeout(struct router *r, struct timer *t, nsec now);
