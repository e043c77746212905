/* STORE and LOOKUP on their way up a tree, and the replies on their way back;
 * what we ask for ourselves.  protocol.md 11.3.
 *
 * One table has all requests whose reply is awaited, those of others and our
 * own, by their nonces.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

enum arrival;
struct lookup;
struct session;

struct request {
	struct nonce nonce;
	enum msg_type type;     /* MSG_STORE or MSG_LOOKUP */
	struct node_id id;      /* whose record */
	struct node_id replier; /* the neighbour that it was sent to */
	session_no from;        /* 0: our own */
	uint8_t tree;
	bool is_late; /* our own: we do not wait for it any more */
	struct timer timer;
	UT_hash_handle hh;
};

/* Our record on its way to one replica. */
struct store {
	bool is_wanted; /* and not acknowledged */
	unsigned n_tries;
	struct nonce nonce; /* of the last try */
	struct timer timer;
};

struct requests {
	struct request *all;
	struct lookup *lookups;
	struct store stores[TREES];
};

void requests_init(struct router *r);
void requests_deinit(struct router *r);

void request_handle_store(struct router *r, struct session *s,
			  const struct msg_store *m, nsec now);
void request_handle_lookup(struct router *r, struct session *s,
			   const struct msg_lookup *m, nsec now);
void request_handle_stored(struct router *r, struct session *s,
			   const struct msg_stored *m, nsec now);
void request_handle_found(struct router *r, struct session *s,
			  const struct msg_found *m, nsec now);
void request_handle_no_record(struct router *r, struct session *s,
			      const struct msg *m, nsec now);
/* The identity of the replica did not come. */
void request_give_up(struct router *r, struct session *s,
		     const struct msg_no_record *m, nsec now);
void requests_session_down(struct router *r, struct session *s, nsec now);
void request_timeout(struct router *r, struct timer *t, nsec now);

/* ---- lookups of our own: request_lookup.c ------------------------------ */

/* Finds the record of a node: the cache, then the replicas one after the other.
 * Ends in seek_looked_up(), before it returns if the cache has it or nobody can
 * be asked.  One that runs already is not started anew. */
enum lookup_verdict {
	LOOKUP_FOUND,  /* record_cached() has it */
	LOOKUP_ABSENT, /* two replicas have signed that there is none */
	LOOKUP_FAILED, /* nothing is known: no replica replied */
};
void lookup_start(struct router *r, const struct node_id *id, nsec now);

/* Its record is cached. */
void lookup_found(struct router *r, const struct request *q, nsec now);
void lookup_absent(struct router *r, const struct request *q,
		   const struct node_id *replica, nsec now);
/* This replica brought nothing. */
void lookup_failed(struct router *r, const struct request *q, nsec now);
void lookups_deinit(struct router *r);

/* ---- stores of our own: request_store.c -------------------------------- */

/* Sends our own record to its replicas, until they have acknowledged it. */
void store_start(struct router *r, const struct record *own, nsec now);

void store_acknowledged(struct router *r, const struct request *q);
void store_failed(struct router *r, const struct request *q, nsec now);
void store_timeout(struct router *r, struct timer *t, nsec now);

/* ---- between these files ----------------------------------------------- */

/* A request of our own up a tree; NULL: there is no way.  Borrowed until it
 * ends; the caller sends the message with its nonce. */
struct request *request_own(struct router *r, enum msg_type type,
			    const struct node_id *id, unsigned tree, nsec now);
struct session *request_session(struct router *r, const struct request *q);
