/* The origin's part of steered probes: the record, then rounds of T+1 copies
 * under one nonce, until a route is there or nothing more can be found.
 * protocol.md 12.2.  seek.c drives it as it drives rings (seek_inside.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"

enum arrival;
struct ring;
struct session;

/* Whether probes of ours are steered (the trees stand and the network has at
 * least config.flood_below nodes) or flooded. */
bool rounds_apply(const struct router *r, nsec now);

/* A copy came back: what it tells besides its code, which is settled after. */
void rounds_nak(struct router *r, struct session *s, const struct ring *g,
		const struct msg *m, nsec now);
/* A NAK that names a link: it is believed once its signature was checked. */
void rounds_blame(struct router *r, struct session *s, const struct ring *g,
		  const struct msg *m, enum arrival how, nsec now);
