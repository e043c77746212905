/* The inside of a connection; for quic*.c only. */
#pragma once

#include <ngtcp2/ngtcp2_crypto.h>

#include "node/quic/ack_hold.h"
#include "node/quic/headroom.h"
#include "node/quic/quic.h"
#include "node/quic/quic_mem.h"
#include "node/quic/quic_seen.h"
#include "node/quic/quic_table.h"
#include "node/quic/window.h"

enum {
	CRYPTO_LEVELS = 4,
	QUIC_PROBES_MAX = 10,
	/* What windows begin with; a stream's grows to half of the
	 * connection's. */
	QUIC_STREAM_WINDOW = 64 << 10,
	QUIC_CONN_WINDOW = 256 << 10,
	QUIC_CONN_WINDOW_MAX = 24 << 20,
	/* Of a bulk transfer; what comes alone waits for `ack_hold`. */
	QUIC_ACK_EVERY = 10,
};

struct quic {
	ngtcp2_conn *conn; /* asleep or not: see quic_conn() */
	struct quic_mem mem;
	struct quic_tls_ref ref;
	gnutls_session_t tls; /* NULL: not needed any more */
	uint8_t exported[QUIC_EXPORTED_BYTES];
	struct quic_table *table;
	struct quic_config config;
	nsec now;         /* as it was last told */
	uint8_t read_ecn; /* of the packet that is read */
	enum quic_state state;
	enum quic_end end;
	ngtcp2_ccerr error;
	uint64_t app_error; /* set by an event callback's return value */
	struct quic_peer peer;
	bool has_expect, has_expect_hash;
	struct node_id expect;
	struct node_hash expect_hash;
	size_t n_crypto[CRYPTO_LEVELS];
	ngtcp2_cid first_dcid; /* a server's: the client's invention */
	bool has_first_dcid;
	uint16_t probes[QUIC_PROBES_MAX];
	size_t n_probes;
	struct window window;
	struct stream_window *stream_windows;
	uint8_t hash_key[16]; /* of theirs: peers choose the ids */
	uint64_t n_datagrams_acked, n_datagrams_lost;
	struct quic_seen seen; /* of a channel */
	bool has_moved;
	struct ack_hold ack_hold;
	bool has_data; /* in the packet that was read last */
	struct headroom headroom;
	unsigned n_unlooked; /* packets of a short path */
	uint64_t crowd_bytes;
	size_t burst;    /* written since the last pause of pacing */
	bool is_waiting; /* something could not be written in this turn */
};

/* To do something with it. */
ngtcp2_conn *quic_wake(struct quic *q);
static inline ngtcp2_conn *quic_conn(const struct quic *q)
{
	/* That it wakes is not seen from outside. */
	return quic_mem_is_asleep(&q->mem)
		       ? quic_wake((struct quic *)(uintptr_t)q)
		       : q->conn;
}

/* quic_window.c */
void quic_window_open(struct quic *q, int64_t id);
void quic_window_close(struct quic *q, int64_t id);
void quic_windows_free(struct quic *q);

/* quic_headroom.c */
/* After a packet that came, and before one that is to be written: false if it
 * must wait for an acknowledgement. */
void quic_headroom_look(struct quic *q);
bool quic_headroom_allows(struct quic *q);
/* Likewise for data of streams, which may wait for longer. */
bool quic_headroom_allows_streams(struct quic *q);
/* Around each write: what is in flight. */
uint64_t quic_in_flight(const struct quic *q);

/* quic_callbacks.c */
extern const ngtcp2_callbacks quic_callbacks;
/* The header mask of the packet that was decrypted last, by whichever
 * connection; NULL: none since the last call. */
const uint8_t *quic_opened_mask(void);
ngtcp2_conn *quic_ref_conn(ngtcp2_crypto_conn_ref *ref);
quic_tls_check quic_check_chain;
/* Moves to an ending state; the first reason counts. */
void quic_set_end(struct quic *q, enum quic_state state, enum quic_end why);
