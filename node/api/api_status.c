#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "discovery/peers.h"
#include "node/api/api_body.h"
#include "node/api/api_parts.h"
#include "node/quic/window.h"
#include "proto/base/mem.h"
#include "proto/base/version.h"

#define API_VERSION 1

json_t *api_get_version(void *ctx, const struct api_request *r, int *status)
{
	(void)ctx;
	(void)r;
	(void)status;
	return json_pack("{s:s, s:i}", "version", qanat_version, "api",
			 API_VERSION);
}

static json_t *date(int64_t at_s)
{
	time_t at = (time_t)at_s;
	char text[32];
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

static json_t *endpoints(const struct config_endpoints *list)
{
	json_t *a = json_array();

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(a, api_endpoint(&list->at[i]));
	return a;
}

static json_t *service(const struct config_service *s)
{
	json_t *allow = json_array();

	for (size_t i = 0; i < s->allow.n; i++)
		json_array_append_new(allow, json_string(s->allow.item[i]));
	return json_pack("{s:s, s:i, s:s, s:o, s:o}", "name", s->name, "port",
			 s->port, "proto",
			 s->proto == IPPROTO_TCP   ? "tcp"
			 : s->proto == IPPROTO_UDP ? "udp"
						   : "both",
			 "to", s->has_to ? api_endpoint(&s->to) : json_null(),
			 "allow", allow);
}

static json_t *services(const struct config *c)
{
	json_t *a = json_array();

	for (size_t i = 0; i < c->n_services; i++)
		json_array_append_new(a, service(&c->services[i]));
	return a;
}

static json_t *count_circuits(const struct node *n)
{
	int n_ours = 0, n_transit = 0, n_pending = 0;
	struct circuit_info info;

	for (circuit_no c = 0;
	     router_circuit_next(n->overlay->router, c, &info);
	     c = info.circuit) {
		if (!info.is_established)
			n_pending++;
		else if (info.is_origin || info.is_target)
			n_ours++;
		else
			n_transit++;
	}
	return json_pack("{s:i, s:i, s:i}", "ours", n_ours, "transit",
			 n_transit, "pending", n_pending);
}

static json_t *count_sessions(const struct node *n)
{
	int n_up = 0, n_handshakes = 0;
	struct session_info info;

	for (session_no s = 0; sessions_next(n->overlay->sessions, s, &info);
	     s = info.no)
		*(info.is_up ? &n_up : &n_handshakes) += 1;
	return json_pack("{s:i, s:i}", "up", n_up, "handshakes", n_handshakes);
}

static json_t *store(const struct node *n)
{
	const struct store_counters *c = store_counters(n->store);

	return json_pack("{s:s, s:s, s:I, s:I}", "state",
			 store_state_word(store_state(n->store)), "text",
			 store_state_text(n->store), "used_bytes",
			 (json_int_t)c->used_bytes, "waiting",
			 (json_int_t)c->n_waiting);
}

static json_t *tun(const struct node *n)
{
	const struct splicer *sp = n->splicer;

	return json_pack("{s:b, s:b, s:s, s:b, s:b}", "enabled",
			 n->config.tun.enabled, "up", n->tun != NULL, "name",
			 n->config.tun.name, "splice",
			 sp != NULL && splicer_is_on(sp), "bpf",
			 sp != NULL && splicer_has_bpf(sp));
}

static json_t *windows(const struct node *n)
{
	const struct window_pool *p = quic_tls_windows(n->overlay->tls);

	return json_pack("{s:I, s:I}", "used_bytes", (json_int_t)p->used,
			 "limit_bytes", (json_int_t)p->limit);
}

json_t *api_get_status(void *ctx, const struct api_request *r, int *status)
{
	static const char *const transit[] = { "on", "last-resort", "off" };
	const struct api_handlers *h = ctx;
	const struct node *n = h->node;
	const struct peers *peers = neighbours_peers(n->neighbours);
	const struct identity *self = &n->credentials.self;
	int64_t now_s = (int64_t)(loop_wall_ms(n->loop) / 1000);
	char net[ADDR_TEXT_MAX + 4];
	json_t *o = json_object();
	size_t n_routes = 0;
	struct route_proof *proof = mem_new(proof);

	(void)r;
	(void)status;
	while (router_route_get(n->overlay->router, n_routes, proof))
		n_routes++;
	free(proof);
	addr_net_text(net, &n->credentials.net);
	json_object_set_new(o, "node", api_identity(n, self));
	json_object_set_new(o, "display_name",
			    json_string(n->config.node.name));
	json_object_set_new(o, "version", json_string(qanat_version));
	json_object_set_new(o, "pid", json_integer(getpid()));
	json_object_set_new(o, "uptime_s",
			    api_s(loop_now(n->loop) - n->started));
	json_object_set_new(o, "cluster", json_pack("{s:s}", "prefix", net));
	json_object_set_new(o, "certificate",
			    json_pack("{s:o, s:I}", "not_after",
				      date(self->not_after_s), "expires_in_s",
				      (json_int_t)(self->not_after_s - now_s)));
	json_object_set_new(o, "listen", endpoints(&n->config.node.listen));
	json_object_set_new(o, "packet_protection",
			    json_string(protect_name(n->protect)));
	json_object_set_new(o, "transit",
			    json_string(transit[n->config.node.transit]));
	json_object_set_new(o, "direct", json_boolean(n->config.node.direct));
	json_object_set_new(o, "tun", tun(n));
	json_object_set_new(o, "socks",
			    json_pack("{s:b, s:o}", "enabled",
				      n->config.socks.enabled, "listen",
				      endpoints(&n->config.socks.listen)));
	json_object_set_new(o, "services", services(&n->config));
	json_object_set_new(o, "store", store(n));
	json_object_set_new(
		o, "peers",
		json_pack("{s:I, s:I}", "known", (json_int_t)peers_count(peers),
			  "connected", (json_int_t)peers_connected(peers)));
	json_object_set_new(o, "windows", windows(n));
	json_object_set_new(o, "sessions", count_sessions(n));
	json_object_set_new(o, "circuits", count_circuits(n));
	json_object_set_new(o, "routes", json_integer((json_int_t)n_routes));
	return o;
}

json_t *api_post_reload(void *ctx, const struct api_request *r, int *status)
{
	struct api_handlers *h = ctx;
	char why[512];

	(void)r;
	if (node_reload(h->node, why, sizeof why) < 0) {
		*status = 422;
		return api_error("bad-config", why, "nothing was changed");
	}
	return json_pack("{s:s}", "needs_restart", why);
}
