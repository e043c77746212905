/* A local TCP connection: an app that came to our SOCKS port, or a service
 * that we connect to.
 *
 * Writing takes everything.  It is gathered until the turn ends (a stream comes
 * in small packets, and each write costs), and what the kernel does not take
 * then stays queued; `written` tells when the queue has shrunk.  The caller
 * bounds it by not reading (or not consuming) more from the other side.  No
 * callback is made from inside a call; after tcp_close() or tcp_reset() none
 * follows.  The process must ignore SIGPIPE.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/io/loop.h"
#include "proto/endpoint.h"

struct tcp;

struct tcp_events {
	/* After tcp_connect(); failures arrive as `failed`. */
	void (*connected)(void *ctx);
	/* How much to read at most, at least 1; asked before each read.  NULL:
	 * what comes. */
	size_t (*room)(void *ctx);
	void (*data)(void *ctx, const uint8_t *data, size_t len);
	/* The other side will send no more. */
	void (*ended)(void *ctx);
	/* The kernel has taken some of what was queued: see tcp_queued(). */
	void (*written)(void *ctx);
	/* The last callback: -errno.  tcp_close() is still the caller's. */
	void (*failed)(void *ctx, int rv);
};

/* Connects; `failed` comes with -ETIMEDOUT after `timeout`. */
struct tcp *tcp_connect(struct loop *l, const union endpoint *to, nsec timeout,
			const struct tcp_events *ev, void *ctx);
/* The same in two steps: first at an address of ours, with the port that is to
 * be known before.  NULL: none is left, or the address is not there. */
struct tcp *tcp_bind(struct loop *l, const union endpoint *at, uint16_t *port);
/* Between the two: the most that may be under way in each direction, about. */
void tcp_limit_buffers(struct tcp *t, int bytes);
void tcp_begin(struct tcp *t, const union endpoint *to, nsec timeout,
	       const struct tcp_events *ev, void *ctx);
void tcp_set_events(struct tcp *t, const struct tcp_events *ev, void *ctx);

/* A new connection does not read until it is told to. */
void tcp_read(struct tcp *t, bool on);
void tcp_write(struct tcp *t, const uint8_t *data, size_t len);
/* What the kernel has not taken yet. */
size_t tcp_queued(const struct tcp *t);
/* Half-close, once the queue is empty. */
void tcp_end(struct tcp *t);

void tcp_close(struct tcp *t); /* drops the queue */
void tcp_reset(struct tcp *t); /* the other side sees a reset */

/* The addresses of both ends; false if the socket has gone. */
bool tcp_peer(const struct tcp *t, union endpoint *out);
bool tcp_local(const struct tcp *t, union endpoint *out);

/* ---- listening ---- */

struct tcp_listener;

/* A new connection: the callee owns `t`. */
typedef void tcp_accepted(void *ctx, struct tcp *t);

/* `overlay`: IPv6 only, and the address need not be there (yet).  0 or
 * -errno. */
int tcp_listen(struct tcp_listener **out, struct loop *l,
	       const union endpoint *at, bool overlay, tcp_accepted *accepted,
	       void *ctx);
void tcp_listener_close(struct tcp_listener *tl); /* NULL is allowed */
bool tcp_listener_local(const struct tcp_listener *tl, union endpoint *out);

/* For tcp_listen(): a connection that waits at `server`; NULL if it has gone
 * meanwhile. */
struct tcp *tcp_accept(struct loop *l, uv_stream_t *server);
