/* Sessions: the authenticated QUIC connections to neighbours, hop by hop.
 * protocol.md 2 and 3.
 *
 * Owns the connections, their control streams and their queues of circuit
 * packets.  Dialling is asked for from outside (discovery decides), incoming
 * handshakes are limited here, and of two sessions on one link one is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "node/io/loop.h"
#include "node/quic/quic_tls.h"
#include "node/quic/seal.h"
#include "node/io/udp.h"
#include "proto/msg.h"
#include "proto/packet.h"

struct quic;
struct quic_table;
struct sessions;

struct session_info {
	session_no no;
	struct identity peer;
	char name[NAME_BYTES_MAX + 1]; /* as its HELLO says; may be "" */
	struct udp_path path;
	bool is_dialled; /* we are the client */
	bool is_up;
	bool is_direct;       /* both ends take direct packets */
	bool is_sealing;      /* circuit packets go past QUIC now */
	const uint8_t *chain; /* in `down`: verified, borrowed for the call */
	size_t chain_len;
	nsec confirmed; /* 0: still shaking hands */
	nsec rtt;
	struct msg_link claim;                /* what we say of the link */
	uint64_t n_bytes_in, n_bytes_out;     /* UDP payload */
	uint64_t n_packets_in, n_packets_out; /* circuit packets */
	uint64_t n_direct_in, n_direct_out;   /* of these, the direct ones */
	uint64_t n_sealed_in, n_sealed_out;   /* and the sealed ones */
	uint64_t n_marked;  /* circuit packets that waited too long */
	uint64_t n_dropped; /* the same if they were parts, and those that
			       were too many */
	size_t n_queued;
	uint32_t dial, dial_peer; /* of struct session_dial; 0: incoming */
	const char *end_text;
	uint8_t error; /* in `down`: a peer_error of discovery/peer.h */
};

struct session_events {
	/* Ready for the router.  The chain is borrowed for the call. */
	void (*up)(void *ctx, const struct session_info *s,
		   const uint8_t *chain, size_t chain_len,
		   const struct msg_link *link);
	void (*measured)(void *ctx, session_no s, const struct msg_link *link);
	/* Ended, or a dial that failed (then `is_up` was never told). */
	void (*down)(void *ctx, const struct session_info *s);
	/* A control message; MSG_INVALID closes the session. */
	enum msg_verdict (*message)(void *ctx, session_no s,
				    const struct msg *m);
	/* A circuit packet: the header is parsed, `raw` is all of it. */
	void (*packet)(void *ctx, session_no s, const struct packet *p,
		       const uint8_t *raw, size_t len);
	/* Some circuit that had no room has it again. */
	void (*writable)(void *ctx, session_no s);
	/* A packet with a short header came on `path`, for a connection of the
	 * table beside that of the sessions. */
	void (*direct)(void *ctx, struct quic *q, const struct udp_path *path,
		       const uint8_t *data, size_t len, bool is_marked);
	/* The same for nobody, from where this session's peer is: it may tell
	 * that a channel is gone there.  Writes what to answer; 0: nothing. */
	size_t (*stray)(void *ctx, session_no s, const uint8_t *data,
			size_t len, uint8_t *out, size_t cap);
};

/* `tls` is borrowed. `reset_key`: see quic_table.h. */
struct sessions *sessions_new(struct loop *l, struct quic_tls *tls,
			      const uint8_t reset_key[32],
			      const char *display_name, bool transit,
			      const struct session_events *ev, void *ctx);
/* Says goodbye to everyone and frees. */
void sessions_free(struct sessions *set);
/* What neighbours are told: the port that we listen on, and how much more our
 * links are to cost than they measure (transit as a last resort). */
void sessions_set_hello(struct sessions *set, uint16_t port,
			uint16_t more_cost_100us);
/* At the end of a turn: writes what is waiting; true if anything was done. */
bool sessions_flush(struct sessions *set);
/* Interfaces came or went: sessions over one that is down end. */
void sessions_network_changed(struct sessions *set);
struct udp *sessions_udp(struct sessions *set);
/* For who makes a table beside it (quic_table.h). */
struct quic_table *sessions_table(struct sessions *set);

