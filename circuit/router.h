/* The decisions of one node about paths: probes, answers, routes, circuits,
 * labels.  protocol.md 5 and 6.
 *
 * Pure: no clock, socket, log or global; time and randomness are arguments,
 * outputs (messages, events) are pulled.  Sessions and circuits are named by
 * numbers that the caller (sessions) or the router (circuits) chose and that
 * are never re-used within a run.
 *
 * The flood mode: PROBE/ANSWER/NAK with a TTL ring, at most two copies per
 * node and nonce, dead ends counted; OPEN/OPENED/CLOSE for circuits; routes
 * kept and re-opened before anything is probed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/rng.h"
#include "proto/base/time.h"
#include "proto/id.h"
#include "proto/key.h"
#include "proto/msg.h"

struct router;

typedef uint32_t session_no; /* 0: none */
typedef uint32_t circuit_no; /* 0: none */

/* Checks a chain in wire form (cert.h) and tells whose it is.  The node passes
 * cert_check(); the simulator a cheap one.  True and `out` on success. */
typedef bool router_chain_check(void *ctx, const uint8_t *chain, size_t len,
				struct identity *out);

/* How signatures are made and checked.  NULL in the configuration: Ed25519
 * (key.h).  The simulator has a cheaper one for large networks. */
struct router_crypto {
	void (*sign)(uint8_t sig[SIG_LEN], const struct sign_key *k,
		     enum sign_purpose purpose, const struct node_hash *ca,
		     const void *payload, size_t len);
	bool (*verify)(const uint8_t sig[SIG_LEN], const struct node_key *k,
		       enum sign_purpose purpose, const struct node_hash *ca,
		       const void *payload, size_t len);
};

struct router_config {
	struct identity self;
	struct node_hash ca;
	const struct sign_key *key; /* borrowed for the router's life */
	const uint8_t *chain;       /* ours, for PEER_INFO; borrowed */
	size_t chain_len;
	router_chain_check *check;
	void *check_ctx;
	struct rng rng; /* our secrets are drawn from it once: seed it with 32
			   bytes of the system's randomness */
	bool transit;   /* relay for others */
	uint32_t directory_from; /* nodes: the roots of larger networks hand
				    their records over to volunteers; 0:
				    DIRECTORY_FROM */
	uint32_t flood_below;    /* nodes: smaller networks are flooded
				    (FLOOD_BELOW) */
	const struct router_crypto *crypto; /* NULL: Ed25519 */
	uint64_t wall_ms; /* since 1970, at `now` of router_new() */
};

struct router *router_new(const struct router_config *config, nsec now);
void router_free(struct router *r);

/* The wall clock is `wall_ms` at `now`; call it now and then. */
void router_set_wall(struct router *r, uint64_t wall_ms, nsec now);

/* ---- neighbours ------------------------------------------------------ */

/* A session is confirmed; the chain is the peer's, verified (kept for
 * PEER_QUERY).  Probes heard of lately are offered to it. */
void router_session_up(struct router *r, session_no s,
		       const struct identity *peer, const uint8_t *chain,
		       size_t chain_len, const struct msg_link *ours, nsec now);
/* New measurements of the link (RTT/2, circuit payload).  The peer is told of
 * our claim (LINK) when the session comes up and when it changes by a fifth. */
void router_session_measured(struct router *r, session_no s,
			     const struct msg_link *ours, nsec now);
/* Gone: its circuits are closed with CLOSE_LINK_DOWN, its probes NAKed. */
void router_session_down(struct router *r, session_no s, nsec now);

/* A message came in.  MSG_INVALID asks the caller to close the session (a
 * protocol violation); all else was handled, or counted and dropped. */
/* HELLO and PING are the caller's: MSG_UNKNOWN here. */
enum msg_verdict router_handle_message(struct router *r, session_no s,
				       const struct msg *m, nsec now);

/* ---- our own paths --------------------------------------------------- */

/* Wants a circuit to `target`: OPEN on a stored route first (best first), a
 * probe only if that fails.  Ends in ROUTER_CIRCUIT_UP or ROUTER_UNREACHABLE.
 * Calling it again while one attempt runs is harmless.  `avoid` (may be NULL)
 * is a circuit whose links should not be used again if there is a choice (it
 * broke, or it is the first of a pair). */
void router_connect(struct router *r, const struct node_id *target,
		    circuit_no avoid, nsec now);

/* Traffic for `target` is expected until router_release(): the router keeps a
 * circuit that carries it and a spare which shares no link with it, tests both,
 * and says by ROUTER_CARRIES which one is to carry from now on, and whether the
 * spare is to be sent copies. */
void router_hold(struct router *r, const struct node_id *target, nsec now);
void router_release(struct router *r, const struct node_id *target, nsec now);

/* Steering by hand.  PIN: the circuit carries for as long as it stands,
 * whatever is measured.  AVOID: no new path of ours crosses the node.  AUTO:
 * undoes either.  False: no such circuit or node, or a cap. */
bool router_path_pin(struct router *r, circuit_no c, nsec now);
bool router_path_avoid(struct router *r, const struct node_id *node, nsec now);
bool router_path_auto(struct router *r, const struct node_id *node, nsec now);

