/* Routes, records and scores between the router and the database. */
#pragma once

#include "circuit/router.h"

struct store;
struct neighbours;
struct sessions;

void keep_route_put(struct store *s, const struct route_proof *route);
void keep_route_del(struct store *s, const struct route_proof *route);
void keep_record_put(struct store *s, const struct record *record);
void keep_score(struct store *s, const struct router *r,
		const struct node_id *id);
/* The scores of all neighbours. */
void keep_scores(struct store *s, const struct router *r,
		 const struct sessions *sessions);
/* At the start: every stored peer, route, record and score that is still good.
 */
void keep_load(struct store *s, struct router *r, struct neighbours *nb,
	       nsec now);
