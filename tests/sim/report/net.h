/* Networks of any size: which nodes share a link, and how long it is.  And what
 * the best path would be, to which found ones are compared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/rng.h"
#include "proto/base/time.h"

enum net_kind {
	NET_BA,        /* Barabási and Albert, 3 links a node */
	NET_HUBS,      /* 1 in 50 is a hub, leaves have two of them */
	NET_SMALL,     /* Watts and Strogatz, 6 neighbours, 1 in 10 rewired */
	NET_GEOMETRIC, /* in the unit square, 12 neighbours on average */
	NET_REGULAR,   /* 8 random neighbours */
	NET_GRID,      /* n must be a square */
	NET_LINE,
	NET_RANDOM, /* a tree with half as many links more */
	NET_KINDS,
};
const char *net_kind_name(enum net_kind kind);
/* By the short name that options take; false: there is none. */
bool net_kind_parse(enum net_kind *out, const char *name);

struct net_link {
	uint32_t a, b;
	nsec delay;
};

struct net {
	enum net_kind kind;
	size_t n;
	struct net_link *link;
	size_t n_links, cap_links;
	/* Links of node i: at[first[i]] to at[first[i + 1] - 1]. */
	size_t *first;
	size_t *at;
};

/* Connected.  Links are 2 to 20 ms long. */
void net_make(struct net *g, enum net_kind kind, size_t n, struct rng *r);
void net_deinit(struct net *g);
bool net_has_link(const struct net *g, size_t a, size_t b);
size_t net_far_end(const struct net *g, size_t link, size_t node);
size_t net_degree(const struct net *g, size_t node);

#define NET_NOWHERE UINT64_MAX

/* From one node to all: the least sum of max(delay, floor) over nodes for which
 * `usable` (may be NULL) is true; NET_NOWHERE where there is none.  `n_hops`
 * (may be NULL): of these paths. */
void net_distances(const struct net *g, size_t from, nsec floor,
		   const bool *usable, nsec *out, unsigned *n_hops);
