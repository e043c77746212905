/* Time as the core sees it: monotonic nanoseconds that the caller passes in.
 * Nothing below `node` reads a clock.  Wall-clock values (`*_ms` since 1970)
 * appear only where two nodes must agree on an expiry.
 */
#pragma once

#include <stdint.h>

typedef uint64_t nsec;

#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_S   UINT64_C(1000000000)
#define TIME_NEVER UINT64_MAX

static inline nsec time_min(nsec a, nsec b)
{
	return a < b ? a : b;
}
