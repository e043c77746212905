/* Records by their owners, as bytes: a parsed one is some twenty times as
 * large.  Those that have not been renewed for longest come first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"

struct stored_record {
	struct node_id id;
	uint64_t issued_ms;
	nsec came;        /* here */
	nsec expires;     /* by what its owner says */
	bool is_restored; /* from the database, not by a STORE */
	bool is_spent;    /* led nowhere: only a newer one is of use */
	bool is_reported; /* ROUTER_RECORD told of it */
	UT_hash_handle hh;
	size_t len;
	uint8_t bytes[];
};

struct stored_record *stored_find(const struct router *r,
				  struct stored_record *table,
				  const struct node_id *id);

/* In the place of what is there; borrowed until it is removed or replaced. */
struct stored_record *stored_set(struct router *r, struct stored_record **table,
				 const struct record *rec, nsec now);
void stored_remove(struct stored_record **table, struct stored_record *s);
/* Makes it the last one to go. */
void stored_renew(struct router *r, struct stored_record **table,
		  struct stored_record *s);
/* Those whose time is over, as far as they come first. */
void stored_expire(struct stored_record **table, nsec now);
void stored_deinit(struct stored_record **table);

bool stored_is(const struct stored_record *s, const struct record *rec);
void stored_read(const struct stored_record *s, struct record *out);
