#include "node/splice/splicer.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "proto/base/be.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	ELSEWHERE_MAX = 64,
	/* The way to an app is as short as ways are: more would only stand in
	 * the TUN's queue, before everybody else's packets. */
	BUFFER_BYTES = 192 << 10,
	TCP_SRC_AT = 40,
	TCP_DST_AT = 42,
};

#define SWEEP_NS (5 * NS_PER_S)

/* An app's.  First the stream is asked for, then the sockets are joined, then
 * the bridge has both. */
struct spliced {
	struct spliced *prev, *next;
	struct splicer *splicer;
	struct node_id peer;
	struct tun_splice_flow *flow;
	struct stream *stream;
	struct tcp *tcp;
	struct bridge *bridge;
	uint8_t *early; /* came before the sockets were joined */
	size_t n_early;
	bool is_ended; /* the far end's end came, too */
};

struct elsewhere {
	struct node_id peer;
	nsec until;
};

struct splicer {
	struct loop *loop;
	struct dests *dests;
	struct overlay_net net;
	struct node_id self;
	const struct splicer_io *io;
	void *ctx;
	bool is_on;
	struct tun_splice *table;
	struct tun_bpf *bpf; /* NULL: all packets are rewritten by us */
	struct timer sweep;
	struct spliced *all;
	size_t next_elsewhere;
	struct elsewhere elsewhere[ELSEWHERE_MAX];
	nsec blocked_until;
	struct bridge_set bridges;
	struct splicer_counts counts;
};

static union endpoint endpoint_of(const struct splicer *sp,
				  const struct node_id *id, uint16_t port)
{
	union endpoint e = { .in6 = { .sin6_family = AF_INET6,
				      .sin6_port = htons(port) } };
	struct addr a = addr_of(&sp->net, id);

	memcpy(&e.in6.sin6_addr, a.b, sizeof a.b);
	return e;
}

/* ---- packets that the kernel rewrites ---- */

static struct tun_bpf_key key_of(const struct splicer *sp,
				 const struct node_id *peer,
				 const struct tun_splice_turn *turn)
{
	return (struct tun_bpf_key){
		.src = addr_of(&sp->net, &sp->self),
		.dst = addr_of(&sp->net, peer),
		.src_port = htons(turn->our_port),
		.dst_port = htons(turn->their_port),
	};
}

/* Whether the kernel rewrites packets of the flow from now on. */
static void tell_kernel(struct splicer *sp, const struct tun_splice_flow *flow,
			bool rewrites)
{
	struct tun_splice_turn turns[2];
	struct node_id peer;

	if (!tun_splice_turns(flow, &peer, turns))
		return;
	for (int i = 0; i < 2; i++) {
		struct tun_bpf_key key = key_of(sp, &peer, &turns[i]);

		if (rewrites)
			tun_bpf_add(sp->bpf, &key, htons(turns[i].src_port),
				    htons(turns[i].dst_port));
		else
			tun_bpf_remove(sp->bpf, &key);
	}
}

/* ---- what cannot be spliced for now ---- */

static bool is_elsewhere(const struct splicer *sp, const struct node_id *peer)
{
	nsec now = loop_now(sp->loop);

	for (size_t i = 0; i < ELSEWHERE_MAX; i++) {
		if (sp->elsewhere[i].until > now &&
		    id_equal(&sp->elsewhere[i].peer, peer))
			return true;
	}
	return false;
}

static void note_elsewhere(struct splicer *sp, const struct node_id *peer)
{
	if (is_elsewhere(sp, peer))
		return;
	sp->elsewhere[sp->next_elsewhere++ % ELSEWHERE_MAX] =
		(struct elsewhere){ .peer = *peer,
				    .until = loop_now(sp->loop) +
					     SPLICER_ELSEWHERE_NS };
}

static void note_blocked(struct splicer *sp)
{
	nsec now = loop_now(sp->loop);

	if (sp->blocked_until <= now)
		log_warn("TCP is not spliced for a while: this host did not "
			 "answer itself; does a firewall drop what comes in "
			 "from the TUN?");
	sp->blocked_until = now + SPLICER_ELSEWHERE_NS;
}

/* ---- the end ---- */

/* Its stream, socket or bridge is closed, or given away, already. */
static void discard(struct spliced *s)
{
	DL_DELETE(s->splicer->all, s);
	free(s->early);
	free(s);
}

static void leave(struct spliced *s)
{
	splicer_leave(s->splicer, s->flow);
	discard(s);
}

/* The flow is forgotten, and its SYN goes as a packet. */
static void go_as_packet(struct spliced *s)
{
	struct splicer *sp = s->splicer;
	uint8_t syn[TUN_SPLICE_SYN_MAX];
	const uint8_t *held;
	size_t len;

	held = tun_splice_syn(s->flow, &len);
	memcpy(syn, held, len);
	tell_kernel(sp, s->flow, false);
	tun_splice_remove(sp->table, s->flow);
	sp->io->pass(sp->ctx, &s->peer, syn, len);
	discard(s);
}

