/* One QUIC connection: ngtcp2 and GnuTLS behind a small door, used alike by
 * sessions (hop by hop, over UDP) and channels (end to end, over circuits).
 * RFC 9000, 9001, 9221.
 *
 * It has no socket and no timer: packets are fed in with quic_read(), pulled
 * with quic_write() and quic_write_datagram(), and quic_rest() says when
 * to call quic_handle_timeout().  `now` is the turn's one time and never goes
 * back (ngtcp2 aborts on it).
 */
#pragma once

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/quic/quic_tls.h"
#include "proto/base/time.h"
#include "proto/endpoint.h"

struct quic;
struct quic_table;

/* What the owner is told.  None may call back into the same connection, but
 * for quic_fail(), quic_stream_consumed() and the like of what is marked (cb).
 * A non-zero return ends the connection with that application error. */
struct quic_events {
	/* Both ends have verified each other: the peer is quic_peer(). */
	void (*confirmed)(void *ctx);
	uint64_t (*stream_data)(void *ctx, int64_t id, const uint8_t *data,
				size_t len, bool is_last);
	void (*stream_acked)(void *ctx, int64_t id, size_t len);
	void (*stream_closed)(void *ctx, int64_t id, uint64_t error);
	void (*stream_reset)(void *ctx, int64_t id, uint64_t error);
	/* This side has given up reading before the end. */
	void (*stream_stopped)(void *ctx, int64_t id, uint64_t error);
	void (*stream_unblocked)(void *ctx, int64_t id);
	void (*streams_allowed)(void *ctx);
	uint64_t (*datagram)(void *ctx, const uint8_t *data, size_t len);
	/* Pulls stream data: fills up to `cap` vectors, sets the stream and
	 * whether it ends; returns how many, -1 on error; *id = -1 if there
	 * is nothing to write. */
	ngtcp2_ssize (*next_data)(void *ctx, int64_t *id, int *is_last,
				  ngtcp2_vec *vec, size_t cap);
	void (*wrote)(void *ctx, int64_t id, size_t len);
	void (*blocked)(void *ctx, int64_t id);
	void (*shut)(void *ctx, int64_t id);
};

struct quic_config {
	bool is_channel;        /* else a session: path MTU discovery, 5 s, ALPN
				   qanat/1 instead of h3 */
	size_t udp_payload_max; /* never send more in one packet */
	const struct node_id *expect; /* NULL: any member of the cluster */
	const struct node_hash *expect_hash; /* NULL: not known */
	uint64_t wall_s;
	const struct quic_events *events;
	void *ctx;
};

struct quic *quic_connect(struct quic_table *table, const ngtcp2_path *path,
			  const struct quic_config *config, nsec now);
/* `hd` comes from quic_table_find(); with a Retry, `odcid` is the original
 * destination id that the token held. */
struct quic *quic_accept(struct quic_table *table, const ngtcp2_path *path,
			 const ngtcp2_pkt_hd *hd, const ngtcp2_cid *odcid,
			 const struct quic_config *config, nsec now);
/* Takes it out of the table and frees it; not from its own callbacks. */
void quic_free(struct quic *q);

enum quic_state {
	QUIC_HANDSHAKE,
	QUIC_CONFIRMED,
	QUIC_CLOSING,  /* we have said goodbye, or must now */
	QUIC_DRAINING, /* the peer has: silence */
	QUIC_DEAD,     /* idle or handshake timeout: free it */
};
enum quic_state quic_state(const struct quic *q);
/* Why it ended. */
enum quic_end {
	QUIC_END_NONE,        /* it has not, or this side closed it */
	QUIC_END_TIMEOUT,     /* no answer to the handshake */
	QUIC_END_SILENT,      /* nothing heard for too long */
	QUIC_END_CERTIFICATE, /* quic_peer()->verdict says why */
	QUIC_END_IDENTITY,    /* another node answers there */
	QUIC_END_SELF,        /* we ourselves answer there */
	QUIC_END_REJECTED,    /* the peer does not take our certificate */
	QUIC_END_CLOSED,      /* the peer closed it in order */
	QUIC_END_RESTARTED,   /* the peer knows nothing of it any more */
	QUIC_END_PROTOCOL,    /* the peer broke the protocol */
	QUIC_END_LOCAL,       /* an error of our own side */
	QUIC_ENDS,
};
enum quic_end quic_end(const struct quic *q);
/* The same as a short English phrase. */
const char *quic_end_text(const struct quic *q);

