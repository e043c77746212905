/* A channel over a line of sessions whose links are slow, long and lossy, in
 * virtual time: how much of the line it uses.  Nodes do with packets what
 * session_conn.c and channel_write.c do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "circuit/relay/relay_queue.h"
#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"
#include "proto/packet.h"
#include "tests/support/quic_pair.h"

enum {
	HOPS = 3,
	MBIT = 20,
	PACKET_MAX = 1472,
	CHANNEL_MAX = 1436,
	IP_BYTES = 42,
	UNDER_WAY_MAX = 1024, /* a power of two */
	LABEL = 1,
};

#define TRIP_NS  (10 * NS_PER_MS)
#define QUEUE_NS (50 * NS_PER_MS)

enum way {
	AWAY, /* from the sender */
	BACK,
	WAYS,
};

struct frame {
	nsec at;
	size_t len;
	uint8_t data[PACKET_MAX];
};

struct link {
	nsec free_at;
	size_t head, tail;
	struct frame under_way[UNDER_WAY_MAX];
};

struct line;

/* What one node has for one neighbour. */
struct side {
	struct line *line;
	size_t hop;
	enum way way; /* that it sends */
	struct quic_pair_end *end;
	struct relay_queue *queue;
	struct link link;
	nsec timer;
	bool is_dirty;
};

/* One end of the channel. */
struct tip {
	struct line *line;
	struct quic_pair_end *end;
	struct side *side;
	nsec timer;
	bool is_dirty, is_blocked;
	uint64_t n_received;
};

struct line {
	struct protect *protect;
	struct relay_pool *pool;
	struct quic_pair *channel, *sessions[HOPS];
	struct side sides[HOPS][WAYS];
	struct tip tips[WAYS];
	nsec now;
	uint64_t dice;
	unsigned loss_ppm;
};

/* ---- links ---- */

static bool is_lost(struct line *l)
{
	l->dice ^= l->dice >> 12;
	l->dice ^= l->dice << 25;
	l->dice ^= l->dice >> 27;
	return (l->dice * UINT64_C(2685821657736338717) >> 32) % 1000000 <
	       l->loss_ppm;
}

static void link_add(struct side *s, const uint8_t *data, size_t len)
{
	struct link *l = &s->link;
	nsec now = s->line->now;
	struct frame *p = &l->under_way[l->tail % UNDER_WAY_MAX];

	if (l->free_at < now)
		l->free_at = now;
	if (is_lost(s->line) || l->free_at - now > QUEUE_NS)
		return;
	assert_true(l->tail - l->head < UNDER_WAY_MAX);
	l->free_at += (len + IP_BYTES) * 8 * 1000 / MBIT;
	p->at = l->free_at + TRIP_NS;
	p->len = len;
	memcpy(p->data, data, len);
	l->tail++;
}

static nsec link_next(const struct link *l)
{
	return l->head == l->tail ? TIME_NEVER
				  : l->under_way[l->head % UNDER_WAY_MAX].at;
}

/* ---- sessions ---- */

static bool write_now(struct side *s, const ngtcp2_vec *vec, size_t n)
{
	bool accepted = false;

	while (!accepted) {
		uint8_t out[PACKET_MAX], ecn;
		size_t len =
			quic_write_datagram(s->end->quic, &ecn, out, sizeof out,
					    vec, n, &accepted, s->line->now);

		if (len == 0)
			return accepted;
		link_add(s, out, len);
	}
	return true;
}

static void send_packet(struct side *s, const uint8_t *data, size_t len,
			bool is_own, enum packet_part part)
{
	uint8_t header[PACKET_HEADER_MAX];
	size_t n = packet_header_write(header, part, LABEL, 0);
	const ngtcp2_vec vec[2] = {
		{ header, n },
		{ (uint8_t *)(uintptr_t)data, len },
	};

	s->is_dirty = true;
	if (relay_queue_n(s->queue) == 0 && write_now(s, vec, 2))
		return;
	relay_queue_add(s->queue, LABEL, is_own,
			(struct relay_bytes){ header, n },
			(struct relay_bytes){ data, len }, s->line->now);
}

static void flush_side(struct side *s)
{
	nsec now = s->line->now;
	uint8_t out[PACKET_MAX], ecn;
	struct relay_bytes b;
	size_t len;

	s->is_dirty = false;
	quic_handle_timeout(s->end->quic, now);
	while (relay_queue_next(s->queue, now, &b)) {
		const ngtcp2_vec vec = { (uint8_t *)(uintptr_t)b.data, b.len };

		if (!write_now(s, &vec, 1))
			break;
		relay_queue_sent(s->queue);
	}
	if (relay_queue_woke(s->queue))
		s->line->tips[s->way].is_dirty = true;
	while ((len = quic_write(s->end->quic, NULL, &ecn, out, sizeof out,
				 now)) > 0)
		link_add(s, out, len);
	s->timer = quic_rest(s->end->quic, now);
}

