#include "tests/sim/hostile.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/path.h"
#include "proto/base/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/life.h"

#define ROUNDS 3

struct enemies {
	struct life *life;
	bool is_evil[GRAPH_NODES_MAX];
	struct msg last; /* of any of them, to be repeated */
	bool has_last;
};

/* ---- what they do ------------------------------------------------------ */

static void lie_about_hops(struct life *l, struct hop_list *h)
{
	size_t i;

	if (h->n == 0)
		return;
	i = life_pick(l, h->n);
	switch (life_pick(l, 4)) {
	case 0:
		h->hop[i].cost_100us = (uint16_t)life_pick(l, 200);
		break;
	case 1:
		h->hop[i].id = mesh_identity(l->m, life_pick(l, l->g.n))->id;
		break;
	case 2:
		memmove(&h->hop[i], &h->hop[i + 1],
			(h->n - i - 1) * sizeof h->hop[0]);
		h->n--;
		break;
	default:
		h->hop[i].mtu++;
	}
}

static void lie_about_route(struct life *l, struct route_proof *p)
{
	if (p->hops.n < 2)
		return;
	lie_about_hops(l, &p->hops);
	if (p->first_sig >= p->hops.n)
		p->first_sig = p->hops.n - 1;
	route_proof_seal(p);
}

static void lie(struct life *l, struct msg *m)
{
	switch (m->type) {
	case MSG_PROBE:
		lie_about_hops(l, &m->probe.hops);
		break;
	case MSG_ANSWER:
		lie_about_route(l, &m->answer.route);
		break;
	case MSG_NAK:
		m->nak.code = (enum nak_code)(1 + life_pick(l, NAK_CODES - 1));
		break;
	case MSG_OPEN:
		m->open.label = (uint32_t)life_pick(l, 1 << 22);
		break;
	case MSG_OPENED:
		m->opened.mtu = (uint16_t)(1 + life_pick(l, 65535));
		break;
	default:
		break;
	}
}

/* Flips a byte of the encoding; false if nothing that parses is left. */
static bool garble(struct life *l, struct msg *m)
{
	uint8_t *bytes = mem_calloc(FRAME_HEADER_BYTES + FRAME_BYTES_MAX, 1);
	size_t len = msg_write(bytes, FRAME_HEADER_BYTES + FRAME_BYTES_MAX, m);
	size_t at = FRAME_HEADER_BYTES;
	bool ok;

	if (len > FRAME_HEADER_BYTES)
		at += life_pick(l, len - FRAME_HEADER_BYTES);
	bytes[at] ^= (uint8_t)(1 + life_pick(l, 255));
	ok = msg_parse(m, bytes[0], bytes + FRAME_HEADER_BYTES,
		       len - FRAME_HEADER_BYTES) == MSG_OK;
	free(bytes);
	return ok;
}

/* Something that another said before, or a wrong word about a probe. */
static void repeat(struct enemies *e, struct msg *m)
{
	if (e->has_last && life_pick(e->life, 2) == 0)
		*m = e->last;
	else if (m->type == MSG_PROBE)
		*m = (struct msg){ .type = MSG_NAK,
				   .nak = { .origin = m->probe.origin,
					    .nonce = m->probe.nonce,
					    .tree = m->probe.tree,
					    .code = NAK_DEAD_END } };
}

static bool misbehave(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct enemies *e = ctx;
	struct life *l = e->life;
	bool is_sent = true;

	(void)to;
	if (!e->is_evil[from])
		return true;
	l->out->n_altered++;
	switch (life_pick(l, 12)) {
	case 0:
		is_sent = false;
		break;
	case 1:
	case 2:
		lie(l, m);
		break;
	case 3:
	case 4:
		is_sent = garble(l, m);
		break;
	case 5:
		repeat(e, m);
		break;
	default:
		l->out->n_altered--;
		e->last = *m;
		e->has_last = true;
	}
	return is_sent;
}

static bool behave(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)ctx;
	(void)from;
	(void)to;
	(void)m;
	return true;
}

/* ---- what holds -------------------------------------------------------- */

static bool share_a_link(const struct mesh *m, size_t a, size_t b)
{
	for (size_t i = 0; i < mesh_n_links(m); i++) {
		size_t x, y;

		mesh_link_ends(m, i, &x, &y);
		if ((x == a && y == b) || (x == b && y == a))
			return true;
	}
	return false;
}

/* Two honest nodes that follow each other on a path are neighbours. */
static bool judge_path(const struct enemies *e, const struct circuit_info *x)
{
	struct life *l = e->life;
	size_t before = mesh_find(l->m, &x->origin);

	if (!path_is_simple(&x->origin, x->hops.hop, x->hops.n))
		return life_fail(l, "a path has a loop", "among enemies");
	for (size_t i = 0; i < x->hops.n; i++) {
		size_t node = mesh_find(l->m, &x->hops.hop[i].id);

		if (node == SIZE_MAX || before == SIZE_MAX)
			return life_fail(l, "a path has a phantom",
					 "among enemies");
		if (!e->is_evil[node] && !e->is_evil[before] &&
		    !share_a_link(l->m, before, node))
			return life_fail(l, "two nodes of a path never met",
					 "%zu and %zu", before, node);
		before = node;
	}
	return true;
}

static bool judge_all_paths(const struct enemies *e)
{
	struct life *l = e->life;
	struct circuit_info x;

	for (size_t i = 0; i < l->g.n; i++) {
		circuit_no after = 0;

		if (e->is_evil[i])
			continue;
		while (router_circuit_next(mesh_router(l->m, i), after, &x)) {
			after = x.circuit;
			if ((x.is_origin ||
			     (x.is_target &&
			      !e->is_evil[mesh_find(l->m, &x.origin)])) &&
			    x.is_established && !judge_path(e, &x))
				return false;
		}
	}
	return true;
}

/* Whatever they do, honest nodes come to an end with every attempt. */
static bool judge_ends(const struct enemies *e)
{
	struct life *l = e->life;

	for (size_t i = 0; i < l->n_pairs; i++) {
		const struct pair *p = &l->pairs[i];

		if (p->asked == 0 || e->is_evil[p->from])
			continue;
		if (mesh_opened(l->m, p->from, p->to, p->asked) != NULL)
			l->out->n_up++;
		else if (mesh_last(l->m, p->from, ROUTER_UNREACHABLE, p->to,
				   p->asked) != NULL)
			l->out->n_unreachable++;
		else
			return life_fail(l, "an attempt does not end",
					 "%zu to %zu among enemies", p->from,
					 p->to);
	}
	return true;
}

bool hostile_connect(struct life *l)
{
	struct enemies *e = mem_new(e);
	bool ok = true;

	e->life = l;
	for (size_t i = 0; i <= l->g.n / 6; i++)
		e->is_evil[life_pick(l, l->g.n)] = true;
	mesh_set_filter(l->m, misbehave, e);
	for (int i = 0; i < ROUNDS && ok; i++) {
		const char *fault = check_caps(l->m);

		life_connect(l);
		ok = judge_ends(e) && judge_all_paths(e) &&
		     (fault == NULL || life_fail(l, fault, "among enemies"));
	}
	/* From here on all are honest; what is under way is not. */
	mesh_set_filter(l->m, behave, NULL);
	free(e);
	return ok;
}
