/* The memory of one QUIC connection: all in one place, so that a connection
 * with little to do can be put to sleep.
 *
 * What ngtcp2 holds for a connection is 30 KiB, most of it zeros: pools of
 * which one object is used, trees with room for thirty.  Asleep, only what is
 * not zero is kept, packed, and the place itself costs nothing; it comes back
 * at the same addresses.  Whoever uses the connection has to wake it first.
 *
 * What finds no room there is malloc()'s, and stays.
 */
#pragma once

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	QUIC_MEM_BYTES = 48 << 10,
	QUIC_MEM_LINE = 32, /* packed or left out as one */
	QUIC_MEM_LINES = QUIC_MEM_BYTES / QUIC_MEM_LINE,
};

struct quic_mem {
	ngtcp2_mem mem; /* for a connection, which must be gone before */
	uint8_t *place;
	size_t used;
	struct quic_piece *spare; /* what was given back */
	uint8_t *packed;          /* NULL: awake */
	size_t packed_len;
	uint64_t lines[QUIC_MEM_LINES / 64]; /* which are packed */
};

void quic_mem_init(struct quic_mem *m);
/* With all that is in it. */
void quic_mem_deinit(struct quic_mem *m);

/* Nobody may be inside the connection, and it must be awake. */
void quic_mem_sleep(struct quic_mem *m);
void quic_mem_wake(struct quic_mem *m);
static inline bool quic_mem_is_asleep(const struct quic_mem *m)
{
	return m->packed != NULL;
}
