/* A LAN beacon: what is parsed writes back to the same bytes, and a receiver
 * survives whatever it hears. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/beacon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t seed[32] = { 1 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_writing(const struct beacon *b, const uint8_t *data)
{
	struct node_hash ca = hash_of("a", 1);
	uint8_t again[BEACON_BYTES];
	struct sign_key key;

	sign_key_from_seed(&key, seed);
	beacon_write(again, b, &key, &ca);
	/* Cluster, id, key and signature are the writer's. */
	must(memcmp(again, data, 6) == 0);
	must(memcmp(again + 52, data + 52, 26) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct node_hash ca = hash_of("a", 1);
	union endpoint from = { .in = { .sin_family = AF_INET } };
	struct node_id self = { { 9 } };
	struct beacon_receiver *r;
	struct beacon_hint hint;
	struct beacon b = { .issued_ms = 0 };
	struct rng rng;
	uint8_t tag[4];

	if (beacon_parse(&b, tag, data, len) == BEACON_OK) {
		must(len == BEACON_BYTES && b.port != 0);
		check_writing(&b, data);
	}
	rng_init(&rng, 1);
	r = beacon_receiver_new(&ca, &self, &rng, 0);
	if (beacon_receive(r, data, len, &from, b.issued_ms, 0, &hint) ==
	    BEACON_OK) {
		must(ntohs(hint.at.in.sin_port) == b.port);
		must(beacon_receive(r, data, len, &from, b.issued_ms, 1,
				    &hint) == BEACON_REPLAY);
	}
	beacon_receiver_free(r);
	return 0;
}
