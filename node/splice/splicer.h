/* TCP flows of the TUN as streams of channels.  protocol.md 7.10.
 *
 * On the side that asks: an app's SYN is held, a stream asked for, and when the
 * far end has connected, a socket of ours is joined to the app's (tun_splice.h)
 * and bridged to the stream.  On the side that is asked, the services have
 * judged the request: splicer_connect() makes their socket look like the app.
 *
 * What cannot go so goes as packets: the node does not offer it, or there is
 * no room, or our own kernel does not let it in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/splice/bridge.h"
#include "node/channel/dest.h"
#include "node/io/loop.h"
#include "node/io/tcp.h"
#include "node/splice/tun_bpf.h"
#include "node/splice/tun_splice.h"

/* As long as TCP itself tries. */
#define SPLICER_CONNECT_NS (130 * NS_PER_S)
/* The app's own kernel answers at once, or something stands in the way. */
#define SPLICER_JOIN_NS (1500 * NS_PER_MS)
/* After which a node, or our kernel, is tried again. */
#define SPLICER_ELSEWHERE_NS (60 * NS_PER_S)
/* As TCP asks whether an idle peer is still there. */
#define SPLICER_HALF_OPEN_NS (7200 * NS_PER_S)
/* From the far end, before our socket is joined: under a stream's window. */
#define SPLICER_EARLY_MAX (1 << 20)

struct splicer;

/* What the TUN does for it. */
struct splicer_io {
	/* To the app. */
	void (*write)(void *ctx, const uint8_t *packet, size_t len);
	/* To the node, as a packet. */
	void (*pass)(void *ctx, const struct node_id *peer,
		     const uint8_t *packet, size_t len);
	/* There is no path to the node. */
	void (*unreachable)(void *ctx, const uint8_t *packet, size_t len);
};

/* `secret`: of tun_splice_new(). */
struct splicer *splicer_new(struct loop *l, struct dests *d,
			    const struct overlay_net *net,
			    const struct node_id *self,
			    const uint8_t secret[16],
			    const struct splicer_io *io, void *ctx);
void splicer_free(struct splicer *sp); /* NULL is allowed */
/* For flows that begin from now on; it is the splicer's from here on. */
void splicer_set_bpf(struct splicer *sp, struct tun_bpf *b);
bool splicer_has_bpf(const struct splicer *sp);
/* Flows that stand go on. */
void splicer_set_on(struct splicer *sp, bool on);
bool splicer_is_on(const struct splicer *sp);
/* Resets what our apps have begun, and begins nothing any more; their resets
 * are still to be read from the TUN. */
void splicer_stop(struct splicer *sp);

/* ---- for the TUN ---- */

/* See tun_splice_out(). */
enum tun_splice_verdict splicer_out(struct splicer *sp,
				    const struct node_id *peer, uint8_t *packet,
				    size_t *len, bool is_partial);
/* After TUN_SPLICE_BEGINS, the checksum being complete: false if the SYN is to
 * go as a packet. */
bool splicer_begin(struct splicer *sp, const struct node_id *peer,
		   const uint8_t *syn, size_t len);
bool splicer_claims(struct splicer *sp, const struct node_id *peer,
		    const uint8_t *packet, size_t len);

/* ---- for the services ---- */

/* Connects to our `port` as `peer` at `source`; NULL: not possible now.  Once
 * the socket is closed, splicer_leave(). */
struct tcp *splicer_connect(struct splicer *sp, const struct node_id *peer,
			    uint16_t port, uint16_t source,
			    const struct tcp_events *ev, void *ctx,
			    struct tun_splice_flow **flow);
void splicer_leave(struct splicer *sp, struct tun_splice_flow *flow);
struct bridge_set *splicer_bridges(struct splicer *sp);

/* ---- */

struct splicer_counts {
	uint64_t n_asked;  /* SYNs held */
	uint64_t n_joined; /* of these, connected at both ends */
	uint64_t n_served; /* for other nodes' apps */
	/* Went as packets after all: */
	uint64_t n_elsewhere; /* the node does not offer it */
	uint64_t n_refused;   /* its policy or limits: packets are told why */
	uint64_t n_blocked;   /* our own kernel did not answer */
	uint64_t n_no_room;
};
const struct splicer_counts *splicer_counts(const struct splicer *sp);
const struct tun_splice_counts *splicer_table(const struct splicer *sp);
const struct bridge_set *splicer_bridged(const struct splicer *sp);
