/* What the kernel knows of a session's wire, before the peer's silence tells.
 * protocol.md 2.5. */
#include <errno.h>

#include "discovery/peer.h"
#include "node/session/session_conn.h"
#include "node/io/udp_error.h"

static bool end_if_cut(struct session *s)
{
	if (s->path.ifindex == 0 ||
	    udp_interface_is_up(s->set->udp, s->path.ifindex))
		return false;
	s->set->counters.n_cut++;
	session_end(s, "the interface is down", PEER_ERROR_UNREACHABLE);
	return true;
}

void sessions_network_changed(struct sessions *set)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (set->slots[i] != NULL)
			end_if_cut(set->slots[i]);
}

static bool is_no_way(int error)
{
	switch (error) {
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -ENETDOWN:
	case -ENODEV:
	case -ENXIO:
	case -EADDRNOTAVAIL:
	case -EINVAL: /* the local address is gone */
		return true;
	default:
		return false;
	}
}

void session_send_failed(struct session *s, int error)
{
	if (s->state < SESSION_CONFIRMED || s->state == SESSION_ENDING ||
	    !is_no_way(error))
		return;
	/* A route may be on its way from one interface to another. */
	if (!end_if_cut(s))
		s->is_doubted = true;
}

/* The session that the datagram was of: that which sends to this address, and
 * under the connection id that the quote shows. */
static struct session *quoted(struct sessions *set, const struct udp_error *e)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = set->slots[i];

		if (s != NULL && s->state >= SESSION_CONFIRMED &&
		    s->state != SESSION_ENDING &&
		    endpoint_equal(&s->path.remote, &e->remote) &&
		    quic_sends(s->quic, e->quote, e->len))
			return s;
	}
	return NULL;
}

/* Whoever can see our packets can forge this: the peer is asked, and an answer
 * of any kind outweighs it. */
void session_failed(void *ctx, const struct udp_error *e)
{
	struct sessions *set = ctx;
	struct session *s = quoted(set, e);

	if (s == NULL) {
		set->counters.n_icmp_strange++;
		return;
	}
	set->counters.n_icmp++;
	if (end_if_cut(s))
		return;
	if (!s->is_doubted)
		session_doubt(s);
	if (e->error == ECONNREFUSED && s->refused == 0)
		s->refused = loop_now(set->loop);
}
