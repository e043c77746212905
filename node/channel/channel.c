#include "node/channel/channel.h"

#include <stdlib.h>
#include <string.h>

#include "node/channel/channel_conn.h"
#include "node/quic/quic_table.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	VIRTUAL_PORT = 4433,
};

#define KEEP_ALIVE_NS (25 * NS_PER_S)

void channel_mark(struct channel *c)
{
	if (c->is_dirty)
		return;
	c->is_dirty = true;
	c->next_dirty = c->set->dirty;
	c->set->dirty = c;
}

/* The period is what it should be again after the flush. */
void channel_ping(struct channel *c)
{
	quic_set_keep_alive(c->quic, 1);
	channel_mark(c);
}

/* ---- life ---- */

static void timer_fired(struct timer *t)
{
	struct channel *c = container_of(t, struct channel, timer);
	nsec now = loop_now(c->set->loop);

	if (c->lane == NULL && now - c->stranded_since >= STRANDED_NS) {
		channel_end(c, "no path to the node");
		return;
	}
	if (c->lane != NULL)
		quic_handle_timeout(c->quic, now);
	channel_mark(c);
}

static void set_path(struct channel *c)
{
	const struct credentials *cred = quic_tls_credentials(c->set->tls);
	struct addr a = addr_of(&cred->net, &cred->self.id);
	struct addr b = addr_of(&cred->net, &c->peer);

	c->local.in6.sin6_family = c->remote.in6.sin6_family = AF_INET6;
	c->local.in6.sin6_port = c->remote.in6.sin6_port = htons(VIRTUAL_PORT);
	memcpy(&c->local.in6.sin6_addr, a.b, sizeof a.b);
	memcpy(&c->remote.in6.sin6_addr, b.b, sizeof b.b);
}

ngtcp2_path channel_path(struct channel *c)
{
	return (ngtcp2_path){
		.local = { &c->local.sa, sizeof c->local.in6 },
		.remote = { &c->remote.sa, sizeof c->remote.in6 },
	};
}

static struct channel *channel_new(struct channels *set, struct lane *l)
{
	struct channel *c = mem_new(c);

	c->set = set;
	c->peer = l->peer;
	c->lane = l;
	set_path(c);
	c->timer.fire = timer_fired;
	c->waiting_tail = &c->waiting;
	c->last_used = loop_now(set->loop);
	c->unanswered = TIME_NEVER;
	c->next = set->all;
	if (set->all != NULL)
		set->all->prev = c;
	set->all = c;
	return c;
}

static void unlink_channel(struct channel *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		c->set->all = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
}

static void channel_free(void *p)
{
	struct channel *c = p;

	for (struct channel **d = &c->set->dirty; *d != NULL;
	     d = &(*d)->next_dirty) {
		if (*d == c) {
			*d = c->next_dirty;
			break;
		}
	}
	quic_free(c->quic);
	channel_small_free(c);
	free(c);
}

/* The circuit's proof told us the peer's key: nobody else with the same 80 bits
 * will do. */
static struct quic_config config_for(struct channel *c)
{
	const struct identity *who =
		router_identity_find(c->set->router, &c->peer);

	return (struct quic_config){
		.is_channel = true,
		.udp_payload_max = CIRCUIT_MTU_MAX,
		.expect = &c->peer,
		.expect_hash = who != NULL ? &who->hash : NULL,
		.wall_s = loop_wall_ms(c->set->loop) / 1000,
		.events = &channel_quic_events,
		.ctx = c,
	};
}

struct channel *channel_connect(struct channels *set, circuit_no circuit,
				const struct dest_tag *tag)
{
	struct lane *l = lane_find(set, circuit);
	struct quic_config config;
	struct channel *c;
	ngtcp2_path path;

	if (l == NULL || !l->is_origin)
		return NULL;
	c = channel_new(set, l);
	c->is_client = true;
	c->tag = *tag;
	config = config_for(c);
	path = channel_path(c);
	c->quic = quic_connect(set->table, &path, &config, loop_now(set->loop));
	if (c->quic == NULL) {
		unlink_channel(c);
		free(c);
		set->counters.n_failed++;
		return NULL;
	}
	set->counters.n_connected++;
	channel_mark(c);
	return c;
}

/* A member may come anew after a restart, but not without end: the oldest of
 * its channels gives way.  False: too many handshakes are under way. */
