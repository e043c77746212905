#include "node/peers/lan_beacons.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/peers/lan.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

struct lan_beacons {
	struct loop *loop;
	const struct credentials *credentials;
	const struct lan_beacon_events *events;
	void *ctx;
	uint16_t port;
	struct lan *lan;
	struct beacon_receiver *receiver;
	struct beacon_clock clock;
	struct timer timer;
};

static void send_everywhere(struct lan_beacons *b, bool is_fresh)
{
	const struct credentials *c = b->credentials;
	struct beacon beacon = {
		.is_fresh = is_fresh,
		.id = c->self.id,
		.key = c->self.key,
		.port = b->port,
		.issued_ms = loop_wall_ms(b->loop),
	};

	for (size_t i = 0; i < lan_n_places(b->lan); i++) {
		uint8_t packet[BEACON_BYTES];

		randombytes_buf(&beacon.nonce, sizeof beacon.nonce);
		beacon_write(packet, &beacon, c->key, trust_hash(c->trust));
		lan_send(b->lan, i, packet, sizeof packet);
	}
}

static void look(struct lan_beacons *b)
{
	bool is_fresh;

	if (beacon_clock_due(&b->clock, loop_now(b->loop), &is_fresh))
		send_everywhere(b, is_fresh);
	loop_timer_set(b->loop, &b->timer, beacon_clock_deadline(&b->clock));
}

static void timer_fired(struct timer *t)
{
	look(container_of(t, struct lan_beacons, timer));
}

static void received(void *ctx, const uint8_t *data, size_t len,
		     const union endpoint *from, uint32_t ifindex)
{
	struct lan_beacons *b = ctx;
	struct beacon_hint hint;

	if (beacon_receive(b->receiver, data, len, from, loop_wall_ms(b->loop),
			   loop_now(b->loop), &hint) == BEACON_OK)
		b->events->hint(b->ctx, &hint, ifindex);
}

static void changed(void *ctx, bool is_new)
{
	struct lan_beacons *b = ctx;

	b->events->changed(b->ctx);
	if (!is_new)
		return;
	beacon_clock_interface_up(&b->clock, loop_now(b->loop));
	look(b);
}

static const struct lan_events lan_events = {
	.received = received,
	.changed = changed,
};

static uint16_t first_port(const struct config *config)
{
	const union endpoint *e = &config->node.listen.at[0];

	if (config->node.listen.n == 0)
		return QANAT_PORT;
	return ntohs(e->sa.sa_family == AF_INET6 ? e->in6.sin6_port
						 : e->in.sin_port);
}

struct lan_beacons *lan_beacons_new(struct loop *l, const struct config *config,
				    const struct credentials *c,
				    const struct lan_beacon_events *ev,
				    void *ctx)
{
	struct lan_beacons *b = mem_new(b);
	struct rng rng;
	uint8_t seed[32];
	int rv;

	randombytes_buf(seed, sizeof seed);
	rng_init_bytes(&rng, seed);
	b->loop = l;
	b->credentials = c;
	b->events = ev;
	b->ctx = ctx;
	b->port = first_port(config);
	b->timer.fire = timer_fired;
	rv = lan_open(&b->lan, l, &config->discovery.interfaces,
		      config->tun.name, &lan_events, b);
	if (rv < 0) {
		log_warn("no LAN discovery: error=%s", strerror(-rv));
		free(b);
		return NULL;
	}
	b->receiver = beacon_receiver_new(trust_hash(c->trust), &c->self.id,
					  &rng, loop_now(l));
	beacon_clock_init(&b->clock, &rng, loop_now(l));
	look(b);
	return b;
}

void lan_beacons_reload(struct lan_beacons *b, const struct config *config)
{
	if (b != NULL)
		lan_set_interfaces(b->lan, &config->discovery.interfaces);
}

const uint64_t *lan_beacons_counters(const struct lan_beacons *b)
{
	return b != NULL ? beacon_counters(b->receiver) : NULL;
}

void lan_beacons_free(struct lan_beacons *b)
{
	if (b == NULL)
		return;
	loop_timer_set(b->loop, &b->timer, TIME_NEVER);
	lan_close(b->lan);
	beacon_receiver_free(b->receiver);
	free(b);
}
