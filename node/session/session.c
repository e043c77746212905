#include "node/session/session.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/peer.h"
#include "node/quic/quic_table.h"
#include "node/session/session_conn.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"

enum {
	APP_ERROR_NONE = 0,
	MTU_DEFAULT = 1500,
	IP4_UDP_BYTES = 28,
	IP6_UDP_BYTES = 48,
	UDP_PAYLOAD_MIN = 1200,
};

#define KEEP_ALIVE_NS (5 * NS_PER_S)
/* Sessions confirmed closer together than this came from dialling each other at
 * once; with more between them the older one has circuits to lose. */
#define SIMULTANEOUS_NS (3 * NS_PER_S)

struct session *session_by_no(const struct sessions *set, session_no no)
{
	struct session *s = set->slots[no % SESSIONS_MAX];

	return no != 0 && s != NULL && s->no == no ? s : NULL;
}

ngtcp2_path session_path(struct udp_path *p)
{
	return (ngtcp2_path){
		.local = { &p->local.sa, endpoint_len(&p->local) },
		.remote = { &p->remote.sa, endpoint_len(&p->remote) },
	};
}

/* ---- life of a session ---- */

static void timer_fired(struct timer *t)
{
	struct session *s = container_of(t, struct session, timer);

	quic_handle_timeout(s->quic, loop_now(s->set->loop));
	session_mark(s);
}

static void settle_fired(struct timer *t)
{
	struct session *s = container_of(t, struct session, settle);

	if (s->state != SESSION_CONFIRMED)
		return;
	if (s->is_hello_received)
		session_up(s);
	else if (loop_now(s->set->loop) < s->confirmed + HANDSHAKE_OUTER_NS)
		loop_timer_set(s->set->loop, t,
			       s->confirmed + HANDSHAKE_OUTER_NS);
	else
		session_end(s, "the peer says nothing", PEER_ERROR_PROTOCOL);
}

struct session *session_new(struct sessions *set, const struct udp_path *path)
{
	struct session *s;
	session_no no;

	/* Slot and serial: a number is not used twice within a run. */
	for (size_t tries = 0;; tries++) {
		no = ++set->next_serial;
		if (no != 0 && set->slots[no % SESSIONS_MAX] == NULL)
			break;
		if (tries == SESSIONS_MAX)
			return NULL;
	}
	s = mem_new(s);
	s->no = no;
	s->set = set;
	s->path = *path;
	s->control = -1;
	s->asked = TIME_NEVER;
	s->began = loop_now(set->loop);
	s->last_heard = s->carried = s->began;
	s->timer.fire = timer_fired;
	s->settle.fire = settle_fired;
	session_direct_init(s);
	s->chunks_tail = &s->chunks;
	s->reader = frame_reader_new();
	set->slots[no % SESSIONS_MAX] = s;
	return s;
}

static void session_free(void *p)
{
	struct session *s = p;

	for (struct session **d = &s->set->dirty; *d != NULL;
	     d = &(*d)->next_dirty) {
		if (*d == s) {
			*d = s->next_dirty;
			break;
		}
	}
	quic_free(s->quic);
	session_seal_free(s);
	session_free_buffers(s);
	free(s);
}

static void fill_info(const struct session *s, struct session_info *out)
{
	const struct relay_queue *queue = s->queue;
	struct quic_measure m;

	*out = (struct session_info){
		.no = s->no,
		.peer = quic_peer(s->quic)->who,
		.path = s->path,
		.is_dialled = !quic_is_server(s->quic),
		.is_up = s->state == SESSION_UP,
		.is_direct = sessions_is_direct(s->set, s->no),
		.confirmed = s->confirmed,
		.claim = session_link(s),
		.n_bytes_in = s->n_bytes_in,
		.n_bytes_out = s->n_bytes_out,
		.n_packets_in = s->n_packets_in,
		.n_packets_out = s->n_packets_out,
		.n_direct_in = s->n_direct_in,
		.n_direct_out = s->n_direct_out,
		.is_sealing = s->is_sealing,
		.n_sealed_in = s->n_sealed_in,
		.n_sealed_out = s->n_sealed_out,
		.dial = s->dial,
		.dial_peer = s->dial_peer,
		.end_text = quic_end_text(s->quic),
	};
	memcpy(out->name, s->name, sizeof out->name);
	quic_measure(s->quic, &m);
	out->rtt = m.rtt;
	if (queue == NULL)
		return;
	out->n_queued = relay_queue_n(queue);
	out->n_marked = relay_queue_counters(queue)->n_marked;
	out->n_dropped = relay_queue_counters(queue)->n_late +
			 relay_queue_counters(queue)->n_full;
}