static bool make_room(struct channels *set, const struct node_id *peer)
{
	struct channel *oldest = NULL;
	size_t n_of_peer = 0, n_half_open = 0;

	for (struct channel *c = set->all; c != NULL; c = c->next) {
		if (c->is_client)
			continue;
		n_half_open += !c->is_up;
		if (!id_equal(&c->peer, peer))
			continue;
		n_of_peer++;
		oldest = c; /* the newest stands first */
	}
	if (n_of_peer >= CHANNELS_PER_PEER_MAX)
		channel_end(oldest, "replaced by a newer one");
	return n_half_open < HALF_OPEN_MAX;
}

struct channel *channel_accept(struct channels *set, struct lane *l,
			       const ngtcp2_pkt_hd *hd)
{
	struct quic_config config;
	struct channel *c;
	ngtcp2_path path;

	if (!make_room(set, &l->peer)) {
		set->counters.n_failed++;
		return NULL;
	}
	c = channel_new(set, l);
	config = config_for(c);
	path = channel_path(c);
	c->quic = quic_accept(set->table, &path, hd, NULL, &config,
			      loop_now(set->loop));
	if (c->quic == NULL) {
		unlink_channel(c);
		free(c);
		set->counters.n_failed++;
		return NULL;
	}
	set->counters.n_accepted++;
	return c;
}

static void drop_first_waiting(struct channel *c)
{
	c->waiting = c->waiting->next_waiting;
	if (c->waiting == NULL)
		c->waiting_tail = &c->waiting;
}

static void fail_waiting(struct channel *c, enum stream_error why)
{
	while (c->waiting != NULL) {
		struct stream *s = c->waiting;

		drop_first_waiting(c);
		stream_fail(s, why);
	}
}

void channel_fail_new(struct channel *c, enum stream_error why)
{
	struct stream *s, *next;

	fail_waiting(c, why);
	HASH_ITER (hh, c->streams, s, next) {
		if (!s->is_server_side && !s->is_ip && s->state == STREAM_ASKED)
			stream_give_up(s, why);
	}
}

void channel_end(struct channel *c, const char *why)
{
	struct channels *set = c->set;
	enum stream_error error = c->is_up ? STREAM_RESET : STREAM_UNREACHABLE;
	uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE];
	size_t n;

	if (c->is_ending)
		return;
	c->is_ending = true;
	n = quic_close(c->quic, 0, packet, sizeof packet, loop_now(set->loop));
	if (n > 0 && c->lane != NULL)
		channel_send_packet(c, packet, n);
	loop_timer_set(set->loop, &c->timer, TIME_NEVER);
	fail_waiting(c, error);
	h3_stop(c);
	while (c->streams != NULL)
		stream_finish(c->streams, error);
	unlink_channel(c);
	set->events->down(set->ctx, c, why);
	loop_defer(set->loop, channel_free, c);
}

bool channels_use(const struct channels *set, circuit_no circuit)
{
	for (const struct channel *c = set->all; c != NULL; c = c->next) {
		if (c->lane != NULL && c->lane->circuit == circuit)
			return true;
	}
	return false;
}

void channel_close(struct channel *c, const char *why)
{
	channel_end(c, why);
}

/* ---- flushing ---- */

void channel_add_stream(struct channel *c, struct stream *s)
{
	s->next_waiting = NULL;
	*c->waiting_tail = s;
	c->waiting_tail = &s->next_waiting;
	channel_mark(c);
}

/* Nobody asks any more, or for a node that the peer is not. */
static bool is_moot(struct channel *c, const struct stream *s)
{
	if (s->is_silenced)
		return true;
	if (stream_expects(s, &quic_peer(c->quic)->who.hash))
		return false;
	c->set->counters.n_wrong_key++;
	return true;
}

void channel_open_waiting(struct channel *c)
{
	while (c->waiting != NULL && c->is_up) {
		struct stream *s = c->waiting;

		if (is_moot(c, s)) {
			drop_first_waiting(c);
			stream_fail(s, STREAM_HOST_UNKNOWN);
		} else if (h3_submit(c, s)) {
			drop_first_waiting(c);
		} else {
			break;
		}
	}
}

/* Asks for packets, if some were refused and may be taken now. */
static void ask_again(struct channel *c)
{
	/* What QUIC has just refused it would refuse again in this turn. */
	if (!c->is_blocked || c->paused == loop_now(c->set->loop) ||
	    !channel_has_room(c))
		return;
	c->is_blocked = false;
	c->set->events->unblocked(c->set->ctx, c);
}

/* Packets go first, as a stream may have something to send at any time; unless
 * they were first the last time and had more than there was room for. */
static void write_all(struct channel *c)
{
	bool streams_first = c->streams_first;

	if (streams_first)
		channel_write_streams(c);
	if (channel_small_flush(c))
		ask_again(c);
	channel_small_flush(c);
	if (!streams_first)
		channel_write_streams(c);
	c->streams_first = !streams_first && c->is_blocked;
}

