/* What is known of one node: a plain value which only peers.c writes.
 *
 * A peer is one of three, and may rise from the lower to the upper:
 *   identified  a verified certificate was seen; kept in the database
 *   static      named in the configuration, not met yet: who it is is unknown
 *   hint        a beacon claims that this id is reachable there; not believed
 * Times that are kept (`*_ms`) are wall-clock milliseconds since 1970, 0 for
 * never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/backoff.h"
#include "discovery/score.h"
#include "proto/base/time.h"
#include "proto/cert.h"
#include "proto/endpoint.h"
#include "proto/id.h"

#define PEER_LINKS_MAX     8
#define PEER_ADDRESSES_MAX 16
#define PEER_SIGHTINGS_MAX 8

typedef uint32_t peer_no; /* 0: none; a number is never used twice */

/* Why there is no session.  A certificate that we refuse is
 * PEER_ERROR_CERTIFICATE + enum cert_verdict. */
enum {
	PEER_ERROR_NONE,        /* we closed it in order: a duplicate, a stop */
	PEER_ERROR_TIMEOUT,     /* silence */
	PEER_ERROR_REFUSED,     /* nobody listens on that port */
	PEER_ERROR_UNREACHABLE, /* no way there: ENETUNREACH, EHOSTUNREACH */
	PEER_ERROR_IDENTITY,    /* another node answered */
	PEER_ERROR_SELF,        /* we answered */
	PEER_ERROR_REJECTED,    /* it does not accept our certificate */
	PEER_ERROR_CLOSED,      /* it ended the session in order */
	PEER_ERROR_PROTOCOL,    /* it broke the protocol */
	PEER_ERROR_LIMIT,       /* too many sessions, here or there */
	PEER_ERROR_NAME,        /* its name has no address */
	PEER_ERRORS,
	PEER_ERROR_CERTIFICATE = 32,
};
typedef uint8_t peer_error;
/* A short English phrase ("no answer", "certificate expired"). */
const char *peer_error_text(peer_error e);

enum endpoint_source {
	ENDPOINT_STATIC,
	ENDPOINT_BEACON,
	ENDPOINT_SEEN, /* a session came from there */
	ENDPOINT_SOURCES,
};
const char *endpoint_source_word(enum endpoint_source source);

struct peer_endpoint {
	union endpoint at;
	uint32_t ifindex; /* the interface that it is behind; 0: unknown */
	enum endpoint_source source;
	uint32_t address; /* static: the number of its peer_address */
	struct score score;
	struct backoff backoff;
	uint64_t last_heard_ms; /* a beacon */
	uint64_t last_success_ms;
	uint64_t last_failure_ms;
};

enum sighting_what {
	SIGHTING_HEARD, /* a beacon */
	SIGHTING_UP,    /* a session was confirmed */
	SIGHTING_DOWN,  /* a session ended */
	SIGHTING_FAILED,
};
const char *sighting_word(enum sighting_what what);

struct sighting {
	uint64_t when_ms;
	enum sighting_what what;
	peer_error error;
	union endpoint at;
};

/* A session that stands. */
struct peer_link {
	uint32_t session; /* the caller's number */
	union endpoint remote;
	uint32_t ifindex; /* 0: unknown */
	nsec since;
};

/* One `address =` of the configuration.  A numeric one is an endpoint from the
 * start; a name becomes endpoints when it is resolved. */
struct peer_address {
	uint32_t no; /* unique in the table */
	bool is_name;
	uint16_t port;
	char host[256];
	struct backoff backoff; /* of resolving it */
};

/* One [peer NAME] section. */
struct peer_static {
	struct peer_static *next;
	char name[NAME_BYTES_MAX + 1];
	size_t n_addresses;
	struct peer_address addresses[PEER_ADDRESSES_MAX];
};

struct peer {
	peer_no no;
	bool has_id;        /* who.id is known, or (a hint) claimed */
	bool is_identified; /* `who` and the chain are verified */
	struct identity who;
	uint8_t *chain;
	size_t chain_len;
	struct peer_static *statics; /* NULL: not from the configuration */
	struct score score;
	peer_error last_error;
	uint64_t first_seen_ms, last_seen_ms;
	size_t n_endpoints;
	struct peer_endpoint endpoints[ENDPOINTS_PER_PEER_MAX];
	size_t n_links;
	struct peer_link links[PEER_LINKS_MAX];
	uint64_t n_sightings; /* in all; the ring holds the latest */
	struct sighting sightings[PEER_SIGHTINGS_MAX];
	nsec last_dial;       /* for the stagger between two dials */
	int last_dial_family; /* for the turns of IPv6 and IPv4 */
};

/* Borrowed; NULL if there is none. */
const struct peer_endpoint *peer_endpoint_find(const struct peer *peer,
					       const union endpoint *at);

/* Whether a session stands on the link that a new one on `ifindex` would use;
 * an unknown interface (0, on either side) may be any. */
bool peer_link_is_taken(const struct peer *peer, uint32_t ifindex);
