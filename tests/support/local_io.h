/* Clients and servers on the loopback interface for tests that run a real
 * loop in the same thread: nothing here blocks for longer than WAIT_S.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/io/loop.h"
#include "proto/endpoint.h"

#define WAIT_S 5
#define RUN_S  20

union endpoint local_at(uint16_t port); /* 127.0.0.1 */

/* Runs the loop until `cond(ctx)`; false after WAIT_S. */
bool local_run_until(struct loop *l, bool (*cond)(void *ctx), void *ctx);
/* Runs the loop until somebody stops it; false after RUN_S. */
bool local_run(struct loop *l);
/* Runs what is ready, and a little more. */
void local_run_some(struct loop *l);

/* Non-blocking sockets of the test itself. */
int local_client(struct loop *l, uint16_t port); /* TCP, connected */
int local_server(uint16_t *port);                /* TCP, listening */
int local_server_accept(struct loop *l, int fd);
int local_udp(uint16_t *port);
/* An address at which nobody listens to UDP: the system picks the port. */
union endpoint local_udp_free(void);

/* Sends all of it, running the loop meanwhile. */
bool local_send(struct loop *l, int fd, const void *data, size_t len);
/* Receives exactly `len` bytes. */
bool local_recv(struct loop *l, int fd, void *data, size_t len);
/* One datagram; its length, or -1. */
ssize_t local_recv_datagram(struct loop *l, int fd, void *data, size_t cap,
			    union endpoint *from);

enum local_end {
	LOCAL_NOTHING, /* no end within WAIT_S */
	LOCAL_EOF,
	LOCAL_RESET,
	LOCAL_DATA,
};
/* What comes next. */
enum local_end local_next(struct loop *l, int fd);
