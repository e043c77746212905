/* A spare circuit while there is something to lose: which nodes the router is
 * to hold. */
#include "node/channel/dest_wait.h"
#include "proto/base/mem.h"

/* Without a stream or packet for so long a node is held no longer. */
#define UNHOLD_NS (60 * NS_PER_S)

static bool is_worth_holding(const struct dest *t)
{
	const struct channel *c = t->client;

	return c != NULL && channel_is_up(c) &&
	       (!channel_is_unused(c) ||
		loop_now(t->dests->loop) - channel_last_used(c) < UNHOLD_NS);
}

void dest_hold_as_needed(struct dest *main)
{
	struct dests *d = main->dests;
	const struct dest *t = main;

	while (t != NULL && !is_worth_holding(t))
		t = t->apart;
	loop_timer_set(d->loop, &main->unused,
		       t != NULL ? loop_now(d->loop) + UNHOLD_NS : TIME_NEVER);
	if (main->is_held == (t != NULL))
		return;
	main->is_held = t != NULL;
	if (main->is_held)
		router_hold(d->router, &main->id, loop_now(d->loop));
	else
		router_release(d->router, &main->id, loop_now(d->loop));
}

static void unused_fired(struct timer *timer)
{
	dest_hold_as_needed(container_of(timer, struct dest, unused));
}

void dest_hold_init(struct dest *t)
{
	t->unused.fire = unused_fired;
}
