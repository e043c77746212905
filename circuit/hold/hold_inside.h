/* The inside of a held destination: for hold*.c only. */
#pragma once

#include "circuit/core.h"
#include "circuit/hold/hold_gauge.h"
#include "circuit/hold/hold_search.h"

/* One that carries, two spares, one that is searched, and newcomers. */
#define HELD_MAX 6

/* A path test of ours whose receipt is awaited. */
struct test {
	uint64_t token; /* 0: none */
	nsec sent_at, due;
	nsec doubt_at;   /* traffic need not wait longer */
	bool is_late;    /* we were, and looked again a little later */
	uint64_t n_sent; /* packets that we had put in then */
};

/* One of our circuits to the destination. */
struct held {
	circuit_no no;
	bool has_failed; /* its test: it is searched, and not used if there is
			    another */
	struct gauge gauge;
	nsec expected; /* round trip, while none is measured */
	struct test test;
	struct test late; /* the one before, given up */
	nsec tested_at, next_test;
	/* Packets as of the last look and the last test: towards origin,
	 * towards target. */
	uint64_t seen[2], tested[2];
	nsec relieved_at;
};

struct hold {
	struct node_id target;
	bool is_held;  /* else it is only pinned */
	bool is_asked; /* the node wants a circuit, and be told if not */
	struct held held[HELD_MAX];
	unsigned n;
	circuit_no carries, spare, pinned;
	circuit_no also; /* is sent a copy of what goes over the one that
			    carries; 0: none */
	nsec broken[2];  /* when the last two were lost; 0: never */

	nsec last_traffic, last_got, next_look, next_glance;
	nsec mute_wait;  /* before the next test for want of an echo */
	circuit_no left; /* upon a mere doubt; 0 */
	uint64_t n_got;  /* packets at the last look */
	uint64_t n_put;  /* and those sent */
	uint64_t n_peak; /* and at the fullest one lately */
	bool is_tidy;    /* nothing has come or gone since it was tidied */

	nsec switched_at;
	circuit_no better; /* measured so since then */
	nsec better_since, settle;

	nsec next_seek;
	nsec sought;           /* when one was begun last; 0: never */
	unsigned n_vain;       /* seeks in a row that brought nothing */
	struct hop_list *lost; /* of the last one that carried; NULL */

	struct search search;
	struct node_id blamed, blamed_next;
	nsec blamed_at;
	struct timer timer;
	UT_hash_handle hh;
};

/* A spare is looked for a little after the first circuit is up; at once where
 * circuits break often. */
#define HOLD_SPARE_SOON_NS     (300 * NS_PER_MS)
#define HOLD_SPARE_RESTLESS_NS (20 * NS_PER_MS)

struct hold *hold_find(const struct router *r, const struct node_id *target);
/* Made if it is not there; NULL if there are too many. */
struct hold *hold_get(struct router *r, const struct node_id *target, nsec now);
/* Frees one that nobody wants any more. */
void hold_put(struct router *r, struct hold *h);

void hold_hops(const struct router *r, const struct held *k,
	       struct hop_list *out);
/* What a circuit has in common with another one (NULL: with none). */
struct overlap hold_overlap(const struct router *r, const struct held *k,
			    const struct held *with, nsec now);
struct held *hold_held(struct hold *h, circuit_no no);
/* The best one besides `no` that has not failed; NULL. */
struct held *hold_spare(const struct router *r, struct hold *h, circuit_no no,
			nsec now);
void hold_switch(struct router *r, struct hold *h, circuit_no to, nsec now);
/* Something has changed: the timer fires at once and sees to it. */
void hold_stir(struct router *r, struct hold *h, nsec now);

void hold_adopt(struct router *r, struct hold *h, struct circuit *c, nsec now);

/* Looks whether what was sent has an echo. */
void hold_glance(struct router *r, struct hold *h, nsec now);
/* Looks at the traffic, begins tests that are due and gives up those that
 * nobody answered (hold_look.c). */
void hold_tests_timeout(struct router *r, struct hold *h, nsec now);

/* A circuit was lost; whether there is to be a second one that all goes over
 * (hold_twice.c). */
void hold_note_broken(struct hold *h, nsec now);
bool hold_is_restless(const struct hold *h, nsec now);
void hold_twice(struct router *r, struct hold *h, nsec now);

/* Looks for a circuit, if one is to be wished for (hold_seek.c). */
void hold_seek(struct router *r, struct hold *h, nsec now);
void hold_seek_within(struct hold *h, nsec at);

/* A search has ended: the link behind node `near` is to blame; -1: none. */
void hold_searched(struct router *r, struct hold *h, int near, nsec now);
