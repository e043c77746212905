/* The UDP sockets: one per address family and listening port; batched reads
 * (recvmmsg, GRO) and writes (GSO), with the true local address and interface
 * of every datagram.  Falls back where the kernel refuses an option.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/io/loop.h"
#include "proto/endpoint.h"

#define UDP_PAYLOAD_MAX 1472

struct udp;
struct udp_error;

struct udp_path {
	union endpoint local; /* port is the socket's */
	union endpoint remote;
	unsigned ifindex; /* 0: not known yet */
};

/* One datagram; `data` is valid for the call. */
typedef void udp_received(void *ctx, const struct udp_path *path, uint8_t ecn,
			  const uint8_t *data, size_t len);

/* ICMP says that one did not arrive.  It may be forged. */
typedef void udp_failed(void *ctx, const struct udp_error *e);

struct udp *udp_new(struct loop *l, udp_received *received, udp_failed *failed,
		    void *ctx);
void udp_free(struct udp *u);

/* Opens a socket; `[::]` serves IPv6 only (listen to 0.0.0.0 as well for
 * IPv4).  0 or -errno. */
int udp_listen(struct udp *u, const union endpoint *at);

/* The path that the kernel would take to `remote`, and the MTU of its
 * interface.  -errno if there is no route or no socket of that family. */
int udp_route(struct udp *u, const union endpoint *remote, struct udp_path *out,
	      unsigned *mtu);

/* Whether the interface is there, up, and has a carrier. */
bool udp_interface_is_up(struct udp *u, unsigned ifindex);

/* ---- writing ---- a batch gathers packets of equal size to one path. */
struct udp_batch;
struct udp_batch *udp_batch_get(struct udp *u);
/* Sends what it holds and gives it back.  0, or the -errno of a packet that the
 * kernel did not take, of all since the batch was got. */
int udp_batch_put(struct udp *u, struct udp_batch *b);
/* Where the next packet is to be written: UDP_PAYLOAD_MAX bytes are there. */
uint8_t *udp_batch_space(struct udp_batch *b);
/* A packet of `len` bytes stands at the space; a new path, another ECN mark or
 * a longer packet starts a new run. */
void udp_batch_add(struct udp *u, struct udp_batch *b,
		   const struct udp_path *path, uint8_t ecn, size_t len);

/* One datagram by itself. */
void udp_send(struct udp *u, const struct udp_path *path, uint8_t ecn,
	      const uint8_t *data, size_t len);

struct udp_counters {
	uint64_t n_received, n_bytes_received, n_truncated;
	uint64_t n_sent, n_bytes_sent;
	uint64_t n_blocked, n_too_big, n_errors; /* dropped on sending */
	bool has_gso, has_gro;
};
const struct udp_counters *udp_counters(const struct udp *u);
/* For tests and odd kernels: send each packet by itself. */
void udp_disable_offload(struct udp *u);