static void channel_flush(struct channel *c)
{
	struct channels *set = c->set;
	nsec now = loop_now(set->loop);
	size_t n_own = c->ip != NULL ? 1 : 0;

	if (c->is_ending)
		return;
	if (quic_state(c->quic) >= QUIC_CLOSING) {
		channel_end(c, quic_end_text(c->quic));
		return;
	}
	if (c->is_broken) {
		channel_end(c, "HTTP/3 does not start");
		return;
	}
	if (c->lane == NULL)
		return; /* timers wait until there is a circuit again */
	quic_handle_timeout(c->quic, now);
	channel_open_waiting(c);
	write_all(c);
	if (quic_state(c->quic) >= QUIC_CLOSING) {
		channel_end(c, quic_end_text(c->quic));
		return;
	}
	quic_set_keep_alive(c->quic,
			    c->n_streams > n_own ? KEEP_ALIVE_NS : UINT64_MAX);
	loop_timer_set(set->loop, &c->timer, quic_rest(c->quic, now));
}

bool channels_flush(struct channels *set)
{
	struct channel *list = set->dirty;
	bool did_anything = list != NULL;

	/* What a flush marks anew waits for the caller's next round. */
	set->dirty = NULL;
	while (list != NULL) {
		struct channel *c = list;

		list = c->next_dirty;
		c->is_dirty = false;
		channel_flush(c);
	}
	return did_anything;
}

void channels_session_writable(struct channels *set, session_no s)
{
	(void)s;
	for (struct channel *c = set->all; c != NULL; c = c->next) {
		if (!c->is_waiting_room)
			continue;
		c->is_waiting_room = false;
		channel_mark(c);
	}
}

/* ---- the set ---- */

struct channels *channels_new(struct loop *l, struct quic_tls *tls,
			      const uint8_t reset_key[32], struct router *r,
			      struct sessions *sessions,
			      const struct channel_events *ev, void *ctx)
{
	struct channels *set = mem_new(set);

	set->loop = l;
	set->tls = tls;
	set->router = r;
	set->sessions = sessions;
	set->events = ev;
	set->ctx = ctx;
	set->table = quic_table_beside(sessions_table(sessions), reset_key);
	set->joiners = joiners_new();
	return set;
}

void channels_free(struct channels *set)
{
	if (set == NULL)
		return;
	while (set->all != NULL)
		channel_end(set->all, "shutting down");
	loop_run_deferred(set->loop);
	while (set->lanes != NULL)
		channels_circuit_down(set, set->lanes->circuit);
	joiners_free(set->joiners);
	quic_table_free(set->table);
	free(set);
}

const struct identity *channels_self(const struct channels *set)
{
	return &quic_tls_credentials(set->tls)->self;
}

bool channel_is_client(const struct channel *c)
{
	return c->is_client;
}

bool channel_is_up(const struct channel *c)
{
	return c->is_up && !c->is_ending;
}

bool channel_carries_ip(const struct channel *c)
{
	return channel_is_up(c) && c->is_ip_open;
}

const struct node_id *channel_peer(const struct channel *c)
{
	return &c->peer;
}

const struct dest_tag *channel_tag(const struct channel *c)
{
	return &c->tag;
}

circuit_no channel_circuit(const struct channel *c)
{
	return c->lane != NULL ? c->lane->circuit : 0;
}

size_t channel_n_streams(const struct channel *c)
{
	return c->n_streams - (c->ip != NULL ? 1 : 0);
}

bool channel_is_unused(const struct channel *c)
{
	return channel_n_streams(c) == 0 && c->waiting == NULL;
}

nsec channel_rtt(const struct channel *c)
{
	struct quic_measure m;

	quic_measure(c->quic, &m);
	return m.rtt;
}

nsec channel_last_used(const struct channel *c)
{
	return c->last_used;
}

nsec channel_silence(const struct channel *c)
{
	return c->unanswered != TIME_NEVER
		       ? loop_now(c->set->loop) - c->unanswered
		       : 0;
}

const struct channel_counters *channels_counters(struct channels *set)
{
	set->counters.n_parts_lost = joiners_n_lost(set->joiners);
	return &set->counters;
}

bool channels_next(const struct channels *set, size_t *index,
		   struct channel **out)
{
	struct channel *c = set->all;

	for (size_t i = 0; i < *index && c != NULL; i++)
		c = c->next;
	if (c == NULL)
		return false;
	++*index;
	*out = c;
	return true;
}
