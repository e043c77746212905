/* The inside of the peer table, for peers*.c alone: entries and their indexes,
 * room and eviction, endpoints, the queue of events. */
#pragma once

#include "discovery/keyed_hash.h"
#include "discovery/peers.h"

struct entry {
	struct peer peer; /* first: peers_next() relies on it */
	bool is_changed;
	struct entry *prev, *next; /* among the changed ones */
	UT_hash_handle hh_no, hh_id;
};

struct peers {
	struct node_id self;
	struct rng rng;
	uint8_t hash_key[HASH_KEY_BYTES];
	uint64_t wall_ms; /* at `wall_at` */
	nsec wall_at;
	struct entry *by_no, *by_id, *changed;
	peer_no last_no;
	uint32_t last_address;
	size_t n_hints, n_connected;
	uint32_t dismissed[PEERS_DISMISSED_MAX]; /* sessions to close */
	size_t n_dismissed;
	uint64_t revision;
	struct peers_event events[PEERS_EVENTS_MAX];
	size_t events_head, n_events;
	struct peers_counters counters;
};

struct entry *entry_find(const struct peers *p, const struct node_id *id);
struct entry *entry_find_no(const struct peers *p, peer_no no);

enum entry_kind {
	ENTRY_STATIC,
	ENTRY_HINT,
	ENTRY_IDENTIFIED,
};
/* `id` is NULL for a static one.  NULL: there is no room. */
struct entry *entry_add(struct peers *p, enum entry_kind kind,
			const struct node_id *id, nsec now);
void entry_remove(struct peers *p, struct entry *e);
/* Makes it an identified one, or renews its identity.  False (and nothing
 * changes): it is another node with the same id. */
bool entry_identify(struct peers *p, struct entry *e,
		    const struct identity *who, const uint8_t *chain,
		    size_t chain_len);
/* Its record should be written. */
void entry_changed(struct peers *p, struct entry *e);
/* Its record is as it should be. */
void entry_saved(struct peers *p, struct entry *e);

struct peer_endpoint *entry_endpoint(struct entry *e, const union endpoint *at);
/* The endpoint, added if it is new; the worst that is not static makes room.
 * NULL: all are static. */
struct peer_endpoint *entry_endpoint_add(struct peers *p, struct entry *e,
					 const union endpoint *at,
					 enum endpoint_source source, nsec now);
void entry_endpoint_remove(struct entry *e, struct peer_endpoint *ep);

void peers_sight(struct peers *p, struct entry *e, enum sighting_what what,
		 peer_error error, const union endpoint *at, nsec now);

/* peers_static.c: hands a section, and the endpoints that it gave, over to the
 * peer that turned out to be meant.  `from` is removed if nothing is left. */
void static_move(struct peers *p, struct entry *from, struct peer_static *s,
		 struct entry *to, nsec now);
/* The section that named this endpoint; NULL if none of this peer's did. */
struct peer_static *static_of(const struct peer *peer,
			      const struct peer_endpoint *ep);
