/* A seeded stream of random numbers for the core: xoshiro256** (Blackman and
 * Vigna), seeded by splitmix64.
 *
 * Not for secrets: nonces and keys that an attacker must not guess are drawn
 * from the system (`node` passes them in or seeds from it); the simulator
 * passes a seed so that a run can be replayed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);

/* Seeds all 256 bits. */
void rng_init_bytes(struct rng *r, const uint8_t seed[32]);

uint64_t rng_u64(struct rng *r);

/* Uniform in [0, bound); 0 if `bound` is 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);

void rng_fill(struct rng *r, void *out, size_t len);
