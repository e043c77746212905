#include "node/node.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/api/api_handlers.h"
#include "node/service/echo.h"
#include "node/node_parts.h"
#include "node/tun/tun_link.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/version.h"

enum {
	FLUSH_ROUNDS_MAX = 64,
	LAST_RESORT_100US = 5000, /* half a second dearer than it is */
	TUN_MTU_AUTO = CIRCUIT_MTU_MAX - CHANNEL_OVERHEAD,
};

#define MINUTE_NS (60 * NS_PER_S)
/* SIGTERM: how long open streams may go on. */
#define DRAIN_NS      (4 * NS_PER_S)
#define DRAIN_LOOK_NS (20 * NS_PER_MS)

/* ---- what the overlay tells ---- */

static bool session_up(void *ctx, const struct session_info *s,
		       const uint8_t *chain, size_t chain_len)
{
	struct node *n = ctx;

	return neighbours_session_up(n->neighbours, s, chain, chain_len);
}

static void session_down(void *ctx, const struct session_info *s)
{
	struct node *n = ctx;

	if (s->is_up)
		keep_score(n->store, n->overlay->router, &s->peer.id);
	neighbours_session_down(n->neighbours, s);
}

static void route_added(void *ctx, const struct route_proof *route)
{
	struct node *n = ctx;

	keep_route_put(n->store, route);
}

static void route_gone(void *ctx, const struct route_proof *route)
{
	struct node *n = ctx;

	keep_route_del(n->store, route);
}

static void identity_learnt(void *ctx, const struct identity *who,
			    const uint8_t *chain, size_t chain_len)
{
	struct node *n = ctx;

	neighbours_identity(n->neighbours, who, chain, chain_len);
}

static void record_learnt(void *ctx, const struct record *record)
{
	struct node *n = ctx;

	keep_record_put(n->store, record);
}

static const struct overlay_events overlay_events = {
	.session_up = session_up,
	.session_down = session_down,
	.route_added = route_added,
	.route_gone = route_gone,
	.identity = identity_learnt,
	.record = record_learnt,
};

static void turn_end(void *ctx)
{
	struct node *n = ctx;

	for (int i = 0; i < FLUSH_ROUNDS_MAX; i++) {
		bool did = overlay_flush(n->overlay);

		did |= neighbours_flush(n->neighbours);
		if (!did)
			break;
	}
	tun_flush(n->tun);
	overlay_set_timer(n->overlay);
}

static void minute_fired(struct timer *t)
{
	struct node *n = container_of(t, struct node, minute);
	nsec now = loop_now(n->loop);

	router_set_wall(n->overlay->router, loop_wall_ms(n->loop), now);
	neighbours_minute(n->neighbours);
	keep_scores(n->store, n->overlay->router, n->overlay->sessions);
	loop_timer_set(n->loop, t, now + MINUTE_NS);
}

/* ---- making the parts ---- */

