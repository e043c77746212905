#include "proto/base/rng.h"

#include <string.h>

static uint64_t rotl(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void rng_init(struct rng *r, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++)
		r->s[i] = splitmix64(&seed);
}

void rng_init_bytes(struct rng *r, const uint8_t seed[32])
{
	memcpy(r->s, seed, sizeof r->s);
	if ((r->s[0] | r->s[1] | r->s[2] | r->s[3]) == 0)
		rng_init(r, 1);
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t *s = r->s;
	uint64_t out = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
	uint64_t limit, x;

	if (bound == 0)
		return 0;
	/* Rejects the tail so that every value is equally likely. */
	limit = UINT64_MAX - UINT64_MAX % bound;
	do
		x = rng_u64(r);
	while (x >= limit);
	return x % bound;
}

void rng_fill(struct rng *r, void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0) {
		uint64_t x = rng_u64(r);
		size_t n = len < sizeof x ? len : sizeof x;

		memcpy(p, &x, n);
		p += n;
		len -= n;
	}
}
