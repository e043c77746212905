#include <stdlib.h>
#include <string.h>

#include "discovery/peers.h"
#include "node/api/api_body.h"
#include "node/api/api_parts.h"
#include "proto/base/mem.h"

/* ---- peers ---- */

/* The best session to a node; false if there is none. */
static bool session_of(const struct node *n, const struct node_id *id,
		       struct session_info *out)
{
	struct session_info info;
	bool found = false;

	for (session_no s = 0; sessions_next(n->overlay->sessions, s, &info);
	     s = info.no) {
		if (info.is_up && id_equal(&info.peer.id, id) &&
		    (!found || info.rtt < out->rtt)) {
			*out = info;
			found = true;
		}
	}
	return found;
}

/* The circuit that carries our channel to a node. */
static bool circuit_of(const struct node *n, const struct node_id *id,
		       struct circuit_info *out, nsec *rtt)
{
	struct channel *c = dest_channel(n->overlay->dests, id);

	if (c == NULL || channel_circuit(c) == 0)
		return false;
	*rtt = channel_rtt(c);
	return router_circuit_get(n->overlay->router, channel_circuit(c), out);
}

static void set_direct(json_t *o, const struct session_info *s)
{
	json_object_set_new(o, "path", json_string("direct"));
	json_object_set_new(o, "via", json_null());
	json_object_set_new(o, "n_hops", json_integer(1));
	json_object_set_new(o, "rtt_ms", api_ms(s->rtt));
	json_object_set_new(o, "rx_bytes",
			    json_integer((json_int_t)s->n_bytes_in));
	json_object_set_new(o, "tx_bytes",
			    json_integer((json_int_t)s->n_bytes_out));
}

static void set_circuit(json_t *o, const struct node *n,
			const struct circuit_info *c, nsec rtt)
{
	json_object_set_new(o, "path", json_string("circuit"));
	json_object_set_new(o, "via",
			    c->hops.n > 1 ? api_node(n, &c->hops.hop[0].id)
					  : json_null());
	json_object_set_new(o, "n_hops", json_integer((json_int_t)c->hops.n));
	json_object_set_new(o, "rtt_ms", api_ms(rtt));
	json_object_set_new(o, "rx_bytes",
			    json_integer((json_int_t)c->n_bytes[0]));
	json_object_set_new(o, "tx_bytes",
			    json_integer((json_int_t)c->n_bytes[1]));
}

static void set_none(json_t *o)
{
	static const char *const keys[] = { "via", "n_hops", "rtt_ms",
					    "rx_bytes", "tx_bytes" };

	json_object_set_new(o, "path", json_string("none"));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		json_object_set_new(o, keys[i], json_null());
}

static void set_path(json_t *o, const struct node *n, const struct node_id *id)
{
	struct circuit_info *circuit = mem_new(circuit);
	struct session_info session;
	nsec rtt;

	if (session_of(n, id, &session))
		set_direct(o, &session);
	else if (circuit_of(n, id, circuit, &rtt))
		set_circuit(o, n, circuit, rtt);
	else
		set_none(o);
	free(circuit);
}

static json_t *endpoints(const struct peer *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_endpoints; i++)
		json_array_append_new(a, api_endpoint(&p->endpoints[i].at));
	for (const struct peer_static *s = p->statics; s != NULL; s = s->next) {
		for (size_t i = 0; i < s->n_addresses; i++) {
			if (s->addresses[i].is_name)
				json_array_append_new(
					a, json_sprintf("%s:%u",
							s->addresses[i].host,
							s->addresses[i].port));
		}
	}
	return a;
}

