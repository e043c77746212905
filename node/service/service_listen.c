/* Services that listen elsewhere (`to`), brought to our overlay address for
 * apps that come through the TUN: which ports, and TCP. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "node/service/service_impl.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

struct service_forward {
	struct service_forward *next;
	struct services *services;
	uint8_t proto;
	uint16_t port;
	struct tcp_listener *listener; /* TCP */
	struct service_flows *flows;   /* UDP */
};

/* One connection; the rule is looked up anew for each, so that a reload
 * needs no care. */
struct forwarding {
	struct forwarding *prev, *next;
	struct services *services;
	struct node_id peer;
	struct tcp_join *joined;
};

static void forwarding_remove(struct forwarding *f)
{
	DL_DELETE(f->services->forwarding, f);
	service_peer_remove(f->services, &f->peer);
	free(f);
}

static void joined_ended(void *ctx)
{
	forwarding_remove(ctx);
}

bool service_peer_of(struct node_id *peer, const struct services *s,
		     const union endpoint *from)
{
	struct overlay_net net;
	struct addr a;

	if (from->sa.sa_family != AF_INET6)
		return false;
	memcpy(a.b, &from->in6.sin6_addr, sizeof a.b);
	memcpy(net.prefix, s->rules.self.b, sizeof net.prefix);
	*peer = addr_id(&a);
	return addr_in_net(&a, &net);
}

static const struct service_rule *rule_for(const struct service_forward *f,
					   struct node_id *peer,
					   const struct tcp *t)
{
	const struct service_rules *r = &f->services->rules;
	union endpoint from;

	if (!tcp_peer(t, &from) || !service_peer_of(peer, f->services, &from))
		return NULL;
	return service_rules_find(r, peer, IPPROTO_TCP, f->port);
}

static void accepted(void *ctx, struct tcp *t)
{
	struct service_forward *f = ctx;
	struct services *s = f->services;
	const struct service_rule *rule;
	struct forwarding *g;
	struct node_id peer;

	rule = rule_for(f, &peer, t);
	if (rule == NULL || !rule->has_to || !service_peer_add(s, &peer)) {
		s->counts.n_forward_refused++;
		tcp_reset(t);
		return;
	}
	g = mem_new(g);
	g->services = s;
	g->peer = peer;
	g->joined = tcp_join_new(s->loop, t, &rule->to, joined_ended, g);
	DL_APPEND(s->forwarding, g);
}

static union endpoint overlay_at(const struct services *s, uint16_t port)
{
	union endpoint e = { .in6 = { .sin6_family = AF_INET6,
				      .sin6_port = htons(port) } };

	memcpy(&e.in6.sin6_addr, s->rules.self.b, sizeof s->rules.self.b);
	return e;
}

static bool wants(const struct services *s, const struct service_rule *rule,
		  uint8_t proto)
{
	union endpoint at = overlay_at(s, rule->port);

	return rule->has_to && !endpoint_equal(&rule->to, &at) &&
	       (rule->proto == 0 || rule->proto == proto);
}

static bool is_wanted(const struct service_forward *f)
{
	const struct services *s = f->services;

	for (size_t i = 0; i < s->rules.n; i++) {
		if (s->rules.rule[i].port == f->port &&
		    wants(s, &s->rules.rule[i], f->proto))
			return true;
	}
	return false;
}

static bool is_listened_for(const struct services *s, uint8_t proto,
			    uint16_t port)
{
	const struct service_forward *f;

	LL_FOREACH (s->forwards, f) {
		if (f->proto == proto && f->port == port)
			return true;
	}
	return false;
}

static void forward_open(struct services *s, const struct service_rule *rule,
			 uint8_t proto)
{
	union endpoint at = overlay_at(s, rule->port);
	struct service_forward *f;
	int rv;

	if (!wants(s, rule, proto) || is_listened_for(s, proto, rule->port))
		return;
	f = mem_new(f);
	f->services = s;
	f->proto = proto;
	f->port = rule->port;
	rv = proto == IPPROTO_UDP ? service_flows_open(&f->flows, s, &at)
				  : tcp_listen(&f->listener, s->loop, &at, true,
					       accepted, f);
	if (rv < 0) {
		log_warn("service not forwarded for the tun: name=%s port=%u "
			 "proto=%s error=%s",
			 rule->name, rule->port,
			 proto == IPPROTO_UDP ? "udp" : "tcp", uv_strerror(rv));
		free(f);
		return;
	}
	LL_PREPEND(s->forwards, f);
}

static void forward_close(struct service_forward *f)
{
	LL_DELETE(f->services->forwards, f);
	tcp_listener_close(f->listener);
	service_flows_close(f->flows);
	free(f);
}

void service_forwards_refresh(struct services *s)
{
	struct service_forward *f, *next;

	LL_FOREACH_SAFE(s->forwards, f, next)
	{
		if (!is_wanted(f))
			forward_close(f);
	}
	for (size_t i = 0; i < s->rules.n; i++) {
		forward_open(s, &s->rules.rule[i], IPPROTO_TCP);
		forward_open(s, &s->rules.rule[i], IPPROTO_UDP);
	}
}

void service_forwards_close(struct services *s)
{
	struct forwarding *g, *next;

	while (s->forwards != NULL)
		forward_close(s->forwards);
	DL_FOREACH_SAFE (s->forwarding, g, next) {
		tcp_join_close(g->joined);
		forwarding_remove(g);
	}
}
