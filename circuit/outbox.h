/* What waits to be pulled: messages to send and events. */
#pragma once

#include <stdbool.h>

#include "circuit/router.h"

struct out_msg;
struct out_event;

struct outbox {
	struct out_msg *msgs;   /* first in, first out */
	struct out_msg *pulled; /* lent to the caller */
	struct out_msg *spare;
	unsigned n_spare;
	struct out_event *events;
	struct out_event *pulled_event;
};

void outbox_deinit(struct outbox *o);

/* Queues a message and returns it to be filled in: only `type` is set, and
 * its other bytes are whatever they were. */
struct msg *outbox_add(struct outbox *o, session_no s, enum msg_type type);
bool outbox_next(struct outbox *o, struct router_send *out);
/* Drops what waits for a session that is gone. */
void outbox_session_down(struct outbox *o, session_no s);

/* `route` (may be NULL) is copied. */
void outbox_event(struct outbox *o, const struct router_event *ev,
		  const struct route_proof *route);
/* The record is copied. */
void outbox_event_record(struct outbox *o, const struct router_event *ev,
			 const struct record *rec);
bool outbox_next_event(struct outbox *o, struct router_event *out);
