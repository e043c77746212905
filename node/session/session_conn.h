/* The inside of one session; for session*.c only. */
#pragma once

#include "circuit/neighbour/link_meter.h"
#include "circuit/relay/relay_queue.h"
#include "node/quic/quic.h"
#include "node/session/session.h"
#include "proto/frame.h"

/* The search for the MTU is given this long. */
#define SESSION_SETTLE_NS (250 * NS_PER_MS)

struct chunk {
	struct chunk *next;
	size_t len;
	uint8_t data[];
};

enum session_state {
	SESSION_HALF_OPEN,
	SESSION_CONFIRMED, /* its MTU is being found */
	SESSION_UP,
	SESSION_ENDING,
};

/* Packets past QUIC are not to be trusted until then; longer the next time,
 * unless that is long after. */
struct distrust {
	nsec until;
	unsigned n;
};

struct distrust_rule {
	nsec first, forgotten;
	unsigned n_doubled;
};

struct session {
	session_no no;
	struct sessions *set;
	struct quic *quic;
	enum session_state state;
	struct udp_path path;
	size_t udp_payload_max;
	uint32_t dial, dial_peer;
	nsec began, confirmed;
	struct timer timer;
	struct timer settle; /* the MTU search is given this long */
	nsec last_heard;     /* any packet */
	/* Since when an answer is awaited, or NEVER; and how long we had been
	 * held up by then (loop_held_up). */
	nsec asked, asked_held_up;
	bool is_doubted; /* it must answer soon */
	nsec refused;    /* since when nobody is said to listen there; 0 */
	nsec strayed;    /* a direct packet came from where it is not */
	nsec last_load;  /* the last circuit packet sent */
	struct link_meter meter;
	struct msg_link told;
	nsec told_at;

	/* control stream */
	int64_t control; /* -1: not open yet */
	struct frame_reader *reader;
	struct chunk *chunks, **chunks_tail; /* kept until acknowledged */
	struct chunk *unsent;
	size_t unsent_offset, n_chunk_bytes, acked_offset;
	bool is_control_blocked;
	bool is_hello_sent, is_hello_received;
	uint64_t instance; /* of the peer: differs after its restart */
	char name[NAME_BYTES_MAX + 1];

	/* circuit packets */
	struct relay_queue *queue; /* made when a packet has to wait */
	struct udp_batch *batch;
	bool is_dirty, wants_quic;
	uint8_t ecn; /* how its last packet of QUIC's left */
	struct session *next_dirty;

	/* direct packets */
	bool peer_direct; /* as its HELLO says */
	/* Since when none has been answered, or NEVER; as `asked`. */
	nsec direct_asked, direct_held_up;
	struct timer watch; /* the peer is asked for a word */
	unsigned n_since_sample;
	nsec sampled;
	struct distrust direct_doubt;

	/* sealed packets */
	uint8_t seal_secret[SEAL_SECRET_BYTES];
	bool can_seal;        /* there is a secret */
	struct seal *seal;    /* made for the first one */
	uint32_t peer_sealed; /* its number of the session; 0: takes none */
	bool is_sealing;      /* it is worth it, and nothing speaks against */
	nsec seal_looked;     /* when that was decided */
	nsec seal_asked;      /* when the peer was asked what has come */
	/* By its last answer: how many had been sent, and had come. */
	uint64_t seal_sent, seal_came;
	uint64_t seal_seen; /* packets of both directions by then */
	struct distrust seal_doubt;

	/* How many it had carried when it was last looked at, and when that
	 * became more. */
	uint64_t n_carried;
	nsec carried;

	uint64_t n_sealed_in, n_sealed_out;
	uint64_t n_bytes_in, n_bytes_out, n_packets_in, n_packets_out;
	uint64_t n_direct_in, n_direct_out;
};

struct sessions {
	struct loop *loop;
	struct udp *udp;
	struct quic_table *table;
	struct quic_tls *tls;
	struct relay_pool *pool;
	const struct session_events *events;
	void *ctx;
	char display_name[NAME_BYTES_MAX + 1];
	bool transit, direct;
	enum seal_use seal;
	uint8_t token_key[32];
	uint64_t instance; /* ours */
	uint16_t port, more_cost_100us;
	struct session *slots[SESSIONS_MAX];
	uint32_t next_serial;
	size_t n_half_open;
	struct session *dirty;
	struct msg *scratch;
	struct session_counters counters;
};

extern const struct quic_events session_quic_events;

void session_mark(struct session *s);
/* What is in its batch goes out at the end of the turn, with no word of QUIC's.
 */
void session_mark_batch(struct session *s);
void session_send(struct session *s, const struct msg *m);
void session_up(struct session *s);
/* A circuit packet, header and all; borrowed for the call.  Is it marked, what
 * it came in has met congestion on the link. */
void session_packet_came(struct session *s, const uint8_t *data, size_t len,
			 bool is_marked);
void session_free_buffers(struct session *s);

/* session_out.c */
/* Where the next packet is to be written, of QUIC or past it. */
uint8_t *session_space(struct session *s);
enum session_verdict session_send_packet(struct session *s,
					 const struct session_packet *p);
/* Writes all that can be written and sets the timer. */
void session_flush(struct session *s);
/* Takes in what QUIC measures; what we claim of the link by that. */
void session_sample(struct session *s);
struct msg_link session_link(const struct session *s);

/* session_direct.c */
void session_direct_init(struct session *s);
void session_direct_stray(struct session *s);

void distrust_begin(struct distrust *d, const struct distrust_rule *rule,
		    nsec now);
/* Of packets past QUIC one takes QUIC after all now and then: this one. */
bool session_sample_due(struct session *s);
/* A packet past QUIC is on its way, with `len` bytes in the batch. */
void session_beside_sent(struct session *s, size_t len);

/* session_seal.c */
void session_seal_init(struct session *s);
void session_seal_free(struct session *s);
/* Whether circuit packets are to go past QUIC now. */
bool session_seals(struct session *s);
/* The peer says how many have come of the first `n_sent`. */
void session_seal_counted(struct session *s, uint64_t n_sent, uint64_t n_came);
/* Into the batch; false: it could not be sealed. */
bool session_seal(struct session *s, const ngtcp2_vec *vec, size_t n);
void session_sealed_received(struct sessions *set, uint8_t ecn,
			     const uint8_t *data, size_t len);

/* session_death.c */
/* Asks for a sign of life: it must answer soon, or it is dead. */
void session_doubt(struct session *s);
/* The peer is there: any packet has come. */
void session_heard(struct session *s);
/* When it is dead if nothing comes; TIME_NEVER: nothing is awaited. */
nsec session_dead_at(struct session *s, nsec now);
void session_die(struct session *s);

/* session_cut.c: the kernel took no datagram (-errno). */
void session_send_failed(struct session *s, int error);
udp_failed session_failed;

/* session_accept.c */
udp_received session_received;

/* session.c */
struct session *session_by_no(const struct sessions *set, session_no no);
struct session *session_new(struct sessions *set, const struct udp_path *path);
ngtcp2_path session_path(struct udp_path *p);
size_t session_payload_max(const union endpoint *remote, unsigned mtu);
struct quic_config session_config(struct session *s);
/* Ends it now; freed when the turn ends. */
void session_end(struct session *s, const char *why, uint8_t error);
void session_confirmed(struct session *s);
