#include "node/overlay.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/window.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "proto/key.h"
#include "proto/name.h"

/* Handshakes need five times what is kept of them, and leave holes between. */
#define TIDY_NS (8 * NS_PER_S)

static void tidy(struct timer *t)
{
	(void)t;
	mem_trim();
}

/* ---- sessions and the router ---- */

static void session_up(void *ctx, const struct session_info *s,
		       const uint8_t *chain, size_t chain_len,
		       const struct msg_link *link)
{
	struct overlay *o = ctx;

	if (!o->events->session_up(o->ctx, s, chain, chain_len)) {
		sessions_close(o->sessions, s->no, "not wanted");
		return;
	}
	router_session_up(o->router, s->no, &s->peer, chain, chain_len, link,
			  loop_now(o->loop));
	dests_network_changed(o->dests);
	if (o->tidy.index == 0)
		loop_timer_set(o->loop, &o->tidy, loop_now(o->loop) + TIDY_NS);
}

static void session_measured(void *ctx, session_no s,
			     const struct msg_link *link)
{
	struct overlay *o = ctx;

	log_debug("link measured: session=%u cost_100us=%u mtu=%u", s,
		  link->cost_100us, link->mtu);
	router_session_measured(o->router, s, link, loop_now(o->loop));
}

static void session_down(void *ctx, const struct session_info *s)
{
	struct overlay *o = ctx;

	o->events->session_down(o->ctx, s);
	if (s->is_up)
		router_session_down(o->router, s->no, loop_now(o->loop));
}

static enum msg_verdict session_message(void *ctx, session_no s,
					const struct msg *m)
{
	struct overlay *o = ctx;

	return router_handle_message(o->router, s, m, loop_now(o->loop));
}

/* The data path: no allocation, no log. */
static void session_packet(void *ctx, session_no s, const struct packet *p,
			   const uint8_t *raw, size_t len)
{
	struct overlay *o = ctx;
	struct view v = view_of(raw, len);
	uint32_t word = view_be32(&v);
	struct relay_hop hop;
	uint8_t header[LABEL_BYTES];

	switch (router_packet_received(o->router, s, p->label,
				       len - LABEL_BYTES, loop_now(o->loop),
				       &hop)) {
	case RELAY_FORWARD:
		word = packet_relabel(word, hop.label);
		header[0] = (uint8_t)(word >> 24);
		header[1] = (uint8_t)(word >> 16);
		header[2] = (uint8_t)(word >> 8);
		header[3] = (uint8_t)word;
		/* The link may have marked it. */
		if (p->is_marked)
			packet_mark(header);
		sessions_send_packet(
			o->sessions, hop.session,
			&(struct session_packet){ .label = hop.label,
						  .header = header,
						  .header_len = sizeof header,
						  .payload = raw + LABEL_BYTES,
						  .len = len - LABEL_BYTES });
		break;
	case RELAY_DELIVER:
		channels_receive(o->channels, hop.circuit, p);
		break;
	default:
		break;
	}
}

static void session_writable(void *ctx, session_no s)
{
	struct overlay *o = ctx;

	channels_session_writable(o->channels, s);
}

static void session_direct(void *ctx, struct quic *q,
			   const struct udp_path *path, const uint8_t *data,
			   size_t len, bool is_marked)
{
	struct overlay *o = ctx;

	channels_receive_direct(o->channels, q, path, data, len, is_marked);
}

static size_t session_stray(void *ctx, session_no s, const uint8_t *data,
			    size_t len, uint8_t *out, size_t cap)
{
	struct overlay *o = ctx;

	return channels_receive_stray(o->channels, s, data, len, out, cap);
}