static json_t *peer(const struct node *n, const struct peer *p)
{
	json_t *o = json_object();
	uint64_t now_ms = loop_wall_ms(n->loop);

	json_object_set_new(o, "node",
			    p->is_identified ? api_identity(n, &p->who)
			    : p->has_id      ? api_node(n, &p->who.id)
					     : json_null());
	json_object_set_new(o, "is_verified", json_boolean(p->is_identified));
	json_object_set_new(o, "configured",
			    p->statics != NULL ? json_string(p->statics->name)
					       : json_null());
	json_object_set_new(o, "endpoints", endpoints(p));
	json_object_set_new(o, "n_links", json_integer((json_int_t)p->n_links));
	json_object_set_new(
		o, "seen_s_ago",
		p->last_seen_ms != 0 && p->last_seen_ms <= now_ms
			? json_integer((json_int_t)((now_ms - p->last_seen_ms) /
						    1000))
			: json_null());
	json_object_set_new(
		o, "last_error",
		p->n_links == 0 && p->last_error != PEER_ERROR_NONE
			? json_string(peer_error_text(p->last_error))
			: json_null());
	if (p->has_id)
		set_path(o, n, &p->who.id);
	else
		set_none(o);
	return o;
}

json_t *api_get_peers(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	const struct peers *peers = neighbours_peers(h->node->neighbours);
	json_t *a = json_array();

	(void)r;
	(void)status;
	for (const struct peer *p = peers_next(peers, NULL); p != NULL;
	     p = peers_next(peers, p))
		json_array_append_new(a, peer(h->node, p));
	return json_pack("{s:o}", "peers", a);
}

/* ---- links ---- */

static json_t *integer(uint64_t x)
{
	return json_integer((json_int_t)x);
}

static json_t *link_object(const struct node *n, const struct session_info *s)
{
	nsec now = loop_now(n->loop);
	json_t *o = json_object();

	json_object_set_new(o, "session", integer(s->no));
	json_object_set_new(o, "state",
			    json_string(s->is_up ? "up" : "handshake"));
	json_object_set_new(o, "node",
			    s->is_up ? api_identity(n, &s->peer) : json_null());
	json_object_set_new(o, "display_name", json_string(s->name));
	json_object_set_new(o, "is_dialled", json_boolean(s->is_dialled));
	json_object_set_new(o, "local", api_endpoint(&s->path.local));
	json_object_set_new(o, "remote", api_endpoint(&s->path.remote));
	json_object_set_new(o, "interface", api_interface(s->path.ifindex));
	json_object_set_new(o, "up_s",
			    s->is_up ? api_s(now - s->confirmed) : json_null());
	json_object_set_new(o, "rtt_ms",
			    s->is_up ? api_ms(s->rtt) : json_null());
	json_object_set_new(o, "mtu_bytes", integer(s->claim.mtu));
	json_object_set_new(o, "cost_ms",
			    json_real(s->claim.cost_100us / 10.0));
	json_object_set_new(o, "loss_percent",
			    json_real(s->claim.loss * 1000 / 255 / 10.0));
	json_object_set_new(o, "rate_kbps",
			    s->claim.rate > 0
				    ? integer(UINT64_C(1) << s->claim.rate)
				    : json_null());
	json_object_set_new(o, "rx_bytes", integer(s->n_bytes_in));
	json_object_set_new(o, "tx_bytes", integer(s->n_bytes_out));
	json_object_set_new(o, "rx_packets", integer(s->n_packets_in));
	json_object_set_new(o, "tx_packets", integer(s->n_packets_out));
	json_object_set_new(o, "is_direct", json_boolean(s->is_direct));
	json_object_set_new(o, "rx_direct_packets", integer(s->n_direct_in));
	json_object_set_new(o, "tx_direct_packets", integer(s->n_direct_out));
	json_object_set_new(o, "is_sealing", json_boolean(s->is_sealing));
	json_object_set_new(o, "rx_sealed_packets", integer(s->n_sealed_in));
	json_object_set_new(o, "tx_sealed_packets", integer(s->n_sealed_out));
	json_object_set_new(o, "queued_packets", integer(s->n_queued));
	json_object_set_new(o, "marked_packets", integer(s->n_marked));
	json_object_set_new(o, "dropped_packets", integer(s->n_dropped));
	return o;
}

json_t *api_get_links(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	json_t *a = json_array();
	struct session_info info;

	(void)r;
	(void)status;
	for (session_no s = 0;
	     sessions_next(h->node->overlay->sessions, s, &info); s = info.no)
		json_array_append_new(a, link_object(h->node, &info));
	return json_pack("{s:o}", "links", a);
}

