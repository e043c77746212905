/* Between the files circuit/tree/tree*.c only. */
#pragma once

#include "circuit/core.h"

enum place_state {
	PLACE_NEW,      /* not looked at */
	PLACE_CHECKING, /* identities or tokens to verify it are awaited */
	PLACE_FAILED,   /* the identities did not come: tried again later */
	PLACE_GOOD,     /* every signature is right */
};

/* Where a neighbour says it is in one tree: the path of its beacon, of which it
 * is the last node itself.  Exactly as large as it must be. */
struct place {
	struct tree_root root;
	/* A later sign of life of that root, as the neighbour told it. */
	struct tree_root *beat;
	uint64_t rank; /* of the root: less is better */
	uint16_t cost; /* of the link to us, as the neighbour has signed it */
	enum place_state state;
	bool is_ours;  /* our own place goes on from it */
	bool is_loop;  /* leads over us */
	bool is_child; /* and we are just before the neighbour */
	unsigned n_failed;
	nsec retry;              /* CHECKING and FAILED: looked at anew then */
	uint8_t chain[HASH_LEN]; /* behind the last node, if GOOD */
	size_t n;
	struct coord_hop *coord;
	struct tree_hop *hop; /* NULL with is_loop: never used */
};

/* What a neighbour has heard from us about one tree. */
enum told {
	TOLD_NOTHING,
	TOLD_GONE, /* that we are nowhere */
	TOLD_PLACE,
};

struct tree_branch {
	struct place *place; /* NULL: not known */
	enum told told;
	uint8_t level;      /* of the hold-down */
	uint16_t told_link; /* cost of the link as we signed it */
	uint32_t told_cost; /* of our way from the root */
	uint64_t told_rank; /* its root's */
	uint64_t told_version;
	bool is_void; /* what it was told is a way that is gone */
	nsec told_at; /* our place, for the last time; 0: never */
	nsec gone_at; /* that it is gone, likewise */
	nsec due;     /* to be told then */
	nsec beat_due;
	nsec beat_at; /* it was passed a beat or beacon then */
};

struct tree_peer {
	struct neighbour *n;
	struct timer timer;
	struct bucket beacons;
	struct tree_branch branch[TREES];
};

struct tree {
	unsigned no;
	struct timer timer;
	uint64_t own_rank;
	/* Our place is that of the parent, as it was verified, and ourselves.
	 * Without parent it is empty, and we are the root.  NULL: nowhere. */
	struct place *at;
	struct neighbour *parent;
	uint64_t version; /* grows with each change of it */
	/* The last sign of life of its root, verified. */
	struct tree_root newest;
	/* The last root we had: no older path from it is taken again. */
	struct node_id last_root;
	uint64_t last_issued_ms;
	nsec wait; /* to be root then if none was heard of */
	nsec beat, beat_gap, refresh;
	nsec settled; /* from then on it keeps apart from those before it */
	nsec retry;   /* something is to be verified again */
	uint64_t own_issued_ms; /* what we have signed last */
};

/* ---- tree_place.c ------------------------------------------------------ */

/* SHA-256("root" ‖ tree ‖ id), the first 8 bytes. */
uint64_t tree_rank(unsigned tree, const struct node_id *id);

struct place *place_new(const struct router *r, const struct msg_beacon *b);
/* Of a root itself: no node is before it. */
struct place *place_of_root(const struct tree_root *root, uint64_t rank);
struct place *place_copy(const struct place *p);
void place_free(struct place *p);

/* The beacon as it came; `hop` must be there. */
void place_write(struct msg_beacon *out, const struct place *p);
/* From the root to the neighbour. */
uint32_t place_depth(const struct place *p);
/* From the root to us, as it is signed. */
uint16_t place_end(const struct place *p);
/* From the root to us over this neighbour, as we see it. */
uint32_t place_cost(const struct place *p, const struct neighbour *n);
/* Whether it says nothing that matters beside what was known. */
bool place_is_alike(const struct place *old, const struct place *new);
uint64_t place_issued_ms(const struct place *p); /* newest sign of its root */

/* Whether it is the place of this beacon that is being checked: another may
 * have come meanwhile. */
bool place_awaits(const struct place *p, const struct msg_beacon *b);

/* Nodes whose identities must be known before it can be verified. */
void place_missing(struct router *r, const struct place *p,
		   struct id_list *missing, nsec now);
enum signed_verdict place_verify(struct router *r, struct place *p, nsec now);

/* ---- tree_parent.c ----------------------------------------------------- */

/* Decides anew where we are, in this tree and in those that depend on it. */
void tree_choose(struct router *r, struct tree *t, nsec now);
/* Whether a place of a neighbour can change what was decided. */
bool tree_matters(const struct router *r, const struct tree *t,
		  const struct neighbour *n, const struct place *p);
/* Forgets what a neighbour said. */
void tree_drop_place(struct tree *t, struct neighbour *n);
/* Nobody is left to be in a tree with. */
void tree_leave(struct router *r, struct tree *t, nsec now);
void tree_move(struct router *r, struct tree *t, struct place *at,
	       struct neighbour *parent, nsec now);
/* What could not be verified when it came. */
void tree_check_again(struct router *r, struct tree *t, nsec now);

/* ---- tree_root.c ------------------------------------------------------- */

bool tree_is_alive(const struct router *r, uint64_t issued_ms, nsec now);
/* Only who relays can be a root. */
uint64_t tree_own_rank(const struct router *r, const struct tree *t);
/* Waits to be the root, if we may be. */
void tree_await_root(struct router *r, struct tree *t, nsec now);
void tree_set_timer(struct router *r, struct tree *t, nsec now);

/* ---- tree_announce.c --------------------------------------------------- */

void tree_announce(struct router *r, struct tree *t, nsec now);
/* The place that neighbours know is not there any more: they are told so before
 * they are told of another. */
void tree_void(struct router *r, struct tree *t);
void tree_announce_to(struct router *r, struct tree *t, struct neighbour *n,
		      nsec now);
/* A sign of life goes to our children, and to those who know of no root as good
 * as ours; to one neighbour. */
void tree_beat_children(struct router *r, struct tree *t, nsec now);
void tree_beat_to(struct router *r, struct tree *t, struct neighbour *n,
		  nsec now);
