/* Records: what we keep for others as a replica, what we have looked up, and
 * our own.  protocol.md 11.
 *
 * A record is kept as bytes and parsed when it is used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/record/record_part.h"
#include "circuit/router.h"
#include "circuit/timer.h"

struct office;        /* record_office.h */
struct stored_record; /* record_table.h */

struct records {
	struct stored_record *kept;   /* as a replica */
	size_t n_restored;            /* of these, from the database */
	struct stored_record *cached; /* least recently used first */
	struct record *scratch;
	/* Our own record, and when it is stored anew. */
	struct stored_record *own;
	uint64_t own_issued_ms;
	nsec paid_until;  /* when stores that a change caused are made up for */
	nsec next_store;  /* whatever happens */
	nsec moved_since; /* the first change that is not stored; 0: none */
	nsec spread_until; /* not before this time, if a root has changed */
	struct timer timer;
	/* Since when we have been the root of a tree; 0: we are not. */
	nsec root_since[TREES];
	struct timer sweep;
	/* Of large networks. */
	struct parts parts;
	struct office *office[TREES]; /* NULL: nobody has registered */
};

void records_init(struct router *r, nsec now);
void records_deinit(struct router *r);

/* The tree whose root is the k-th replica of a node's record. */
unsigned record_tree(const struct node_id *id, unsigned k);
bool record_is_of_tree(const struct node_id *id, unsigned tree);

/* Checks a record as it came: lifetime, chain, signature; counts what is
 * wrong.  `who` (may be NULL) is the identity that its chain shows. */
enum record_verdict {
	RECORD_GOOD,
	RECORD_BAD,
	RECORD_STALE,
	RECORD_RATE, /* over VERIFY_RATE: nothing is known */
};
enum record_verdict record_check(struct router *r, const struct record *rec,
				 struct identity *who, nsec now);

/* As a replica, after the check.  False: no room.  A newer one stays. */
bool record_keep(struct router *r, const struct record *rec, nsec now);
struct stored_record *record_kept(struct router *r, const struct node_id *id,
				  nsec now);
/* Without those that nobody has stored since we started. */
size_t records_n_kept(const struct router *r);
/* Of the network, by what the root of one tree or more keeps; 0 for others. */
uint32_t records_n_nodes(const struct router *r);

/* What lookups brought, ours and those we passed on; after the check. */
void record_cache(struct router *r, const struct record *rec, nsec now);
/* Borrowed until the next call of it. */
const struct record *record_cached(struct router *r, const struct node_id *id,
				   nsec now);
/* One that is fit to be given to others: it has come lately, and is newer than
 * `newer_than_ms`. */
struct stored_record *record_fresh(struct router *r, const struct node_id *id,
				   uint64_t newer_than_ms, nsec now);
/* It led nowhere: the next attempt looks up anew, for a newer one. */
void record_forget(struct router *r, const struct node_id *id, nsec now);
/* Issue time of the one that was forgotten; 0: none. */
uint64_t record_forgotten(const struct router *r, const struct node_id *id);
/* A circuit to its owner is up: it is worth keeping. */
void record_worked(struct router *r, const struct node_id *id);

/* Our own; NULL: we have no place in any tree yet. */
struct stored_record *record_own(const struct router *r);
void record_store_own(struct router *r, nsec now);

/* As the root of a tree, long enough for all owners to have noticed: what we do
 * not have is not there. */
bool records_are_settled(struct router *r, unsigned tree, nsec now);

/* Our locator has changed: the replicas are told, soon. */
void records_moved(struct router *r, nsec now);
void record_timeout(struct router *r, struct timer *t, nsec now);
