#include "node/channel/dest.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "node/channel/dest_wait.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/name.h"

enum {
	DESTS_MAX = 4096,
	WAITING_STREAMS_MAX = 1024,
	PACKET_BYTES_MAX = 1500,
};

/* While a channel is stranded a new path is looked for this often. */
#define RETRY_NS (1 * NS_PER_S)
/* A channel that is not up after so long has a circuit that leads nowhere; and
 * so has one that is up, if nothing comes back. */
#define SILENT_NS (3 * NS_PER_S)

static uint8_t hash_key[HASH_KEY_BYTES];

struct dests *dests_new(struct loop *l, struct router *r)
{
	static const uint8_t zero[sizeof hash_key];
	struct dests *d = mem_new(d);

	if (memcmp(hash_key, zero, sizeof hash_key) == 0)
		randombytes_buf(hash_key, sizeof hash_key);
	d->loop = d->self.loop = l;
	d->router = r;
	return d;
}

void dests_set_channels(struct dests *d, struct channels *channels)
{
	d->channels = channels;
}

void dests_set_requests(struct dests *d, dest_request *request, void *ctx)
{
	d->request = request;
	d->request_ctx = ctx;
}

void dest_set_packet_events(struct dests *d,
			    const struct dest_packet_events *ev, void *ctx)
{
	d->packet_events = ev;
	d->packet_ctx = ctx;
}

const struct dest_counters *dest_counters(const struct dests *d)
{
	return &d->counters;
}

/* ---- the table ---- */

struct dest *dest_find(struct dests *d, const struct node_id *id)
{
	struct dest *t;

	HASH_FIND(hh, d->table, id, sizeof *id, t);
	return t;
}

/* Whose channel it is. */
struct dest *dest_of(struct dests *d, const struct channel *c)
{
	return dest_with_tag(dest_find(d, channel_peer(c)), channel_tag(c));
}

static bool is_idle(const struct dest *t)
{
	return t->client == NULL && t->server == NULL && !t->is_connecting &&
	       t->n_streams == 0 && t->n_packets == 0 && t->waiters == NULL;
}

static bool all_idle(const struct dest *t)
{
	while (t != NULL && is_idle(t))
		t = t->apart;
	return t == NULL;
}

static void drop_dest(struct dest *t)
{
	HASH_DEL(t->dests->table, t);
	while (t != NULL) {
		struct dest *next = t->apart;

		loop_timer_set(t->dests->loop, &t->retry, TIME_NEVER);
		loop_timer_set(t->dests->loop, &t->unused, TIME_NEVER);
		free(t);
		t = next;
	}
}

static void evict_idle(struct dests *d)
{
	struct dest *t, *next;

	HASH_ITER (hh, d->table, t, next) {
		if (!all_idle(t))
			continue;
		drop_dest(t);
		d->counters.n_evicted++;
		return;
	}
}

void dest_leave_circuit(struct dests *d, circuit_no circuit)
{
	if (!channels_use(d->channels, circuit))
		router_circuit_close(d->router, circuit, CLOSE_DONE,
				     loop_now(d->loop));
}

/* The circuit stands but nobody answers over it: one more path is tried before
 * those who wait are told. */
static void try_another(struct dest *t)
{
	struct dests *d = t->dests;
	struct channel *c = t->client;
	circuit_no circuit = channel_circuit(c);
	struct circuit_info info = { 0 };
	char name[NAME_ID_TEXT_MAX];

	name_of_id(name, &t->id);
	router_circuit_get(d->router, circuit, &info);
	log_info("no answer over a circuit, trying another path: circuit=%u "
		 "dest=%s mtu=%u packets_in=%" PRIu64,
		 circuit, name, info.mtu, info.n_packets[0]);
	t->is_second_try = true;
	t->client = NULL;
	channel_close(c, "no answer over the circuit");
	router_connect(d->router, &t->id, circuit, loop_now(d->loop));
	dest_leave_circuit(d, circuit);
	d->counters.n_second_tries++;
}

static void retry_fired(struct timer *timer)
{
	struct dest *t = container_of(timer, struct dest, retry);

	if (t->client == NULL)
		return;
	if (channel_circuit(t->client) == 0)
		router_connect(t->dests->router, &t->id, t->lost,
			       loop_now(t->dests->loop));
	else if (!channel_is_up(t->client) && !t->is_second_try)
		try_another(t);
}

struct dest *dest_new(struct dests *d, const struct node_id *id)
{
	struct dest *t = mem_new(t);

	t->id = *id;
	t->dests = d;
	t->streams_tail = &t->streams;
	t->packets_tail = &t->packets;
	t->retry.fire = retry_fired;
	dest_hold_init(t);
	return t;
}

/* NULL: too many that are in use. */
struct dest *dest_get(struct dests *d, const struct node_id *id)
{
	struct dest *t = dest_find(d, id);

	if (t != NULL)
		return t;
	if (HASH_COUNT(d->table) >= DESTS_MAX)
		evict_idle(d);
	if (HASH_COUNT(d->table) >= DESTS_MAX)
		return NULL;
	t = dest_new(d, id);
	HASH_ADD(hh, d->table, id, sizeof t->id, t);
	d->counters.n_dests++;
	return t;
}

