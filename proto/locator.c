#include "proto/locator.h"

#include <assert.h>
#include <string.h>

/* A node of a path: id(80) cost(16). */
#define COORD_HOP_BYTES (ID_LEN + 2)

static bool same_id(const struct node_id *a, const struct node_id *b)
{
	return memcmp(a->b, b->b, ID_LEN) == 0;
}

/* How many nodes, from the root on, the two have in common. */
static size_t n_common(struct coord_ref a, struct coord_ref b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && same_id(&a.hop[n].id, &b.hop[n].id))
		n++;
	return n;
}

/* Each end's own costs: the other's may be older. */
uint32_t coord_distance(struct coord_ref a, struct coord_ref b)
{
	size_t n = n_common(a, b);
	uint32_t up, down;

	if (n == 0)
		return COORD_DISTANCE_NONE;
	up = (uint32_t)(a.hop[a.n - 1].cost - a.hop[n - 1].cost);
	down = (uint32_t)(b.hop[b.n - 1].cost - b.hop[n - 1].cost);
	return up + down;
}

uint32_t coord_links(struct coord_ref a, struct coord_ref b)
{
	size_t n = n_common(a, b);

	return n != 0 ? (uint32_t)(a.n - n + b.n - n) : COORD_DISTANCE_NONE;
}

bool coord_equal(struct coord_ref a, struct coord_ref b)
{
	if (a.n != b.n || n_common(a, b) != a.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (a.hop[i].cost != b.hop[i].cost)
			return false;
	return true;
}

bool coord_has(struct coord_ref c, const struct node_id *id)
{
	for (size_t i = 0; i < c.n; i++)
		if (same_id(&c.hop[i].id, id))
			return true;
	return false;
}

bool coord_read(struct coord *out, struct view *v)
{
	size_t n = view_u8(v);

	out->n = 0;
	if (v->bad || n > TREE_PATH_MAX)
		return false;
	while (out->n < n) {
		struct coord_hop *h = &out->hop[out->n];

		view_copy(v, h->id.b, ID_LEN);
		h->cost = view_be16(v);
		if (v->bad || coord_has(coord_ref(out), &h->id) ||
		    (out->n == 0 ? h->cost != 0 : h->cost < h[-1].cost))
			return false;
		out->n++;
	}
	return true;
}

void coord_write(struct buf *out, const struct coord *c)
{
	assert(c->n <= TREE_PATH_MAX);
	buf_u8(out, (uint8_t)c->n);
	for (size_t i = 0; i < c->n; i++) {
		buf_bytes(out, c->hop[i].id.b, ID_LEN);
		buf_be16(out, c->hop[i].cost);
	}
}

size_t coord_bytes(const struct coord *c)
{
	return 1 + c->n * COORD_HOP_BYTES;
}

bool locator_read(struct locator *out, struct view *v)
{
	for (size_t i = 0; i < TREES; i++)
		if (!coord_read(&out->tree[i], v))
			return false;
	return true;
}

void locator_write(struct buf *out, const struct locator *l)
{
	for (size_t i = 0; i < TREES; i++)
		coord_write(out, &l->tree[i]);
}

bool locator_is_of(const struct locator *l, const struct node_id *id)
{
	for (size_t i = 0; i < TREES; i++) {
		const struct coord *c = &l->tree[i];

		if (c->n != 0 && !same_id(&c->hop[c->n - 1].id, id))
			return false;
	}
	return true;
}
