/* ANSWER on its way back: the relay's part.  protocol.md 5.7. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "circuit/router.h"

struct session;

void answer_handle(struct router *r, struct session *s,
		   const struct route_proof *p, nsec now);

/* What relay and origin check alike: the answer to this very probe, all of its
 * path behind `own` (-1: the origin) signed, a sane end of life. */
bool answer_fits(const struct router *r, const struct route_proof *p,
		 const struct node_id *target,
		 const uint8_t probe_body[PROBE_BODY_BYTES], ptrdiff_t own,
		 nsec now);
