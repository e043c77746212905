#include "node/node.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/api_handlers.h"
#include "node/echo.h"
#include "node/node_parts.h"
#include "node/tun_link.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"

enum {
	FLUSH_ROUNDS_MAX = 64,
	TUN_MTU_AUTO = CIRCUIT_MTU_MAX - CHANNEL_OVERHEAD,
};

#define MINUTE_NS (60 * NS_PER_S)

/* ---- sessions and the router ---- */

static void session_up(void *ctx, const struct session_info *s,
		       const uint8_t *chain, size_t chain_len,
		       const struct msg_link *link)
{
	struct node *n = ctx;

	if (!neighbours_session_up(n->neighbours, s, chain, chain_len)) {
		sessions_close(n->sessions, s->no, "not wanted");
		return;
	}
	router_session_up(n->router, s->no, &s->peer, chain, chain_len, link,
			  loop_now(n->loop));
}

static void session_measured(void *ctx, session_no s,
			     const struct msg_link *link)
{
	struct node *n = ctx;

	router_session_measured(n->router, s, link, loop_now(n->loop));
}

static void session_down(void *ctx, const struct session_info *s)
{
	struct node *n = ctx;

	neighbours_session_down(n->neighbours, s);
	if (s->is_up)
		router_session_down(n->router, s->no, loop_now(n->loop));
}

static enum msg_verdict session_message(void *ctx, session_no s,
					const struct msg *m)
{
	struct node *n = ctx;

	return router_handle_message(n->router, s, m, loop_now(n->loop));
}

/* The data path: no allocation, no log. */
static void session_packet(void *ctx, session_no s, const struct packet *p,
			   const uint8_t *raw, size_t len)
{
	struct node *n = ctx;
	struct view v = view_of(raw, len);
	uint32_t word = view_be32(&v);
	struct relay_hop hop;
	uint8_t header[LABEL_BYTES];

	switch (router_packet_received(n->router, s, p->label,
				       len - LABEL_BYTES, loop_now(n->loop),
				       &hop)) {
	case RELAY_FORWARD:
		word = packet_relabel(word, hop.label);
		header[0] = (uint8_t)(word >> 24);
		header[1] = (uint8_t)(word >> 16);
		header[2] = (uint8_t)(word >> 8);
		header[3] = (uint8_t)word;
		sessions_send_packet(n->sessions, hop.session, header,
				     sizeof header, raw + LABEL_BYTES,
				     len - LABEL_BYTES);
		break;
	case RELAY_DELIVER:
		channels_receive(n->channels, hop.circuit, p);
		break;
	default:
		break;
	}
}

static void session_writable(void *ctx, session_no s)
{
	struct node *n = ctx;

	channels_session_writable(n->channels, s);
}

static const struct session_events session_events = {
	.up = session_up,
	.measured = session_measured,
	.down = session_down,
	.message = session_message,
	.packet = session_packet,
	.writable = session_writable,
};

/* ---- what the router tells ---- */

static void log_circuit(const struct router_event *ev)
{
	char name[NAME_ID_TEXT_MAX];

	name_of_id(name, &ev->peer);
	if (ev->type == ROUTER_CIRCUIT_UP && ev->is_origin)
		log_info("circuit open: circuit=%u dest=%s took_ms=%" PRIu64,
			 ev->circuit, name, ev->took / NS_PER_MS);
	else if (ev->type == ROUTER_CIRCUIT_UP)
		log_debug("circuit accepted: circuit=%u from=%s", ev->circuit,
			  name);
	else if (ev->type == ROUTER_UNREACHABLE)
		log_info("node unreachable: dest=%s proved=%s took_ms=%" PRIu64,
			 name, ev->is_proved ? "yes" : "no",
			 ev->took / NS_PER_MS);
	else
		log_debug("circuit closed: circuit=%u peer=%s reason=\"%s\"",
			  ev->circuit, name, close_reason_text(ev->reason));
}

