/* Nodes and endpoints for the tests of this folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "discovery/peers.h"
#include "proto/base/mem.h"

#define START   (1000 * NS_PER_S)
#define WALL_MS UINT64_C(1800000000000)

/* A node whose id is in the order of `n`. */
static inline struct identity make_who(uint32_t n)
{
	struct identity who = { 0 };

	who.hash.b[0] = (uint8_t)(n >> 24);
	who.hash.b[1] = (uint8_t)(n >> 16);
	who.hash.b[2] = (uint8_t)(n >> 8);
	who.hash.b[3] = (uint8_t)n;
	who.hash.b[20] = 0x5a;
	who.id = id_of_hash(&who.hash);
	return who;
}

static inline union endpoint make_at(const char *text)
{
	union endpoint at;

	memset(&at, 0, sizeof at);
	assert_true(endpoint_parse(&at, text, QANAT_PORT));
	return at;
}

/* 10.x.y.z of `n`. */
static inline union endpoint make_at4(uint32_t n)
{
	union endpoint at;

	memset(&at, 0, sizeof at);
	at.in.sin_family = AF_INET;
	at.in.sin_addr.s_addr = htonl(0x0a000000u | n);
	at.in.sin_port = htons(QANAT_PORT);
	return at;
}

static inline union endpoint make_at6(uint32_t n, uint32_t scope)
{
	union endpoint at;

	memset(&at, 0, sizeof at);
	at.in6.sin6_family = AF_INET6;
	at.in6.sin6_addr.s6_addr[0] = 0xfe;
	at.in6.sin6_addr.s6_addr[1] = 0x80;
	memcpy(&at.in6.sin6_addr.s6_addr[12], &(uint32_t){ htonl(n) }, 4);
	at.in6.sin6_port = htons(QANAT_PORT);
	at.in6.sin6_scope_id = scope;
	return at;
}

/* We are node 1000. */
static inline struct peers *make_peers(uint64_t seed)
{
	struct identity self = make_who(1000);
	struct rng rng;

	rng_init(&rng, seed);
	return peers_new(&self.id, &rng, WALL_MS, START);
}

static const uint8_t test_chain[] = { 0, 3, 1, 2, 3 };

static inline enum peers_verdict make_up(struct peers *p, uint32_t session,
					 peer_no dialled, uint32_t who,
					 union endpoint remote,
					 uint32_t ifindex, nsec now,
					 peer_no *no)
{
	struct identity id = make_who(who);
	struct peer_session up = { .session = session,
				   .dialled = dialled,
				   .who = &id,
				   .chain = test_chain,
				   .chain_len = sizeof test_chain,
				   .remote = remote,
				   .ifindex = ifindex };

	return peers_handle_session_up(p, &up, now, no);
}

static inline size_t make_static(struct peers *p, const char *name,
				 const char *address, nsec now)
{
	const char *const addresses[] = { address };
	struct peer_config c = { .name = name,
				 .addresses = addresses,
				 .n_addresses = 1 };

	return peers_set_statics(p, &c, 1, now);
}

static inline void make_hint(struct peers *p, uint32_t who, union endpoint at,
			     uint32_t ifindex, bool is_fresh, nsec now)
{
	struct identity id = make_who(who);

	assert_int_equal(
		peers_handle_hint(p, &id.id, &at, ifindex, is_fresh, now),
		PEERS_OK);
}

/* The address of a value that lives as long as the block. */
#define AT(e) (&(union endpoint[]){ e }[0])

static inline const struct peer *find(const struct peers *p, uint32_t who)
{
	struct identity id = make_who(who);

	return peers_find(p, &id.id);
}

/* All events that are pending; how many of one type, the last one in `out`. */
static inline size_t drain(struct peers *p, enum peers_event_type type,
			   struct peers_event *out)
{
	struct peers_event ev;
	size_t n = 0;

	while (peers_next_event(p, &ev)) {
		if (ev.type != type)
			continue;
		n++;
		if (out != NULL)
			*out = ev;
	}
	return n;
}
