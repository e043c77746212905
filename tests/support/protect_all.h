/* Every backend of packet protection that is here. */
#pragma once

#include "node/quic/protect.h"

/* How many; those that are not here are told.  protect_free() is the caller's.
 */
size_t protect_open_all(struct protect *out[PROTECT_CHOICES]);
