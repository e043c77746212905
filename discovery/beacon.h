/* LAN beacons: "a node of this cluster listens on this port".  protocol.md 8.1.
 *
 * One signed datagram, sent to every node on the wire.  It proves that its
 * sender holds the key that it names and has sent it lately, not that the key
 * belongs to a member: a good beacon is only a hint whom to dial, and the
 * session proves the rest.
 *
 * Pure.  How the caller drives it, with node/peers/lan.h for the sockets:
 *   sending    beacon_clock_due() when beacon_clock_deadline() has come: if
 *              true, write one beacon for each place to send to (each with a
 *              nonce of its own, as a receiver takes each only once)
 *   interface  beacon_clock_interface_up(): the next beacons go out soon
 *   receiving  beacon_receive() with every datagram that came in; on BEACON_OK
 *              the hint goes to peers_handle_hint(), all else is counted
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/rng.h"
#include "proto/base/time.h"
#include "proto/endpoint.h"
#include "proto/id.h"
#include "proto/key.h"

#define BEACON_BYTES     142
#define BEACON_VERSION_1 1

/* Checks of signatures; and by source, counted before any is made. */
#define BEACON_RATE         32
#define BEACON_BURST        128
#define BEACON_SOURCE_RATE  2
#define BEACON_SOURCE_BURST 8
#define BEACON_SOURCES_MAX  256
/* A beacon is taken for CLOCK_SKEW_MS around its time, so twice that is as long
 * as one must be remembered; more than this cannot be taken meanwhile. */
#define BEACON_REPLAY_NS  (2 * CLOCK_SKEW_MS * NS_PER_MS)
#define BEACON_REPLAY_MAX (BEACON_BURST + 60 * BEACON_RATE)

struct beacon {
	bool is_fresh; /* the sender has just come to this wire */
	struct node_id id;
	struct node_key key;
	uint16_t port;
	uint64_t issued_ms;
	struct nonce nonce;
};

enum beacon_verdict {
	BEACON_OK,
	BEACON_LENGTH,  /* not BEACON_BYTES long */
	BEACON_MAGIC,   /* not ours at all */
	BEACON_VERSION, /* of a version or with flags that we do not know */
	BEACON_FOREIGN, /* of another cluster */
	BEACON_PORT_ZERO,
	BEACON_SKEW,         /* too old, or from the future: check the clocks */
	BEACON_REPLAY,       /* taken already */
	BEACON_SELF,         /* our own */
	BEACON_SOURCE_LIMIT, /* too many from that source */
	BEACON_LIMIT,        /* too many in all */
	BEACON_ID,           /* the id is not that of the key */
	BEACON_SIGNATURE,
	BEACON_VERDICTS,
};
/* A short English phrase. */
const char *beacon_verdict_text(enum beacon_verdict v);

/* Reads the bytes; OK says nothing about signature, cluster or time. */
enum beacon_verdict beacon_parse(struct beacon *out, uint8_t tag[4],
				 const uint8_t *data, size_t len);

/* Writes and signs; id and key are those of `key`. */
void beacon_write(uint8_t out[BEACON_BYTES], const struct beacon *b,
		  const struct sign_key *key, const struct node_hash *ca);

/* ---- receiving ---- */

struct beacon_receiver;

struct beacon_hint {
	struct node_id id;
	union endpoint at; /* the source with the announced port */
	bool is_fresh;
};

/* `rng` keys the tables: seed it from the system. */
struct beacon_receiver *beacon_receiver_new(const struct node_hash *ca,
					    const struct node_id *self,
					    struct rng *rng, nsec now);
void beacon_receiver_free(struct beacon_receiver *r); /* NULL is allowed */

/* `out` is written on BEACON_OK only. */
enum beacon_verdict beacon_receive(struct beacon_receiver *r,
				   const uint8_t *data, size_t len,
				   const union endpoint *from, uint64_t wall_ms,
				   nsec now, struct beacon_hint *out);
/* How often each verdict was given. */
const uint64_t *beacon_counters(const struct beacon_receiver *r);

/* ---- when to send ---- a plain value in its owner. */

/* After a start, and after an interface came up, at once and then after 1 s and
 * 3 s (these are `is_fresh`); from then on every BEACON_PERIOD_NS.  All with a
 * jitter of a fifth.  A new start follows the last one by this at least: an
 * interface may flap. */
#define BEACON_RESTART_NS (10 * NS_PER_S)

struct beacon_clock {
	struct rng rng;
	nsec next;
	unsigned n_fresh_left;
	nsec started;
	nsec restart_at; /* TIME_NEVER: none is due */
};

void beacon_clock_init(struct beacon_clock *c, const struct rng *rng, nsec now);
void beacon_clock_interface_up(struct beacon_clock *c, nsec now);
nsec beacon_clock_deadline(const struct beacon_clock *c);
/* True: send now, everywhere. */
bool beacon_clock_due(struct beacon_clock *c, nsec now, bool *is_fresh);
