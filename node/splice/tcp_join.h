/* Two local TCP connections joined, with back-pressure and half-closes: how a
 * service is forwarded from our overlay address to where it listens. */
#pragma once

#include <stdint.h>

#include "node/io/tcp.h"

#define TCP_JOIN_CONNECT_NS   (10 * NS_PER_S)
#define TCP_JOIN_HALF_OPEN_NS (300 * NS_PER_S)
/* Queued in each direction; then the other side is not read. */
#define TCP_JOIN_QUEUE_BYTES (256 << 10)

struct tcp_join;

typedef void tcp_join_done(void *ctx);

/* Owns `a`, and connects it to `to`; if that fails, `a` is reset.  `done`
 * comes once, when both have ended. */
struct tcp_join *tcp_join_new(struct loop *l, struct tcp *a,
			      const union endpoint *to, tcp_join_done *done,
			      void *ctx);
/* Resets both ends; `done` is not called. */
void tcp_join_close(struct tcp_join *j);