void session_end(struct session *s, const char *why, uint8_t error)
{
	struct sessions *set = s->set;
	uint8_t packet[UDP_PAYLOAD_MIN];
	struct session_info info;
	size_t n;

	if (s->state == SESSION_ENDING)
		return;
	if (s->state == SESSION_HALF_OPEN) {
		set->counters.n_refused++;
		if (quic_is_server(s->quic))
			set->n_half_open--;
	}
	fill_info(s, &info);
	info.end_text = why;
	info.error = error;
	info.chain = quic_peer(s->quic)->chain;
	info.chain_len = quic_peer(s->quic)->chain_len;
	s->state = SESSION_ENDING;
	loop_timer_set(set->loop, &s->timer, TIME_NEVER);
	loop_timer_set(set->loop, &s->settle, TIME_NEVER);
	loop_timer_set(set->loop, &s->watch, TIME_NEVER);
	set->slots[s->no % SESSIONS_MAX] = NULL;
	n = quic_close(s->quic, APP_ERROR_NONE, packet, sizeof packet,
		       loop_now(set->loop));
	if (n > 0)
		udp_send(set->udp, &s->path, 0, packet, n);
	set->events->down(set->ctx, &info);
	loop_defer(set->loop, session_free, s);
}

/* ---- two sessions on one link ---- */

static bool same_link(const struct session *a, const struct session *b)
{
	if (a->path.ifindex != 0 && a->path.ifindex == b->path.ifindex)
		return true;
	return endpoint_equal(&a->path.remote, &b->path.remote);
}

enum duplicate {
	DUPLICATE_CLOSE_OLDER,
	DUPLICATE_CLOSE_NEWER,
	DUPLICATE_DOUBT, /* both stay until the older one is shown dead */
};

static bool has_smaller_export(const struct session *a, const struct session *b)
{
	return memcmp(quic_exported(a->quic), quic_exported(b->quic),
		      QUIC_EXPORTED_BYTES) < 0;
}

/* protocol.md 2.4. */
static enum duplicate judge(struct session *older, struct session *newer)
{
	const struct node_hash *self =
		&quic_tls_credentials(newer->set->tls)->self.hash;
	const struct node_hash *peer = &quic_peer(newer->quic)->who.hash;
	bool we_are_smaller = memcmp(self->b, peer->b, sizeof self->b) < 0;
	bool older_right = quic_is_server(older->quic) != we_are_smaller;
	bool newer_right = quic_is_server(newer->quic) != we_are_smaller;

	if (older->instance != newer->instance)
		return DUPLICATE_CLOSE_OLDER;
	if (newer->confirmed - older->confirmed > SIMULTANEOUS_NS)
		return quic_is_server(newer->quic) ? DUPLICATE_DOUBT
						   : DUPLICATE_CLOSE_NEWER;
	if (older_right != newer_right)
		return older_right ? DUPLICATE_CLOSE_NEWER
				   : DUPLICATE_CLOSE_OLDER;
	return has_smaller_export(older, newer) ? DUPLICATE_CLOSE_NEWER
						: DUPLICATE_CLOSE_OLDER;
}

