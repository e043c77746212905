/* Thin traffic where circuits break often: it goes over the spare as well.
 * protocol.md 13.1. */
#include "circuit/hold/hold_inside.h"

/* Two that carried or stood by were lost within this time: more will be. */
#define RESTLESS_NS (60 * NS_PER_S)
/* Packets between two looks; more than that are not sent twice. */
#define THIN_PACKETS 8

void hold_note_broken(struct hold *h, nsec now)
{
	h->broken[0] = h->broken[1];
	h->broken[1] = now;
}

bool hold_is_restless(const struct hold *h, nsec now)
{
	return h->broken[0] != 0 && now - h->broken[0] < RESTLESS_NS;
}

bool hold_breaks_often(struct router *r, const struct node_id *target, nsec now)
{
	const struct hold *h = hold_find(r, target);

	return h != NULL && hold_is_restless(h, now);
}

void hold_twice(struct router *r, struct hold *h, nsec now)
{
	circuit_no also = 0;

	if (h->carries != 0 && h->pinned == 0 && h->n_put <= THIN_PACKETS &&
	    hold_is_restless(h, now))
		also = h->spare;
	if (also == h->also)
		return;
	h->also = also;
	outbox_event(&r->out,
		     &(struct router_event){ .type = ROUTER_CARRIES,
					     .circuit = h->carries,
					     .also = also,
					     .peer = h->target },
		     NULL);
}
