/* Control messages as validated structs.  protocol.md 3.
 *
 * msg_parse() turns one frame's body into a struct or a verdict, never into
 * something half-valid; msg_write() is its inverse.  Protobuf stays inside
 * msg_*.c.  What is signed travels as a `bytes` field of fixed layout (a
 * "body"), and is signed and verified as the bytes that were received: structs
 * keep those bytes beside the decoded values.
 *
 * Costs are in units of 100 µs, MTUs are circuit payload bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"
#include "proto/limits.h"

enum msg_type {
	MSG_HELLO = 1,
	MSG_LINK = 2,
	MSG_PROBE = 3,
	MSG_ANSWER = 4,
	MSG_NAK = 5,
	MSG_OPEN = 6,
	MSG_OPENED = 7,
	MSG_CLOSE = 8,
	MSG_PEER_QUERY = 9,
	MSG_PEER_INFO = 10,
	MSG_PING = 11,
	MSG_TYPES,
};

enum msg_verdict {
	MSG_OK,
	MSG_UNKNOWN,   /* a type we do not know: ignore and count */
	MSG_TOO_LONG,  /* over the cap of its type */
	MSG_MALFORMED, /* not protobuf, or too many unknown fields */
	MSG_INVALID, /* a field is missing, of the wrong size or out of range */
	MSG_VERDICTS,
};

/* One link of a path: the node it leads to, and what the link costs. */
struct hop {
	struct node_id id;
	uint16_t cost_100us; /* max of both ends' claims, one way */
	uint16_t mtu;        /* circuit payload this link carries */
	uint8_t loss;        /* 1/255 */
	uint8_t rate;        /* log2 of kbit/s, 0 unknown */
};

struct hop_list {
	size_t n;
	struct hop hop[HOPS_MAX];
};

struct msg_hello {
	uint32_t version;              /* 1 */
	char name[NAME_BYTES_MAX + 1]; /* display only, may be "" */
	bool transit;
	uint16_t port;     /* where it listens; 0: not */
	uint64_t instance; /* random at each start: who has restarted */
};

/* The sender's claim about the link this came over. */
struct msg_link {
	uint16_t cost_100us;
	uint16_t mtu;
	uint8_t loss;
	uint8_t rate;
};

/* Signed by the origin: version(1) flags(1) ttl(1) origin(10) target(10)
 * nonce(16) issued_ms(8) valid_ms(4). */
#define PROBE_BODY_BYTES 51
#define PROBE_FLAG_FLOOD 0x01
struct msg_probe {
	uint8_t body[PROBE_BODY_BYTES]; /* as received or as signed */
	uint8_t flags;
	uint8_t ttl; /* links the copy may cross in all */
	struct node_id origin;
	struct node_id target;
	struct nonce nonce;
	uint64_t issued_ms;
	uint32_t valid_ms;
	uint8_t sig_origin[SIG_LEN];
	/* not signed: changed at each hop */
	uint32_t deadline_ms; /* how long the sender waits for a reply */
	struct hop_list hops; /* relays so far, in order from the origin */
};
/* Encodes the values into `body`; for the origin, before it signs. */
void msg_probe_seal(struct msg_probe *p);

/* A proven path.  The body is version(1) origin(10) target(10) nonce(16)
 * probe_hash(32) expiry_ms(8) n(1) n × hop(16); the target signs it
 * (SIGN_ANSWER_TARGET); digest = SHA-256(body ‖ sig_target); every relay signs
 * the digest (SIGN_ANSWER_HOP).  hops are the relays in order and last the
 * target: n links, n - 1 relays. */
#define ROUTE_BODY_BYTES_MAX (78 + HOPS_MAX * HOP_WIRE_BYTES)
struct route_proof {
	struct node_id origin;
	struct node_id target;
	struct nonce nonce;
	uint8_t probe_hash[HASH_LEN];
	uint64_t expiry_ms;
	struct hop_list hops;
	uint8_t sig_target[SIG_LEN];
	/* sigs[i] is that of hops.hop[i]; valid from relay `first_sig` on: an
	 * answer on its way back is signed from the far end. */
	size_t first_sig;
	uint8_t sigs[HOPS_MAX][SIG_LEN];
	size_t body_len;
	uint8_t body[ROUTE_BODY_BYTES_MAX];
};
/* Encodes the values into `body`; for the target, before it signs. */
void route_proof_seal(struct route_proof *r);
void route_proof_digest(uint8_t out[HASH_LEN], const struct route_proof *r);

