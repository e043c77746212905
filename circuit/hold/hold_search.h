/* Which link of a circuit swallows packets: a binary search over its hops, by
 * signed receipts.  protocol.md 13.4.
 *
 * A hop that answers vouches for the way to it; what is missing between two
 * hops' counts was lost between them.  Whoever lies about its own count moves
 * the fault to one of its own two links.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/hold/hold_gauge.h"
#include "circuit/router.h"

struct circuit;
struct hold;
struct held;

enum search_kind {
	SEARCH_SILENCE, /* the far end answers no test */
	SEARCH_FORTH,   /* packets that we send are lost */
	SEARCH_BACK,    /* packets that we should get are lost */
};

enum search_phase {
	SEARCH_IDLE,
	SEARCH_DRAINING, /* what is under way may still arrive */
	SEARCH_FAR,      /* what is missing in all */
	SEARCH_HALVING,
	SEARCH_NEAR_AGAIN, /* both ends of the link that was found */
	SEARCH_FAR_AGAIN,
};

struct search {
	enum search_phase phase;
	enum search_kind kind;
	enum search_kind began_as;
	unsigned n_anew;
	circuit_no circuit;
	unsigned lo, hi; /* the fault is behind node lo, before or at node hi */
	int64_t lost_lo, lost_hi;
	int64_t lost_before; /* over the whole path, while it was good */
	int64_t lost_new;    /* since then */
	nsec wait;           /* for a receipt */
	/* The test under way. */
	unsigned hop;
	uint64_t token;
	uint64_t n_sent;
	nsec due;
};

void search_start(struct router *r, struct hold *h, const struct held *k,
		  enum search_kind kind, nsec now);
void search_cancel(struct search *s);
/* One that it awaits, and that was checked. */
void search_handle_receipt(struct router *r, struct hold *h,
			   const struct circuit *c, const struct msg_receipt *m,
			   nsec now);
bool search_awaits(const struct search *s, circuit_no c,
		   const struct msg_receipt *m);
void search_timeout(struct router *r, struct hold *h, nsec now);
