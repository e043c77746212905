/* LAN beacons: the clock and the checks of discovery/beacon.h joined to the
 * sockets of node/peers/lan.h.  What comes out are hints whom to dial. */
#pragma once

#include <stdint.h>

#include "discovery/beacon.h"
#include "node/config/config.h"
#include "node/io/loop.h"
#include "proto/cert.h"

struct lan_beacons;

struct lan_beacon_events {
	void (*hint)(void *ctx, const struct beacon_hint *hint,
		     uint32_t ifindex);
	void (*changed)(void *ctx); /* an interface came or went */
};

/* `c` is borrowed; the port announced is that of the first listener.  NULL: no
 * socket could be opened, which is logged. */
struct lan_beacons *lan_beacons_new(struct loop *l, const struct config *config,
				    const struct credentials *c,
				    const struct lan_beacon_events *ev,
				    void *ctx);
void lan_beacons_free(struct lan_beacons *b); /* NULL is allowed */
void lan_beacons_reload(struct lan_beacons *b, const struct config *config);
/* By enum beacon_verdict; NULL if there are no beacons. */
const uint64_t *lan_beacons_counters(const struct lan_beacons *b);