static const struct session_events session_events = {
	.up = session_up,
	.measured = session_measured,
	.down = session_down,
	.message = session_message,
	.packet = session_packet,
	.writable = session_writable,
	.direct = session_direct,
	.stray = session_stray,
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

static void log_blamed(const struct router_event *ev)
{
	char name[NAME_ID_TEXT_MAX], next[NAME_ID_TEXT_MAX];

	name_of_id(name, &ev->peer);
	name_of_id(next, &ev->next);
	log_warn("a link on a path loses packets and is avoided: from=%s to=%s",
		 name, next);
}

static void handle_event(struct overlay *o, const struct router_event *ev)
{
	const struct identity *who;
	const uint8_t *chain;
	size_t chain_len;

	switch (ev->type) {
	case ROUTER_CIRCUIT_UP:
		log_circuit(ev);
		channels_circuit_up(o->channels, ev->circuit, &ev->peer,
				    ev->is_origin);
		dests_handle_event(o->dests, ev);
		break;
	case ROUTER_CIRCUIT_DOWN:
		log_circuit(ev);
		channels_circuit_down(o->channels, ev->circuit);
		break;
	case ROUTER_UNREACHABLE:
		log_circuit(ev);
		dests_handle_event(o->dests, ev);
		break;
	case ROUTER_ROUTE_ADDED:
		o->events->route_added(o->ctx, ev->route);
		break;
	case ROUTER_ROUTE_GONE:
		o->events->route_gone(o->ctx, ev->route);
		break;
	case ROUTER_IDENTITY:
		who = router_identity_find(o->router, &ev->peer);
		chain = router_chain_find(o->router, &ev->peer, &chain_len);
		if (who != NULL && chain != NULL)
			o->events->identity(o->ctx, who, chain, chain_len);
		break;
	case ROUTER_CARRIES:
		channels_circuit_carries(o->channels, ev->circuit, ev->also);
		break;
	case ROUTER_RECORD:
		o->events->record(o->ctx, ev->record);
		break;
	case ROUTER_BLAMED:
		log_blamed(ev);
		if (id_equal(&ev->peer, &o->credentials->self.id))
			sessions_direct_doubt(o->sessions, &ev->next);
		if (id_equal(&ev->next, &o->credentials->self.id))
			sessions_direct_doubt(o->sessions, &ev->peer);
		break;
	case ROUTER_HOP:
		traces_handle_event(&o->traces, ev);
		break;
	}
}

static bool pump_router(struct overlay *o)
{
	struct router_event ev;
	struct router_send out;
	bool did_anything = false;

	while (router_next_event(o->router, &ev)) {
		handle_event(o, &ev);
		did_anything = true;
	}
	while (router_next_send(o->router, &out)) {
		sessions_send(o->sessions, out.session, out.msg);
		did_anything = true;
	}
	return did_anything;
}

bool overlay_flush(struct overlay *o)
{
	bool did_anything = pump_router(o);

	did_anything |= dests_flush(o->dests);
	did_anything |= channels_flush(o->channels);
	did_anything |= sessions_flush(o->sessions);
	return did_anything;
}

void overlay_set_timer(struct overlay *o)
{
	loop_timer_set(o->loop, &o->router_timer, router_deadline(o->router));
}

static void router_timer_fired(struct timer *t)
{
	struct overlay *o = container_of(t, struct overlay, router_timer);

	router_handle_timeout(o->router, loop_now(o->loop));
}

static bool check_chain(void *ctx, const uint8_t *chain, size_t len,
			struct identity *out)
{
	struct overlay *o = ctx;

	return cert_check(o->credentials->trust, chain, len,
			  (int64_t)(loop_wall_ms(o->loop) / 1000),
			  out) == CERT_OK;
}

/* Reset tokens must survive a restart, so their key follows from ours. */
static void derive_key(uint8_t out[32], const struct sign_key *key,
		       const char *purpose)
{
	crypto_generichash(out, 32, (const uint8_t *)purpose, strlen(purpose),
			   key->seed, sizeof key->seed);
}

static void make_router(struct overlay *o, const struct overlay_config *c)
{
	struct router_config rc = {
		.self = o->credentials->self,
		.ca = *trust_hash(o->credentials->trust),
		.key = o->credentials->key,
		.chain = o->credentials->chain,
		.chain_len = o->credentials->chain_len,
		.check = check_chain,
		.check_ctx = o,
		.transit = c->transit,
		.flood_below = c->flood_below,
		.wall_ms = loop_wall_ms(o->loop),
	};
	uint8_t seed[32];

	randombytes_buf(seed, sizeof seed);
	rng_init_bytes(&rc.rng, seed);
	o->router = router_new(&rc, loop_now(o->loop));
	o->router_timer.fire = router_timer_fired;
}

struct overlay *overlay_new(struct loop *l, const struct overlay_config *c,
			    const struct overlay_events *ev, void *ctx)
{
	const struct credentials *own = c->credentials;
	struct overlay *o = mem_new(o);
	uint8_t key[32];

	o->loop = l;
	o->credentials = own;
	o->events = ev;
	o->ctx = ctx;
	o->tidy.fire = tidy;
	o->tls = quic_tls_new(own, c->protect);
	if (o->tls == NULL) {
		free(o);
		return NULL;
	}
	quic_tls_windows(o->tls)->limit = c->memory;
	make_router(o, c);
	derive_key(key, own->key, "qanat/v1/reset/session");
	o->sessions = sessions_new(l, o->tls, key, c->display_name, c->transit,
				   &session_events, o);
	sessions_set_direct(o->sessions, c->direct);
	sessions_set_seal(o->sessions, c->sealed);
	o->dests = dests_new(l, o->router);
	derive_key(key, own->key, "qanat/v1/reset/channel");
	o->channels = channels_new(l, o->tls, key, o->router, o->sessions,
				   &dest_channel_events, o->dests);
	dests_set_channels(o->dests, o->channels);
	sodium_memzero(key, sizeof key);
	return o;
}

/* What the router has left to say; its events have nobody to go to. */
static void send_last(struct overlay *o)
{
	struct router_send out;

	while (router_next_send(o->router, &out))
		sessions_send(o->sessions, out.session, out.msg);
}

void overlay_free(struct overlay *o)
{
	if (o == NULL)
		return;
	loop_timer_set(o->loop, &o->router_timer, TIME_NEVER);
	loop_timer_set(o->loop, &o->tidy, TIME_NEVER);
	channels_free(o->channels);
	dests_free(o->dests);
	send_last(o);
	/* The far ends of our channels learn of it before the sessions end. */
	sessions_flush(o->sessions);
	sessions_free(o->sessions);
	router_free(o->router);
	quic_tls_free(o->tls);
	free(o);
}

void overlay_drain(struct overlay *o)
{
	struct circuit_info c = { 0 };

	router_set_transit(o->router, false);
	while (router_circuit_next(o->router, c.circuit, &c)) {
		if (!c.is_origin && !c.is_target)
			router_circuit_close(o->router, c.circuit,
					     CLOSE_SHUTDOWN, loop_now(o->loop));
	}
}
