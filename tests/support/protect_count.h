/* A backend of packet protection that counts the keys which are made of it. */
#pragma once

#include "node/quic/protect_ops.h"

struct counted_protect {
	struct protect protect; /* to be used in place of the real one */
	struct protect_ops ops;
	const struct protect *real;
	unsigned n_keys[PROTECT_MASK + 1];
};

void protect_count(struct counted_protect *c, const struct protect *real);