/* What to begin. */
struct session_dial {
	union endpoint remote;
	unsigned ifindex; /* 0: any */
	bool has_id;
	struct node_id id; /* nobody else will do */
	uint32_t no;       /* the caller's number, for `up` and `down` */
	uint32_t peer;     /* likewise */
};
/* Begins a session: `up` or `down` follows.  Or a peer_error: nothing could be
 * begun. */
uint8_t sessions_dial(struct sessions *set, const struct session_dial *dial);
/* Gives a handshake up; `down` follows. */
void sessions_cancel(struct sessions *set, uint32_t dial_no);

void sessions_send(struct sessions *set, session_no s, const struct msg *m);
void sessions_close(struct sessions *set, session_no s, const char *why);

enum session_verdict {
	SESSION_SENT,
	SESSION_QUEUED,  /* it, or another one in its place, may be dropped */
	SESSION_TOO_BIG, /* dropped: over the link's MTU */
	SESSION_GONE,
};
/* A circuit packet, borrowed for the call. */
struct session_packet {
	uint32_t label; /* which the header has */
	bool is_own;    /* the circuit begins or ends here */
	const uint8_t *header;
	size_t header_len;
	const uint8_t *payload;
	size_t len;
};
enum session_verdict sessions_send_packet(struct sessions *set, session_no s,
					  const struct session_packet *p);
/* Whether a circuit of our own may send one more packet; else `writable`
 * follows. */
bool sessions_has_room(struct sessions *set, session_no s, uint32_t label);

/* ---- direct packets ---- protocol.md 7.11: packets of channels that go to a
 * neighbour beside the session, on its path. */
/* Whether to take and send them. */
void sessions_set_direct(struct sessions *set, bool direct);
/* Both ends of this session want them now. */
bool sessions_is_direct(const struct sessions *set, session_no s);
/* Besides, `path` leads to the session's peer. */
bool sessions_is_direct_from(const struct sessions *set, session_no s,
			     const struct udp_path *path);
/* Where to write one of up to `len` bytes; NULL: it must take the session.  Of
 * what is written there sessions_direct_sent() must be told next. */
uint8_t *sessions_direct_space(struct sessions *set, session_no s, size_t len);
void sessions_direct_sent(struct sessions *set, session_no s, size_t len);
/* A path test finds that packets to this neighbour, or from it, are lost: those
 * that are direct may be so alone, and for some time none go. */
void sessions_direct_doubt(struct sessions *set, const struct node_id *peer);
/* One came from somewhere else: the peer may have moved there, of which the
 * session itself hears a little later. */
void sessions_direct_strayed(struct sessions *set, session_no s);
/* One came in, and its seal held. */
void sessions_direct_heard(struct sessions *set, session_no s, size_t len);

/* ---- sealed packets ---- protocol.md 2.9: circuit packets past QUIC. */
void sessions_set_seal(struct sessions *set, enum seal_use use);

/* Iteration in the order of slots: start with `after` = 0. */
bool sessions_next(const struct sessions *set, session_no after,
		   struct session_info *out);
bool sessions_get(const struct sessions *set, session_no s,
		  struct session_info *out);

struct session_counters {
	uint64_t n_udp_garbage, n_udp_unknown, n_version, n_reset_sent, n_retry,
		n_half_open_limit, n_token_invalid, n_accepted, n_accept_failed,
		n_dialled, n_refused, n_duplicate, n_frame_too_long,
		n_stream_unexpected, n_packet_bad, n_queue_full, n_queue_late,
		n_queue_marked, n_too_big, n_control_overflow, n_dead, n_cut,
		n_direct_doubted, n_moved, n_gone, n_icmp, n_icmp_strange,
		n_seal_bad, n_seal_seen, n_seal_unknown, n_seal_doubted,
		n_seal_unmarkable;
	uint64_t n_msg[MSG_VERDICTS];
};
const struct session_counters *sessions_counters(struct sessions *set);
