/* Rings: the probes that we send as an origin, and the answers to them.
 * protocol.md 5.9, 12.2.
 *
 * A ring is one nonce: a flood with one TTL, sent once to each neighbour, or a
 * steered probe, of which a few get a copy.  It is kept for as long as the
 * probe is valid, whatever has become of the attempt: a late answer still makes
 * a route, and a new neighbour is offered a flood.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/probe/replies.h"
#include "circuit/router.h"
#include "circuit/table.h"
#include "circuit/timer.h"

enum arrival;
struct session;
struct steering;

struct ring {
	struct nonce nonce;
	struct node_id target;
	uint64_t serial; /* of the attempt that it belongs to */
	bool is_flood;   /* or steered: rounds.h */
	uint8_t ttl;
	bool is_partial; /* did not go to all neighbours: proves nothing */
	bool is_last;    /* no later ring of the attempt exists */
	bool has_route;
	unsigned n_reoffers;
	uint8_t body[PROBE_BODY_BYTES];
	uint8_t sig[SIG_LEN];
	uint64_t issued_ms;
	nsec started;
	nsec valid_until;
	struct replies replies;
	struct timer timer;
	UT_hash_handle hh;
};

struct rings {
	struct ring *all;
};

void rings_deinit(struct router *r);

struct ring_plan {
	struct node_id target;
	uint64_t serial;
	uint8_t ttl;
	const struct session *only;   /* NULL: to every neighbour */
	const struct node_id *except; /* NULL: but for none */
	nsec wait;                    /* replies are wanted within this time */
};

/* Sends a new probe.  NULL if there are too many rings. */
struct ring *ring_start(struct router *r, const struct ring_plan *plan,
			nsec now);
/* A steered probe, of which no copy is sent yet; NULL likewise. */
struct ring *ring_start_steered(struct router *r, const struct node_id *target,
				uint64_t serial, nsec now);
void ring_send_steered(struct router *r, struct ring *g,
		       const struct session *s, const struct steering *how,
		       uint16_t budget, nsec wait);
struct ring *ring_find(struct router *r, const struct nonce *nonce);

void ring_handle_answer(struct router *r, struct session *s,
			const struct msg *m, enum arrival how, nsec now);
void ring_give_up(struct router *r, struct session *s,
		  const struct msg_answer *a, nsec now);
void ring_handle_nak(struct router *r, struct session *s, const struct msg *m,
		     enum arrival how, nsec now);
void rings_session_down(struct router *r, session_no s, nsec now);
void rings_offer(struct router *r, const struct session *s, nsec now);
void ring_timeout(struct router *r, struct timer *t, nsec now);