static void handle_event(struct node *n, const struct router_event *ev)
{
	const struct identity *who;
	const uint8_t *chain;
	size_t chain_len;

	switch (ev->type) {
	case ROUTER_CIRCUIT_UP:
		log_circuit(ev);
		channels_circuit_up(n->channels, ev->circuit, &ev->peer,
				    ev->is_origin);
		dests_handle_event(n->dests, ev);
		break;
	case ROUTER_CIRCUIT_DOWN:
		log_circuit(ev);
		channels_circuit_down(n->channels, ev->circuit);
		break;
	case ROUTER_UNREACHABLE:
		log_circuit(ev);
		dests_handle_event(n->dests, ev);
		break;
	case ROUTER_ROUTE_ADDED:
		keep_route_put(n->store, ev->route);
		break;
	case ROUTER_ROUTE_GONE:
		keep_route_del(n->store, ev->route);
		break;
	case ROUTER_IDENTITY:
		who = router_identity_find(n->router, &ev->peer);
		chain = router_chain_find(n->router, &ev->peer, &chain_len);
		if (who != NULL && chain != NULL)
			neighbours_identity(n->neighbours, who, chain,
					    chain_len);
		break;
	}
}

static bool pump_router(struct node *n)
{
	struct router_event ev;
	struct router_send out;
	bool did_anything = false;

	while (router_next_event(n->router, &ev)) {
		handle_event(n, &ev);
		did_anything = true;
	}
	while (router_next_send(n->router, &out)) {
		sessions_send(n->sessions, out.session, out.msg);
		did_anything = true;
	}
	return did_anything;
}

static void turn_end(void *ctx)
{
	struct node *n = ctx;

	for (int i = 0; i < FLUSH_ROUNDS_MAX; i++) {
		bool did = pump_router(n);

		did |= dests_flush(n->dests);
		did |= channels_flush(n->channels);
		did |= neighbours_flush(n->neighbours);
		did |= sessions_flush(n->sessions);
		if (!did)
			break;
	}
	loop_timer_set(n->loop, &n->router_timer, router_deadline(n->router));
}

static void router_timer_fired(struct timer *t)
{
	struct node *n = (struct node *)((char *)t -
					 offsetof(struct node, router_timer));

	router_handle_timeout(n->router, loop_now(n->loop));
}

static void minute_fired(struct timer *t)
{
	struct node *n =
		(struct node *)((char *)t - offsetof(struct node, minute));
	nsec now = loop_now(n->loop);

	router_set_wall(n->router, loop_wall_ms(n->loop), now);
	neighbours_minute(n->neighbours);
	loop_timer_set(n->loop, t, now + MINUTE_NS);
}

/* ---- making the parts ---- */

static bool check_chain(void *ctx, const uint8_t *chain, size_t len,
			struct identity *out)
{
	struct node *n = ctx;

	return cert_check(n->credentials.trust, chain, len,
			  (int64_t)(loop_wall_ms(n->loop) / 1000),
			  out) == CERT_OK;
}

/* Reset tokens must survive a restart, so their key follows from ours. */
static void derive_key(uint8_t out[32], const struct sign_key *key,
		       const char *purpose)
{
	crypto_generichash(out, 32, (const uint8_t *)purpose, strlen(purpose),
			   key->seed, sizeof key->seed);
}

static void make_router(struct node *n)
{
	struct router_config rc = {
		.self = n->credentials.self,
		.ca = *trust_hash(n->credentials.trust),
		.key = n->credentials.key,
		.chain = n->credentials.chain,
		.chain_len = n->credentials.chain_len,
		.check = check_chain,
		.check_ctx = n,
		.transit = n->config.node.transit != TRANSIT_OFF,
		.wall_ms = loop_wall_ms(n->loop),
	};
	uint8_t seed[32];

	randombytes_buf(seed, sizeof seed);
	rng_init_bytes(&rc.rng, seed);
	n->router = router_new(&rc, loop_now(n->loop));
	n->router_timer.fire = router_timer_fired;
}

