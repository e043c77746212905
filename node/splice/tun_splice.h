/* TCP flows of the TUN that end in our own kernel: the table, and the rewriting
 * of their packets.  protocol.md 7.10, decisions/0024.
 *
 * A flow is two conversations of our kernel with the same node: the outer one
 * is that of an app (or a service), the inner one that of a socket of ours,
 * which a stream of the channel is joined to.  What one of them sends into the
 * TUN comes back out of it as if the far node had sent it to the other: the
 * addresses change places, and the ports become those of the other
 * conversation.  So the kernel talks to itself, and needs no rules for it.
 *
 * An app's first SYN is held until the far end has connected.  Then our socket
 * connects; its own SYN is taken for the sign to deliver the app's in its
 * place, which it answers with SYN and ACK (simultaneous open, RFC 9293 3.5):
 * the app sees an ordinary handshake.
 *
 * No I/O: the caller reads, writes, and holds the sockets.  All memory that a
 * peer or an app can ask for is bounded by SPLICE_FLOWS_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/addr.h"
#include "proto/base/time.h"

#define TUN_SPLICE_SYN_MAX     128 /* headers alone, with all options */
#define TUN_SPLICE_RESET_BYTES 60
/* A flow without a socket of ours is forgotten after so long without a packet:
 * one that has ended, and one whose rest the kernel still delivers. */
#define TUN_SPLICE_OVER_NS (5 * NS_PER_S)
#define TUN_SPLICE_LEFT_NS (300 * NS_PER_S)

struct tun_splice;
struct tun_splice_flow;

enum tun_splice_verdict {
	TUN_SPLICE_NONE,   /* of no flow here */
	TUN_SPLICE_BEGINS, /* likewise, but one could begin with it */
	TUN_SPLICE_BACK,   /* rewritten: into the TUN, behind what was before */
	TUN_SPLICE_LETS_IN, /* the app's SYN stands in its place, complete */
	TUN_SPLICE_DROP,    /* nothing is to be done */
};

/* A packet that the TUN has passed (tun_ip_out()): from us, to `peer`, of the
 * length that it says.  `is_partial`: its checksum is the pseudo header's.  The
 * packet has room for TUN_SPLICE_SYN_MAX bytes. */
enum tun_splice_verdict tun_splice_out(struct tun_splice *t,
				       const struct node_id *peer,
				       uint8_t *packet, size_t *len,
				       bool is_partial, nsec now);
/* Whether a packet that came from `peer` is one of a flow: which comes as a
 * stream and never as packets. */
bool tun_splice_claims(struct tun_splice *t, const struct node_id *peer,
		       const uint8_t *packet, size_t len);

/* ---- flows ---- NULL: there is no room, or there is one already */

/* Begins with the app's SYN (TUN_SPLICE_BEGINS), whose checksum is complete. */
struct tun_splice_flow *tun_splice_hold(struct tun_splice *t,
					const struct node_id *peer,
					const uint8_t *syn, size_t len,
					nsec now);
/* Begins with a request of `peer`'s for its app at `their_port`. */
struct tun_splice_flow *tun_splice_serve(struct tun_splice *t,
					 const struct node_id *peer,
					 uint16_t our_port, uint16_t their_port,
					 nsec now);
/* Our socket is at `our_port`: the port of the peer that it has to connect to,
 * before it does.  0: none is left. */
uint16_t tun_splice_join(struct tun_splice *t, struct tun_splice_flow *f,
			 uint16_t our_port);
/* The owner has closed the socket, and forgets the flow. */
void tun_splice_leave(struct tun_splice *t, struct tun_splice_flow *f,
		      nsec now);
/* Nothing of it is known any more: its packets are like others. */
void tun_splice_remove(struct tun_splice *t, struct tun_splice_flow *f);

/* What becomes of the ports of a conversation's packets, once it is joined. */
struct tun_splice_turn {
	uint16_t our_port, their_port; /* as our kernel sends it */
	uint16_t src_port, dst_port;   /* as it gets it back */
};
/* Of both conversations; false: it is not joined. */
bool tun_splice_turns(const struct tun_splice_flow *f, struct node_id *peer,
		      struct tun_splice_turn out[2]);

/* The SYN that is held, as it came. */
const uint8_t *tun_splice_syn(const struct tun_splice_flow *f, size_t *len);
/* The reset that answers it. */
size_t tun_splice_reset_write(uint8_t out[TUN_SPLICE_RESET_BYTES],
			      const struct tun_splice_flow *f);

/* ---- */

struct tun_splice_counts {
	uint64_t n_back;    /* packets rewritten */
	uint64_t n_again;   /* dropped: SYNs that came again while held */
	uint64_t n_foreign; /* dropped: of a flow, but came as packets */
	uint64_t n_full;    /* flows refused: no room */
	uint64_t n_evicted; /* ended flows forgotten early for others */
	uint64_t n_flows;   /* now */
};

/* `secret` keys the table; behind its first two bytes, as a number, begin the
 * ports that tun_splice_join() gives out. */
struct tun_splice *tun_splice_new(const uint8_t secret[16]);
void tun_splice_free(struct tun_splice *t); /* NULL is allowed */
/* Forgets what is due; call it every few seconds while there are flows. */
void tun_splice_sweep(struct tun_splice *t, nsec now);
const struct tun_splice_counts *tun_splice_counts(const struct tun_splice *t);
