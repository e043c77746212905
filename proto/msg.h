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
#include "proto/locator.h"

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
	MSG_BEACON = 12,
	MSG_BEAT = 13,
	MSG_STORE = 14,
	MSG_STORED = 15,
	MSG_LOOKUP = 16,
	MSG_FOUND = 17,
	MSG_NO_RECORD = 18,
	MSG_TEST = 19,
	MSG_RECEIPT = 20,
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
	bool direct;       /* takes direct packets of channels */
	uint32_t sealed;   /* its number for sealed packets; 0: takes none */
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
	/* Without PROBE_FLAG_FLOOD: how to steer it.  Advice. */
	uint8_t tree;      /* the tree it is pinned to, or TREE_ANY; TREE_FLOOD
			      for floods (not on the wire) */
	uint8_t round;     /* from 0 */
	uint16_t budget;   /* transmissions left, repairs included */
	struct locator to; /* the target's; of the pinned tree alone, or all */
	size_t n_avoid;
	uint32_t avoid[AVOID_MAX]; /* avoid_tag() of each node */
	size_t chain_len; /* the origin's chain (cert.h), so that no relay has
			     to ask for it; 0: left out */
	uint8_t chain[CHAIN_BYTES_MAX];
};
/* How a node is named in an avoid list: the first 4 bytes of SHA-256(nonce ‖
 * id), so that the list tells nothing to those who do not know the id. */
uint32_t avoid_tag(const struct nonce *nonce, const struct node_id *id);
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
	NAK_BUDGET,       /* the copy has no transmission left */
	NAK_CODES,
};

/* Signed (SIGN_NAK) if it blames a link: origin(10) nonce(16) tree(1) code(1)
 * reporter(10) next(10).  `next` is the node that did not reply to
 * `reporter`. */
#define NAK_BODY_BYTES 48
struct msg_nak {
	struct node_id origin;
	struct nonce nonce;
	uint8_t tree; /* of the copy: 0.., TREE_ANY, TREE_FLOOD */
	enum nak_code code;
	uint16_t budget; /* not signed: transmissions that the copy has left */
	bool has_blame;
	uint8_t body[NAK_BODY_BYTES]; /* with has_blame: as received */
	struct node_id reporter, next;
	uint8_t sig[SIG_LEN];
};
/* Encodes the values into `body`; for the reporter, before it signs. */
void msg_nak_seal(struct msg_nak *n);

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
 * receiver of this message puts on packets towards the sender.  The former is
 * signed by the reporter (SIGN_CLOSE): open_id(16) reason(1) reporter(10)
 * next(10); `next` is the other end of the link that went down, or zero. */
#define CLOSE_BODY_BYTES 37
struct msg_close {
	struct nonce open_id;
	uint32_t label;
	enum close_reason reason;
	struct node_id reporter, next;
	bool is_signed;
	uint8_t body[CLOSE_BODY_BYTES]; /* with is_signed: as received */
	uint8_t sig[SIG_LEN];
};
void msg_close_seal(struct msg_close *c);

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
	uint64_t token; /* the sender's, and back in the reply */
	bool is_reply;
	uint64_t n_sealed; /* in a reply: sealed packets that have come */
};

/* ---- trees, protocol.md 10 ------------------------------------------- */

/* What a root signs (SIGN_TREE_ROOT): version(1) tree(1) root(10) issued_ms(8)
 * n_nodes(4). */
#define TREE_ROOT_BODY_BYTES 24
struct tree_root {
	uint8_t body[TREE_ROOT_BODY_BYTES];
	uint8_t tree;
	struct node_id root;
	uint64_t issued_ms; /* grows with each beacon and beat of this root */
	uint32_t n_nodes;   /* of the network, as the root estimates it */
	uint8_t sig[SIG_LEN];
};
void tree_root_seal(struct tree_root *t);

/* A node of a signed path: it says that the path goes on to the next entry's
 * node (the last one's: to the receiver) at this cost. */
struct tree_hop {
	struct node_id id;    /* the first one is the root */
	uint16_t cost;        /* of the link to the next node, 100 µs */
	uint8_t sig[SIG_LEN]; /* SIGN_TREE_HOP over tree_hop_payload() */
};

struct msg_beacon {
	struct tree_root root;
	size_t n; /* at least 1; the last one is the sender */
	struct tree_hop hop[TREE_PATH_MAX];
};
/* What the i-th node signs: chain_i(32) next(10) cost(2), where chain_0 =
 * SHA-256(root body ‖ root sig), chain_{i+1} = SHA-256(chain_i ‖ id_i ‖ cost_i
 * ‖ sig_i) and next is the node the link leads to. */
#define TREE_HOP_PAYLOAD_BYTES 44
void tree_chain_first(uint8_t chain[HASH_LEN], const struct tree_root *root);
void tree_chain_next(uint8_t chain[HASH_LEN], const struct tree_hop *hop);
void tree_hop_payload(uint8_t out[TREE_HOP_PAYLOAD_BYTES],
		      const uint8_t chain[HASH_LEN], const struct node_id *next,
		      uint16_t cost);

/* From parent to child: the root lives. */
struct msg_beat {
	struct tree_root root;
};

