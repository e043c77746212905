/* Whom to dial, and when.  protocol.md 8.2.
 *
 * Static peers are tried for ever, with the back-off of backoff.h; those that
 * were met before, or that a beacon told of, a few times.  IPv6 and IPv4 of a
 * peer take turns, the second 250 ms after the first.  A connected peer is only
 * dialled over an interface on which no session to it stands.  At most
 * DIALS_PER_S a second and DIALS_MAX at the same time.
 *
 * Pure; it borrows the peer table for its life and keeps what it learns there.
 * How the caller drives it:
 *   turn end     dialer_next() until false; then dialer_deadline() holds
 *   DIAL_START   begin a handshake with `at` (from `ifindex`, unless 0); if
 *                `has_id`, nobody else will do.  Answer with dialer_handle_up()
 *                and then peers_handle_session_up() (dialled = d.peer), or with
 *                dialer_handle_failed()
 *   DIAL_RESOLVE look `host` up (node/peers/resolve.h); answer with
 *                dialer_handle_resolved()
 *   DIAL_CANCEL  give the handshake up; no answer is expected
 * Answers to a dial that is over are ignored.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "discovery/peers.h"

#define DIALS_MAX         16 /* handshakes at the same time */
#define DIAL_RESOLVES_MAX 8
#define DIALS_BURST       DIALS_PER_S
#define DIAL_STAGGER_NS   (250 * NS_PER_MS)
/* Should the caller never answer. */
#define DIAL_GUARD_NS         (HANDSHAKE_OUTER_NS + 2 * NS_PER_S)
#define DIAL_RESOLVE_GUARD_NS (60 * NS_PER_S)
/* Peers that the configuration does not name are dialled while fewer than this
 * are connected: half of the room is for those who call us. */
#define DIAL_LEARNT_MAX (PEERS_MAX / 2)

enum dial_type {
	DIAL_START,
	DIAL_RESOLVE,
	DIAL_CANCEL,
};

struct dial {
	enum dial_type type;
	uint32_t no; /* of the dial; never used twice */
	peer_no peer;
	union endpoint at; /* START */
	uint32_t ifindex;
	bool has_id;
	struct node_id id;
	char host[256]; /* RESOLVE */
	uint16_t port;
};

struct dialer;

/* `peers` is borrowed for the dialler's life. */
struct dialer *dialer_new(struct peers *peers, nsec now);
void dialer_free(struct dialer *d); /* NULL is allowed */

bool dialer_next(struct dialer *d, nsec now, struct dial *out);
/* When to ask dialer_next() again if nothing else happens. */
nsec dialer_deadline(const struct dialer *d);

/* The handshake of a dial is confirmed. */
void dialer_handle_up(struct dialer *d, uint32_t no);
void dialer_handle_failed(struct dialer *d, uint32_t no, peer_error error,
			  nsec now);
/* None: the name has no address now. */
void dialer_handle_resolved(struct dialer *d, uint32_t no,
			    const union endpoint *list, size_t n, nsec now);

struct dialer_counters {
	uint64_t n_dials, n_resolves, n_cancelled, n_unanswered, n_stale;
};
const struct dialer_counters *dialer_counters(const struct dialer *d);
