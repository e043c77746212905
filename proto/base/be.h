/* Numbers in network order inside packets whose length was checked before;
 * what comes unchecked is read with view.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32_get(const uint8_t *p)
{
	return (uint32_t)be16_get(p) << 16 | be16_get(p + 2);
}

static inline uint64_t be64_get(const uint8_t *p)
{
	return (uint64_t)be32_get(p) << 32 | be32_get(p + 4);
}

/* The low 16 bits. */
static inline void be16_put(uint8_t *p, size_t x)
{
	p[0] = (uint8_t)(x >> 8);
	p[1] = (uint8_t)x;
}

static inline void be32_put(uint8_t *p, uint32_t x)
{
	be16_put(p, x >> 16);
	be16_put(p + 2, x);
}