static uint64_t packet_came(void *ctx, const uint8_t *data, size_t len)
{
	struct side *s = ctx;
	struct line *l = s->line;
	bool is_away = s->way == BACK; /* the other's way */
	size_t last = is_away ? HOPS - 1 : 0;
	struct tip *tip = &l->tips[is_away ? BACK : AWAY];
	struct packet p;

	assert_int_equal(packet_parse(&p, data, len), PACKET_OK);
	if (s->hop != last) {
		send_packet(&l->sides[is_away ? s->hop + 1 : s->hop - 1]
				     [is_away ? AWAY : BACK],
			    p.payload, p.len, false,
			    p.is_marked ? PACKET_MARKED : PACKET_WHOLE);
		return 0;
	}
	quic_read(tip->end->quic, &tip->end->path.path,
		  p.is_marked ? NGTCP2_ECN_CE : NGTCP2_ECN_NOT_ECT, p.payload,
		  p.len, l->now);
	tip->is_dirty = true;
	return 0;
}

/* ---- the channel ---- */

static void flush_tip(struct tip *t)
{
	nsec now = t->line->now;
	uint8_t out[CHANNEL_MAX], ecn;
	size_t len;

	t->is_dirty = false;
	quic_handle_timeout(t->end->quic, now);
	while (relay_queue_has_room(t->side->queue, LABEL) &&
	       (len = quic_write(t->end->quic, NULL, &ecn, out, sizeof out,
				 now)) > 0)
		send_packet(t->side, out, len, true, PACKET_WHOLE);
	t->timer = quic_rest(t->end->quic, now);
}

static uint64_t stream_data(void *ctx, int64_t id, const uint8_t *data,
			    size_t len, bool is_last)
{
	struct tip *t = ctx;

	(void)data;
	(void)is_last;
	t->n_received += len;
	quic_stream_consumed(t->end->quic, id, len);
	return 0;
}

static ngtcp2_ssize next_data(void *ctx, int64_t *id, int *is_last,
			      ngtcp2_vec *vec, size_t cap)
{
	static uint8_t zeros[4096];
	struct tip *t = ctx;

	(void)cap;
	*is_last = 0;
	*id = t->is_blocked ? -1 : t->end->stream;
	if (*id < 0)
		return 0;
	*vec = (ngtcp2_vec){ zeros, sizeof zeros };
	return 1;
}

static void blocked(void *ctx, int64_t id)
{
	struct tip *t = ctx;

	(void)id;
	t->is_blocked = true;
}

static void unblocked(void *ctx, int64_t id)
{
	struct tip *t = ctx;

	(void)id;
	t->is_blocked = false;
}

static ngtcp2_ssize no_data(void *ctx, int64_t *id, int *is_last,
			    ngtcp2_vec *vec, size_t cap)
{
	(void)ctx;
	(void)vec;
	(void)cap;
	*id = -1;
	*is_last = 0;
	return 0;
}

static void some_bytes(void *ctx, int64_t id, size_t len)
{
	(void)ctx;
	(void)id;
	(void)len;
}

static void credit(void *ctx)
{
	(void)ctx;
}

static const struct quic_events session_events = {
	.datagram = packet_came,
	.next_data = no_data,
	.streams_allowed = credit,
};

static const struct quic_events channel_events = {
	.stream_data = stream_data,
	.stream_acked = some_bytes,
	.stream_unblocked = unblocked,
	.streams_allowed = credit,
	.next_data = next_data,
	.wrote = some_bytes,
	.blocked = blocked,
};

/* ---- the line ---- */

static struct quic_pair *connect_pair(struct line *l, bool is_channel)
{
	struct quic_pair *p = quic_pair_new(
		&(struct quic_pair_config){ .client = l->protect,
					    .server = l->protect,
					    .is_channel = is_channel });

	/* The first packet is there already. */
	p->trip = is_channel ? HOPS * TRIP_NS : TRIP_NS;
	p->now += p->trip;
	quic_pair_connect(p);
	/* And a session finds out what size of packet it carries. */
	for (int i = 0; i < 20; i++)
		quic_pair_run(p, NS_PER_MS);
	l->now = l->now > p->now ? l->now : p->now;
	return p;
}

static void use(struct quic_pair_end *end, const struct quic_events *events,
		void *ctx)
{
	end->quic->config.events = events;
	end->quic->config.ctx = ctx;
}

static struct line *line_new(unsigned loss_ppm, uint64_t seed)
{
	static const uint8_t key[RELAY_KEY_BYTES] = { 1 };
	struct line *l = mem_new(l);
	char why[256];

