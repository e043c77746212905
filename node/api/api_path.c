/* Which way traffic goes, and steering it by hand. */
#include <stdlib.h>
#include <string.h>

#include "node/api/api_body.h"
#include "node/api/api_parts.h"
#include "proto/base/mem.h"

static json_t *number(uint64_t x)
{
	return json_integer((json_int_t)x);
}

/* ---- the trees ---- */

static json_t *tree(const struct node *n, unsigned i)
{
	struct tree_info *info = mem_new(info);
	uint64_t now_ms = loop_wall_ms(n->loop);
	json_t *o = json_object(), *path = json_array();
	bool is_in = router_tree_get(n->overlay->router, i, info);

	json_object_set_new(o, "tree", number(i));
	json_object_set_new(o, "root",
			    is_in ? api_node(n, &info->root) : json_null());
	json_object_set_new(o, "is_root", json_boolean(is_in && info->is_root));
	json_object_set_new(o, "parent",
			    is_in && info->has_parent
				    ? api_node(n, &info->parent)
				    : json_null());
	json_object_set_new(
		o, "cost_ms",
		is_in && info->at.n > 0
			? json_real(info->at.hop[info->at.n - 1].cost / 10.0)
			: json_null());
	json_object_set_new(
		o, "root_heard_s_ago",
		is_in && now_ms >= info->root_issued_ms
			? number((now_ms - info->root_issued_ms) / 1000)
			: json_null());
	for (size_t k = 0; is_in && k < info->at.n; k++)
		json_array_append_new(path, api_node(n, &info->at.hop[k].id));
	json_object_set_new(o, "path", path);
	free(info);
	return o;
}

json_t *api_get_trees(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	json_t *a = json_array();

	(void)r;
	(void)status;
	for (unsigned i = 0; i < TREES; i++)
		json_array_append_new(a, tree(h->node, i));
	return json_pack("{s:o, s:o}", "trees", a, "n_nodes",
			 number(router_n_nodes(h->node->overlay->router,
					       loop_now(h->node->loop))));
}

/* ---- held destinations ---- */

static json_t *circuit_number(circuit_no c)
{
	return c != 0 ? number(c) : json_null();
}

static json_t *measured(nsec rtt)
{
	return rtt != 0 ? api_ms(rtt) : json_null();
}

json_t *api_blamed(const struct node *n, const struct hold_info *hold)
{
	if (id_is_zero(&hold->blamed))
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "from", api_node(n, &hold->blamed),
			 "to", api_node(n, &hold->blamed_next), "s_ago",
			 api_s(loop_now(n->loop) - hold->blamed_at));
}

static json_t *path_object(const struct node *n, const struct hold_info *hold)
{
	json_t *o = json_object();

	json_object_set_new(o, "target", api_node(n, &hold->target));
	json_object_set_new(o, "carries", circuit_number(hold->carries));
	json_object_set_new(o, "spare", circuit_number(hold->spare));
	json_object_set_new(o, "is_pinned", json_boolean(hold->is_pinned));
	json_object_set_new(o, "rtt_ms", measured(hold->carries_rtt));
	json_object_set_new(o, "spare_rtt_ms", measured(hold->spare_rtt));
	json_object_set_new(o, "loss_percent",
			    json_real(hold->carries_loss * 1000 / 255 / 10.0));
	json_object_set_new(o, "blamed", api_blamed(n, hold));
	return o;
}

json_t *api_get_paths(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	json_t *a = json_array();
	struct hold_info hold;

	(void)r;
	(void)status;
	for (size_t i = 0; router_hold_get(h->node->overlay->router, i, &hold);
	     i++)
		json_array_append_new(a, path_object(h->node, &hold));
	return json_pack("{s:o}", "paths", a);
}

/* ---- steering ---- */

/* The circuit that carries to a node right now. */
static bool pin(struct node *n, const struct node_id *id)
{
	struct hold_info hold;

	return router_hold_find(n->overlay->router, id, &hold) &&
	       hold.carries != 0 &&
	       router_path_pin(n->overlay->router, hold.carries,
			       loop_now(n->loop));
}

static json_t *refused(int *status, const char *message, const char *hint)
{
	*status = 409;
	return api_error("not-possible", message, hint);
}

static json_t *steer(struct node *n, const char *rule, const struct node_id *id,
		     int *status)
{
	struct router *r = n->overlay->router;

	if (strcmp(rule, "pin") == 0) {
		if (!pin(n, id))
			return refused(status, "no circuit carries to it now",
				       "begin with: qanat ping DST");
	} else if (strcmp(rule, "avoid") == 0) {
		if (!router_path_avoid(r, id, loop_now(n->loop)))
			return refused(status, "too many nodes are avoided",
				       "see: qanat path auto NODE");
	} else if (strcmp(rule, "auto") == 0) {
		if (!router_path_auto(r, id, loop_now(n->loop)))
			return refused(status,
				       "it is neither pinned nor avoided",
				       NULL);
	} else {
		*status = 400;
		return api_error("bad-request",
				 "\"rule\" is pin, avoid or auto", NULL);
	}
	return json_pack("{s:o, s:s}", "node", api_node(n, id), "rule", rule);
}

json_t *api_post_path(void *ctx, const struct api_request *r, int *status)
{
	static const char *const known[] = { "rule", "dst", NULL };
	struct api_handlers *h = ctx;
	json_t *error = NULL;
	const char *rule, *dst;
	struct node_id id;

	api_only(r->body, known, &error);
	rule = api_text(r->body, "rule", &error);
	dst = api_text(r->body, "dst", &error);
	if (error != NULL) {
		*status = 400;
		return error;
	}
	if (!api_target(h->node, dst, &id, &error, status))
		return error;
	if (id_equal(&id, &h->node->credentials.self.id)) {
		*status = 400;
		return api_error("self", "that is this node itself", NULL);
	}
	return steer(h->node, rule, &id, status);
}
