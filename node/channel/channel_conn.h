/* The inside of a channel; for channel*.c and stream.c only. */
#pragma once

#include <nghttp3/nghttp3.h>
#include <string.h>

/* Circuit and stream numbers: given out in order, so they need no secret. */
static inline unsigned number_hash(const void *key, size_t len)
{
	uint64_t x = 0;

	memcpy(&x, key, len);
	return (unsigned)(x * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}
#define HASH_FUNCTION(key, len, out) ((out) = number_hash((key), (len)))
#include <uthash.h>

#include "node/channel/channel.h"
#include "node/quic/quic.h"
#include "proto/joiner.h"

struct lane { /* a circuit that ends here */
	circuit_no circuit;
	struct node_id peer;
	bool is_origin;
	struct relay_hop out;  /* where packets go; all zeros: ask the router */
	struct joiner *joiner; /* made when a part of a packet comes */
	UT_hash_handle hh;     /* by circuit */
};

enum {
	H3_READY_VECS = 16,
};

struct chunk_out {
	struct chunk_out *next;
	size_t len, handed, acked;
	uint8_t *data; /* `own`, or taken from who had it */
	uint8_t own[];
};

struct field_buf {
	char authority[264];
	char path[264];
	char protocol[32];
	bool is_connect;
	size_t n_fields, n_bytes;
	int status;
};

enum stream_state {
	STREAM_WAITING, /* no channel yet, or no stream id */
	STREAM_ASKED,   /* the request is sent, or has come in */
	STREAM_OPEN,
	STREAM_GONE,
};

struct stream {
	struct channel *channel; /* NULL while waiting */
	struct self_pair *pair;  /* the other end is here: stream_self.h */
	struct stream *next_waiting;
	UT_hash_handle hh; /* in its channel, by id */
	int64_t id;
	enum stream_kind kind;
	enum stream_state state;
	bool is_ip; /* connect-ip: belongs to the channel itself */
	bool is_server_side;
	bool is_silenced;
	bool is_end_written, is_end_read;
	bool is_resumable; /* nghttp3 waits for stream_write() */
	bool wants_room;
	bool has_yielded; /* to the other streams, until the next round */
	size_t n_round;   /* bytes handed in this round */
	struct stream *next_yielded;
	struct node_id peer;
	bool has_expected;
	struct node_hash expected; /* of the peer's key, by the user */
	char host[256];
	uint16_t port;
	uint16_t source_port; /* of the app; 0: not to be spliced */
	const struct stream_events *ev;
	void *ctx;
	enum stream_error why;

	struct field_buf *fields; /* while headers come in */
	struct chunk_out *out, **out_tail;
	struct chunk_out *unhanded; /* the first that nghttp3 has not seen */
	size_t n_out;               /* bytes of these */
	size_t n_unhanded;          /* bytes from there on */
	uint8_t *capsule;           /* bytes of an unfinished capsule */
	size_t n_capsule;
};

/* What nghttp3 has given to be written: it is asked once for many packets, and
 * told at the end how much of it went. */
struct h3_ready {
	bool is_any;
	int64_t id;
	int is_last;
	size_t first, n; /* of `vec` */
	ngtcp2_vec vec[H3_READY_VECS];
	size_t n_written;
};

struct direct {          /* packets past the session: channel_direct.c */
	bool is_open;    /* the peer uses this lane */
	unsigned n_past; /* a server's: how many in a row were not direct */
};

struct channel {
	struct channels *set;
	struct channel *prev, *next;
	struct quic *quic;
	struct lane *lane; /* NULL: stranded */
	struct lane *also; /* is sent copies; NULL: none */
	struct node_id peer;
	circuit_no lane_before;
	struct direct direct;
	struct dest_tag tag;          /* of our users; all zeros: no one's */
	union endpoint local, remote; /* QUIC's one path */
	bool is_client, is_up, is_ending, is_dirty;
	bool is_broken; /* HTTP/3 did not start */
	bool is_waiting_room, is_blocked;
	nsec paused; /* when QUIC last took no datagram */
	bool streams_first;
	struct small_batch *small; /* NULL: there were none */
	struct channel *next_dirty;
	struct timer timer;
	nsec stranded_since, last_used;
	nsec unanswered; /* the first packet since the peer was heard;
			    TIME_NEVER: none */
	uint16_t split_number;

	nghttp3_conn *h3;
	struct h3_ready ready;
	struct stream *streams; /* by id */
	struct stream *yielded; /* have had their part of this round */
	size_t n_streams;
	struct stream *waiting, **waiting_tail; /* for a stream credit */
	struct stream *ip;                      /* its connect-ip stream */
	unsigned n_unmarked; /* packets of it since one was marked */
	bool is_ip_open;
	struct quic_events const *quic_events;
};

struct channels {
	struct loop *loop;
	struct router *router;
	struct sessions *sessions;
	struct quic_table *table;
	struct quic_tls *tls;
	const struct channel_events *events;
	void *ctx;
	struct lane *lanes; /* by circuit */
	struct joiners *joiners;
	struct channel *all;
	struct channel *dirty;
	struct channel_counters counters;
};

/* channel_lane.c */
struct lane *lane_find(struct channels *set, circuit_no circuit);
/* As quic_read(); `is_marked`: it met congestion. */
bool channel_read_packet(struct channel *c, const uint8_t *data, size_t len,
			 bool is_marked);

/* channel_direct.c */
/* A packet has come over the lane in use. */
void channel_direct_heard(struct channel *c, bool is_direct);
/* Where to write the next packet of up to `cap` bytes; NULL: it takes the
 * session. */
uint8_t *channel_direct_space(struct channel *c, size_t cap);
void channel_direct_send(struct channel *c, uint8_t *data, size_t len);

/* channel.c */
struct channel *channel_accept(struct channels *set, struct lane *l,
			       const ngtcp2_pkt_hd *hd);
/* Borrows the channel's own addresses. */
ngtcp2_path channel_path(struct channel *c);
/* A stranded channel is kept for this long. */
#define STRANDED_NS (20 * NS_PER_S)
void channel_mark(struct channel *c);
/* The next flush sends something that is acknowledged. */
void channel_ping(struct channel *c);
void channel_end(struct channel *c, const char *why);

/* channel_write.c */
/* Where the lane's packets go, or NULL. */
const struct relay_hop *lane_out(struct channels *set, struct lane *l);
/* Counts a packet of `len`: NULL if the circuit is gone. */
const struct relay_hop *lane_send(struct channels *set, struct lane *l,
				  size_t len);
void channel_send_packet(struct channel *c, const uint8_t *data, size_t len);
/* A packet of no channel: whole, dropped where there is no room. */
void channels_send_small(struct channels *set, struct lane *l,
			 const uint8_t *data, size_t len);
bool channel_has_room(struct channel *c);
void channel_write_streams(struct channel *c);
/* Writes one QUIC DATAGRAM; false: no room now. */
bool channel_write_datagram(struct channel *c, const ngtcp2_vec *vec, size_t n);
/* So many of them, from the first on. */
size_t channel_write_datagrams(struct channel *c,
			       const struct quic_datagram *list, size_t n);
/* The largest channel packet on the circuit in use. */
size_t channel_packet_max(const struct channel *c);

/* channel_small.c */
enum {
	SMALL_HEADER = 2, /* quarter stream id, context */
	SMALL_MAX = 600,  /* two of them fit in a packet of the channel */
};
/* Takes a copy of a packet of up to SMALL_MAX, to be written before the turn
 * ends; false: no room. */
bool channel_small_add(struct channel *c, uint8_t quarter,
		       const uint8_t *packet, size_t len);
/* False: some are left. */
bool channel_small_flush(struct channel *c);
void channel_small_free(struct channel *c);

/* channel_h3.c */
extern const struct quic_events channel_quic_events;
bool h3_start(struct channel *c);
void h3_stop(struct channel *c);
bool h3_submit(struct channel *c, struct stream *s);
void h3_respond(struct stream *s, int status);
/* channel_request.c: callbacks of nghttp3 */
int h3_begin_headers(nghttp3_conn *h3, int64_t id, void *ctx, void *stream_ctx);
int h3_recv_header(nghttp3_conn *h3, int64_t id, int32_t token,
		   nghttp3_rcbuf *name, nghttp3_rcbuf *value, uint8_t flags,
		   void *ctx, void *stream_ctx);
int h3_end_headers(nghttp3_conn *h3, int64_t id, int is_last, void *ctx,
		   void *stream_ctx);
void h3_resume(struct stream *s);
/* No more is written in this turn. */
void h3_written(struct channel *c);
/* Has the streams that have yielded go on; false: there is none. */
bool h3_next_round(struct channel *c);
void channel_open_waiting(struct channel *c);

/* stream.c */
struct stream *stream_new_incoming(struct channel *c, int64_t id);
void stream_attach(struct channel *c, struct stream *s);
/* Whether a node with this key is the one that is meant. */
bool stream_expects(const struct stream *s, const struct node_hash *key_hash);
void stream_opened(struct stream *s);
void stream_received(struct stream *s, const uint8_t *data, size_t len);
void stream_received_end(struct stream *s);
void stream_received_datagram(struct stream *s, const uint8_t *data,
			      size_t len);
void stream_acked(struct stream *s, size_t len);
nghttp3_ssize stream_give(struct stream *s, nghttp3_vec *vec, size_t cap,
			  uint32_t *flags);
/* Ends a request of ours that has no answer; it stays with its channel. */
void stream_give_up(struct stream *s, enum stream_error why);
/* Takes it out of its channel, tells its owner, frees it. */
void stream_finish(struct stream *s, enum stream_error why);
void stream_put(struct stream *s, const uint8_t *data, size_t len);
/* Without telling whoever sends it. */
void stream_append(struct stream *s, const uint8_t *data, size_t len);
void chunk_out_free(struct chunk_out *k);
void stream_tell_closed(struct stream *s, enum stream_error why);
void stream_free(void *p);
