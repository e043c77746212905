/* Two local TCP connections joined, with back-pressure and half-closes: how a
 * service is forwarded from our overlay address to where it listens. */
#pragma once

#include <stdint.h>

#include "node/tcp.h"

#define SPLICE_CONNECT_NS   (10 * NS_PER_S)
#define SPLICE_HALF_OPEN_NS (300 * NS_PER_S)
/* Queued in each direction; then the other side is not read. */
#define SPLICE_QUEUE_BYTES (256 << 10)

struct splice;

typedef void splice_done(void *ctx);

/* Owns `a`, and connects it to `to`; if that fails, `a` is reset.  `done`
 * comes once, when both have ended. */
struct splice *splice_new(struct loop *l, struct tcp *a,
			  const union endpoint *to, splice_done *done,
			  void *ctx);
/* Resets both ends; `done` is not called. */
void splice_close(struct splice *sp);