void dest_give_up(struct dest *t, bool is_proved)
{
	t->is_connecting = false;
	t->is_second_try = false;
	t->unreachable_until = loop_now(t->dests->loop) + UNREACHABLE_MEMORY_NS;
	dest_fail_streams(t);
	dest_fail_packets(t);
	dest_report_all(t, false, is_proved);
}

/* ---- connecting ---- */

/* Known to be unreachable right now. */
static bool is_unreachable(const struct dest *t)
{
	return t->unreachable_until > loop_now(t->dests->loop) &&
	       (t->client == NULL || channel_circuit(t->client) == 0);
}

static void open_channel(struct dest *t, circuit_no circuit)
{
	struct dests *d = t->dests;

	t->client = channel_connect(d->channels, circuit, &t->tag);
	if (t->client == NULL)
		dest_give_up(t, false);
	else
		loop_timer_set(d->loop, &t->retry,
			       loop_now(d->loop) + SILENT_NS);
}

static void connect_dest(struct dest *t)
{
	struct dests *d = t->dests;
	struct hold_info held;

	if (t->is_connecting || t->client != NULL)
		return;
	t->is_connecting = true;
	t->began = loop_now(d->loop);
	/* Another channel's circuit will do. */
	if (router_hold_find(d->router, &t->id, &held) && held.carries != 0) {
		open_channel(t, held.carries);
		return;
	}
	router_connect(d->router, &t->id, 0, loop_now(d->loop));
}

static void hope_again(struct dest *t)
{
	struct dests *d = t->dests;

	t->unreachable_until = 0;
	if (t->client != NULL && channel_circuit(t->client) == 0)
		router_connect(d->router, &t->id, t->lost, loop_now(d->loop));
}

void dests_network_changed(struct dests *d)
{
	struct dest *main, *t, *next;

	HASH_ITER (hh, d->table, main, next) {
		for (t = main; t != NULL; t = t->apart)
			hope_again(t);
	}
}

static void circuit_up(struct dest *t, const struct router_event *ev)
{
	if (t->client != NULL && channel_is_up(t->client)) {
		/* The stranded channel has taken it already. */
		t->unreachable_until = 0;
		dest_flush_packets(t, t->client);
		return;
	}

	if (!t->is_connecting || t->client != NULL)
		return;
	open_channel(t, ev->circuit);
}

static void unreachable(struct dest *t, const struct router_event *ev)
{
	struct dests *d = t->dests;

	if (t->client != NULL) {
		if (channel_circuit(t->client) != 0)
			return;
		/* What is open lives on in the hope of another path; what is
		 * new is told at once. */
		t->unreachable_until =
			loop_now(d->loop) + UNREACHABLE_MEMORY_NS;
		channel_fail_new(t->client, STREAM_UNREACHABLE);
		dest_fail_packets(t);
		loop_timer_set(d->loop, &t->retry,
			       loop_now(d->loop) + RETRY_NS);
		return;
	}
	if (t->is_connecting)
		dest_give_up(t, ev->is_proved);
}

/* The search may have outlived who asked.  What it has found would give the far
 * end of a channel that is gone here a way to nobody. */
static void leave_unwanted(struct dests *d, const struct router_event *ev)
{
	const struct dest *main = dest_find(d, &ev->peer);

	if (main == NULL || !main->is_held)
		dest_leave_circuit(d, ev->circuit);
}

void dests_handle_event(struct dests *d, const struct router_event *ev)
{
	struct dest *t = dest_find(d, &ev->peer), *next;

	for (; t != NULL; t = next) {
		next = t->apart;
		if (ev->type == ROUTER_CIRCUIT_UP && ev->is_origin)
			circuit_up(t, ev);
		else if (ev->type == ROUTER_UNREACHABLE)
			unreachable(t, ev);
	}
	if (ev->type == ROUTER_CIRCUIT_UP && ev->is_origin)
		leave_unwanted(d, ev);
}

/* ---- what users ask ---- */

bool dest_tag_is_zero(const struct dest_tag *tag)
{
	return sodium_is_zero(tag->b, sizeof tag->b);
}

struct stream *dest_stream(struct dests *d, const struct node_id *id,
			   enum stream_kind kind, const char *host,
			   uint16_t port, const struct stream_events *ev,
			   void *ctx)
{
	static const struct dest_tag none;

	return dest_stream_apart(d, &none, id, kind, host, port, ev, ctx);
}