static int make_core(struct node *n, char *why, size_t why_cap)
{
	uint8_t key[32];

	n->tls = quic_tls_new(&n->credentials);
	if (n->tls == NULL) {
		snprintf(why, why_cap,
			 "GnuTLS does not take the certificate and key in %s",
			 n->config.node.state);
		return -EINVAL;
	}
	make_router(n);
	derive_key(key, n->credentials.key, "qanat/v1/reset/session");
	n->sessions = sessions_new(n->loop, n->tls, key, n->config.node.name,
				   n->config.node.transit != TRANSIT_OFF,
				   &session_events, n);
	n->dests = dests_new(n->loop, n->router);
	derive_key(key, n->credentials.key, "qanat/v1/reset/channel");
	n->channels = channels_new(n->loop, n->tls, key, n->router, n->sessions,
				   &dest_channel_events, n->dests);
	dests_set_channels(n->dests, n->channels);
	sodium_memzero(key, sizeof key);
	return 0;
}

static int listen_one(struct node *n, const union endpoint *at, char *why,
		      size_t why_cap)
{
	char text[ENDPOINT_TEXT_MAX];
	int rv = udp_listen(sessions_udp(n->sessions), at);

	endpoint_text(text, at);
	if (rv == 0)
		log_info("listening: udp=%s", text);
	else if (rv == -EAFNOSUPPORT)
		log_warn("this system has no such address family: udp=%s",
			 text);
	else
		snprintf(why, why_cap, "cannot listen on udp %s: %s", text,
			 strerror(-rv));
	return rv;
}

/* `[::]` takes IPv4 too: by a socket of its own, 0.0.0.0, unless the list has
 * that one anyway. */
static bool ipv4_twin(union endpoint *out, const union endpoint *at,
		      const struct config_endpoints *list)
{
	if (at->sa.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_UNSPECIFIED(&at->in6.sin6_addr))
		return false;
	*out = (union endpoint){ .in = { .sin_family = AF_INET,
					 .sin_port = at->in6.sin6_port } };
	for (size_t i = 0; i < list->n; i++) {
		if (endpoint_equal(&list->at[i], out))
			return false;
	}
	return true;
}

static int listen_all(struct node *n, char *why, size_t why_cap)
{
	const struct config_endpoints *list = &n->config.node.listen;
	size_t n_open = 0;
	int rv;

	for (size_t i = 0; i < list->n; i++) {
		union endpoint at[2] = { list->at[i] };
		size_t n_at = ipv4_twin(&at[1], &at[0], list) ? 2 : 1;

		for (size_t j = 0; j < n_at; j++) {
			rv = listen_one(n, &at[j], why, why_cap);
			if (rv != 0 && rv != -EAFNOSUPPORT)
				return rv;
			n_open += rv == 0;
		}
	}
	if (n_open > 0)
		return 0;
	snprintf(why, why_cap, "no address in [node] listen is usable");
	return -EAFNOSUPPORT;
}

static bool peer_has_name(void *ctx, const struct node_id *peer,
			  const char *name)
{
	struct node *n = ctx;
	const struct identity *who = router_identity_find(n->router, peer);

	for (size_t i = 0; who != NULL && i < who->n_names; i++) {
		if (strcmp(who->names[i], name) == 0)
			return true;
	}
	return false;
}

static bool lookup_name(void *ctx, const char *shortname, struct node_id *out)
{
	struct node *n = ctx;
	const struct identity *who =
		router_identity_by_name(n->router, shortname);

	if (who == NULL)
		return false;
	*out = who->id;
	return true;
}

static void request_came(void *ctx, struct stream *s)
{
	struct node *n = ctx;

	if (!echo_take(n->echo, s))
		services_stream(n->services, s);
}

