/* Who may say why a circuit ends: CLOSE as it is made, passed on, and judged
 * at the ends.  protocol.md 6.4.
 */
#pragma once

#include <stdbool.h>

#include "circuit/router.h"

struct circuit;
struct session;

/* Signs what we say ourselves: `next` (NULL: none) is the other end of the
 * link that is at fault. */
void closing_make(struct router *r, struct msg_close *out,
		  const struct nonce *open_id, enum close_reason reason,
		  const struct node_id *next);

/* To the neighbour that asked, unsigned. */
void closing_refuse(struct router *r, const struct session *s,
		    const struct nonce *open_id, enum close_reason reason);
/* We have no such circuit, by a restart perhaps: who believes in it learns so,
 * within the neighbour's quota. */
void closing_unknown(struct router *r, const struct session *s,
		     const struct nonce *open_id, nsec now);

/* Whether a relay passes a CLOSE on as it came: it is signed, and nothing that
 * we know speaks against it. */
bool closing_may_pass(struct router *r, const struct circuit *c,
		      const struct msg_close *m, nsec now);

/* What an end of the circuit makes of a CLOSE that `from` brought. */
struct closing {
	enum close_reason reason;
	/* The link that it names; either is zero where it names none.  What
	 * nothing proves is said by the neighbour alone. */
	struct node_id reporter, next;
	bool is_proved;
};
struct closing closing_judge(struct router *r, const struct circuit *c,
			     const struct msg_close *m,
			     const struct session *from, nsec now);
