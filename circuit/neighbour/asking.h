/* Asking for identities, being asked, and messages that wait for one.
 * protocol.md 5.2.
 *
 * A message whose signatures cannot be checked, as it names an unknown node, is
 * parked, and the session it came from is asked for the certificate
 * (PEER_QUERY).  When all are known the message is handled as if it had just
 * come; when an answer fails to come it is given up.
 *
 * A node that passes ANSWER or OPEN on asks for the nodes named on the side
 * that it came from, but does not wait; when the next node asks it in turn, it
 * answers as soon as it knows.  So the certificates travel one hop behind the
 * message, and the ends wait for one round trip rather than for one a hop. What
 * is told without a question spares that, too: telling.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

struct session;
struct asked;
struct wanted;
struct parked;

struct asking {
	struct asked *asked;
	struct wanted *wanted;
	struct parked *parked;
	struct parked *ready;
	unsigned n_parked, n_parked_probes;
};

void asking_deinit(struct router *r);

/* A list of ids without those that are known. */
struct id_list {
	size_t n;
	struct node_id ids[PEER_QUERY_IDS_MAX];
};
void asking_miss(struct router *r, struct id_list *missing,
		 const struct node_id *id, nsec now);

/* Asks a session for those that it was not asked for already. */
void asking_send(struct router *r, struct session *s,
		 const struct id_list *missing, nsec now);

/* Keeps a copy of `m` until all that is missing is there, and asks for it.
 * False if there is no room. */
bool asking_park(struct router *r, struct session *s, const struct msg *m,
		 const struct id_list *missing, nsec now);

/* The keyring has a new identity.  What waited for it is handled by a timer
 * that fires at once: there the time is known. */
void asking_learnt(struct router *r, const struct node_id *id);

/* A certificate, and who has it; an empty one if we do not. */
void asking_send_info(struct router *r, struct session *s,
		      const struct node_id *id);

void asking_handle_query(struct router *r, struct session *s,
			 const struct msg_peer_query *q, nsec now);
void asking_handle_info(struct router *r, struct session *s,
			const struct msg_peer_info *info, nsec now);
void asking_session_down(struct router *r, struct session *s);

void asking_timeout(struct router *r, struct timer *t, nsec now);
void asking_parked_timeout(struct router *r, struct timer *t, nsec now);
