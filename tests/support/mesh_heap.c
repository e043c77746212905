/* What is to happen, in order of time, and of being planned. */
#include "proto/base/mem.h"
#include "tests/support/mesh_inside.h"

static bool is_before(const struct happening *a, const struct happening *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void happening_push(struct mesh *m, struct happening h)
{
	size_t i = m->n_heap++;

	h.order = m->n_happened++;
	if (m->n_heap > m->cap_heap) {
		m->cap_heap = m->cap_heap == 0 ? 256 : 2 * m->cap_heap;
		m->heap = mem_realloc(m->heap, m->cap_heap, sizeof *m->heap);
	}
	for (; i > 0 && is_before(&h, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = h;
}

struct happening happening_pop(struct mesh *m)
{
	struct happening first = m->heap[0];
	struct happening last = m->heap[--m->n_heap];
	size_t i = 0;

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= m->n_heap)
			break;
		if (c + 1 < m->n_heap &&
		    is_before(&m->heap[c + 1], &m->heap[c]))
			c++;
		if (!is_before(&m->heap[c], &last))
			break;
		m->heap[i] = m->heap[c];
		i = c;
	}
	m->heap[i] = last;
	return first;
}
