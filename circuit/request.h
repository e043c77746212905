/* STORE and LOOKUP on their way up a tree, and the replies on their way back.
 * protocol.md 11.2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/timer.h"

struct request; /* one that we passed on and whose reply is awaited */
struct lookup;  /* one of our own */
struct session;

struct requests {
	struct request *all;
	struct lookup *lookups;
};

void requests_deinit(struct router *r);

/* Finds the record of a node: the cache, then the replicas one after the other.
 * Ends in seek_looked_up(); at once if the cache has it. */
enum lookup_verdict {
	LOOKUP_FOUND,  /* record_cached() has it */
	LOOKUP_ABSENT, /* two replicas have signed that there is none */
	LOOKUP_FAILED, /* nothing is known: no replica replied */
};
void lookup_start(struct router *r, const struct node_id *id, nsec now);

/* Sends our own record to its replicas. */
void store_start(struct router *r, const struct record *own, nsec now);

void request_handle_store(struct router *r, struct session *s,
			  const struct msg_store *m, nsec now);
void request_handle_lookup(struct router *r, struct session *s,
			   const struct msg_lookup *m, nsec now);
void request_handle_stored(struct router *r, struct session *s,
			   const struct msg_stored *m, nsec now);
void request_handle_found(struct router *r, struct session *s,
			  const struct msg_found *m, nsec now);
void request_handle_no_record(struct router *r, struct session *s,
			      const struct msg_no_record *m, nsec now);
void requests_session_down(struct router *r, struct session *s, nsec now);
void request_timeout(struct router *r, struct timer *t, nsec now);
void lookup_timeout(struct router *r, struct timer *t, nsec now);