static void resolve_duplicates(struct session *s)
{
	struct sessions *set = s->set;
	const struct node_hash *peer = &quic_peer(s->quic)->who.hash;

	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *o = set->slots[i];
		struct session *older, *newer;

		if (o == NULL || o == s || o->state < SESSION_CONFIRMED ||
		    !o->is_hello_received ||
		    !hash_equal(peer, &quic_peer(o->quic)->who.hash) ||
		    !same_link(s, o))
			continue;
		set->counters.n_duplicate++;
		older = s->confirmed < o->confirmed ? s : o;
		newer = older == s ? o : s;
		switch (judge(older, newer)) {
		case DUPLICATE_CLOSE_OLDER:
			session_end(older, "duplicate", PEER_ERROR_NONE);
			break;
		case DUPLICATE_CLOSE_NEWER:
			session_end(newer, "duplicate", PEER_ERROR_NONE);
			break;
		case DUPLICATE_DOUBT:
			session_doubt(older);
			break;
		}
		if (s->state == SESSION_ENDING)
			return;
	}
}

void session_confirmed(struct session *s)
{
	struct sessions *set = s->set;

	if (quic_is_server(s->quic))
		set->n_half_open--;
	s->state = SESSION_CONFIRMED;
	s->confirmed = loop_now(set->loop);
	quic_set_keep_alive(s->quic, KEEP_ALIVE_NS);
	loop_timer_set(set->loop, &s->settle, s->confirmed + SESSION_SETTLE_NS);
}

void session_up(struct session *s)
{
	const struct quic_peer *p = quic_peer(s->quic);
	struct session_info info;

	loop_timer_set(s->set->loop, &s->settle, TIME_NEVER);
	resolve_duplicates(s);
	if (s->state == SESSION_ENDING)
		return;
	s->state = SESSION_UP;
	session_sample(s);
	s->told = session_link(s);
	fill_info(s, &info);
	s->set->events->up(s->set->ctx, &info, p->chain, p->chain_len,
			   &s->told);
}

size_t session_payload_max(const union endpoint *remote, unsigned mtu)
{
	size_t overhead = remote->sa.sa_family == AF_INET6 ? IP6_UDP_BYTES
							   : IP4_UDP_BYTES;
	size_t max = mtu > overhead ? mtu - overhead : 0;

	if (max > UDP_PAYLOAD_MAX)
		max = UDP_PAYLOAD_MAX;
	return max < UDP_PAYLOAD_MIN ? UDP_PAYLOAD_MIN : max;
}

struct quic_config session_config(struct session *s)
{
	return (struct quic_config){
		.udp_payload_max = s->udp_payload_max,
		.wall_s = loop_wall_ms(s->set->loop) / 1000,
		.events = &session_quic_events,
		.ctx = s,
	};
}

/* ---- the set ---- */

bool sessions_flush(struct sessions *set)
{
	struct session *list = set->dirty;
	bool did_anything = list != NULL;

	/* What a flush marks anew waits for the caller's next round. */
	set->dirty = NULL;
	while (list != NULL) {
		struct session *s = list;

		list = s->next_dirty;
		s->is_dirty = false;
		session_flush(s);
	}
	return did_anything;
}

struct sessions *sessions_new(struct loop *l, struct quic_tls *tls,
			      const uint8_t reset_key[32],
			      const char *display_name, bool transit,
			      const struct session_events *ev, void *ctx)
{
	struct sessions *set = mem_new(set);
	uint8_t key[RELAY_KEY_BYTES];

	set->loop = l;
	set->tls = tls;
	set->events = ev;
	set->ctx = ctx;
	set->transit = transit;
	text_copy(set->display_name, sizeof set->display_name, display_name);
	set->table = quic_table_new(tls, reset_key);
	set->scratch = mem_new(set->scratch);
	set->udp = udp_new(l, session_received, session_failed, set);
	randombytes_buf(key, sizeof key);
	set->pool = relay_pool_new(&RELAY_LIMITS, key);
	randombytes_buf(set->token_key, sizeof set->token_key);
	randombytes_buf(&set->instance, sizeof set->instance);
	return set;
}