	l->dice = seed * 2 + 1;
	l->loss_ppm = loss_ppm;
	assert_int_equal(
		protect_new(&l->protect, PROTECT_AUTO, why, sizeof why), 0);
	l->pool = relay_pool_new(&RELAY_LIMITS, key);
	l->channel = connect_pair(l, true);
	for (size_t i = 0; i < HOPS; i++) {
		struct quic_pair *p = connect_pair(l, false);

		l->sessions[i] = p;
		for (enum way w = AWAY; w < WAYS; w++) {
			struct side *s = &l->sides[i][w];

			s->line = l;
			s->hop = i;
			s->way = w;
			s->end = w == AWAY ? &p->client : &p->server;
			s->queue = relay_queue_new(l->pool);
			s->is_dirty = true;
			use(s->end, &session_events, s);
		}
	}
	for (enum way w = AWAY; w < WAYS; w++) {
		struct tip *t = &l->tips[w];

		t->line = l;
		t->end = w == AWAY ? &l->channel->client : &l->channel->server;
		t->side = &l->sides[w == AWAY ? 0 : HOPS - 1][w];
		t->is_dirty = true;
		use(t->end, &channel_events, t);
	}
	return l;
}

static void line_free(struct line *l)
{
	for (size_t i = 0; i < HOPS; i++) {
		for (enum way w = AWAY; w < WAYS; w++)
			relay_queue_free(l->sides[i][w].queue);
		quic_pair_free(l->sessions[i]);
	}
	quic_pair_free(l->channel);
	relay_pool_free(l->pool);
	protect_free(l->protect);
	free(l);
}

static void deliver(struct side *s)
{
	struct link *k = &s->link;
	struct side *to = &s->line->sides[s->hop][s->way == AWAY ? BACK : AWAY];

	for (; link_next(k) <= s->line->now; k->head++) {
		const struct frame *p = &k->under_way[k->head % UNDER_WAY_MAX];

		quic_read(to->end->quic, &to->end->path.path, 0, p->data,
			  p->len, s->line->now);
		to->is_dirty = true;
	}
}

static bool flush(struct line *l)
{
	bool did_anything = false;

	for (enum way w = AWAY; w < WAYS; w++) {
		if (l->tips[w].is_dirty) {
			flush_tip(&l->tips[w]);
			did_anything = true;
		}
		for (size_t i = 0; i < HOPS; i++) {
			if (l->sides[i][w].is_dirty) {
				flush_side(&l->sides[i][w]);
				did_anything = true;
			}
		}
	}
	return did_anything;
}

static nsec next_event(const struct line *l)
{
	nsec next = TIME_NEVER;

	for (enum way w = AWAY; w < WAYS; w++) {
		next = time_min(next, l->tips[w].timer);
		for (size_t i = 0; i < HOPS; i++) {
			const struct side *s = &l->sides[i][w];

			next = time_min(
				next, time_min(s->timer, link_next(&s->link)));
		}
	}
	return next;
}

static void run(struct line *l, nsec ns)
{
	nsec end = l->now + ns, next;

	for (;;) {
		while (flush(l))
			continue;
		next = next_event(l);
		if (next > end)
			break;
		if (next > l->now)
			l->now = next;
		for (enum way w = AWAY; w < WAYS; w++) {
			struct tip *t = &l->tips[w];

			t->is_dirty |= t->timer <= l->now;
			for (size_t i = 0; i < HOPS; i++) {
				struct side *s = &l->sides[i][w];

				s->is_dirty |= s->timer <= l->now;
				deliver(s);
			}
		}
	}
	l->now = end;
}

/* ---- tests ---- */

/* What share of the line a stream uses, in percent, when it has begun. */
static unsigned percent_used(unsigned loss_ppm, uint64_t seed)
{
	const uint64_t n_s = 10;
	struct line *l = line_new(loss_ppm, seed);
	struct tip *from = &l->tips[AWAY], *to = &l->tips[BACK];
	uint64_t before;

	from->end->stream = quic_open_bidi(from->end->quic);
	assert_true(from->end->stream >= 0);
	from->is_dirty = true;
	run(l, 2 * NS_PER_S);
	before = to->n_received;
	run(l, n_s * NS_PER_S);
	before = to->n_received - before;
	line_free(l);
	return (unsigned)(before * 8 * 100 / (n_s * MBIT * 1000000));
}

static void a_stream_uses_most_of_a_long_line(void **state)
{
	(void)state;
	assert_in_range(percent_used(0, 1), 70, 100);
}

/* Loss of a hundredth on each link is not congestion. */
static void a_stream_uses_most_of_a_lossy_line(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		assert_in_range(percent_used(10000, seed), 60, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_uses_most_of_a_long_line),
		cmocka_unit_test(a_stream_uses_most_of_a_lossy_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