/* Without a TUN the node still serves SOCKS: a hint is logged. */
static void open_tun(struct node *n)
{
	const struct credentials *c = &n->credentials;
	struct addr self = addr_of(&c->net, &c->self.id);
	uint16_t mtu =
		n->config.tun.mtu != 0 ? n->config.tun.mtu : TUN_MTU_AUTO;
	struct tun_link link;
	char why[256];

	if (!n->config.tun.enabled)
		return;
	if (tun_link_open(&link, n->config.tun.name, &self, mtu, why,
			  sizeof why) < 0) {
		log_warn("no TUN, going on with SOCKS only: %s", why);
		return;
	}
	n->tun = tun_new(n->loop, link.fd, n->dests, n->services, &c->net,
			 &c->self.id);
	services_tun_up(n->services);
	log_info("TUN up: name=%s mtu=%u", link.name, mtu);
}

static void open_edges(struct node *n)
{
	const struct credentials *c = &n->credentials;
	struct addr self = addr_of(&c->net, &c->self.id);

	n->services =
		services_new(n->loop, &n->config, &self, peer_has_name, n);
	n->echo = echo_new(n->loop);
	dests_set_requests(n->dests, request_came, n);
	open_tun(n);
}

static int open_socks(struct node *n, char *why, size_t why_cap)
{
	if (!n->config.socks.enabled)
		return 0;
	n->socks = socks_new(n->loop, n->dests, &n->credentials.net,
			     lookup_name, n);
	return socks_start(n->socks, &n->config, why, why_cap);
}

/* ---- signals ---- */

static void on_stop(uv_signal_t *signal, int number)
{
	struct node *n = signal->data;

	loop_turn(n->loop);
	log_info("stopping: signal=%d", number);
	loop_stop(n->loop);
}

static void on_reload(uv_signal_t *signal, int number)
{
	struct node *n = signal->data;
	char why[512];

	(void)number;
	loop_turn(n->loop);
	if (node_reload(n, why, sizeof why) < 0)
		log_error("reload failed, nothing was changed: %s", why);
	else if (why[0] != '\0')
		log_warn("reloaded; these changes need a restart: %s", why);
	else
		log_info("reloaded");
}

