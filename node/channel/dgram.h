/* A local UDP socket: a SOCKS association's, or one towards a published
 * service.  Sends at once or not at all; nothing is queued. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/io/loop.h"
#include "proto/endpoint.h"

struct dgram;

struct dgram_events {
	/* One datagram, whole; borrowed for the call. */
	void (*data)(void *ctx, const union endpoint *from, const uint8_t *data,
		     size_t len);
	/* -errno: for a connected socket, mostly a refusal by its other end.
	 * The socket goes on. */
	void (*failed)(void *ctx, int rv);
};

/* Bound to a local address (port 0: any), open to all; or connected to one.
 * 0 or -errno. */
int dgram_bind(struct dgram **out, struct loop *l, const union endpoint *at,
	       const struct dgram_events *ev, void *ctx);
/* The same for our overlay address, which need not be there yet. */
int dgram_bind_overlay(struct dgram **out, struct loop *l,
		       const union endpoint *at, const struct dgram_events *ev,
		       void *ctx);
int dgram_connect(struct dgram **out, struct loop *l, const union endpoint *to,
		  const struct dgram_events *ev, void *ctx);

/* `head` and `data` make one datagram; `to` is NULL if connected. */
bool dgram_send(struct dgram *d, const union endpoint *to, const uint8_t *head,
		size_t head_len, const uint8_t *data, size_t len);
bool dgram_local(const struct dgram *d, union endpoint *out);
void dgram_close(struct dgram *d); /* no callback follows */