/* A packet of the handshake: RFC 9000 17.2. */
static inline bool quic_is_long(const uint8_t *packet)
{
	return (packet[0] & 0x80) != 0;
}

/* True if a channel's peer has sealed this very packet, it has a short header,
 * and it has not come before: what may be counted and believed.
 *
 * `ecn` is NGTCP2_ECN_CE if the packet met congestion.  Of a channel's packets
 * nothing else is told, and all of them may be marked: there is no handshake
 * about it as there is on the UDP path of a session (RFC 9000 13.4). */
bool quic_read(struct quic *q, const ngtcp2_path *path, uint8_t ecn,
	       const uint8_t *data, size_t len, nsec now);

/* In the callback `datagram`: whether the packet around it met congestion. */
bool quic_is_marked(const struct quic *q);

/* Writes one packet (streams, acknowledgements, control) of at most `cap`
 * bytes; 0: nothing to send, or blocked by congestion or pacing.  `path` (may
 * be NULL) is where it is to go. */
size_t quic_write(struct quic *q, ngtcp2_path *path, uint8_t *ecn, uint8_t *out,
		  size_t cap, nsec now);
/* Data of streams waits while more than so many bytes are in flight and stand
 * in queues at that (headroom.h).  Of a channel; from the start there is no
 * limit. */
void quic_set_crowd(struct quic *q, uint64_t bytes);

/* Writes one DATAGRAM of `n` vectors.  *accepted tells if it is in the packet
 * (a packet without it may come first); returns the packet's length. */
size_t quic_write_datagram(struct quic *q, uint8_t *ecn, uint8_t *out,
			   size_t cap, const ngtcp2_vec *vec, size_t n,
			   bool *accepted, nsec now);
/* Ends the connection: the close packet, to be sent once.  0: none. */
size_t quic_close(struct quic *q, uint64_t app_error, uint8_t *out, size_t cap,
		  nsec now);

/* Writes one packet with the first `*n_taken` of `n` DATAGRAMs, as many as fit;
 * with none of them if that packet must come first.  What can never be sent
 * counts as taken. */
struct quic_datagram {
	const ngtcp2_vec *vec;
	size_t n;
};
size_t quic_write_datagrams(struct quic *q, uint8_t *ecn, uint8_t *out,
			    size_t cap, const struct quic_datagram *list,
			    size_t n, size_t *n_taken, nsec now);

/* After the last packet of a turn: when to call quic_handle_timeout(), which
 * may also be called earlier. */
nsec quic_rest(struct quic *q, nsec now);
void quic_handle_timeout(struct quic *q, nsec now);
void quic_set_keep_alive(struct quic *q, nsec period);

/* It is not expected to have much to do soon: its memory is packed until it
 * has. Each waking takes some microseconds. */
void quic_sleep(struct quic *q);

/* ---- streams; (cb) may be called in callbacks ---- */
int64_t quic_open_bidi(struct quic *q); /* -1: none allowed now */
int64_t quic_open_uni(struct quic *q);
void quic_stream_consumed(struct quic *q, int64_t id, size_t len); /* (cb) */
void quic_stream_shutdown(struct quic *q, int64_t id, uint64_t error);
void quic_stream_stop_reading(struct quic *q, int64_t id, uint64_t error);

/* ---- what is known ---- */
/* The client of a session has another address, and was seen to receive there:
 * true once, and then in `remote`. */
bool quic_moved(struct quic *q, union endpoint *remote);
const struct quic_peer *quic_peer(const struct quic *q);
bool quic_is_server(const struct quic *q);
/* Whether this is the beginning of a packet as it sends them now, by the
 * connection id that it gives the peer. */
bool quic_sends(struct quic *q, const uint8_t *packet, size_t len);
/* Both ends have the same QUIC_EXPORTED_BYTES once it is confirmed; for
 * choosing between duplicates. */
#define QUIC_EXPORTED_BYTES 32
const uint8_t *quic_exported(const struct quic *q);
/* Another secret that only both ends have, under a label of RFC 5705; in the
 * callback `confirmed` and no later. */
bool quic_export(struct quic *q, const char *label, uint8_t *out, size_t len);
/* The largest UDP payload that the path is known to carry. */
size_t quic_udp_payload(const struct quic *q);
struct quic_measure {
	nsec rtt, rtt_min, rttvar, pto;
	uint64_t cwnd, in_flight;
	uint64_t n_acked, n_lost; /* datagrams that were sent */
};
void quic_measure(const struct quic *q, struct quic_measure *out);
void *quic_ctx(const struct quic *q);
