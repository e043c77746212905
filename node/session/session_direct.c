/* Packets of channels that go to a neighbour as they are, beside the session's
 * own on the same path.  protocol.md 7.11. */
#include "node/session/session_conn.h"
#include "proto/base/mem.h"

/* So often a packet takes the session after all, which measures the link by
 * it. */
#define SAMPLE_PACKETS 32
#define SAMPLE_NS      (5 * NS_PER_MS)
/* After so long without a word from the peer it is asked for one, so that the
 * session knows as soon whether it is alive as if it had carried the packets.
 */
#define WATCH_NS (100 * NS_PER_MS)

/* How long they take the session when they may be lost otherwise; twice as long
 * the next time, unless that is long after. */
static const struct distrust_rule rule = {
	.first = 5 * NS_PER_S,
	.forgotten = 600 * NS_PER_S,
	.n_doubled = 6,
};

/* The one place that says whether there may be direct packets at all. */
static bool is_direct(const struct session *s)
{
	return s->state == SESSION_UP && s->set->direct && s->peer_direct;
}

void sessions_set_direct(struct sessions *set, bool direct)
{
	set->direct = direct;
}

bool sessions_is_direct(const struct sessions *set, session_no no)
{
	const struct session *s = session_by_no(set, no);

	return s != NULL && is_direct(s);
}

bool sessions_is_direct_from(const struct sessions *set, session_no no,
			     const struct udp_path *path)
{
	const struct session *s = session_by_no(set, no);

	return s != NULL && is_direct(s) &&
	       endpoint_equal(&s->path.remote, &path->remote);
}

static void ask(struct session *s)
{
	const struct msg ping = { .type = MSG_PING };

	if (s->direct_asked < s->asked) {
		s->asked = s->direct_asked;
		s->asked_held_up = s->direct_held_up;
	}
	session_send(s, &ping);
}

static void watch_fired(struct timer *t)
{
	struct session *s = container_of(t, struct session, watch);
	nsec now = loop_now(s->set->loop);

	if (s->state != SESSION_UP || s->direct_asked == TIME_NEVER)
		return;
	if (now < s->direct_asked + WATCH_NS)
		loop_timer_set(s->set->loop, t, s->direct_asked + WATCH_NS);
	else
		ask(s);
}

void session_direct_init(struct session *s)
{
	s->watch.fire = watch_fired;
	s->direct_asked = TIME_NEVER;
}

/* A word that a packet may be missing its channel: the peer has restarted
 * perhaps, and the session would learn it later. */
void session_direct_stray(struct session *s)
{
	if (is_direct(s) && s->direct_asked != TIME_NEVER &&
	    s->asked == TIME_NEVER)
		ask(s);
}

void distrust_begin(struct distrust *d, const struct distrust_rule *r, nsec now)
{
	if (now > d->until + r->forgotten)
		d->n = 0;
	d->until = now + (r->first << d->n);
	if (d->n < r->n_doubled)
		d->n++;
}

static void doubt(struct session *s)
{
	nsec now = loop_now(s->set->loop);

	if (now < s->direct_doubt.until || s->n_direct_out == 0)
		return;
	distrust_begin(&s->direct_doubt, &rule, now);
	s->set->counters.n_direct_doubted++;
}

void sessions_direct_doubt(struct sessions *set, const struct node_id *peer)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = set->slots[i];

		if (s != NULL && is_direct(s) &&
		    id_equal(&quic_peer(s->quic)->who.id, peer))
			doubt(s);
	}
}

bool session_sample_due(struct session *s)
{
	nsec now = loop_now(s->set->loop);

	if (s->n_since_sample < SAMPLE_PACKETS || now < s->sampled + SAMPLE_NS)
		return false;
	s->n_since_sample = 0;
	s->sampled = now;
	return true;
}

uint8_t *sessions_direct_space(struct sessions *set, session_no no, size_t len)
{
	struct session *s = session_by_no(set, no);

	if (s == NULL || !is_direct(s) || len > quic_udp_payload(s->quic) ||
	    loop_now(set->loop) < s->direct_doubt.until ||
	    session_sample_due(s))
		return NULL;
	return session_space(s);
}

void session_beside_sent(struct session *s, size_t len)
{
	struct sessions *set = s->set;
	nsec now = loop_now(set->loop);

	session_mark_batch(s);
	/* QUIC has found out whether the path carries marks. */
	udp_batch_add(set->udp, s->batch, &s->path, s->ecn, len);
	s->n_since_sample++;
	s->n_bytes_out += len;
	s->last_load = now;
	if (s->direct_asked != TIME_NEVER)
		return;
	s->direct_asked = now;
	s->direct_held_up = loop_held_up(set->loop);
	if (s->watch.index == 0)
		loop_timer_set(set->loop, &s->watch, now + WATCH_NS);
}

void sessions_direct_sent(struct sessions *set, session_no no, size_t len)
{
	struct session *s = session_by_no(set, no);

	if (s == NULL)
		return;
	s->n_direct_out++;
	s->n_packets_out++;
	session_beside_sent(s, len);
}

/* Nobody listens where the peer was, and that is no wonder.  Who forges this
 * has us wait as if the system had said nothing. */
void sessions_direct_strayed(struct sessions *set, session_no no)
{
	struct session *s = session_by_no(set, no);

	if (s != NULL)
		s->strayed = loop_now(set->loop);
}

void sessions_direct_heard(struct sessions *set, session_no no, size_t len)
{
	struct session *s = session_by_no(set, no);

	if (s == NULL)
		return;
	session_heard(s);
	s->n_bytes_in += len;
	s->n_packets_in++;
	s->n_direct_in++;
}
