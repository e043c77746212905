/* What path tests tell of one circuit: its round trip, its loss, and whether
 * it still carries what is put into it.  protocol.md 13.3.
 *
 * Pure arithmetic.  Counters are compared with those of an earlier test, so
 * that what is under way, or was lost long ago, counts for nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

/* One test of the far end: how many packets we had put in when it began and
 * got when it ended, and what the far end had got and put in. */
struct gauge_reading {
	uint64_t sent, received;
	uint64_t n_forth, n_back;
};

enum gauge_verdict {
	GAUGE_GOOD,
	GAUGE_DOUBTFUL, /* another test will tell */
	GAUGE_FAILS_FORTH,
	GAUGE_FAILS_BACK,
};

struct gauge {
	nsec rtt, rtt_var; /* smoothed; rtt 0: not measured yet */
	uint8_t loss;      /* 1/255, smoothed, both ways together */
	unsigned n_silent; /* tests in a row that nobody answered */
	/* The last reading that was good, the last one before anything
	 * unusual was lost, and the one loss is counted from. */
	struct gauge_reading good, clean, mark;
	unsigned n_unclean;    /* good readings since `clean` */
	unsigned n_bad[2];     /* readings in a row: forth, back */
	uint64_t n_doubted;    /* packets of the last reading, if it was bad */
	uint64_t n_in, n_lost; /* in the last reading, both ways */
	uint64_t lost[2];      /* the same: forth, back */
	bool is_dark;          /* in the last reading nothing arrived */
	struct gauge_reading last;
	uint64_t ahead[2]; /* at `good`: that had overtaken it; forth, back */
};

void gauge_rtt(struct gauge *g, nsec rtt);
enum gauge_verdict gauge_read(struct gauge *g, const struct gauge_reading *now);

/* So much was lost in the last reading that it needs an explanation, if what
 * has an echo had none any more. */
bool gauge_has_gap(const struct gauge *g);

/* Nobody is to blame for what the last reading says: the next one begins
 * there. */
void gauge_forgive(struct gauge *g);

/* How long to wait for a receipt before it counts as silence; `expected` is
 * the round trip to assume while none is measured. */
nsec gauge_wait(const struct gauge *g, nsec expected);

/* After how much less it is odd that there is none yet. */
nsec gauge_doubt(const struct gauge *g, nsec expected);
/* The same of an echo to what is sent, which the far end may take its time
 * for. */
nsec gauge_echo(const struct gauge *g);

/* Less is better; what circuits to one node are ranked by.  A packet that is
 * lost comes several round trips late. */
nsec gauge_metric(const struct gauge *g, nsec expected);
/* Better by so much that a change is worth it. */
bool gauge_is_better(nsec metric, nsec than);
