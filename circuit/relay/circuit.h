/* Circuits that begin, end or pass here: their table, their two sides, their
 * end.  protocol.md 6.
 *
 * PENDING until OPENED has come (at the target: from the start ESTABLISHED),
 * for CIRCUIT_PENDING_NS; ESTABLISHED until CIRCUIT_IDLE_NS have passed without
 * a packet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

struct circuit_pair;
struct session;

enum circuit_state {
	CIRCUIT_PENDING,
	CIRCUIT_ESTABLISHED,
};

enum {
	TOWARD_ORIGIN = 0,
	TOWARD_TARGET = 1,
};

/* No padding: it is hashed. */
struct side_key {
	session_no session;
	uint32_t label;
};

/* One end of what passes through; `session` is NULL where we are the end. */
struct circuit_side {
	struct circuit *circuit;
	struct session *session;
	uint32_t label_in;   /* which we gave to the peer */
	struct side_key out; /* which the peer gave us; label 0: not yet */
	struct circuit_side *prev, *next; /* of the session */
	UT_hash_handle hh;                /* by `out` */
};

struct circuit {
	circuit_no no;
	enum circuit_state state;
	struct node_id origin;
	struct node_id target;
	struct nonce open_id;
	uint8_t digest[HASH_LEN]; /* of the route */
	bool is_origin;
	bool is_target;
	bool wakes_hold; /* the next packet is told to hold.c */
	uint16_t mtu;
	size_t n_hops;
	struct hop *hops;
	struct circuit_side side[2];
	struct circuit_pair *pair; /* NULL at an end */
	nsec opened;
	nsec last_packet;
	/* At its origin: when the first packet was sent after the last one that
	 * came, but for those that want no answer; TIME_NEVER. */
	nsec unanswered;
	uint64_t n_packets[2]; /* towards origin, towards target */
	uint64_t n_bytes[2];
	struct timer timer;
	UT_hash_handle hh;    /* by `no` */
	UT_hash_handle hh_id; /* by `open_id` */
};

/* Paths of our own circuits that ended lately: to be avoided, perhaps. */
#define CIRCUITS_PAST 64
struct circuit_past {
	circuit_no no;
	size_t n_hops;
	struct hop *hops;
};

struct circuits {
	struct circuit *all;
	struct circuit *by_open_id;
	struct circuit_side *by_label_out;
	struct circuit_pair *pairs;
	circuit_no n_numbers;
	unsigned n_past;
	struct circuit_past past[CIRCUITS_PAST];
};

void circuits_deinit(struct router *r);

/* A pending circuit along a proven path.  Either session may be NULL (we are
 * that end).  NULL if a cap is reached. */
struct circuit *circuit_add(struct router *r, const struct route_proof *p,
			    const struct nonce *open_id,
			    struct session *toward_origin,
			    struct session *toward_target, nsec now);
struct circuit *circuit_find(const struct router *r, circuit_no no);
struct circuit *circuit_by_open_id(struct router *r,
				   const struct nonce *open_id);
/* By the label that we put on packets over this session. */
struct circuit *circuit_by_label_out(struct router *r, const struct session *s,
				     uint32_t label);

/* False if the peer gave that label to another circuit. */
bool circuit_set_label_out(struct router *r, struct circuit *c, unsigned side,
			   uint32_t label);
void circuit_establish(struct router *r, struct circuit *c, nsec now);

/* Ends it by our own will: CLOSE to both sides but that of `lost` (may be
 * NULL), whose link is at fault. */
void circuit_end(struct router *r, struct circuit *c, enum close_reason reason,
		 const struct session *lost, nsec now);
/* A neighbour says that it is over. */
void circuit_closed(struct router *r, struct circuit *c,
		    const struct msg_close *m, const struct session *from,
		    nsec now);
/* Our own OPEN was not answered in time. */
void circuit_give_up(struct router *r, struct circuit *c, nsec now);

void circuits_session_down(struct router *r, struct session *s, nsec now);
void circuit_timeout(struct router *r, struct timer *t, nsec now);

/* The nodes on it in order: 0 is the origin, n_hops the target. */
const struct node_id *circuit_node(const struct circuit *c, size_t i);
/* Our own place in that order. */
size_t circuit_place(const struct router *r, const struct circuit *c);
/* The hops of a circuit of ours, also of one that ended lately. */
bool circuit_path(const struct router *r, circuit_no no, struct hop_list *out);
void circuit_describe(const struct circuit *c, struct circuit_info *out);
