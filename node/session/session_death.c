/* A peer that is silent, and when that means that it is gone.  QUIC itself
 * would wait for the idle timeout.  protocol.md 2.5. */
#include "discovery/peer.h"
#include "node/session/session_conn.h"

/* A carrying neighbour is dead after this silence, an idle one later. */
#define DEAD_LOADED_NS (400 * NS_PER_MS)
#define DEAD_IDLE_NS   (6 * NS_PER_S)
#define LOADED_NS      (1 * NS_PER_S)
#define DEAD_RTTS      5
/* One whose own system says that nobody listens, if it does not answer. */
#define REFUSED_NS   (20 * NS_PER_MS)
#define REFUSED_RTTS 2

void session_doubt(struct session *s)
{
	const struct msg ping = { .type = MSG_PING };

	s->is_doubted = true;
	session_send(s, &ping);
}

void session_heard(struct session *s)
{
	s->last_heard = loop_now(s->set->loop);
	s->asked = s->direct_asked = TIME_NEVER;
	s->is_doubted = false;
	s->refused = 0;
}

/* How long to wait for an answer to what is in flight. */
static nsec patience(const struct session *s, nsec rtt, nsec now)
{
	bool is_loaded = s->last_load != 0 && now - s->last_load < LOADED_NS;
	nsec limit = is_loaded || s->is_doubted ? DEAD_LOADED_NS : DEAD_IDLE_NS;

	return limit < DEAD_RTTS * rtt ? DEAD_RTTS * rtt : limit;
}

nsec session_dead_at(struct session *s, nsec now)
{
	nsec held_up = loop_held_up(s->set->loop);
	struct quic_measure m;
	nsec rtt, at;

	quic_measure(s->quic, &m);
	if (m.in_flight == 0) {
		s->asked = TIME_NEVER;
		return TIME_NEVER;
	}
	if (s->asked == TIME_NEVER) {
		s->asked = now;
		s->asked_held_up = held_up;
	}
	rtt = m.rtt + 4 * m.rttvar;
	at = s->asked + patience(s, rtt, now);
	if (s->refused != 0 && now - s->strayed >= DEAD_LOADED_NS)
		at = time_min(at, s->refused + REFUSED_RTTS * rtt + REFUSED_NS);
	/* While we did not run, nobody could answer. */
	return at + (held_up - s->asked_held_up);
}

void session_die(struct session *s)
{
	if (s->refused != 0) {
		s->set->counters.n_gone++;
		session_end(s, "nobody listens there any more",
			    PEER_ERROR_UNREACHABLE);
		return;
	}
	s->set->counters.n_dead++;
	session_end(s, "the peer does not answer", PEER_ERROR_TIMEOUT);
}
