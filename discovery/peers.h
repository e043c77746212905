/* The table of all nodes that we know of (peer.h), how they can be reached, and
 * how that went.  protocol.md 8.3.
 *
 * Bounded: PEERS_KNOWN_MAX, of them PEERS_HINTS_MAX hints.  When it is full the
 * lowest score goes, hints first, and never a static or a connected peer; a
 * hint never drives out an identified one.  At most PEERS_MAX have sessions; a
 * peer with a better score than the worst of these, or a static one, takes its
 * place, but never a static one's.
 *
 * Pure.  How the caller drives it:
 *   start     peers_new(), peers_set_statics(), then every record of the
 *             database by peers_load() (peers_record.h)
 *   events    peers_handle_*() as they happen; what concerns dials goes in
 *             through dialer.h
 *   turn end  dialer_next() and peers_next_dismissed() until false, then
 *             peers_next_event(): each event is something for the database
 *   at times  peers_set_wall(), as for the router
 */
#pragma once

#include "discovery/peer.h"
#include "proto/base/rng.h"

#define PEERS_HINTS_MAX  512
#define PEERS_EVENTS_MAX 1024
/* Sessions to be closed, as others are worth more, between two turns' ends. */
#define PEERS_DISMISSED_MAX 64
/* A sighting that says the same as the last one there is kept this seldom. */
#define SIGHTING_REPEAT_MS 600000
/* A session that stood for so long was a success. */
#define PEER_HELD_NS (10 * NS_PER_S)
/* After so many failures in a row, an endpoint which the configuration does
 * not name is tried this seldom (an identified peer's), or not until it is
 * heard of again (a hint's). */
#define PEER_TRIES   4
#define PEER_REST_NS (900 * NS_PER_S)
/* Of two that hear each other's beacon the one with the larger id waits, so
 * that one session is made and not two. */
#define PEER_HINT_WAIT_NS (1 * NS_PER_S)
/* A beacon after a silence of so long is news, like a fresh one. */
#define PEER_SILENCE_MS (5 * BEACON_PERIOD_NS / 2 / NS_PER_MS)

struct peers;

/* `rng` is copied; it keys the tables too, so seed it with 32 bytes of the
 * system's randomness.  `wall_ms` is the wall clock at `now`. */
struct peers *peers_new(const struct node_id *self, const struct rng *rng,
			uint64_t wall_ms, nsec now);
void peers_free(struct peers *p); /* NULL is allowed */
void peers_set_wall(struct peers *p, uint64_t wall_ms, nsec now);

/* ---- what is known from elsewhere ---- */

struct peer_config {
	const char *name;
	const char *const *addresses; /* "host:port" or "host" */
	size_t n_addresses;
};
/* The whole list, at start and after a reload: what is unchanged keeps its
 * state; who is named no more becomes an ordinary peer.  Returns how many
 * addresses were left out: malformed, numeric ones above
 * ENDPOINTS_PER_PEER_MAX, or above PEER_ADDRESSES_MAX. */
size_t peers_set_statics(struct peers *p, const struct peer_config *list,
			 size_t n, nsec now);

enum peers_verdict {
	PEERS_OK,
	PEERS_SELF,  /* it is we */
	PEERS_FULL,  /* no room, and nobody less worth having */
	PEERS_LINKS, /* PEER_LINKS_MAX sessions to that peer stand already */
	PEERS_CLASH, /* another key has that id */
	PEERS_VERDICTS,
};

/* A verified identity that was learnt without meeting it. */
enum peers_verdict peers_handle_identity(struct peers *p,
					 const struct identity *who,
					 const uint8_t *chain, size_t chain_len,
					 nsec now);

/* A beacon (beacon.h) says that `id` is at this endpoint: not believed, only
 * dialled.  `is_fresh`: it says too that it has just come there. */
enum peers_verdict peers_handle_hint(struct peers *p, const struct node_id *id,
				     const union endpoint *at, uint32_t ifindex,
				     bool is_fresh, nsec now);

/* An interface came or went: what failed is worth a try now. */
void peers_handle_network_changed(struct peers *p, nsec now);

/* ---- sessions ---- */

struct peer_session {
	uint32_t session; /* your number of it */
	peer_no dialled;  /* whom we dialled; 0: it called us */
	const struct identity *who;
	const uint8_t *chain; /* verified, in wire form */
	size_t chain_len;
	union endpoint remote;
	uint32_t ifindex; /* that it runs on; 0: unknown, and then no second
			     link to this peer is dialled */
};
/* A session is confirmed.  `no` is whose it is, which need not be `dialled`: an
 * address may belong to another node than last time.  Any verdict but PEERS_OK
 * asks the caller to close the session, and session_down does not follow. */
enum peers_verdict peers_handle_session_up(struct peers *p,
					   const struct peer_session *up,
					   nsec now, peer_no *no);
/* Ends what was PEERS_OK.  Unknown pairs are ignored. */
void peers_handle_session_down(struct peers *p, peer_no no, uint32_t session,
			       peer_error error, nsec now);

/* ---- dials: dialer.c calls these ---- */

void peers_handle_dial(struct peers *p, peer_no no, const union endpoint *at,
		       nsec now);
void peers_handle_dial_failed(struct peers *p, peer_no no,
			      const union endpoint *at, peer_error error,
			      nsec now);
/* The endpoints of a static name, port included; they replace those that it
 * gave before.  None: it could not be resolved. */
void peers_handle_resolved(struct peers *p, peer_no no, uint32_t address,
			   const union endpoint *list, size_t n, nsec now);

/* ---- looking in ---- */

/* Borrowed until the next call that changes the table; NULL if unknown. */
const struct peer *peers_find(const struct peers *p, const struct node_id *id);
const struct peer *peers_find_no(const struct peers *p, peer_no no);
/* All peers, oldest first: begin with NULL; NULL at the end. */
const struct peer *peers_next(const struct peers *p, const struct peer *after);
size_t peers_count(const struct peers *p);
size_t peers_connected(const struct peers *p); /* with a session */
/* Differs if anything happened: the dialler looks again then. */
uint64_t peers_revision(const struct peers *p);
/* The wall clock that belongs to `now`. */
uint64_t peers_wall_ms(const struct peers *p, nsec now);

struct peers_counters {
	uint64_t n_up[PEERS_VERDICTS], n_down, n_failed;
	uint64_t n_evicted, n_hints_refused;
	uint64_t n_dismissed; /* peers that lost their sessions to others */
	uint64_t n_refused;   /* sessions, as all others are worth more */
	uint64_t n_endpoints_replaced, n_endpoints_refused;
	uint64_t n_identity_changed; /* another node at a known address */
	uint64_t n_events_lost;
};
const struct peers_counters *peers_counters(const struct peers *p);

/* ---- outputs ---- */

/* A session to close: its peer has given way to another one, and knows of it
 * no more. */
bool peers_next_dismissed(struct peers *p, uint32_t *session);

enum peers_event_type {
	PEER_CHANGED, /* write its record: peers_record_write() */
	PEER_GONE,    /* evicted: delete its record */
	PEER_SIGHTED, /* keep `sighting` */
};

/* About identified peers only. */
struct peers_event {
	enum peers_event_type type;
	struct node_id id;
	struct sighting sighting;
};
bool peers_next_event(struct peers *p, struct peers_event *out);