/* Whether to relay for others from now on; circuits that stand are kept. */
void router_set_transit(struct router *r, bool transit);

/* Asks a hop of our own circuit, the next node being 1, what has come to it: a
 * ROUTER_HOP follows, unless the hop is silent.  False: no such hop, or over
 * the quota (TEST_OWN_RATE); try again a little later. */
bool router_test_hop(struct router *r, circuit_no c, unsigned hop, nsec now);

void router_circuit_close(struct router *r, circuit_no c,
			  enum close_reason reason, nsec now);

/* A stored proof (from the database) whose signatures are checked again
 * before first use. */
bool router_route_add(struct router *r, const struct route_proof *p, nsec now);

/* A record from the database: checked, then used like one that was looked up,
 * or kept for others if we are a replica of it. */
bool router_record_add(struct router *r, const struct record *rec, nsec now);
/* A neighbour's success score as it was kept, 0..ROUTER_SCORE_FULL. */
#define ROUTER_SCORE_FULL 65535
void router_score_set(struct router *r, const struct node_id *id,
		      uint16_t score, nsec now);

/* An identity learnt elsewhere (the database, discovery). */
void router_identity_add(struct router *r, const struct identity *who,
			 const uint8_t *chain, size_t chain_len);
/* Borrowed until the next call that changes the router; NULL if unknown. */
const struct identity *router_identity_find(const struct router *r,
					    const struct node_id *id);
/* The chain that the identity was learnt with; borrowed likewise. */
const uint8_t *router_chain_find(const struct router *r,
				 const struct node_id *id, size_t *len);
/* Every identity that is known by a short name of its certificate. */
const struct identity *router_identity_by_name(const struct router *r,
					       const char *shortname);

/* ---- time ------------------------------------------------------------ */

nsec router_deadline(const struct router *r);
void router_handle_timeout(struct router *r, nsec now);

/* ---- outputs --------------------------------------------------------- */

struct router_send {
	session_no session;
	const struct msg *msg; /* borrowed until the next router call */
};
bool router_next_send(struct router *r, struct router_send *out);

enum router_event_type {
	ROUTER_CIRCUIT_UP,   /* established: ours or one that ends here */
	ROUTER_CIRCUIT_DOWN, /* and its number is dead */
	ROUTER_UNREACHABLE,  /* router_connect() failed */
	ROUTER_ROUTE_ADDED,  /* keep it in the database: `route` */
	ROUTER_ROUTE_GONE,
	ROUTER_IDENTITY, /* learnt and verified: keep it */
	ROUTER_CARRIES,  /* `circuit` carries what goes to `peer` from now on,
			    and `also`, if not 0, a copy of each packet */
	ROUTER_RECORD,   /* keep it in the database: `record` */
	ROUTER_BLAMED,   /* path tests or a signed NAK name the link `peer`,
			    `next` */
	ROUTER_HOP,      /* a receipt that router_test_hop() asked for */
};

struct router_event {
	enum router_event_type type;
	circuit_no circuit, also;
	struct node_id peer; /* the other end, or the target */
	bool is_origin;      /* we opened this circuit */
	bool is_proved;      /* UNREACHABLE: every copy came back */
	enum close_reason reason;
	nsec took; /* CIRCUIT_UP, UNREACHABLE: since router_connect(); HOP: the
		      round trip */
	const struct route_proof *route; /* borrowed until the next call */
	const struct record *record;     /* likewise */
	struct node_id next;
	unsigned hop; /* HOP: the first after us is 1 */
	/* HOP: since the circuit opened, put in by us and, towards us, by the
	 * hop; and those of them that did not come through. */
	uint64_t n_packets, n_missing;
};
bool router_next_event(struct router *r, struct router_event *out);

/* ---- data path: no allocation, O(1) ---------------------------------- */

enum relay_verdict {
	RELAY_FORWARD, /* send on `session` with `label` */
	RELAY_DELIVER, /* ours: `circuit` */
	RELAY_UNKNOWN, /* no such label on that session: count and drop */
	RELAY_DROP,    /* too big, or the circuit is not established yet */
	RELAY_VERDICTS,
};

struct relay_hop {
	session_no session;
	uint32_t label;
	circuit_no circuit;
	uint16_t mtu;
	bool is_single; /* the far end of the circuit is the session's peer */
};

/* `label` is the masked label of a packet which came in on `s`, `len` all that
 * is behind it. */
enum relay_verdict router_packet_received(struct router *r, session_no s,
					  uint32_t label, size_t len, nsec now,
					  struct relay_hop *out);
/* Where packets of our own circuit go; false if it is not established.  A
 * `len` of 0 only asks: nothing is counted, and the circuit stays idle. */
bool router_circuit_out(struct router *r, circuit_no c, size_t len, nsec now,
			struct relay_hop *out);
/* A packet of `len` for our own circuit of one hop came past the session, as
 * it is (protocol.md 7.11): it is counted as one that the session brought. */
void router_circuit_in(struct router *r, circuit_no c, size_t len, nsec now);

