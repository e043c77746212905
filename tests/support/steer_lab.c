#include "tests/support/steer_lab.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "proto/base/mem.h"
#include "tests/support/forge.h"

/* Trees, records and the right to say that there is none. */
#define SETTLE_NS (120 * NS_PER_S)

static bool is_watched(enum msg_type type)
{
	return type == MSG_PROBE || type == MSG_ANSWER || type == MSG_NAK ||
	       type == MSG_LOOKUP;
}

static bool is_of(const struct steer_lab *l, size_t node, const struct msg *m)
{
	struct node_id id = forge_id(l->m, node);

	if (m->type == MSG_PROBE)
		return id_equal(&m->probe.origin, &id);
	if (m->type == MSG_ANSWER)
		return id_equal(&m->answer.route.target, &id);
	return m->type != MSG_NAK && m->type != MSG_PEER_INFO;
}

static bool filter(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct steer_lab *l = ctx;

	if (l->is_silent[from] && !is_of(l, from, m))
		return false;
	if (is_watched(m->type) && l->n_seen < STEER_SEEN_MAX)
		l->seen[l->n_seen++] =
			(struct steer_seen){ mesh_now(l->m), from, to, *m };
	if (l->alter != NULL)
		l->alter(l, from, to, m);
	return true;
}

static struct steer_lab *lab_new(size_t n)
{
	struct steer_lab *l = mem_new(l);

	l->m = mesh_new_with(1, &(struct mesh_options){ .flood_below = 0 });
	l->seen = mem_calloc(STEER_SEEN_MAX, sizeof *l->seen);
	for (size_t i = 0; i < n; i++)
		mesh_add_node(l->m, true);
	return l;
}

static struct steer_lab *settled(struct steer_lab *l)
{
	small_pass(l->m, SETTLE_NS);
	mesh_set_filter(l->m, filter, l);
	return l;
}

struct steer_lab *steer_grid(size_t width, size_t height)
{
	struct steer_lab *l = lab_new(width * height);

	for (size_t i = 0; i < width * height; i++) {
		if (i % width != 0)
			mesh_add_link(l->m, i - 1, i, &small_link);
		if (i >= width)
			mesh_add_link(l->m, i - width, i, &small_link);
	}
	return settled(l);
}

struct steer_lab *steer_line(size_t n)
{
	return steer_grid(n, 1);
}

struct steer_lab *steer_diamond(void)
{
	struct steer_lab *l = lab_new(6);
	struct mesh_link slow = small_link;

	slow.delay = 20 * NS_PER_MS;
	mesh_add_link(l->m, 0, 1, &small_link);
	mesh_add_link(l->m, 1, 2, &small_link);
	mesh_add_link(l->m, 1, 3, &slow);
	mesh_add_link(l->m, 2, 4, &small_link);
	mesh_add_link(l->m, 3, 4, &slow);
	mesh_add_link(l->m, 4, 5, &small_link);
	return settled(l);
}

void steer_lab_free(struct steer_lab *l)
{
	mesh_free(l->m);
	free(l->seen);
	free(l);
}

void steer_forget(struct steer_lab *l)
{
	l->n_seen = 0;
}

size_t steer_count(const struct steer_lab *l, size_t from, enum msg_type type,
		   const struct steer_seen **last)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_seen; i++) {
		if ((from != SIZE_MAX && l->seen[i].from != from) ||
		    l->seen[i].msg.type != type)
			continue;
		n++;
		if (last != NULL)
			*last = &l->seen[i];
	}
	return n;
}

const struct router_event *steer_event(const struct steer_lab *l, size_t node,
				       enum router_event_type type)
{
	size_t n;
	const struct mesh_event *e = mesh_events(l->m, node, &n);

	while (n-- > 0)
		if (e[n].event.type == type)
			return &e[n].event;
	return NULL;
}

struct msg steer_probe(const struct steer_lab *l, size_t origin, size_t target,
		       uint8_t tree, uint8_t number)
{
	struct msg x = forge_probe(l->m, origin, origin, target, number);
	struct msg_probe *p = &x.probe;
	const struct locator *at = trees_locator(mesh_router(l->m, target));

	p->flags = 0;
	p->ttl = HOPS_MAX;
	p->tree = tree;
	p->budget = 20;
	for (unsigned t = 0; t < TREES; t++)
		if (tree == t || tree == TREE_ANY)
			p->to.tree[t] = at->tree[t];
	forge_probe_sign(l->m, origin, p);
	return x;
}

void steer_inject(struct steer_lab *l, size_t from, size_t to,
		  const struct msg *x)
{
	for (size_t i = 0; i < mesh_n_links(l->m); i++) {
		size_t a, b;

		mesh_link_ends(l->m, i, &a, &b);
		if ((a == from && b == to) || (a == to && b == from)) {
			mesh_inject(l->m, to, i, x);
			return;
		}
	}
}
