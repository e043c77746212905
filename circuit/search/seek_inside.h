/* Inside of an attempt: what seek.c (its states) shares with the ways of
 * probing (seek_rings.c, rounds.c).  Nobody else includes it.
 */
#pragma once

#include "circuit/search/seek.h"

enum seek_state {
	SEEK_OPENING,    /* an OPEN is under way */
	SEEK_LOOKING_UP, /* the target's record is awaited */
	SEEK_PROBING,    /* a probe is out */
	SEEK_PAUSING,    /* before the next try */
	SEEK_FAILED,     /* remembered as unreachable */
};

enum seek_way {
	SEEK_UNDECIDED, /* nothing was probed yet */
	SEEK_BY_RINGS,
	SEEK_BY_ROUNDS,
};

struct seek {
	struct node_id target;
	uint64_t serial;
	enum seek_state state;
	enum seek_way way;
	struct hop_list *avoid; /* NULL: nothing */
	bool takes_shared;      /* routes that share links with it will do */
	bool is_urgent;         /* nothing carries */
	bool is_proved;
	bool was_heard; /* some reply has come */
	circuit_no opening;
	unsigned n_probes;
	struct nonce probe; /* the last one */
	nsec started;
	nsec probing_since;
	nsec next_at; /* the next probe goes out without waiting on */
	nsec hold_at; /* a route that is held back is used */
	nsec step_at; /* the end of the open, the pause, the memory */
	struct timer timer;
	UT_hash_handle hh;
	/* Rings. */
	bool is_last_resort; /* one only, and the largest */
	bool has_retried;
	uint8_t ttl;
	struct nonce apart; /* the companion of the last one, that leaves out
			       the first node of `avoid` */
	/* Rounds. */
	unsigned round;       /* the next one */
	unsigned n_dead_ends; /* rounds in a row that brought nothing new */
	bool is_direct;       /* the last probe went to the target alone */
	bool is_stale;        /* the record is looked up before the next one */
	struct locator *to;   /* NULL: not known yet */
	size_t n_avoid;
	size_t n_avoid_before; /* when the last round began */
	struct node_id avoid_ids[AVOID_MAX];
};

/* The attempt that a probe belongs to; NULL if it is over. */
struct seek *seek_of(struct router *r, const struct ring *g);

nsec seek_deadline(const struct seek *k);
/* Waits, until `step_at` if nothing else happens. */
void seek_enter(struct router *r, struct seek *k, enum seek_state state,
		nsec step_at);
/* What to do next when nothing is being opened. */
void seek_step(struct router *r, struct seek *k, nsec now);
void seek_fail(struct router *r, struct seek *k, bool is_proved, nsec now);
bool seek_is_holding(const struct seek *k);
/* Routes that share links with the one to avoid will do from now on. */
void seek_take_held(struct router *r, struct seek *k, nsec now);

/* ---- seek_rings.c ------------------------------------------------------ */

/* No route is left to try: waits for the rings that are out, or sends one. */
void seek_rings_step(struct router *r, struct seek *k, nsec now);
/* A ring of this attempt, perhaps not the last one, got a reply. */
void seek_rings_replied(struct router *r, struct seek *k, const struct ring *g,
			nsec now);
/* The last one has had its time. */
void seek_rings_late(struct router *r, struct seek *k, nsec now);
/* The pause is over. */
void seek_rings_again(struct router *r, struct seek *k, nsec now);
/* A single ring that reaches all, if nothing else was of use. */
void seek_rings_last_resort(struct router *r, struct seek *k, nsec now);

/* ---- rounds.c: likewise ------------------------------------------------ */

void rounds_step(struct router *r, struct seek *k, nsec now);
void rounds_replied(struct router *r, struct seek *k, const struct ring *g,
		    nsec now);
void rounds_late(struct router *r, struct seek *k, nsec now);
void rounds_again(struct router *r, struct seek *k, nsec now);
void rounds_looked_up(struct router *r, struct seek *k,
		      enum lookup_verdict verdict, nsec now);
void rounds_lookup_late(struct router *r, struct seek *k, nsec now);

/* rounds_avoid.c: from now on this attempt goes around a node; around those
 * that are known from before. */
void rounds_avoid(struct router *r, struct seek *k, const struct node_id *id);
void rounds_avoid_known(struct router *r, struct seek *k, nsec now);

/* rounds_copies.c: sends them, and says in `next_at` until when to wait. */
void rounds_send_copies(struct router *r, struct seek *k, struct ring *g,
			nsec now);
/* The link to the target itself is what is to be avoided. */
bool rounds_link_is_avoided(const struct seek *k);
