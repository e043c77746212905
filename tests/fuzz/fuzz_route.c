/* A route as the database keeps it. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/msg.h"
#include "tests/support/check.h"
#include "tests/support/msgs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t stored[FRAME_ROUTING_BYTES_MAX];
	static struct route_proof r, again;
	uint8_t digest[HASH_LEN], digest_again[HASH_LEN];
	size_t n;

	if (!route_proof_parse(&r, data, len))
		return 0;
	check(route_fault(&r) == NULL);
	n = route_proof_write(stored, sizeof stored, &r);
	check(n != 0);
	check(route_proof_parse(&again, stored, n));
	check(route_equal(&r, &again));
	route_proof_digest(digest, &r);
	route_proof_digest(digest_again, &again);
	check(memcmp(digest, digest_again, HASH_LEN) == 0);
	return 0;
}
