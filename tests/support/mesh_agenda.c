#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/support/mesh_inside.h"

static bool is_before(const struct agenda_entry *a,
		      const struct agenda_entry *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static size_t place_for(struct agenda *a, const struct happening *h)
{
	size_t place;

	if (a->n_free > 0) {
		place = a->free[--a->n_free];
	} else {
		MESH_GROW(a->pool, a->n_pool, a->cap_pool);
		place = a->n_pool++;
	}
	a->pool[place] = *h;
	return place;
}

void agenda_add(struct agenda *a, nsec at, const struct happening *h)
{
	struct agenda_entry e = { .at = at,
				  .order = a->n_planned++,
				  .place = place_for(a, h) };
	size_t i = a->n;

	MESH_GROW(a->heap, a->n, a->cap);
	a->n++;
	for (; i > 0 && is_before(&e, &a->heap[(i - 1) / 4]); i = (i - 1) / 4)
		a->heap[i] = a->heap[(i - 1) / 4];
	a->heap[i] = e;
}

nsec agenda_next_at(const struct agenda *a)
{
	return a->n > 0 ? a->heap[0].at : TIME_NEVER;
}

/* The first of the children of `i`. */
static size_t first_child(const struct agenda *a, size_t i)
{
	size_t first = 4 * i + 1, best = first;

	for (size_t c = first + 1; c < first + 4 && c < a->n; c++)
		if (is_before(&a->heap[c], &a->heap[best]))
			best = c;
	return best;
}

struct happening agenda_take(struct agenda *a)
{
	size_t place = a->heap[0].place, i = 0;
	struct agenda_entry last = a->heap[--a->n];

	while (4 * i + 1 < a->n) {
		size_t c = first_child(a, i);

		if (!is_before(&a->heap[c], &last))
			break;
		a->heap[i] = a->heap[c];
		i = c;
	}
	a->heap[i] = last;
	MESH_GROW(a->free, a->n_free, a->cap_free);
	a->free[a->n_free++] = place;
	return a->pool[place];
}

void agenda_deinit(struct agenda *a)
{
	while (a->n > 0)
		free(agenda_take(a).bytes);
	free(a->heap);
	free(a->pool);
	free(a->free);
	*a = (struct agenda){ 0 };
}
