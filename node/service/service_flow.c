/* UDP for services that listen elsewhere (`to`), for apps that come through
 * the TUN: each of their ports has a socket of its own towards the service. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "node/service/service_impl.h"
#include "proto/base/mem.h"

/* Of an app. */
struct client {
	uint8_t addr[16];
	uint16_t port;
};

struct flow {
	struct flow *prev, *next; /* the one used last comes first */
	UT_hash_handle hh;        /* by client */
	struct service_flows *flows;
	struct client client;
	struct node_id peer;
	struct dgram *dgram;
	struct timer idle;
	nsec moved;
};

struct service_flows {
	struct services *services;
	uint16_t port;
	struct dgram *dgram; /* on our overlay address */
	struct flow *table;
	struct flow *used;
};

static struct loop *loop_of(const struct flow *f)
{
	return f->flows->services->loop;
}

static void flow_remove(struct flow *f)
{
	struct service_flows *fs = f->flows;

	loop_timer_set(loop_of(f), &f->idle, TIME_NEVER);
	dgram_close(f->dgram);
	service_peer_remove(fs->services, &f->peer);
	HASH_DEL(fs->table, f);
	DL_DELETE(fs->used, f);
	free(f);
}

static void idle_fired(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, idle);
	nsec due = f->moved + SERVICE_UDP_IDLE_NS;

	if (loop_now(loop_of(f)) < due)
		loop_timer_set(loop_of(f), t, due);
	else
		flow_remove(f);
}

/* Of its datagrams none came for longer than of those in front of it. */
static void flow_moved(struct flow *f)
{
	f->moved = loop_now(loop_of(f));
	DL_DELETE(f->flows->used, f);
	DL_PREPEND(f->flows->used, f);
}

/* ---- from the service ---- */

static void service_data(void *ctx, const union endpoint *from,
			 const uint8_t *data, size_t len)
{
	struct flow *f = ctx;
	struct service_counts *n = &f->flows->services->counts;
	union endpoint to = { .in6 = { .sin6_family = AF_INET6,
				       .sin6_port = f->client.port } };

	(void)from;
	memcpy(&to.in6.sin6_addr, f->client.addr, sizeof f->client.addr);
	flow_moved(f);
	if (dgram_send(f->flows->dgram, &to, NULL, 0, data, len))
		n->n_datagrams_out++;
	else
		n->n_datagrams_dropped++;
}

static void service_failed(void *ctx, int rv)
{
	struct flow *f = ctx;

	(void)rv;
	f->flows->services->counts.n_connect_failed++;
	flow_remove(f);
}

static const struct dgram_events service_side = {
	.data = service_data,
	.failed = service_failed,
};

/* ---- from the apps ---- */

static struct client client_of(const union endpoint *e)
{
	struct client c = { .port = e->in6.sin6_port };

	memcpy(c.addr, &e->in6.sin6_addr, sizeof c.addr);
	return c;
}

static struct flow *flow_find(struct service_flows *fs, const struct client *c)
{
	const uint8_t *hash_key = fs->services->hash_key;
	struct flow *f;

	HASH_FIND(hh, fs->table, c, sizeof *c, f);
	return f;
}

static const struct service_rule *rule_for(const struct service_flows *fs,
					   struct node_id *peer,
					   const union endpoint *from)
{
	const struct services *s = fs->services;

	if (!service_peer_of(peer, s, from))
		return NULL;
	return service_rules_find(&s->rules, peer, IPPROTO_UDP, fs->port);
}

/* NULL: not for this app, or not possible now. */
static struct flow *flow_new(struct service_flows *fs,
			     const union endpoint *from)
{
	struct services *s = fs->services;
	const uint8_t *hash_key = s->hash_key;
	const struct service_rule *rule;
	struct node_id peer;
	struct flow *f;

	rule = rule_for(fs, &peer, from);
	if (rule == NULL || !rule->has_to || !service_peer_add(s, &peer)) {
		s->counts.n_forward_refused++;
		return NULL;
	}
	if (HASH_COUNT(fs->table) == SERVICE_FLOWS_MAX)
		flow_remove(fs->used->prev);
	f = mem_new(f);
	if (dgram_connect(&f->dgram, s->loop, &rule->to, &service_side, f) <
	    0) {
		s->counts.n_connect_failed++;
		service_peer_remove(s, &peer);
		free(f);
		return NULL;
	}
	f->flows = fs;
	f->client = client_of(from);
	f->peer = peer;
	HASH_ADD(hh, fs->table, client, sizeof f->client, f);
	DL_PREPEND(fs->used, f);
	f->idle.fire = idle_fired;
	loop_timer_set(s->loop, &f->idle,
		       loop_now(s->loop) + SERVICE_UDP_IDLE_NS);
	return f;
}

static void app_data(void *ctx, const union endpoint *from, const uint8_t *data,
		     size_t len)
{
	struct service_flows *fs = ctx;
	struct service_counts *n = &fs->services->counts;
	struct client c = client_of(from);
	struct flow *f = flow_find(fs, &c);

	if (f == NULL)
		f = flow_new(fs, from);
	if (f == NULL)
		return;
	flow_moved(f);
	if (dgram_send(f->dgram, NULL, NULL, 0, data, len))
		n->n_datagrams_in++;
	else
		n->n_datagrams_dropped++;
}

static void app_failed(void *ctx, int rv)
{
	(void)ctx; /* one that is gone; its flow will idle */
	(void)rv;
}

static const struct dgram_events app_side = {
	.data = app_data,
	.failed = app_failed,
};

/* ---- */

int service_flows_open(struct service_flows **out, struct services *s,
		       const union endpoint *at)
{
	struct service_flows *fs = mem_new(fs);
	int rv;

	fs->services = s;
	fs->port = ntohs(at->in6.sin6_port);
	rv = dgram_bind_overlay(&fs->dgram, s->loop, at, &app_side, fs);
	if (rv < 0) {
		free(fs);
		return rv;
	}
	*out = fs;
	return 0;
}

void service_flows_close(struct service_flows *fs)
{
	if (fs == NULL)
		return;
	while (fs->used != NULL)
		flow_remove(fs->used);
	dgram_close(fs->dgram);
	free(fs);
}