/* ---- routes ---- */

static json_t *route(const struct node *n, const struct route_proof *p)
{
	uint64_t now_ms = loop_wall_ms(n->loop);
	unsigned cost = 0;
	json_t *o = json_object();

	for (size_t i = 0; i < p->hops.n; i++)
		cost += p->hops.hop[i].cost_100us;
	json_object_set_new(o, "target", api_node(n, &p->target));
	json_object_set_new(o, "cost_ms", json_real(cost / 10.0));
	json_object_set_new(o, "expires_in_s",
			    integer(p->expiry_ms > now_ms
					    ? (p->expiry_ms - now_ms) / 1000
					    : 0));
	json_object_set_new(o, "hops", api_hops(n, &p->hops));
	return o;
}

json_t *api_get_routes(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	const char *dst = api_query(r, "dst");
	struct route_proof *p;
	struct node_id id;
	json_t *error, *a;

	if (dst != NULL && !api_target(h->node, dst, &id, &error, status))
		return error;
	a = json_array();
	p = mem_new(p);
	for (size_t i = 0; router_route_get(h->node->overlay->router, i, p);
	     i++) {
		if (dst == NULL || id_equal(&p->target, &id))
			json_array_append_new(a, route(h->node, p));
	}
	free(p);
	return json_pack("{s:o}", "routes", a);
}

/* ---- circuits ---- */

static const char *role(const struct circuit_info *c)
{
	return c->is_origin ? "origin" : c->is_target ? "target" : "transit";
}

static json_t *direction(session_no s, uint64_t n_packets, uint64_t n_bytes)
{
	return json_pack("{s:o, s:I, s:I}", "session",
			 s != 0 ? integer(s) : json_null(), "packets",
			 (json_int_t)n_packets, "bytes", (json_int_t)n_bytes);
}

static json_t *channel_object(const struct node *n,
			      const struct circuit_info *c)
{
	struct channel *ch;
	size_t index = 0;

	while (channels_next(n->overlay->channels, &index, &ch)) {
		if (channel_circuit(ch) == c->circuit && channel_is_up(ch))
			return json_pack("{s:o, s:I, s:b}", "rtt_ms",
					 api_ms(channel_rtt(ch)), "streams",
					 (json_int_t)channel_n_streams(ch),
					 "is_direct", channel_is_direct(ch));
	}
	return json_null();
}

static json_t *circuit(const struct node *n, const struct circuit_info *c)
{
	nsec now = loop_now(n->loop);
	json_t *o = json_object();

	json_object_set_new(o, "circuit", integer(c->circuit));
	json_object_set_new(o, "role", json_string(role(c)));
	json_object_set_new(
		o, "state",
		json_string(c->is_established ? "established" : "pending"));
	json_object_set_new(o, "origin", api_node(n, &c->origin));
	json_object_set_new(o, "target", api_node(n, &c->target));
	json_object_set_new(o, "mtu_bytes", integer(c->mtu));
	json_object_set_new(o, "opened_s_ago", api_s(now - c->opened));
	json_object_set_new(o, "idle_s",
			    c->last_packet != 0 ? api_s(now - c->last_packet)
						: json_null());
	json_object_set_new(
		o, "toward_origin",
		direction(c->toward_origin, c->n_packets[0], c->n_bytes[0]));
	json_object_set_new(
		o, "toward_target",
		direction(c->toward_target, c->n_packets[1], c->n_bytes[1]));
	json_object_set_new(o, "channel",
			    c->is_origin || c->is_target ? channel_object(n, c)
							 : json_null());
	json_object_set_new(o, "hops", api_hops(n, &c->hops));
	return o;
}

json_t *api_get_circuits(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	struct circuit_info *info = mem_new(info);
	json_t *a = json_array();

	(void)r;
	(void)status;
	for (circuit_no c = 0;
	     router_circuit_next(h->node->overlay->router, c, info);
	     c = info->circuit)
		json_array_append_new(a, circuit(h->node, info));
	free(info);
	return json_pack("{s:o}", "circuits", a);
}
