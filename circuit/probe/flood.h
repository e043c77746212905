/* Probes of others: the checks, the relay's part and the target's part.
 * protocol.md 5.4 to 5.6.
 */
#pragma once

#include "circuit/probe/copy.h"
#include "circuit/router.h"
#include "circuit/probe/seen.h"

enum arrival;
struct session;

struct floods {
	struct seen *seen;
	struct copy *copies;
};

void floods_deinit(struct router *r);

enum msg_verdict flood_handle_probe(struct router *r, struct session *s,
				    const struct msg *m, enum arrival how,
				    nsec now);
/* The origin's identity did not come. */
void flood_give_up(struct router *r, struct session *s,
		   const struct msg_probe *p);
void flood_handle_nak(struct router *r, struct session *s,
		      const struct msg_nak *n, nsec now);
/* Probes heard of lately, to a new neighbour. */
void flood_offer(struct router *r, struct session *s, nsec now);