static void refuse_app(struct spliced *s)
{
	uint8_t reset[TUN_SPLICE_RESET_BYTES];
	size_t len = tun_splice_reset_write(reset, s->flow);

	s->splicer->io->write(s->splicer->ctx, reset, len);
}

static void close_now(struct spliced *s)
{
	if (s->bridge != NULL)
		bridge_close(s->bridge);
	if (s->tcp != NULL)
		tcp_reset(s->tcp);
	if (s->stream != NULL)
		stream_close(s->stream, STREAM_RESET);
	if (s->bridge == NULL)
		refuse_app(s);
	leave(s);
}

/* ---- joined ---- */

static void bridged(void *ctx)
{
	leave(ctx);
}

static void connected(void *ctx)
{
	struct spliced *s = ctx;
	struct splicer *sp = s->splicer;
	struct stream *stream = s->stream;
	struct tcp *tcp = s->tcp;

	s->stream = NULL;
	s->tcp = NULL;
	sp->counts.n_joined++;
	s->bridge = bridge_new(sp->loop, tcp, stream, NULL, 0, false,
			       &sp->bridges, bridged, s);
	bridge_handle_early(s->bridge, s->early, s->n_early, s->is_ended);
	free(s->early);
	s->early = NULL;
}

/* The app has given up meanwhile; or nothing comes back at all; or there is
 * no port left. */
static void failed(void *ctx, int rv)
{
	struct spliced *s = ctx;

	tcp_close(s->tcp);
	stream_close(s->stream, STREAM_RESET);
	switch (-rv) {
	case ECONNREFUSED:
	case ECONNRESET:
		leave(s);
		return;
	case ETIMEDOUT:
		s->splicer->counts.n_blocked++;
		note_blocked(s->splicer);
		break;
	default:
		s->splicer->counts.n_no_room++;
		break;
	}
	go_as_packet(s);
}

static const struct tcp_events joining = {
	.connected = connected,
	.failed = failed,
};

/* ---- the stream, before the bridge has it ---- */

static struct tcp *join(struct splicer *sp, struct tun_splice_flow *flow,
			const struct node_id *peer, nsec timeout,
			const struct tcp_events *ev, void *ctx)
{
	union endpoint from = endpoint_of(sp, &sp->self, 0), to;
	uint16_t port;
	struct tcp *t = tcp_bind(sp->loop, &from, &port);

	if (t == NULL)
		return NULL;
	tcp_limit_buffers(t, BUFFER_BYTES);
	port = tun_splice_join(sp->table, flow, port);
	if (port == 0) {
		tcp_close(t);
		return NULL;
	}
	tell_kernel(sp, flow, true);
	to = endpoint_of(sp, peer, port);
	tcp_begin(t, &to, timeout, ev, ctx);
	return t;
}

static void opened(void *ctx)
{
	struct spliced *s = ctx;
	struct splicer *sp = s->splicer;

	s->tcp = join(sp, s->flow, &s->peer, SPLICER_JOIN_NS, &joining, s);
	if (s->tcp != NULL)
		return;
	sp->counts.n_no_room++;
	stream_close(s->stream, STREAM_RESET);
	go_as_packet(s);
}

static void early_data(void *ctx, const uint8_t *data, size_t len)
{
	struct spliced *s = ctx;

	if (len > SPLICER_EARLY_MAX - s->n_early) {
		close_now(s);
		return;
	}
	s->early = mem_realloc(s->early, s->n_early + len + 1, 1);
	memcpy(s->early + s->n_early, data, len);
	s->n_early += len;
}

static void early_end(void *ctx)
{
	struct spliced *s = ctx;

	s->is_ended = true;
}

static void writable(void *ctx)
{
	(void)ctx; /* we write nothing before the bridge does */
}

/* What is told to a packet is left to the packet. */
static void refused(struct spliced *s, enum stream_error why)
{
	struct splicer *sp = s->splicer;
	const uint8_t *syn;
	size_t len;

	switch (why) {
	case STREAM_REFUSED:
		refuse_app(s);
		leave(s);
		break;
	case STREAM_UNREACHABLE:
		syn = tun_splice_syn(s->flow, &len);
		sp->io->unreachable(sp->ctx, syn, len);
		leave(s);
		break;
	case STREAM_TIMED_OUT:
		leave(s); /* the service is silent, and so are we */
		break;
	case STREAM_UNSUPPORTED:
		sp->counts.n_elsewhere++;
		note_elsewhere(sp, &s->peer);
		go_as_packet(s);
		break;
	default:
		sp->counts.n_refused++;
		go_as_packet(s);
		break;
	}
}

static void closed(void *ctx, enum stream_error why)
{
	struct spliced *s = ctx;

	s->stream = NULL;
	if (s->tcp != NULL)
		close_now(s);
	else
		refused(s, why);
}

static const struct stream_events asking = {
	.opened = opened,
	.data = early_data,
	.ended = early_end,
	.writable = writable,
	.closed = closed,
};