/* ---- looking in (status, tests) -------------------------------------- */

struct circuit_info {
	circuit_no circuit;
	struct node_id origin, target;
	struct nonce open_id;
	bool is_origin, is_target; /* neither: transit */
	bool is_established;
	uint16_t mtu;
	session_no toward_origin, toward_target;
	uint32_t label_in[2];  /* which we gave out: from origin, from target */
	uint32_t label_out[2]; /* which we use: towards origin, target */
	struct hop_list hops;
	nsec opened, last_packet;
	uint64_t n_packets[2], n_bytes[2]; /* towards origin, towards target */
};
/* Circuits in the order of their numbers: start with `after` = 0; false at the
 * end. */
bool router_circuit_next(const struct router *r, circuit_no after,
			 struct circuit_info *out);
bool router_circuit_get(const struct router *r, circuit_no c,
			struct circuit_info *out);
/* Stored routes in a stable order; `index` counts from 0. */
bool router_route_get(const struct router *r, size_t index,
		      struct route_proof *out);

/* Our place in a tree and its root; false: not in it. */
struct tree_info {
	struct node_id root;
	bool is_root, has_parent;
	struct node_id parent;
	struct coord at;
	uint64_t root_issued_ms; /* the root's last sign of life */
	uint32_t n_nodes;
};
bool router_tree_get(const struct router *r, unsigned tree,
		     struct tree_info *out);
/* Nodes of the network; 0: not known. */
uint32_t router_n_nodes(const struct router *r, nsec now);
uint16_t router_score_get(const struct router *r, const struct node_id *id);

/* A held destination; `index` counts from 0. */
struct hold_info {
	struct node_id target;
	circuit_no carries, spare; /* 0: none */
	bool is_pinned;
	nsec carries_rtt, spare_rtt; /* by path tests; 0: not yet */
	uint8_t carries_loss;        /* 1/255, by path tests */
	/* The last link that was localised on the way to it; zero: none. */
	struct node_id blamed, blamed_next;
	nsec blamed_at;
};
bool router_hold_get(const struct router *r, size_t index,
		     struct hold_info *out);
bool router_hold_find(const struct router *r, const struct node_id *target,
		      struct hold_info *out);

/* One counter per verdict or event: everything dropped is explained. */
struct router_counters {
	uint64_t n_sent[MSG_TYPES], n_received[MSG_TYPES];
	uint64_t n_probe_duplicate, n_probe_loop, n_probe_expired,
		n_probe_rate_peer, n_probe_rate_origin, n_probe_bad_signature,
		n_probe_ttl, n_probe_unknown_origin;
	uint64_t n_answer_unexpected, n_answer_bad_signature, n_answer_altered,
		n_answer_limit;
	uint64_t n_nak_unexpected;
	uint64_t n_open_refused, n_open_bad_signature, n_open_stale,
		n_open_limit;
	uint64_t n_opened_unexpected, n_close_unexpected;
	uint64_t n_link_rate;
	uint64_t n_asked_full, n_holds_full, n_identities_evicted, n_rings_full,
		n_seeks_full, n_opens_seen_full, n_offers_full, n_avoid_full,
		n_test_own_rate;
	uint64_t n_parked_full, n_probes_seen_full, n_asked_waiting_full;
	uint64_t n_query_unknown, n_query_rate, n_info_rejected, n_told;
	uint64_t n_label_unknown, n_packet_too_big;
	uint64_t n_verify, n_verify_rate, n_verify_rate_peer;
	uint64_t n_open_rate_peer, n_open_rate_origin, n_origins_evicted;
	uint64_t n_circuits_opened, n_circuits_broken;
	uint64_t n_circuits_full, n_circuits_full_peer, n_circuits_full_pair,
		n_circuits_full_pending;
	uint64_t n_connect, n_connect_reused, n_unreachable;
	uint64_t n_probe_not_flood; /* a way of probing that we do not know */
	uint64_t n_packet_early;    /* before its circuit was established */
	/* Trees. */
	uint64_t n_beacon_rate, n_beacon_loop, n_beacon_stale,
		n_beacon_bad_signature, n_beacon_sent, n_parent_changes,
		n_root_changes, n_beat_stale, n_beat_bad_signature;
	/* Records and requests. */
	uint64_t n_record_bad, n_record_full, n_record_stale;
	uint64_t n_appointment_bad, n_handed_over;
	uint64_t n_store_rate, n_lookup_rate, n_request_full,
		n_request_unexpected, n_request_failed;
	uint64_t n_lookups, n_lookups_cached, n_lookups_absent,
		n_lookups_failed;
	/* Steered probes. */
	uint64_t n_rounds, n_repairs, n_probe_budget, n_nak_bad_signature,
		n_blamed, n_flood_rate, n_flood_last_resort;
	/* Path tests and spares. */
	uint64_t n_tests, n_test_rate, n_test_unexpected, n_receipt_unexpected,
		n_receipt_bad_signature, n_receipt_lost, n_switches,
		n_localised, n_close_bad_signature;
};
const struct router_counters *router_counters(const struct router *r);