void sessions_free(struct sessions *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		if (set->slots[i] != NULL)
			session_end(set->slots[i], "shutting down",
				    PEER_ERROR_NONE);
	}
	sessions_flush(set);
	loop_run_deferred(set->loop);
	udp_free(set->udp);
	relay_pool_free(set->pool);
	quic_table_free(set->table);
	sodium_memzero(set->token_key, sizeof set->token_key);
	free(set->scratch);
	free(set);
}

void sessions_set_hello(struct sessions *set, uint16_t port,
			uint16_t more_cost_100us)
{
	set->port = port;
	set->more_cost_100us = more_cost_100us;
}

struct quic_table *sessions_table(struct sessions *set)
{
	return set->table;
}

struct udp *sessions_udp(struct sessions *set)
{
	return set->udp;
}

uint8_t sessions_dial(struct sessions *set, const struct session_dial *dial)
{
	union endpoint remote = dial->remote;
	struct udp_path path;
	struct quic_config config;
	struct session *s;
	ngtcp2_path qpath;
	unsigned mtu;

	if (remote.sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_LINKLOCAL(&remote.in6.sin6_addr))
		remote.in6.sin6_scope_id = dial->ifindex;
	if (udp_route(set->udp, &remote, &path, &mtu) < 0)
		return PEER_ERROR_UNREACHABLE;
	s = session_new(set, &path);
	if (s == NULL)
		return PEER_ERROR_LIMIT;
	s->udp_payload_max = session_payload_max(&remote, mtu);
	config = session_config(s);
	config.expect = dial->has_id ? &dial->id : NULL;
	qpath = session_path(&s->path);
	s->quic =
		quic_connect(set->table, &qpath, &config, loop_now(set->loop));
	if (s->quic == NULL) {
		set->slots[s->no % SESSIONS_MAX] = NULL;
		session_free_buffers(s);
		free(s);
		return PEER_ERROR_LIMIT;
	}
	s->dial = dial->no;
	s->dial_peer = dial->peer;
	set->counters.n_dialled++;
	session_mark(s);
	return PEER_ERROR_NONE;
}

void sessions_cancel(struct sessions *set, uint32_t dial_no)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = set->slots[i];

		if (s != NULL && s->dial == dial_no &&
		    s->state == SESSION_HALF_OPEN) {
			session_end(s, "given up", PEER_ERROR_NONE);
			return;
		}
	}
}

void sessions_send(struct sessions *set, session_no no, const struct msg *m)
{
	struct session *s = session_by_no(set, no);

	if (s != NULL)
		session_send(s, m);
}

void sessions_close(struct sessions *set, session_no no, const char *why)
{
	struct session *s = session_by_no(set, no);

	if (s != NULL)
		session_end(s, why, PEER_ERROR_NONE);
}

enum session_verdict sessions_send_packet(struct sessions *set, session_no no,
					  const struct session_packet *p)
{
	struct session *s = session_by_no(set, no);

	if (s == NULL || s->state != SESSION_UP)
		return SESSION_GONE;
	return session_send_packet(s, p);
}

bool sessions_has_room(struct sessions *set, session_no no, uint32_t label)
{
	struct session *s = session_by_no(set, no);

	if (s == NULL || s->queue == NULL)
		return true; /* the send will tell */
	return relay_queue_has_room(s->queue, label);
}

bool sessions_get(const struct sessions *set, session_no no,
		  struct session_info *out)
{
	struct session *s = session_by_no(set, no);

	if (s == NULL)
		return false;
	fill_info(s, out);
	return true;
}

bool sessions_next(const struct sessions *set, session_no after,
		   struct session_info *out)
{
	size_t i = after == 0 ? 0 : after % SESSIONS_MAX + 1;

	for (; i < SESSIONS_MAX; i++) {
		if (set->slots[i] != NULL) {
			fill_info(set->slots[i], out);
			return true;
		}
	}
	return false;
}

const struct session_counters *sessions_counters(struct sessions *set)
{
	const struct relay_counters *queues = relay_pool_counters(set->pool);

	set->counters.n_queue_marked = queues->n_marked;
	set->counters.n_queue_late = queues->n_late;
	set->counters.n_queue_full = queues->n_full;
	return &set->counters;
}