/* ---- records, protocol.md 11 ----------------------------------------- */

/* Where a node says it is, signed by it (SIGN_RECORD): version(1) id(10)
 * issued_ms(8) life_s(2) flags(1) locator.  With the chain that proves its
 * key. */
#define RECORD_FLAG_VOLUNTEER 0x01 /* relays for others */
#define RECORD_BODY_BYTES_MAX (22 + LOCATOR_BYTES_MAX)
struct record {
	struct node_id id;
	uint64_t issued_ms; /* the newer one counts */
	uint16_t life_s;
	uint8_t flags;
	struct locator at;
	size_t body_len;
	uint8_t body[RECORD_BODY_BYTES_MAX];
	uint8_t sig[SIG_LEN];
	size_t chain_len;
	uint8_t chain[CHAIN_BYTES_MAX];
};
void record_seal(struct record *r);
/* A stored record: the same encoding as inside FOUND. */
bool record_parse(struct record *out, const uint8_t *data, size_t len);
size_t record_write(uint8_t *out, size_t cap, const struct record *r);

/* In large networks the root of a tree hands its records over to volunteers,
 * part by part: part H(id)[1].  Signed by the root (SIGN_APPOINTMENT):
 * version(1) tree(1) part(1) root(10) member(10) issued_ms(8).  Not signed is
 * the member's place in this tree: it says only where to look for it. */
#define APPOINTMENT_BODY_BYTES 31
struct appointment {
	uint8_t body[APPOINTMENT_BODY_BYTES];
	uint8_t tree;
	uint8_t part;
	struct node_id root, member;
	uint64_t issued_ms;
	uint8_t sig[SIG_LEN];
	struct coord at;
};
void appointment_seal(struct appointment *a);

/* STORE and LOOKUP go up tree `tree` to its root; the replies come back the
 * way they went, found by the nonce. */
struct msg_store {
	struct nonce nonce;
	uint8_t tree;
	uint8_t hops_left;
	struct record record;
	bool registers;       /* a volunteer's, for the root itself */
	bool has_appointment; /* handed over: to the member, not to the root */
	struct appointment appointment;
};
struct msg_stored {
	struct nonce nonce;
	bool has_appointment; /* of the member that has stored it */
	struct appointment appointment;
	uint32_t n_kept; /* with it: records of this part that the member has */
};
struct msg_lookup {
	struct nonce nonce;
	uint8_t tree;
	uint8_t hops_left;
	struct node_id id;
	uint64_t newer_than_ms; /* of no use but from the replica: what was
				   issued then, or before */
	bool has_appointment;
	struct appointment appointment;
};
struct msg_found {
	struct nonce nonce;
	struct record record;
	bool has_appointment; /* of the member that had it */
	struct appointment appointment;
};

enum no_record_code {
	NO_RECORD_ABSENT = 1, /* the replica has none: signed */
	NO_RECORD_UNREACHED,  /* no way to the replica: proves nothing */
	NO_RECORD_RATE,       /* a quota or cap: proves nothing */
	NO_RECORD_UNSETTLED,  /* the replica has not been one for long enough to
				 know: proves nothing */
	NO_RECORD_CODES,
};
/* Reply to LOOKUP and STORE.  ABSENT is signed by the replica
 * (SIGN_NO_RECORD): nonce(16) id(10) tree(1) issued_ms(8) replica(10). */
#define NO_RECORD_BODY_BYTES 45
struct msg_no_record {
	struct nonce nonce;
	enum no_record_code code;
	struct node_id id;
	uint8_t tree;
	uint64_t issued_ms;
	struct node_id replica;
	uint8_t body[NO_RECORD_BODY_BYTES];
	uint8_t sig[SIG_LEN];
	bool has_appointment; /* ABSENT: the replica is not the root */
	struct appointment appointment;
	size_t chain_len; /* with it: the replica's, which few know */
	uint8_t chain[CHAIN_BYTES_MAX];
};
void msg_no_record_seal(struct msg_no_record *n);

/* ---- path tests, protocol.md 13 -------------------------------------- */

/* Asks the `hop`-th node of a circuit (counted from the sender's end, the next
 * node is 1) what has come to it so far. */
struct msg_test {
	struct nonce open_id;
	uint64_t token;
	uint8_t hop;
};
/* Signed by that node (SIGN_RECEIPT): open_id(16) token(8) hop(1) node(10)
 * n_forth(8) n_back(8).  n_forth: circuit packets it has got from the asking
 * end so far; n_back: those it has got from the other end. */
#define RECEIPT_BODY_BYTES 51
struct msg_receipt {
	struct nonce open_id;
	uint64_t token;
	uint8_t hop;
	struct node_id node;
	uint64_t n_forth, n_back;
	uint8_t body[RECEIPT_BODY_BYTES];
	uint8_t sig[SIG_LEN];
};
void msg_receipt_seal(struct msg_receipt *r);

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
		struct msg_beacon beacon;
		struct msg_beat beat;
		struct msg_store store;
		struct msg_stored stored;
		struct msg_lookup lookup;
		struct msg_found found;
		struct msg_no_record no_record;
		struct msg_test test;
		struct msg_receipt receipt;
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
