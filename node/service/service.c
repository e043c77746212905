#include "node/service/service.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "node/service/service_impl.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/limits.h"
#include "proto/name.h"

#include <utlist.h>

/* ---- streams of each peer ---- */

struct service_peer {
	struct node_id id;
	size_t n;
	UT_hash_handle hh;
};

bool service_peer_add(struct services *s, const struct node_id *peer)
{
	const uint8_t *hash_key = s->hash_key;
	struct service_peer *p;

	HASH_FIND(hh, s->peers, peer, sizeof *peer, p);
	if (p == NULL) {
		p = mem_new(p);
		p->id = *peer;
		HASH_ADD(hh, s->peers, id, sizeof p->id, p);
	}
	if (p->n >= STREAMS_PER_CHANNEL_MAX) {
		s->counts.n_over_limit++;
		return false;
	}
	p->n++;
	return true;
}

void service_peer_remove(struct services *s, const struct node_id *peer)
{
	const uint8_t *hash_key = s->hash_key;
	struct service_peer *p;

	HASH_FIND(hh, s->peers, peer, sizeof *peer, p);
	if (--p->n > 0)
		return;
	HASH_DEL(s->peers, p);
	free(p);
}

/* ---- life ---- */

struct services *services_new(struct loop *l, const struct config *c,
			      const struct addr *self,
			      service_identity *identity, void *ctx)
{
	struct services *s = mem_new(s);

	if (getrandom(s->hash_key, sizeof s->hash_key, 0) != sizeof s->hash_key)
		abort();
	s->loop = l;
	service_rules_init(&s->rules, c, self, identity, ctx);
	return s;
}

static void serving_close(struct serving *v)
{
	if (v->dgram != NULL)
		serving_udp_close(v);
	else
		serving_tcp_close(v);
}

void services_free(struct services *s)
{
	struct serving *v, *next;

	if (s == NULL)
		return;
	service_forwards_close(s);
	DL_FOREACH_SAFE (s->serving, v, next)
		serving_close(v);
	free(s);
}

void services_reload(struct services *s, const struct config *c)
{
	service_rules_init(&s->rules, c, &s->rules.self, s->rules.identity,
			   s->rules.ctx);
	if (s->is_tun_up)
		service_forwards_refresh(s);
}

void services_set_splicer(struct services *s, struct splicer *sp)
{
	s->splicer = sp;
}

void services_tun_up(struct services *s)
{
	s->is_tun_up = true;
	service_forwards_refresh(s);
}

const struct service_counts *services_counts(const struct services *s)
{
	return &s->counts;
}

bool services_allow(const struct services *s, const struct node_id *peer,
		    uint8_t proto, uint16_t port)
{
	return service_rules_find(&s->rules, peer, proto, port) != NULL;
}

/* ---- streams ---- */

static void add_target(struct serving *v, const struct in6_addr *a,
		       uint16_t port)
{
	union endpoint *e = &v->to[v->n_to++];

	e->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					.sin6_port = htons(port),
					.sin6_addr = *a };
}

static void add_loopback4(struct serving *v, uint16_t port)
{
	union endpoint *e = &v->to[v->n_to++];

	e->in = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_port = htons(port) };
	e->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static bool is_here(const struct services *s, const struct service_rule *rule)
{
	return !rule->has_to ||
	       (rule->to.sa.sa_family == AF_INET6 &&
		endpoint_port(&rule->to) == rule->port &&
		memcmp(&rule->to.in6.sin6_addr, s->rules.self.b,
		       sizeof s->rules.self.b) == 0);
}

/* `to`; or the port on our overlay address, and without a TUN, on loopback. */
static void choose_targets(struct serving *v, const struct service_rule *rule)
{
	const struct services *s = v->services;
	struct in6_addr self;

	v->port = rule->port;
	v->is_spliced = stream_source(v->stream) != 0 && is_here(s, rule);
	if (v->is_spliced) {
		v->n_to = 1;
		return;
	}
	if (rule->has_to) {
		v->to[v->n_to++] = rule->to;
	} else if (s->is_tun_up) {
		memcpy(&self, s->rules.self.b, sizeof self);
		add_target(v, &self, rule->port);
	} else {
		add_loopback4(v, rule->port);
		add_target(v, &in6addr_loopback, rule->port);
	}
}

static enum stream_error judge(struct services *s, const struct stream *stream,
			       const struct service_rule **rule)
{
	const struct node_id *peer = stream_peer(stream);
	uint16_t port = stream_port(stream);
	bool is_spliced = stream_source(stream) != 0;
	uint8_t proto =
		stream_kind(stream) == STREAM_TCP ? IPPROTO_TCP : IPPROTO_UDP;

	if (is_spliced && (s->splicer == NULL || !splicer_is_on(s->splicer)))
		return STREAM_UNSUPPORTED;
	if (!is_spliced &&
	    !service_rules_host(&s->rules, stream_host(stream), port)) {
		s->counts.n_host_unknown++;
		return STREAM_HOST_UNKNOWN;
	}
	*rule = service_rules_find(&s->rules, peer, proto, port);
	if (*rule == NULL) {
		s->counts.n_not_allowed++;
		return STREAM_NOT_ALLOWED;
	}
	return service_peer_add(s, peer) ? STREAM_OK : STREAM_LIMIT;
}

void services_stream(struct services *s, struct stream *stream)
{
	const struct service_rule *rule;
	enum stream_error why;
	struct serving *v;

	s->counts.n_asked++;
	why = judge(s, stream, &rule);
	if (why != STREAM_OK) {
		log_debug("stream refused: port=%u why=\"%s\"",
			  stream_port(stream), stream_error_text(why));
		stream_refuse(stream, why);
		return;
	}
	v = mem_new(v);
	v->services = s;
	v->peer = *stream_peer(stream);
	v->stream = stream;
	DL_APPEND(s->serving, v);
	choose_targets(v, rule);
	if (stream_kind(stream) == STREAM_TCP)
		serving_tcp_start(v);
	else
		serving_udp_start(v);
}

void serving_remove(struct serving *v)
{
	if (v->flow != NULL)
		splicer_leave(v->services->splicer, v->flow);
	DL_DELETE(v->services->serving, v);
	service_peer_remove(v->services, &v->peer);
	loop_timer_set(v->services->loop, &v->idle, TIME_NEVER);
	free(v->early);
	free(v);
}