struct stream *dest_stream_apart(struct dests *d, const struct dest_tag *tag,
				 const struct node_id *id,
				 enum stream_kind kind, const char *host,
				 uint16_t port, const struct stream_events *ev,
				 void *ctx)
{
	const struct identity *self = channels_self(d->channels);
	struct stream *s;
	struct dest *t;

	if (id_equal(id, &self->id))
		return self_stream_new(&d->self, self, kind, host, port, ev,
				       ctx);
	s = stream_new(id, kind, host, port, ev, ctx);
	t = dest_get(d, id);
	if (t != NULL)
		t = dest_get_apart(t, tag);
	if (t == NULL || t->n_streams >= WAITING_STREAMS_MAX) {
		dest_fail_later(d, s, STREAM_LIMIT);
		return s;
	}
	if (is_unreachable(t)) {
		dest_fail_later(d, s, STREAM_UNREACHABLE);
		return s;
	}
	if (t->client != NULL && channel_is_up(t->client)) {
		channel_add_stream(t->client, s);
		dest_hold_as_needed(dest_find(d, id));
		return s;
	}
	*t->streams_tail = s;
	stream_set_next_waiting(s, NULL);
	t->streams_tail = stream_waiting_link(s);
	t->n_streams++;
	connect_dest(t);
	return s;
}

/* The channel that carries packets to the node right now; a stranded one only
 * if there is no other. */
static struct channel *packet_channel(struct dest *t)
{
	if (t->server != NULL && channel_carries_ip(t->server) &&
	    t->client != NULL && channel_circuit(t->client) == 0)
		return t->server;
	if (t->client != NULL && channel_carries_ip(t->client))
		return t->client;
	if (t->server != NULL && channel_carries_ip(t->server))
		return t->server;
	return NULL;
}

/* A server cannot be told that its channel is gone at the client, whose reset
 * it has no token for; nor does it test the client's circuit. */
static void doubt_server(struct dest *t)
{
	char name[NAME_ID_TEXT_MAX];

	if (channel_silence(t->server) < SILENT_NS || t->client != NULL ||
	    t->is_connecting || is_unreachable(t))
		return;
	name_of_id(name, &t->id);
	log_info("no answer over the peer's channel, opening our own: "
		 "circuit=%u dest=%s",
		 channel_circuit(t->server), name);
	t->dests->counters.n_servers_silent++;
	connect_dest(t);
}

enum dest_packet_verdict dest_packet(struct dests *d, const struct node_id *id,
				     const uint8_t *packet, size_t len,
				     size_t *mtu)
{
	struct dest *t = dest_find(d, id);
	enum dest_packet_verdict v;
	struct channel *c;

	if (t == NULL)
		t = dest_get(d, id);
	if (t == NULL)
		return DEST_UNREACHABLE;
	c = packet_channel(t);
	if (c != NULL && channel_circuit(c) != 0) {
		v = channel_send_ip(c, packet, len, mtu);
		if (!t->is_held && c == t->client)
			dest_hold_as_needed(t);
		if (c == t->server)
			doubt_server(t);
		return v;
	}
	if (is_unreachable(t))
		return DEST_UNREACHABLE;
	if (len > PACKET_BYTES_MAX) {
		*mtu = TUN_MTU_MIN;
		return DEST_TOO_BIG;
	}
	dest_hold_packet(t, packet, len);
	connect_dest(t);
	return DEST_SENT;
}

struct channel *dest_channel(struct dests *d, const struct node_id *id)
{
	struct dest *t = dest_find(d, id);

	return t != NULL && t->client != NULL && channel_is_up(t->client)
		       ? t->client
		       : NULL;
}

static void report_now(struct dests *d, dest_reported *reported, void *ctx,
		       bool is_up)
{
	const struct dest_report r = { .is_up = is_up };

	(void)d;
	reported(ctx, &r);
}

void dest_connect(struct dests *d, const struct node_id *id,
		  dest_reported *reported, void *ctx)
{
	struct dest *t = dest_get(d, id);
	struct waiter *w;

	if (t == NULL || (t->client != NULL && channel_is_up(t->client))) {
		report_now(d, reported, ctx, t != NULL);
		return;
	}
	w = mem_new(w);
	w->reported = reported;
	w->ctx = ctx;
	w->next = t->waiters;
	t->waiters = w;
	connect_dest(t);
}

void dest_connect_cancel(struct dests *d, void *ctx)
{
	struct dest *t, *next;

	HASH_ITER (hh, d->table, t, next) {
		struct waiter **p = &t->waiters;

		while (*p != NULL) {
			struct waiter *w = *p;

			if (w->ctx != ctx) {
				p = &w->next;
				continue;
			}
			*p = w->next;
			free(w);
		}
	}
}

bool dests_flush(struct dests *d)
{
	bool did_anything =
		self_streams_flush(&d->self, dest_channel_events.stream, d) ||
		d->failed != NULL;

	while (d->failed != NULL) {
		struct stream *s = d->failed;

		d->failed = stream_next_waiting(s);
		stream_fail(s, STREAM_UNREACHABLE);
	}
	return did_anything;
}

void dests_free(struct dests *d)
{
	struct dest *t, *next;

	if (d == NULL)
		return;
	self_streams_free(&d->self);
	HASH_ITER (hh, d->table, t, next) {
		for (struct dest *a = t->apart; a != NULL; a = a->apart)
			dest_fail_streams(a);
		dest_fail_streams(t);
		dest_drop_packets(t);
		dest_report_all(t, false, false);
		drop_dest(t);
	}
	dests_flush(d);
	free(d);
}