struct msg_answer {
	struct route_proof route;
};

enum nak_code {
	NAK_DEAD_END = 1, /* nowhere to go: the sub-tree is exhausted */
	NAK_DUPLICATE,    /* seen before: another copy covers it */
	NAK_TTL,          /* stopped by the ring's limit */
	NAK_RATE,         /* a quota; proves nothing */
	NAK_TIMEOUT,      /* a hop did not reply in time; proves nothing */
	NAK_LINK,         /* the link went down meanwhile; proves nothing */
	NAK_CODES,
};

struct msg_nak {
	struct node_id origin;
	struct nonce nonce;
	enum nak_code code;
};

/* Signed by the origin (SIGN_OPEN_ORIGIN): digest(32) open_id(16)
 * issued_ms(8). */
#define OPEN_BODY_BYTES 56
struct msg_open {
	struct route_proof route; /* complete: first_sig is 0 */
	uint8_t body[OPEN_BODY_BYTES];
	struct nonce open_id;
	uint64_t issued_ms;
	uint8_t sig_origin[SIG_LEN];
	uint32_t label; /* which the sender wants on packets towards it */
	uint16_t mtu;   /* smallest so far */
};
/* Encodes the route's digest and the values into `body`; for the origin, before
 * it signs. */
void msg_open_seal(struct msg_open *o);

struct msg_opened {
	struct nonce open_id;
	uint32_t label; /* which the sender wants on packets towards it */
	uint16_t mtu;   /* of the whole circuit */
};

enum close_reason {
	CLOSE_DONE = 1, /* the end has no use for it any more */
	CLOSE_IDLE,
	CLOSE_LINK_DOWN,
	CLOSE_REFUSED, /* signature, adjacency or freshness of an OPEN */
	CLOSE_LIMIT,
	CLOSE_SHUTDOWN,
	CLOSE_UNKNOWN_LABEL, /* packets came for a label we do not have */
	CLOSE_REASONS,
};

/* Names a circuit by the open_id, or (zero open_id) by the label that the
 * receiver of this message puts on packets towards the sender. */
struct msg_close {
	struct nonce open_id;
	uint32_t label;
	enum close_reason reason;
	struct node_id reporter;
};

struct msg_peer_query {
	size_t n;
	struct node_id ids[PEER_QUERY_IDS_MAX];
};

/* One certificate chain in wire form (cert.h); chain_len 0: not known. */
struct msg_peer_info {
	struct node_id id;
	size_t chain_len;
	uint8_t chain[CHAIN_BYTES_MAX];
};

struct msg_ping {
	uint64_t token;
	bool is_reply;
};

struct msg {
	enum msg_type type;
	union {
		struct msg_hello hello;
		struct msg_link link;
		struct msg_probe probe;
		struct msg_answer answer;
		struct msg_nak nak;
		struct msg_open open;
		struct msg_opened opened;
		struct msg_close close;
		struct msg_peer_query peer_query;
		struct msg_peer_info peer_info;
		struct msg_ping ping;
	};
};

/* The most bytes that a body of this type may have; 0 for unknown types. */
size_t msg_bytes_max(uint8_t type);

enum msg_verdict msg_parse(struct msg *out, uint8_t type, const uint8_t *body,
			   size_t len);

/* Writes header and body of a frame.  Returns its length; 0 if `cap` is too
 * small (FRAME_HEADER_BYTES + FRAME_BYTES_MAX always suffices). */
size_t msg_write(uint8_t *out, size_t cap, const struct msg *m);

/* A stored route: the same encoding as inside ANSWER. */
bool route_proof_parse(struct route_proof *out, const uint8_t *data,
		       size_t len);
size_t route_proof_write(uint8_t *out, size_t cap, const struct route_proof *r);

const char *msg_type_text(uint8_t type);
const char *msg_verdict_text(enum msg_verdict v);
const char *nak_code_text(enum nak_code c);
const char *close_reason_text(enum close_reason r);
