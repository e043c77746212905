/* The inside of api_handlers.h: one function a path, and the words that they
 * share.  For api_*.c only. */
#pragma once

#include <jansson.h>

#include "circuit/router.h"
#include "node/api/api.h"
#include "node/node_parts.h"

struct job;

struct api_handlers {
	struct node *node;
	struct api *api;
	struct job *jobs; /* requests whose answer takes time */
};

/* api_status.c */
api_handler api_get_status, api_get_version, api_post_reload;
/* api_look.c */
api_handler api_get_peers, api_get_links, api_get_routes, api_get_circuits;
/* api_path.c */
api_handler api_get_trees, api_get_paths, api_post_path;
/* The link that path tests blame: {"from", "to", "s_ago"}, or null. */
json_t *api_blamed(const struct node *n, const struct hold_info *hold);
/* api_counters.c */
api_handler api_get_counters;
/* api_probe.c */
api_handler api_post_ping, api_post_trace;
void api_jobs_cancel(struct api_handlers *h);

/* ---- api_json.c ---- */

/* {"name", "id", "address"}; the name is the certificate's, or null. */
json_t *api_node(const struct node *n, const struct node_id *id);
/* The same of a verified identity. */
json_t *api_identity(const struct node *n, const struct identity *who);
/* Milliseconds with three digits; null for TIME_NEVER. */
json_t *api_ms(nsec t);
json_t *api_s(nsec t);
json_t *api_endpoint(const union endpoint *e);
/* The name of an interface; null for 0. */
json_t *api_interface(unsigned ifindex);
/* Every link of a path and the node it leads to. */
json_t *api_hops(const struct node *n, const struct hop_list *hops);
json_t *api_hop(const struct node *n, const struct hop *h);

/* A node by its short name, id, full hash or overlay address.  False with an
 * error and its status. */
bool api_target(const struct node *n, const char *text, struct node_id *out,
		json_t **error, int *status);