static void watch_signals(struct node *n)
{
	static const int stops[] = { SIGTERM, SIGINT };

	for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
		uv_signal_init(loop_uv(n->loop), &n->signals[i]);
		n->signals[i].data = n;
		uv_signal_start(&n->signals[i], on_stop, stops[i]);
	}
	uv_signal_init(loop_uv(n->loop), &n->signals[2]);
	n->signals[2].data = n;
	uv_signal_start(&n->signals[2], on_reload, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- life ---- */

static int check_names(struct node *n, char *why, size_t why_cap)
{
	if (n->config.node.name[0] != '\0')
		return 0;
	if (gethostname(n->config.node.name, sizeof n->config.node.name - 1) <
	    0) {
		snprintf(why, why_cap, "no [node] name, and no host name");
		return -errno;
	}
	/* Only the first label: it is for display. */
	n->config.node.name[strcspn(n->config.node.name, ".")] = '\0';
	return 0;
}

static void log_identity(const struct node *n)
{
	const struct credentials *c = &n->credentials;
	char net[ADDR_TEXT_MAX + 4], at[ADDR_TEXT_MAX], name[NAME_ID_TEXT_MAX];
	struct addr self = addr_of(&c->net, &c->self.id);

	addr_net_text(net, &c->net);
	addr_text(at, &self);
	name_of_id(name, &c->self.id);
	log_info("node: name=%s id=%s address=%s cluster=%s version=%s",
		 n->config.node.name, name, at, net, QANAT_VERSION);
}

static int build(struct node *n, char *why, size_t why_cap)
{
	int rv = check_names(n, why, why_cap);

	if (rv < 0)
		return rv;
	n->loop = loop_new();
	if (n->loop == NULL) {
		snprintf(why, why_cap, "cannot start the event loop");
		return -EMFILE;
	}
	rv = credentials_load(&n->credentials, n->config.node.state,
			      (int64_t)(loop_wall_ms(n->loop) / 1000), why,
			      why_cap);
	if (rv < 0)
		return rv;
	n->has_credentials = true;
	rv = store_open(&n->store, n->loop, n->config.node.state, why, why_cap);
	if (rv < 0)
		return rv;
	log_identity(n);
	rv = make_core(n, why, why_cap);
	if (rv < 0)
		return rv;
	rv = listen_all(n, why, why_cap);
	if (rv < 0)
		return rv;
	n->neighbours = neighbours_new(n->loop, n->sessions, &n->credentials,
				       &n->config, n->store);
	keep_load(n->store, n->router, n->neighbours, loop_now(n->loop));
	open_edges(n);
	rv = open_socks(n, why, why_cap);
	if (rv < 0)
		return rv;
	return api_handlers_new(&n->api, n, why, why_cap);
}

int node_new(struct node **out, const struct config *config,
	     const char *config_path, char *why, size_t why_cap)
{
	struct node *n = mem_new(n);
	int rv;

	n->config = *config;
	n->config_path = config_path != NULL ? mem_strdup(config_path) : NULL;
	rv = build(n, why, why_cap);
	if (rv < 0) {
		node_free(n);
		return rv;
	}
	n->started = loop_now(n->loop);
	watch_signals(n);
	n->minute.fire = minute_fired;
	loop_timer_set(n->loop, &n->minute, n->started + MINUTE_NS);
	loop_on_turn_end(n->loop, turn_end, n);
	*out = n;
	return 0;
}

void node_run(struct node *n)
{
	loop_run(n->loop);
}

int node_reload(struct node *n, char *why, size_t why_cap)
{
	struct config *fresh = mem_new(fresh);
	int rv;

	why[0] = '\0';
	config_defaults(fresh);
	if (n->config_path != NULL) {
		rv = config_load(fresh, n->config_path, why, why_cap);
		if (rv < 0) {
			free(fresh);
			return rv;
		}
	}
	if (fresh->node.name[0] == '\0')
		text_copy(fresh->node.name, sizeof fresh->node.name,
			  n->config.node.name);
	rv = n->socks != NULL && fresh->socks.enabled
		     ? socks_reload(n->socks, fresh, why, why_cap)
		     : 0;
	if (rv < 0) {
		free(fresh);
		return rv;
	}
	services_reload(n->services, fresh);
	neighbours_reload(n->neighbours, fresh);
	log_set_level(fresh->node.log);
	config_needs_restart(why, why_cap, &n->config, fresh);
	n->config = *fresh;
	free(fresh);
	return 0;
}

static void close_signals(struct node *n)
{
	for (size_t i = 0; i < ARRAY_LEN(n->signals); i++) {
		if (n->signals[i].data != NULL)
			uv_close((uv_handle_t *)&n->signals[i], NULL);
	}
}

/* What the router has left to say; its events have nobody to go to. */
static void send_last(struct node *n)
{
	struct router_send out;

	while (router_next_send(n->router, &out))
		sessions_send(n->sessions, out.session, out.msg);
}

void node_free(struct node *n)
{
	size_t n_looking_up = 0;

	if (n == NULL)
		return;
	if (n->loop != NULL)
		loop_turn(n->loop);
	socks_free(n->socks);
	api_handlers_free(n->api);
	tun_free(n->tun);
	echo_free(n->echo);
	services_free(n->services);
	channels_free(n->channels);
	dests_free(n->dests);
	if (n->router != NULL && n->sessions != NULL)
		send_last(n);
	/* The sessions tell the router and the neighbours of their end. */
	sessions_free(n->sessions);
	n_looking_up = neighbours_free(n->neighbours);
	router_free(n->router);
	quic_tls_free(n->tls);
	store_close(n->store);
	if (n->loop != NULL) {
		close_signals(n);
		/* A thread that still asks for a name writes into the loop:
		 * the end of the process takes both. */
		if (n_looking_up == 0)
			loop_free(n->loop);
	}
	if (n->has_credentials)
		credentials_deinit(&n->credentials);
	free(n->config_path);
	free(n);
}
