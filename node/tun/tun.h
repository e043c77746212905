/* Packets between the TUN device and the mesh.
 *
 * Reads in batches, checks every packet in both directions (tun_ip.h), and
 * answers the app with ICMPv6 errors instead of silence.  Reading stops while
 * a destination has no room; one that has none for TUN_PATIENCE_NS is stuck,
 * and loses its packets until it takes one again, so that it holds up no other.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "node/channel/dest.h"
#include "node/io/loop.h"
#include "node/service/service.h"
#include "node/splice/splicer.h"
#include "node/tun/tun_ip.h"

#define TUN_BATCH       128 /* packets taken in one turn */
#define TUN_MERGES      4   /* TCP flows whose packets are put together */
#define TUN_PATIENCE_NS (50 * NS_PER_MS)
#define TUN_STUCK_MAX   16 /* nodes; then the oldest is tried again */

struct tun;

struct tun_counts {
	uint64_t n_read; /* packets of the overlay, however they came */
	uint64_t n_written;
	uint64_t n_read_large; /* reads that brought many packets as one */
	uint64_t n_written_large;
	uint64_t n_marked;       /* written: met congestion on the way */
	uint64_t n_unmarkable;   /* dropped: the same, of an app without ECN */
	uint64_t n_malformed;    /* read: header and packet do not fit */
	uint64_t n_blocked;      /* reading stopped */
	uint64_t n_stuck;        /* dropped: its node takes nothing */
	uint64_t n_too_big;      /* over the path's MTU */
	uint64_t n_unreachable;  /* no path to the node */
	uint64_t n_write_failed; /* the device had no room, or is down */
};

/* Owns `fd` (tun_link_open()) from here on; `has_vnet`: struct tun_link.  What
 * may come in is what `services` allow; NULL: nothing but answers. */
struct tun *tun_new(struct loop *l, int fd, bool has_vnet, struct dests *d,
		    const struct services *services,
		    const struct overlay_net *net, const struct node_id *self);
/* From the start it is false: struct tun_link. */
void tun_set_uso(struct tun *t, bool has_uso);
/* Takes itself out of `d`'s packet events.  The resets of flows that were
 * spliced until now still reach their apps. */
void tun_free(struct tun *t); /* NULL is allowed */

/* From now on TCP flows are `sp`'s as far as it takes them.  It outlives the
 * TUN, which writes for it by `tun_splicer_io`, with `t` as its context. */
void tun_set_splicer(struct tun *t, struct splicer *sp);
extern const struct splicer_io tun_splicer_io;

/* At the end of a turn: writes what was put together.  NULL is allowed. */
void tun_flush(struct tun *t);

const struct tun_counts *tun_counts(const struct tun *t);
const struct tun_ip *tun_checks(const struct tun *t);
