#include "circuit/neighbour/telling.h"

#include "circuit/core.h"

static bool ring_has(const struct id_ring *g, const struct node_id *id)
{
	for (unsigned i = 0; i < g->n && i < TELL_REMEMBER_MAX; i++)
		if (id_equal(&g->id[i], id))
			return true;
	return false;
}

static void ring_add(struct id_ring *g, const struct node_id *id)
{
	g->id[g->n % TELL_REMEMBER_MAX] = *id;
	if (++g->n == 2 * TELL_REMEMBER_MAX)
		g->n = TELL_REMEMBER_MAX;
}

void telling_learnt(struct router *r, const struct node_id *id)
{
	if (!ring_has(&r->learnt, id))
		ring_add(&r->learnt, id);
}

void telling_note_told(struct neighbour *n, const struct node_id *id)
{
	if (!ring_has(&n->telling.told, id))
		ring_add(&n->telling.told, id);
}

void telling_note_probe(struct neighbour *n)
{
	n->telling.credit += TELL_PER_PROBE;
	if (n->telling.credit > TELL_MAX)
		n->telling.credit = TELL_MAX;
}

bool telling_accepts(struct router *r, struct neighbour *n, nsec now)
{
	if (n->telling.credit == 0 || !core_take_verify(r, now))
		return false;
	n->telling.credit--;
	return true;
}

void telling_send(struct router *r, struct session *to,
		  const struct hop_list *path, size_t own)
{
	for (size_t i = own + 1; i < path->n; i++) {
		const struct node_id *id = &path->hop[i].id;

		if ((i > own + 1 && !ring_has(&r->learnt, id)) ||
		    ring_has(&to->peer->telling.told, id) ||
		    keyring_peek(r, id) == NULL)
			continue;
		asking_send_info(r, to, id);
		r->n.n_told++;
	}
}