/* ---- for the TUN ---- */

static void sweep_later(struct splicer *sp)
{
	if (sp->sweep.index == 0)
		loop_timer_set(sp->loop, &sp->sweep,
			       loop_now(sp->loop) + SWEEP_NS);
}

static void sweep_fired(struct timer *t)
{
	struct splicer *sp = container_of(t, struct splicer, sweep);

	tun_splice_sweep(sp->table, loop_now(sp->loop));
	if (splicer_table(sp)->n_flows > 0)
		sweep_later(sp);
}

enum tun_splice_verdict splicer_out(struct splicer *sp,
				    const struct node_id *peer, uint8_t *packet,
				    size_t *len, bool is_partial)
{
	return tun_splice_out(sp->table, peer, packet, len, is_partial,
			      loop_now(sp->loop));
}

bool splicer_begin(struct splicer *sp, const struct node_id *peer,
		   const uint8_t *syn, size_t len)
{
	nsec now = loop_now(sp->loop);
	struct tun_splice_flow *flow;
	struct spliced *s;

	if (!sp->is_on || sp->blocked_until > now || is_elsewhere(sp, peer))
		return false;
	flow = tun_splice_hold(sp->table, peer, syn, len, now);
	if (flow == NULL) {
		sp->counts.n_no_room++;
		return false;
	}
	sp->counts.n_asked++;
	s = mem_new(s);
	s->splicer = sp;
	s->peer = *peer;
	s->flow = flow;
	DL_APPEND(sp->all, s);
	s->stream = dest_stream(sp->dests, peer, STREAM_TCP, "",
				be16_get(syn + TCP_DST_AT), &asking, s);
	stream_set_source(s->stream, be16_get(syn + TCP_SRC_AT));
	sweep_later(sp);
	return true;
}

bool splicer_claims(struct splicer *sp, const struct node_id *peer,
		    const uint8_t *packet, size_t len)
{
	return tun_splice_claims(sp->table, peer, packet, len);
}

/* ---- for the services ---- */

struct tcp *splicer_connect(struct splicer *sp, const struct node_id *peer,
			    uint16_t port, uint16_t source,
			    const struct tcp_events *ev, void *ctx,
			    struct tun_splice_flow **flow)
{
	nsec now = loop_now(sp->loop);
	struct tcp *t;

	*flow = tun_splice_serve(sp->table, peer, port, source, now);
	if (*flow == NULL)
		return NULL;
	t = join(sp, *flow, peer, SPLICER_CONNECT_NS, ev, ctx);
	if (t == NULL) {
		tun_splice_remove(sp->table, *flow);
		*flow = NULL;
		return NULL;
	}
	sp->counts.n_served++;
	sweep_later(sp);
	return t;
}

void splicer_leave(struct splicer *sp, struct tun_splice_flow *flow)
{
	/* What is still under way is seen by us again. */
	tell_kernel(sp, flow, false);
	tun_splice_leave(sp->table, flow, loop_now(sp->loop));
}

struct bridge_set *splicer_bridges(struct splicer *sp)
{
	return &sp->bridges;
}

/* ---- life ---- */

struct splicer *splicer_new(struct loop *l, struct dests *d,
			    const struct overlay_net *net,
			    const struct node_id *self,
			    const uint8_t secret[16],
			    const struct splicer_io *io, void *ctx)
{
	struct splicer *sp = mem_new(sp);

	sp->loop = l;
	sp->dests = d;
	sp->net = *net;
	sp->self = *self;
	sp->io = io;
	sp->ctx = ctx;
	sp->is_on = true;
	sp->table = tun_splice_new(secret);
	sp->sweep.fire = sweep_fired;
	sp->bridges.half_open_ns = SPLICER_HALF_OPEN_NS;
	return sp;
}

void splicer_set_bpf(struct splicer *sp, struct tun_bpf *b)
{
	tun_bpf_close(sp->bpf);
	sp->bpf = b;
}

bool splicer_has_bpf(const struct splicer *sp)
{
	return sp->bpf != NULL;
}

void splicer_set_on(struct splicer *sp, bool on)
{
	sp->is_on = on;
}

bool splicer_is_on(const struct splicer *sp)
{
	return sp->is_on;
}

void splicer_stop(struct splicer *sp)
{
	sp->is_on = false;
	while (sp->all != NULL)
		close_now(sp->all);
}

void splicer_free(struct splicer *sp)
{
	if (sp == NULL)
		return;
	splicer_stop(sp);
	loop_timer_set(sp->loop, &sp->sweep, TIME_NEVER);
	tun_splice_free(sp->table);
	tun_bpf_close(sp->bpf);
	free(sp);
}

const struct splicer_counts *splicer_counts(const struct splicer *sp)
{
	return &sp->counts;
}

const struct tun_splice_counts *splicer_table(const struct splicer *sp)
{
	return tun_splice_counts(sp->table);
}

const struct bridge_set *splicer_bridged(const struct splicer *sp)
{
	return &sp->bridges;
}
