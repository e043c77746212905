#include "circuit/relay/label.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/limits.h"
#include "proto/packet.h"

#define GENERATION_SHIFT 20
#define GENERATIONS      1024
#define SLOTS_MAX        (LABEL_INDEX + 1)
/* So many uses of one slot take LABEL_REUSE_NS at least. */
#define SLOT_REST_NS (LABEL_REUSE_NS / (GENERATIONS - 1) + 1)

/* A free slot (session 0) is in the queue of free slots, oldest first. */
struct slot {
	struct label_use use;
	uint16_t generation;
	uint32_t next_free;
	nsec freed;
};

/* Slot 0 is never used: it ends the queue, and no label is 0. */
struct label_table {
	struct rng *rng;
	struct slot *slots;
	uint32_t n;
	uint32_t cap;
	uint32_t first_free;
	uint32_t last_free;
	size_t n_used;
};

struct label_table *label_table_new(struct rng *rng)
{
	struct label_table *t = mem_new(t);

	t->rng = rng;
	t->cap = 16;
	t->slots = mem_calloc(t->cap, sizeof *t->slots);
	t->n = 1;
	return t;
}

void label_table_free(struct label_table *t)
{
	if (t == NULL)
		return;
	free(t->slots);
	free(t);
}

static uint32_t slot_fresh(struct label_table *t)
{
	if (t->n == SLOTS_MAX)
		return 0;
	if (t->n == t->cap) {
		t->cap *= 2;
		t->slots = mem_realloc(t->slots, t->cap, sizeof *t->slots);
	}
	t->slots[t->n] = (struct slot){
		.generation = (uint16_t)rng_below(t->rng, GENERATIONS),
	};
	return t->n++;
}

static uint32_t slot_rested(struct label_table *t, nsec now)
{
	uint32_t i = t->first_free;
	struct slot *s = &t->slots[i];

	if (i == 0 || now < s->freed + SLOT_REST_NS)
		return 0;
	t->first_free = s->next_free;
	if (t->first_free == 0)
		t->last_free = 0;
	s->generation = (uint16_t)((s->generation + 1) % GENERATIONS);
	return i;
}

uint32_t label_add(struct label_table *t, const struct label_use *use, nsec now)
{
	uint32_t i = slot_rested(t, now);

	assert(use->session != 0);
	if (i == 0)
		i = slot_fresh(t);
	if (i == 0)
		return 0;
	t->slots[i].use = *use;
	t->n_used++;
	return (uint32_t)t->slots[i].generation << GENERATION_SHIFT | i;
}

void label_remove(struct label_table *t, uint32_t label, nsec now)
{
	uint32_t i = label & LABEL_INDEX;
	struct slot *s = &t->slots[i];

	assert(i != 0 && i < t->n && s->use.session != 0);
	s->use = (struct label_use){ 0 };
	s->freed = now;
	s->next_free = 0;
	if (t->last_free != 0)
		t->slots[t->last_free].next_free = i;
	else
		t->first_free = i;
	t->last_free = i;
	t->n_used--;
}

const struct label_use *label_find(const struct label_table *t,
				   uint32_t session, uint32_t label)
{
	uint32_t i = label & LABEL_INDEX;
	const struct slot *s;

	if (i >= t->n || session == 0)
		return NULL;
	s = &t->slots[i];
	if (s->use.session != session ||
	    s->generation != label >> GENERATION_SHIFT)
		return NULL;
	return &s->use;
}

size_t label_n_used(const struct label_table *t)
{
	return t->n_used;
}
