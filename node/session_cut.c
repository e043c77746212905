/* What the kernel knows of a session's wire, before the peer's silence tells.
 * protocol.md 2.5. */
#include <errno.h>

#include "discovery/peer.h"
#include "node/session_conn.h"

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
