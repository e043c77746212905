/* Routes between the router and the database. */
#pragma once

#include "circuit/router.h"

struct store;
struct neighbours;

void keep_route_put(struct store *s, const struct route_proof *route);
void keep_route_del(struct store *s, const struct route_proof *route);
/* At the start: every stored peer and route that is still good. */
void keep_load(struct store *s, struct router *r, struct neighbours *nb,
	       nsec now);
