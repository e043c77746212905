/* Opening circuits along proven paths, and closing them: OPEN, OPENED, CLOSE.
 * protocol.md 6.1 to 6.4.
 */
#pragma once

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

enum arrival;
struct neighbour;
struct route;
struct session;

/* An open_id that was used: the same OPEN does not work twice. */
struct open_id;

struct open_ids {
	struct open_id *all;
};

void open_ids_deinit(struct router *r);
void open_id_timeout(struct router *r, struct timer *t, nsec now);

/* Sends OPEN along a route of ours.  0 if its first hop is gone or a cap is
 * reached. */
circuit_no open_start(struct router *r, const struct route *route, nsec now);

void open_handle(struct router *r, struct session *s, const struct msg *m,
		 enum arrival how, nsec now);
/* An identity that it names did not come. */
void open_give_up(struct router *r, struct session *s,
		  const struct msg_open *o);
void open_handle_opened(struct router *r, struct session *s,
			const struct msg_opened *o, nsec now);
void open_handle_close(struct router *r, struct session *s,
		       const struct msg_close *c, nsec now);
