/* Whom we know and whom we dial: the peer table, the dialler, LAN beacons and
 * the resolver, joined to the sessions and the database. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/session/session.h"
#include "proto/cert.h"

struct config;
struct loop;
struct neighbours;
struct peers;
struct store;

/* All but `config` is borrowed. */
struct neighbours *neighbours_new(struct loop *l, struct sessions *sessions,
				  const struct credentials *c,
				  const struct config *config,
				  struct store *store);
/* Returns how many name look-ups still run on threads (resolve.h). */
size_t neighbours_free(struct neighbours *nb);
void neighbours_reload(struct neighbours *nb, const struct config *config);

/* A record of the database; its identity goes to the router too.  False: it is
 * of no use any more. */
bool neighbours_load(struct neighbours *nb, struct router *r,
		     const void *record, size_t len);

/* False: close it, there are enough sessions. */
bool neighbours_session_up(struct neighbours *nb, const struct session_info *s,
			   const uint8_t *chain, size_t chain_len);
void neighbours_session_down(struct neighbours *nb,
			     const struct session_info *s);
/* An identity that the router has learnt. */
void neighbours_identity(struct neighbours *nb, const struct identity *who,
			 const uint8_t *chain, size_t chain_len);

/* At the end of a turn; true if anything was done. */
bool neighbours_flush(struct neighbours *nb);
/* Once a minute: the wall clock. */
void neighbours_minute(struct neighbours *nb);

/* For status. */
const struct peers *neighbours_peers(const struct neighbours *nb);
