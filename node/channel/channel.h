/* Channels: end-to-end QUIC + HTTP/3 between two nodes, over circuits.
 * protocol.md 7.
 *
 * A channel's client is the origin of the circuits beneath it; the server
 * answers on the circuit that the client used last.  QUIC sees one virtual
 * path for ever: circuits are switched beneath it and no stream notices.
 * Packets that do not fit a circuit go in two parts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "node/channel/dest.h"
#include "node/io/loop.h"
#include "node/quic/quic_tls.h"
#include "node/session/session.h"
#include "node/channel/stream.h"
#include "proto/packet.h"

struct channels;
struct channel;

struct channel_events {
	/* Our own channel is ready: requests may be opened. */
	void (*up)(void *ctx, struct channel *c);
	/* Ended, or never came up; its streams have been told already.  Not to
	 * be used any more. */
	void (*down)(void *ctx, struct channel *c, const char *why);
	/* A request came in: set events, then accept or refuse. */
	void (*stream)(void *ctx, struct stream *s);
	/* A packet came through connect-ip; in one that met congestion, if it
	 * is marked. */
	void (*packet)(void *ctx, struct channel *c, const struct node_id *peer,
		       const uint8_t *data, size_t len, bool is_marked);
	/* There is room again after DEST_BLOCKED. */
	void (*unblocked)(void *ctx, struct channel *c);
	/* Its circuit is gone and there is no other: bring one
	 * (channels_circuit_up) or close it. */
	void (*stranded)(void *ctx, struct channel *c, circuit_no lost);
	/* A peer's channel can carry packets to it from now on. */
	void (*reachable)(void *ctx, struct channel *c);
};

struct channels *channels_new(struct loop *l, struct quic_tls *tls,
			      const uint8_t reset_key[32], struct router *r,
			      struct sessions *sessions,
			      const struct channel_events *ev, void *ctx);
void channels_free(struct channels *set);

const struct identity *channels_self(const struct channels *set);

/* From the router's events. */
void channels_circuit_up(struct channels *set, circuit_no c,
			 const struct node_id *peer, bool is_origin);
void channels_circuit_down(struct channels *set, circuit_no c);
/* Our channels to its far end use this circuit of ours from now on, and send
 * copies over `also`; 0: none. */
void channels_circuit_carries(struct channels *set, circuit_no c,
			      circuit_no also);
/* A packet arrived on a circuit that ends here. */
void channels_receive(struct channels *set, circuit_no c,
		      const struct packet *p);
/* A direct packet (protocol.md 7.11) for the connection `q`, which is of the
 * channels' table. */
void channels_receive_direct(struct channels *set, struct quic *q,
			     const struct udp_path *path, const uint8_t *data,
			     size_t len, bool is_marked);
/* One for nobody, from the peer of `s`: see session_events. */
size_t channels_receive_stray(struct channels *set, session_no s,
			      const uint8_t *data, size_t len, uint8_t *out,
			      size_t cap);
/* A session has room again. */
void channels_session_writable(struct channels *set, session_no s);
/* At the end of a turn: writes what is waiting; true if anything was done. */
bool channels_flush(struct channels *set);

/* Begins our channel to the peer at the other end of `c`, a circuit of ours.
 * One with a tag carries no packets. */
struct channel *channel_connect(struct channels *set, circuit_no c,
				const struct dest_tag *tag);
/* Whether any channel runs over it. */
bool channels_use(const struct channels *set, circuit_no c);
void channel_close(struct channel *c, const char *why);

bool channel_is_client(const struct channel *c);
bool channel_is_up(const struct channel *c);
bool channel_carries_ip(const struct channel *c);
bool channel_is_direct(const struct channel *c); /* it sends so now */
const struct node_id *channel_peer(const struct channel *c);
const struct dest_tag *channel_tag(const struct channel *c);
circuit_no channel_circuit(const struct channel *c); /* 0: stranded */
size_t channel_n_streams(const struct channel *c);
bool channel_is_unused(const struct channel *c); /* nor does any wait */
nsec channel_rtt(const struct channel *c);
nsec channel_last_used(const struct channel *c);
/* How long nothing at all has come since an IPv6 packet was sent; 0: something
 * has. */
nsec channel_silence(const struct channel *c);

/* One IPv6 packet through connect-ip. */
enum dest_packet_verdict channel_send_ip(struct channel *c,
					 const uint8_t *packet, size_t len,
					 size_t *mtu);

/* ---- for dest.c: streams before they have a channel ---- */
struct stream *stream_new(const struct node_id *peer, enum stream_kind kind,
			  const char *host, uint16_t port,
			  const struct stream_events *ev, void *ctx);
/* Hands a waiting stream to a channel that is up. */
void channel_add_stream(struct channel *c, struct stream *s);
/* Ends those of ours that the far end has not answered yet. */
void channel_fail_new(struct channel *c, enum stream_error why);
/* What stream_fail() is to tell instead of its own reason. */
void stream_blame(struct stream *s, enum stream_error why);
/* Ends a stream that never got a channel: `closed`, then it is freed. */
void stream_fail(struct stream *s, enum stream_error why);
bool stream_is_silenced(const struct stream *s);
struct stream *stream_next_waiting(const struct stream *s);
void stream_set_next_waiting(struct stream *s, struct stream *next);
struct stream **stream_waiting_link(struct stream *s);

struct channel_counters {
	uint64_t n_connected, n_accepted, n_failed, n_switched, n_unknown,
		n_reset_sent, n_garbage, n_wrong_peer, n_wrong_key, n_too_big,
		n_parts, n_parts_lost, n_streams_opened, n_streams_accepted,
		n_streams_refused, n_datagram_bad, n_datagram_unknown,
		n_datagram_full, n_capsule_bad, n_h3_errors, n_request_bad,
		n_fields_over, n_direct_sent, n_direct_received,
		n_direct_refused, n_direct_bad, n_copies_sent, n_copies;
};
const struct channel_counters *channels_counters(struct channels *set);
bool channels_next(const struct channels *set, size_t *index,
		   struct channel **out);
