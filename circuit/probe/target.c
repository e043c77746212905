#include "circuit/probe/target.h"

#include <string.h>

#include "circuit/core.h"
#include "circuit/path.h"
#include "circuit/probe/seen.h"
#include "proto/base/mem.h"

/* Unlike all that were answered: another last relay, and at most half of the
 * relays in common with any of them. */
static bool is_apart(const struct seen *e, const struct hop_list *path)
{
	for (unsigned i = 0; i < e->n_answered; i++)
		if (!seen_are_apart(e, path, &e->answered[i]))
			return false;
	return true;
}

/* What is cheaper is soon claimed: one relay does not get all answers by it. */
static bool has_had_enough(const struct seen *e, const struct hop_list *path)
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->n_answered; i++)
		n += seen_are_of_one(e, path, &e->answered[i]);
	return n >= PROBE_ANSWERS_VIA_MAX;
}

bool target_wants(const struct seen *e, const struct hop_list *path)
{
	uint32_t cost = path_cost(path->hop, path->n);

	if (e->n_answered == 0)
		return true;
	if (e->n_answered >= PROBE_ANSWERS_MAX || has_had_enough(e, path))
		return false;
	return cost * 20 <= e->best_cost * 19 || is_apart(e, path);
}

static void remember(struct seen *e, const struct hop_list *path)
{
	uint32_t cost = path_cost(path->hop, path->n);

	if (e->n_answered == 0 || cost < e->best_cost)
		e->best_cost = cost;
	e->answered = mem_realloc(e->answered, e->n_answered + 1,
				  sizeof *e->answered);
	e->answered[e->n_answered++] = *path;
}

void target_answer(struct router *r, struct session *s, struct seen *e,
		   const struct hop_list *path, nsec now)
{
	struct route_proof *p = &core_send(r, s->no, MSG_ANSWER)->answer.route;
	struct node_hash h = hash_of(e->body, sizeof e->body);

	*p = (struct route_proof){
		.origin = e->key.origin,
		.target = e->target,
		.nonce = e->key.nonce,
		.expiry_ms = core_wall(r, now) + ROUTE_LIFETIME_MS,
		.hops = *path,
		.first_sig = path->n - 1,
	};
	memcpy(p->probe_hash, h.b, sizeof p->probe_hash);
	route_proof_seal(p);
	core_sign(r, p->sig_target, SIGN_ANSWER_TARGET, p->body, p->body_len);
	remember(e, path);
}
