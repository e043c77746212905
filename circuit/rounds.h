/* The origin's part of steered probes: the record, then rounds of T+1 copies
 * under one nonce, until a route is there or nothing more can be found.
 * protocol.md 12.2.  seek.c drives it as it drives rings (ring.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "circuit/router.h"

struct ring;
struct seek;
struct neighbour;

/* Whether probes of ours are steered (the trees stand and the network has at
 * least config.flood_below nodes) or flooded. */
bool rounds_apply(const struct router *r, nsec now);
