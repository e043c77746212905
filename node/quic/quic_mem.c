#include "node/quic/quic_mem.h"

#include <sodium.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

/* In front of each piece. */
struct quic_piece {
	alignas(16) size_t size;
	struct quic_piece *next; /* of the spare ones */
};

enum {
	/* A connection asks for the same sizes again and again; beyond these
	 * nothing is looked for. */
	SPARES_LOOKED = 12,
};

static bool is_inside(const struct quic_mem *m, const void *p)
{
	return (uintptr_t)p - (uintptr_t)m->place < QUIC_MEM_BYTES;
}

static struct quic_piece *piece_of(void *p)
{
	return (struct quic_piece *)p - 1;
}

static struct quic_piece *take_spare(struct quic_mem *m, size_t size)
{
	struct quic_piece **p = &m->spare;

	for (int i = 0; i < SPARES_LOOKED && *p != NULL; i++) {
		struct quic_piece *found = *p;

		if (found->size == size) {
			*p = found->next;
			return found;
		}
		p = &found->next;
	}
	return NULL;
}

/* NULL: there is no room. */
static void *take(struct quic_mem *m, size_t size)
{
	const size_t unit = alignof(struct quic_piece);
	struct quic_piece *p;

	if (size > QUIC_MEM_BYTES / 2)
		return NULL;
	size = (size + unit - 1) & ~(unit - 1);
	p = take_spare(m, size);
	if (p == NULL) {
		if (QUIC_MEM_BYTES - m->used < sizeof *p + size)
			return NULL;
		p = (struct quic_piece *)(m->place + m->used);
		p->size = size;
		m->used += sizeof *p + size;
	}
	return p + 1;
}

/* ---- for ngtcp2 ---- */

static void *allocate(size_t size, void *ctx)
{
	void *p = take(ctx, size);

	return p != NULL ? p : malloc(size);
}

static void *allocate_zero(size_t n, size_t size, void *ctx)
{
	size_t all;
	void *p;

	if (__builtin_mul_overflow(n, size, &all))
		return NULL;
	p = take(ctx, all);
	return p != NULL ? memset(p, 0, all) : calloc(n, size);
}

static void give_back(void *p, void *ctx)
{
	struct quic_mem *m = ctx;
	struct quic_piece *piece;

	if (!is_inside(m, p)) {
		free(p);
		return;
	}
	piece = piece_of(p);
	/* Zeros need not be packed. */
	memset(p, 0, piece->size);
	piece->next = m->spare;
	m->spare = piece;
}

static void *reallocate(void *old, size_t size, void *ctx)
{
	size_t old_size;
	void *p;

	if (old != NULL && !is_inside(ctx, old))
		return realloc(old, size);
	p = allocate(size, ctx);
	if (p == NULL || old == NULL)
		return p;
	old_size = piece_of(old)->size;
	memcpy(p, old, old_size < size ? old_size : size);
	give_back(old, ctx);
	return p;
}

/* ---- its life ---- */

void quic_mem_init(struct quic_mem *m)
{
	*m = (struct quic_mem){
		.mem = { .user_data = m,
			 .malloc = allocate,
			 .free = give_back,
			 .calloc = allocate_zero,
			 .realloc = reallocate },
		.place = mem_pages(QUIC_MEM_BYTES),
	};
}

static void drop_packed(struct quic_mem *m)
{
	if (m->packed == NULL)
		return;
	sodium_memzero(m->packed, m->packed_len);
	free(m->packed);
	m->packed = NULL;
}

void quic_mem_deinit(struct quic_mem *m)
{
	drop_packed(m);
	mem_pages_free(m->place, QUIC_MEM_BYTES);
}

/* ---- sleep ---- */

static bool is_zero(const uint8_t *line)
{
	static const uint8_t zeros[QUIC_MEM_LINE];

	return memcmp(line, zeros, sizeof zeros) == 0;
}

static bool is_packed(const struct quic_mem *m, size_t i)
{
	return (m->lines[i / 64] >> i % 64 & 1) != 0;
}

/* Which lines are not zero; returns how many. */
static size_t find_lines(struct quic_mem *m)
{
	size_t n = 0;

	memset(m->lines, 0, sizeof m->lines);
	for (size_t i = 0; i * QUIC_MEM_LINE < m->used; i++) {
		if (is_zero(m->place + i * QUIC_MEM_LINE))
			continue;
		m->lines[i / 64] |= UINT64_C(1) << i % 64;
		n++;
	}
	return n;
}

void quic_mem_sleep(struct quic_mem *m)
{
	uint8_t *out;

	m->packed_len = find_lines(m) * QUIC_MEM_LINE;
	out = m->packed = mem_calloc(m->packed_len, 1);
	for (size_t i = 0; i < QUIC_MEM_LINES; i++) {
		if (!is_packed(m, i))
			continue;
		memcpy(out, m->place + i * QUIC_MEM_LINE, QUIC_MEM_LINE);
		out += QUIC_MEM_LINE;
	}
	mem_pages_clear(m->place, m->used);
}

void quic_mem_wake(struct quic_mem *m)
{
	const uint8_t *in = m->packed;

	mem_pages_open(m->place, m->used);
	for (size_t i = 0; i < QUIC_MEM_LINES; i++) {
		if (!is_packed(m, i))
			continue;
		memcpy(m->place + i * QUIC_MEM_LINE, in, QUIC_MEM_LINE);
		in += QUIC_MEM_LINE;
	}
	drop_packed(m);
}