static int listen_one(struct node *n, const union endpoint *at, char *why,
		      size_t why_cap)
{
	char text[ENDPOINT_TEXT_MAX];
	int rv = udp_listen(sessions_udp(n->overlay->sessions), at);

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

static const struct identity *identity_of(void *ctx, const struct node_id *peer)
{
	struct node *n = ctx;

	return router_identity_find(n->overlay->router, peer);
}

static bool lookup_name(void *ctx, const char *shortname, struct node_id *out)
{
	struct node *n = ctx;
	const struct identity *who =
		router_identity_by_name(n->overlay->router, shortname);

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

/* Without it we rewrite those packets ourselves, which costs more. */
static void open_bpf(struct node *n, int device)
{
	struct tun_bpf *bpf;
	int rv = tun_bpf_open(&bpf, device);

	if (rv < 0)
		log_info("TUN without BPF: error=%s", strerror(-rv));
	else
		splicer_set_bpf(n->splicer, bpf);
}

static void open_splicer(struct node *n, int device)
{
	const struct credentials *c = &n->credentials;
	uint8_t secret[16];

	randombytes_buf(secret, sizeof secret);
	n->splicer = splicer_new(n->loop, n->overlay->dests, &c->net,
				 &c->self.id, secret, &tun_splicer_io, n->tun);
	splicer_set_on(n->splicer, n->config.tun.splice);
	if (n->config.tun.bpf)
		open_bpf(n, device);
	tun_set_splicer(n->tun, n->splicer);
	services_set_splicer(n->services, n->splicer);
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
	if (tun_link_open(&link, n->config.tun.name, &self, mtu,
			  n->config.tun.offload, why, sizeof why) < 0) {
		log_warn("no TUN, going on with SOCKS only: %s", why);
		return;
	}
	n->tun = tun_new(n->loop, link.fd, link.has_vnet, n->overlay->dests,
			 n->services, &c->net, &c->self.id);
	if (n->tun != NULL) {
		tun_set_uso(n->tun, link.has_uso);
		open_splicer(n, link.index);
	}
	services_tun_up(n->services);
	log_info("TUN up: name=%s mtu=%u", link.name, mtu);
}

static void open_edges(struct node *n)
{
	const struct credentials *c = &n->credentials;
	struct addr self = addr_of(&c->net, &c->self.id);

	n->services = services_new(n->loop, &n->config, &self, identity_of, n);
	n->echo = echo_new(n->loop);
	dests_set_requests(n->overlay->dests, request_came, n);
	open_tun(n);
}

static int open_socks(struct node *n, char *why, size_t why_cap)
{
	if (!n->config.socks.enabled)
		return 0;
	n->socks = socks_new(n->loop, n->overlay->dests, &n->credentials.net,
			     lookup_name, n);
	return socks_start(n->socks, &n->config, why, why_cap);
}

/* ---- signals ---- */

static size_t count_streams(const struct node *n)
{
	struct channel *c;
	size_t index = 0, sum = 0;

	while (channels_next(n->overlay->channels, &index, &c))
		sum += channel_n_streams(c);
	return sum;
}

static void drain_fired(struct timer *t)
{
	struct node *n = container_of(t, struct node, drain);
	nsec now = loop_now(n->loop);

	if (count_streams(n) == 0 || now >= n->stop_at)
		loop_stop(n->loop);
	else
		loop_timer_set(n->loop, t, now + DRAIN_LOOK_NS);
}

/* Others are sent elsewhere at once, and what is open may end by itself. */
static void on_stop(uv_signal_t *signal, int number)
{
	struct node *n = signal->data;

	loop_turn(n->loop);
	if (n->stop_at != 0) {
		loop_stop(n->loop); /* asked twice */
		return;
	}
	log_info("stopping: signal=%d streams=%zu", number, count_streams(n));
	n->stop_at = loop_now(n->loop) + DRAIN_NS;
	overlay_drain(n->overlay);
	if (n->splicer != NULL)
		splicer_set_on(n->splicer, false);
	n->drain.fire = drain_fired;
	loop_timer_set(n->loop, &n->drain, loop_now(n->loop) + DRAIN_LOOK_NS);
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
		 n->config.node.name, name, at, net, qanat_version);
}

static int open_protect(struct node *n, char *why, size_t why_cap)
{
	enum protect_choice choice = n->config.node.packet_protection;
	char reason[256] = "";
	int rv = protect_new(&n->protect, choice, reason, sizeof reason);

	if (rv < 0)
		snprintf(why, why_cap, "no packet protection by %s: %s",
			 protect_choice_text(choice), reason);
	else
		log_info("packet protection: by=%s", protect_name(n->protect));
	return rv;
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
	rv = open_protect(n, why, why_cap);
	if (rv < 0)
		return rv;
	n->overlay = overlay_new(
		n->loop,
		&(struct overlay_config){
			.credentials = &n->credentials,
			.protect = n->protect,
			.memory = (size_t)n->config.node.memory << 20,
			.display_name = n->config.node.name,
			.transit = n->config.node.transit != TRANSIT_OFF,
			.direct = n->config.node.direct,
			.sealed = n->config.node.sealed,
			.flood_below = n->config.node.flood_below },
		&overlay_events, n);
	if (n->overlay == NULL) {
		snprintf(why, why_cap,
			 "GnuTLS does not take the certificate and key in %s",
			 n->config.node.state);
		return -EINVAL;
	}
	if (!n->config.node.gso)
		udp_disable_offload(sessions_udp(n->overlay->sessions));
	rv = listen_all(n, why, why_cap);
	if (rv < 0)
		return rv;
	sessions_set_hello(n->overlay->sessions,
			   endpoint_port(&n->config.node.listen.at[0]),
			   n->config.node.transit == TRANSIT_LAST_RESORT
				   ? LAST_RESORT_100US
				   : 0);
	n->neighbours = neighbours_new(n->loop, n->overlay->sessions,
				       &n->credentials, &n->config, n->store);
	keep_load(n->store, n->overlay->router, n->neighbours,
		  loop_now(n->loop));
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

	config_copy(&n->config, config);
	n->config_path = config_path != NULL ? mem_strdup(config_path) : NULL;
	rv = build(n, why, why_cap);
	if (rv < 0) {
		node_free(n);
		return rv;
	}
	n->started = loop_now(n->loop);
	loop_set_spin(n->loop, config->node.spin * NS_PER_US);
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
	loop_set_spin(n->loop, fresh->node.spin * NS_PER_US);
	services_reload(n->services, fresh);
	if (n->splicer != NULL)
		splicer_set_on(n->splicer, fresh->tun.splice);
	neighbours_reload(n->neighbours, fresh);
	log_set_level(fresh->node.log);
	config_needs_restart(why, why_cap, &n->config, fresh);
	config_copy(&n->config, fresh);
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

void node_free(struct node *n)
{
	size_t n_looking_up = 0;

	if (n == NULL)
		return;
	if (n->loop != NULL)
		loop_turn(n->loop);
	socks_free(n->socks);
	api_handlers_free(n->api);
	/* Apps whose flows end here see a reset: the TUN goes last. */
	if (n->splicer != NULL)
		splicer_stop(n->splicer);
	echo_free(n->echo);
	services_free(n->services);
	tun_free(n->tun);
	splicer_free(n->splicer);
	/* The sessions tell the neighbours of their end. */
	overlay_free(n->overlay);
	protect_free(n->protect);
	n_looking_up = neighbours_free(n->neighbours);
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
