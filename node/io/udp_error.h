/* What ICMP says of datagrams that were sent: the error queue of a UDP socket.
 *
 * Anybody can forge it: it is a reason to ask, and no more than that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/endpoint.h"

enum {
	UDP_QUOTE_BYTES = 32,
};

struct udp_error {
	union endpoint remote; /* where the datagram was to go */
	int error;             /* ECONNREFUSED: nobody listens there */
	/* The beginning of what it held, if that was sent back with it. */
	uint8_t quote[UDP_QUOTE_BYTES];
	size_t len;
};

/* From now on the socket is ready with UV_PRIORITIZED when there is an error.
 * False if the kernel cannot tell. */
bool udp_error_enable(int fd, int family);

/* Takes one off the queue; false if there is none. */
bool udp_error_next(int fd, struct udp_error *out);
