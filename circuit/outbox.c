#include "circuit/outbox.h"

#include <stdlib.h>

#include <utlist.h>

#include "proto/base/mem.h"

/* A message is some 10 KiB: two are kept rather than allocated anew.  More
 * would weigh where one process has thousands of routers. */
#define SPARE_MAX 2

struct out_msg {
	session_no session;
	struct out_msg *prev, *next;
	struct msg msg;
};

struct out_event {
	struct router_event event;
	struct route_proof *route;
	struct record *record;
	struct out_event *prev, *next;
};

static void release(struct outbox *o, struct out_msg *m)
{
	if (m == NULL)
		return;
	if (o->n_spare == SPARE_MAX) {
		free(m);
		return;
	}
	LL_PREPEND(o->spare, m);
	o->n_spare++;
}

static void event_free(struct out_event *e)
{
	if (e == NULL)
		return;
	free(e->route);
	free(e->record);
	free(e);
}

void outbox_deinit(struct outbox *o)
{
	struct out_msg *m, *next;
	struct out_event *e, *next_event;

	DL_FOREACH_SAFE (o->msgs, m, next)
		free(m);
	LL_FOREACH_SAFE(o->spare, m, next)
	free(m);
	free(o->pulled);
	DL_FOREACH_SAFE (o->events, e, next_event)
		event_free(e);
	event_free(o->pulled_event);
	*o = (struct outbox){ 0 };
}

struct msg *outbox_add(struct outbox *o, session_no s, enum msg_type type)
{
	struct out_msg *m = o->spare;

	if (m != NULL) {
		LL_DELETE(o->spare, m);
		o->n_spare--;
	} else {
		m = mem_realloc(NULL, 1, sizeof *m);
	}
	m->session = s;
	m->msg.type = type;
	DL_APPEND(o->msgs, m);
	return &m->msg;
}

bool outbox_next(struct outbox *o, struct router_send *out)
{
	struct out_msg *m = o->msgs;

	release(o, o->pulled);
	o->pulled = m;
	if (m == NULL)
		return false;
	DL_DELETE(o->msgs, m);
	*out = (struct router_send){ .session = m->session, .msg = &m->msg };
	return true;
}

void outbox_session_down(struct outbox *o, session_no s)
{
	struct out_msg *m, *next;

	DL_FOREACH_SAFE (o->msgs, m, next) {
		if (m->session != s)
			continue;
		DL_DELETE(o->msgs, m);
		release(o, m);
	}
}

void outbox_event(struct outbox *o, const struct router_event *ev,
		  const struct route_proof *route)
{
	struct out_event *e = mem_new(e);

	e->event = *ev;
	if (route != NULL) {
		e->route = mem_new(e->route);
		*e->route = *route;
		e->event.route = e->route;
	}
	DL_APPEND(o->events, e);
}

void outbox_event_record(struct outbox *o, const struct router_event *ev,
			 const struct record *rec)
{
	struct out_event *e = mem_new(e);

	e->record = mem_new(e->record);
	*e->record = *rec;
	e->event = *ev;
	e->event.record = e->record;
	DL_APPEND(o->events, e);
}

bool outbox_next_event(struct outbox *o, struct router_event *out)
{
	struct out_event *e = o->events;

	event_free(o->pulled_event);
	o->pulled_event = e;
	if (e == NULL)
		return false;
	DL_DELETE(o->events, e);
	*out = e->event;
	return true;
}
