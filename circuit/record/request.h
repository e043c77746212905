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
struct neighbour;
struct session;
struct stored_record;

/* No padding: it is hashed.  A request may come by twice, on its way up and on
 * its way over to a member, but goes on to two different neighbours. */
struct request_key {
	struct nonce nonce;
	struct node_id replier; /* the neighbour that it was sent to */
};

struct request {
	struct request_key key;
	enum msg_type type;        /* MSG_STORE or MSG_LOOKUP */
	struct node_id id;         /* whose record */
	session_no from;           /* 0: our own */
	struct neighbour *charged; /* likewise; NULL */
	uint8_t tree;
	uint64_t newer_than_ms; /* a LOOKUP: older ones do not help */
	bool is_late;           /* our own: we do not wait for it any more */
	bool is_handed;         /* to a member, by us */
	struct timer timer;
	UT_hash_handle hh;
};

/* Our record on its way to one replica. */
struct store {
	bool is_wanted; /* and not acknowledged */
	bool is_registration;
	bool is_enlisted; /* and has been acknowledged once */
	unsigned tree;
	unsigned n_tries;
	struct nonce nonce; /* of the last try */
	struct timer timer;
};

struct requests {
	struct request *all;
	struct lookup *lookups;
	struct store stores[TREES];
	struct store registers[TREES]; /* as a volunteer, at the roots */
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
void stores_init(struct router *r);
void store_start(struct router *r, const struct record *own, nsec now);

void store_acknowledged(struct router *r, const struct request *q);
void store_failed(struct router *r, const struct request *q, nsec now);
void store_timeout(struct router *r, struct timer *t, nsec now);

/* ---- between these files ----------------------------------------------- */

/* Where a request goes from here. */
struct request_way {
	struct session *to;
	bool is_over;   /* to a member, whose appointment is known */
	bool is_handed; /* it is we who hand it over */
	struct appointment appointment;
};

/* Over to the member that `given` names, or (NULL) that we know of, or up the
 * tree, but not back to `from` (may be NULL).  False: nowhere.
 * request_way.c */
bool request_way(struct router *r, const struct node_id *id, unsigned tree,
		 const struct appointment *given, const struct neighbour *from,
		 struct request_way *out, nsec now);
/* Up the tree, whoever keeps the part. */
bool request_way_up(struct router *r, unsigned tree,
		    const struct neighbour *from, struct request_way *out);
/* Up the tree over another neighbour than the parent: the nth best, from 1,
 * counted round.  For what has failed before. */
bool request_way_around(struct router *r, unsigned tree, unsigned nth,
			struct request_way *out);
/* How long a reply to one of our own, or to one that we hand over, may take. */
nsec request_wait(struct router *r, unsigned tree, const struct request_way *w,
		  nsec now);

/* One more whose reply is awaited.  Borrowed until it ends. */
struct request *request_add(struct router *r, enum msg_type type,
			    const struct nonce *nonce, const struct node_id *id,
			    unsigned tree, const struct request_way *w,
			    nsec wait, nsec now);
/* A request of our own; the caller sends the message with its nonce. */
struct request *request_own(struct router *r, enum msg_type type,
			    const struct node_id *id, unsigned tree,
			    const struct request_way *w, nsec now);
struct request *request_find(struct router *r, const struct nonce *nonce,
			     const struct node_id *replier);
/* It is one of others, and not our own. */
void request_charge(struct request *q, const struct session *from);
void request_refuse(struct router *r, session_no to, const struct nonce *nonce,
		    enum no_record_code code);
void request_send_found(struct router *r, session_no to,
			const struct nonce *nonce,
			const struct stored_record *f,
			const struct appointment *as);
/* We are the replica, and no member keeps the part for us. */
bool request_ends_here(struct router *r, const struct node_id *id,
		       unsigned tree, nsec now);
