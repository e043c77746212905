/* A peer's record of the database: what is accepted loads, and what that writes
 * is accepted again. */
#include <stdint.h>
#include <stdlib.h>

#include "discovery/peers_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const addresses[] = { "10.0.0.7" };
	struct peer_config config = { "bravo", addresses, 1 };
	struct node_id self = { { 9 } };
	struct identity who = { .id = { { 7 } } };
	uint8_t again[PEER_RECORD_MAX];
	struct peer_record r;
	struct peers *p;
	struct rng rng;
	size_t n;

	if (!peers_record_parse(&r, data, len))
		return 0;
	rng_init(&rng, 1);
	p = peers_new(&self, &rng, 1, 0);
	peers_set_statics(p, &config, 1, 0);
	must(peers_load(p, &r, &who, 0) == PEERS_OK);
	n = peers_record_write(p, peers_find(p, &who.id), again, sizeof again,
			       0);
	must(n > 0 && peers_record_parse(&r, again, n));
	peers_free(p);
	return 0;
}
