/* Circuit packets past QUIC, where QUIC would cost more than the packets.
 * protocol.md 2.9. */
#include <sodium.h>
#include <string.h>

#include "node/session/session_conn.h"

/* Whether it is worth it is looked at so often. */
#define LOOK_NS (20 * NS_PER_MS)
/* Packets a second of both directions from which on it is, and under which it
 * is not any more. */
#define RATE_ON  20000
#define RATE_OFF 10000
/* Above this a queue stands on the link: it is full, and QUIC shares it out. */
#define QUEUE_NS (10 * NS_PER_MS)
/* The peer is asked so often how many have come.  If one of so many has not the
 * link is full as well, or does not let them pass. */
#define ASK_NS   (500 * NS_PER_MS)
#define LOST_ONE 20
#define LOST_MIN 4  /* fewer say nothing */
#define SENT_MIN 64 /* so many that did come begin a new count */
/* Then it is left to QUIC for so long, twice as long the next time, unless that
 * is long after. */
static const struct distrust_rule rule = {
	.first = 2 * NS_PER_S,
	.forgotten = 300 * NS_PER_S,
	.n_doubled = 5,
};

void sessions_set_seal(struct sessions *set, enum seal_use use)
{
	set->seal = use;
}

void session_seal_init(struct session *s)
{
	s->can_seal = quic_export(s->quic, "EXPORTER-qanat-sealed",
				  s->seal_secret, sizeof s->seal_secret);
}

void session_seal_free(struct session *s)
{
	seal_free(s->seal);
	s->seal = NULL;
	sodium_memzero(s->seal_secret, sizeof s->seal_secret);
}

/* Not before there is a first packet: keys are larger than all else that an
 * idle session has of its own. */
static struct seal *seal_of(struct session *s)
{
	if (s->seal != NULL)
		return s->seal;
	s->seal = seal_new(quic_tls_protect(s->set->tls), s->seal_secret,
			   !quic_is_server(s->quic), SEAL_KEY_PACKETS);
	sodium_memzero(s->seal_secret, sizeof s->seal_secret);
	return s->seal;
}

/* ---- whether ---- */

static void doubt(struct session *s)
{
	nsec now = loop_now(s->set->loop);

	if (now < s->seal_doubt.until)
		return;
	distrust_begin(&s->seal_doubt, &rule, now);
	s->set->counters.n_seal_doubted++;
}

static bool has_queue(const struct session *s)
{
	struct quic_measure m;

	quic_measure(s->quic, &m);
	return m.rtt > m.rtt_min + m.rtt_min / 2 + QUEUE_NS;
}

static void ask(struct session *s, nsec now)
{
	const struct msg ping = { .type = MSG_PING,
				  .ping.token = s->n_sealed_out };

	s->seal_asked = now;
	session_send(s, &ping);
}

void session_seal_counted(struct session *s, uint64_t n_sent, uint64_t n_came)
{
	uint64_t sent, came, lost;

	/* PINGs of other kinds have the token 0. */
	if (n_sent <= s->seal_sent || n_sent > s->n_sealed_out)
		return;
	sent = n_sent - s->seal_sent;
	came = n_came > s->seal_came ? n_came - s->seal_came : 0;
	lost = came < sent ? sent - came : 0;
	if (lost >= LOST_MIN && lost * LOST_ONE > sent)
		doubt(s);
	else if (sent < SENT_MIN)
		return;
	s->seal_sent = n_sent;
	s->seal_came = n_came;
}

static void look(struct session *s, nsec now)
{
	uint64_t n = s->n_packets_in + s->n_packets_out;
	uint64_t rate = (n - s->seal_seen) * NS_PER_S / (now - s->seal_looked);

	s->is_sealing = rate >= (s->is_sealing ? RATE_OFF : RATE_ON);
	s->seal_looked = now;
	s->seal_seen = n;
	if (s->set->seal == SEAL_ALWAYS)
		s->is_sealing = true;
	else if (s->is_sealing && has_queue(s))
		doubt(s);
	if (s->is_sealing && now - s->seal_asked >= ASK_NS &&
	    s->n_sealed_out > s->seal_sent)
		ask(s, now);
	s->is_sealing = s->is_sealing && now >= s->seal_doubt.until;
}

bool session_seals(struct session *s)
{
	nsec now = loop_now(s->set->loop);

	if (s->state != SESSION_UP || s->peer_sealed == 0 || !s->can_seal ||
	    s->set->seal == SEAL_OFF)
		return false;
	if (now - s->seal_looked >= LOOK_NS)
		look(s, now);
	return s->is_sealing;
}

/* ---- out ---- */

bool session_seal(struct session *s, const ngtcp2_vec *vec, size_t n)
{
	uint8_t *packet = session_space(s);
	uint8_t *text = packet + SEAL_HEADER_BYTES;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(text + len, vec[i].base, vec[i].len);
		len += vec[i].len;
	}
	len = seal_write(seal_of(s), packet, len, s->peer_sealed);
	if (len == 0)
		return false;
	s->n_sealed_out++;
	session_beside_sent(s, len);
	return true;
}

/* ---- in ---- */

static struct session *session_for(const struct sessions *set,
				   const uint8_t *data, size_t len)
{
	struct session *s;

	if (set->seal == SEAL_OFF || len <= SEAL_OVERHEAD ||
	    len > UDP_PAYLOAD_MAX)
		return NULL;
	s = session_by_no(set, seal_to(data));
	return s != NULL && s->can_seal && s->state != SESSION_ENDING ? s
								      : NULL;
}

void session_sealed_received(struct sessions *set, uint8_t ecn,
			     const uint8_t *data, size_t len)
{
	struct session *s = session_for(set, data, len);
	bool is_marked = ecn == NGTCP2_ECN_CE;
	uint8_t text[UDP_PAYLOAD_MAX];
	size_t n = 0;

	if (s == NULL) {
		set->counters.n_seal_unknown++;
		return;
	}
	switch (seal_read(seal_of(s), text, &n, data, len)) {
	case SEAL_OK:
		break;
	case SEAL_SEEN:
		set->counters.n_seal_seen++;
		return;
	default:
		set->counters.n_seal_bad++;
		return;
	}
	session_heard(s);
	s->n_bytes_in += len;
	s->n_sealed_in++;
	/* RFC 6040 4.2: nobody else would hear of it. */
	if (is_marked && n >= LABEL_BYTES && !packet_mark(text)) {
		set->counters.n_seal_unmarkable++;
		return;
	}
	session_packet_came(s, text, n, false);
}
