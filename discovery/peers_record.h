/* An identified peer as the database keeps it.  protocol.md 8.4.
 *
 * The key is the peer's id (10 bytes); the checksum around the record is the
 * store's.  Reading goes in three steps, as the chain has to be checked again:
 *
 *	peers_record_parse(&r, data, len) &&
 *	cert_check(trust, r.chain, r.chain_len, now_s, &who) == CERT_OK &&
 *	peers_load(p, &r, &who, now) == PEERS_OK
 */
#pragma once

#include "discovery/peers.h"

#define PEER_RECORD_VERSION 1
#define PEER_RECORD_MAX     4800

struct peer_record {
	uint64_t saved_ms, first_seen_ms, last_seen_ms;
	uint32_t score;
	peer_error last_error;
	char name[NAME_BYTES_MAX + 1]; /* of its section; "" */
	const uint8_t *chain;          /* borrowed from the data */
	size_t chain_len;
	size_t n_endpoints;
	struct {
		union endpoint at;
		enum endpoint_source source;
		uint32_t score;
		uint64_t last_heard_ms, last_success_ms, last_failure_ms;
	} endpoints[ENDPOINTS_PER_PEER_MAX];
};

/* The length; 0 if the peer is not identified or `cap` is too small
 * (PEER_RECORD_MAX is enough).  What means nothing after a restart is left out:
 * link-local endpoints (their interface's number changes) and those of the
 * configuration that never answered. */
size_t peers_record_write(const struct peers *p, const struct peer *peer,
			  uint8_t *out, size_t cap, nsec now);

/* False: damaged, or of a version that we do not know. */
bool peers_record_parse(struct peer_record *out, const uint8_t *data,
			size_t len);

enum peers_verdict peers_load(struct peers *p, const struct peer_record *r,
			      const struct identity *who, nsec now);
