#include "circuit/path.h"

uint32_t path_cost(const struct hop *hops, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += hops[i].cost_100us > LINK_COST_FLOOR_100US
			       ? hops[i].cost_100us
			       : LINK_COST_FLOOR_100US;
	return sum;
}

bool path_has(const struct hop *hops, size_t n, const struct node_id *id)
{
	for (size_t i = 0; i < n; i++)
		if (id_equal(&hops[i].id, id))
			return true;
	return false;
}

bool hop_equal(const struct hop *a, const struct hop *b)
{
	return id_equal(&a->id, &b->id) && a->cost_100us == b->cost_100us &&
	       a->mtu == b->mtu && a->loss == b->loss && a->rate == b->rate;
}

bool path_equal(const struct hop *hops, size_t n, const struct hop_list *b)
{
	if (n != b->n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!id_equal(&hops[i].id, &b->hop[i].id))
			return false;
	return true;
}

bool path_is_simple(const struct node_id *origin, const struct hop *hops,
		    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (id_equal(&hops[i].id, origin) ||
		    path_has(hops, i, &hops[i].id))
			return false;
	return true;
}

bool path_is_apart(const struct hop_list *a, const struct hop_list *b)
{
	size_t n_relays = a->n > 0 ? a->n - 1 : 0;
	size_t n_common = 0;

	for (size_t i = 0; i < n_relays; i++)
		if (path_has(b->hop, b->n, &a->hop[i].id))
			n_common++;
	return 2 * n_common <= n_relays;
}

static const struct node_id *node_at(const struct node_id *origin,
				     const struct hop_list *h, size_t i)
{
	return i == 0 ? origin : &h->hop[i - 1].id;
}

bool path_crosses(const struct node_id *origin, const struct hop_list *h,
		  const struct node_id *x, const struct node_id *y)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct node_id *from = node_at(origin, h, i);
		const struct node_id *to = &h->hop[i].id;

		if ((id_equal(from, x) && id_equal(to, y)) ||
		    (id_equal(from, y) && id_equal(to, x)))
			return true;
	}
	return false;
}

size_t path_n_shared(const struct node_id *origin, const struct hop_list *a,
		     const struct hop_list *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		if (path_crosses(origin, b, node_at(origin, a, i),
				 &a->hop[i].id))
			n++;
	return n;
}
