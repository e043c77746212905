#include "node/api/api_handlers.h"

#include <stdlib.h>

#include "node/api/api_parts.h"
#include "proto/base/mem.h"
#include "proto/base/log.h"

static const struct api_route routes[] = {
	{ "GET", "/v1/status", api_get_status },
	{ "GET", "/v1/peers", api_get_peers },
	{ "GET", "/v1/links", api_get_links },
	{ "GET", "/v1/routes", api_get_routes },
	{ "GET", "/v1/circuits", api_get_circuits },
	{ "GET", "/v1/trees", api_get_trees },
	{ "GET", "/v1/paths", api_get_paths },
	{ "POST", "/v1/path", api_post_path },
	{ "GET", "/v1/counters", api_get_counters },
	{ "GET", "/v1/version", api_get_version },
	{ "POST", "/v1/ping", api_post_ping },
	{ "POST", "/v1/trace", api_post_trace },
	{ "POST", "/v1/reload", api_post_reload },
};

int api_handlers_new(struct api_handlers **out, struct node *n, char *why,
		     size_t why_cap)
{
	struct api_handlers *h = mem_new(h);
	const struct api_config config = {
		.socket = n->config.admin.socket,
		.group = n->config.admin.group,
		.routes = routes,
		.n_routes = ARRAY_LEN(routes),
		.ctx = h,
	};
	int rv;

	h->node = n;
	rv = api_new(&h->api, n->loop, &config, why, why_cap);
	if (rv < 0) {
		free(h);
		return rv;
	}
	log_info("control socket: path=%s", config.socket);
	*out = h;
	return 0;
}

void api_handlers_free(struct api_handlers *h)
{
	if (h == NULL)
		return;
	api_jobs_cancel(h);
	api_free(h->api);
	free(h);
}
