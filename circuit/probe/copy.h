/* One copy of a probe that we passed on: where it came from, whom it went to,
 * and who has not replied yet.  protocol.md 5.5.
 *
 * Upstream is told exactly once: by the first ANSWER, or by one NAK when all
 * replies are in, or when its patience is about to end.  The copy is kept for
 * as long as the probe is valid: later answers find their way by it, and a new
 * neighbour is offered it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "circuit/probe/replies.h"
#include "circuit/router.h"
#include "circuit/probe/steer.h"
#include "circuit/timer.h"

struct seen;
struct session;

struct copy {
	struct seen *probe;
	session_no from;
	uint8_t tree;            /* TREE_FLOOD for those of a flood */
	bool is_told;            /* upstream has had its reply */
	struct steered *steered; /* steered and not told: how to go on */
	struct replies replies;
	size_t n_hops; /* we are the last of them */
	struct hop *hops;
	struct timer timer;
	struct copy *prev, *next;         /* of the same probe */
	struct copy *all_prev, *all_next; /* of all */
};

/* `hops` ends with us and is copied; upstream is told at `patience` at the
 * latest. */
struct copy *copy_new(struct router *r, struct seen *e, session_no from,
		      uint8_t tree, const struct hop_list *hops, nsec patience);
void copy_free(struct router *r, struct copy *c);

/* How long a relay waits for replies: they have to be upstream before its own
 * patience ends. */
nsec copy_patience(const struct session *from, uint32_t deadline_ms);

/* Sends the copy to a session, which then owes a reply within `wait`.  Returns
 * the message, to fill in how it is steered. */
struct msg_probe *copy_send(struct router *r, struct copy *c,
			    const struct session *to, nsec wait);

void copy_handle_nak(struct router *r, struct copy *c, session_no from,
		     enum nak_code code, nsec now);
/* Tells upstream without waiting for more. */
void copy_end(struct router *r, struct copy *c, enum nak_code code);
/* An answer is being passed upstream. */
void copy_answered(struct router *r, struct copy *c, session_no from);

void copy_timeout(struct router *r, struct timer *t, nsec now);
void copies_session_down(struct router *r, session_no s, nsec now);
