#include "node/peers/lan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

/* Changes come in flocks: looks once for all of them. */
#define SETTLE_NS (50 * NS_PER_MS)
/* In case a notice was missed; and where there are none. */
#define RESCAN_NS       (60 * NS_PER_S)
#define RESCAN_BLIND_NS (5 * NS_PER_S)

enum {
	DATAGRAMS_PER_TURN = 64,
	NOTICES_PER_TURN = 64,
	NOTICE_BYTES_MAX = 8192,
};

struct lan_socket {
	struct watch watch; /* first: the loop hands it back */
	struct lan *lan;
	int fd; /* -1: none */
};

struct lan {
	struct loop *loop;
	struct config_list interfaces;
	char tun[IF_NAMESIZE];
	const struct lan_events *ev;
	void *ctx;
	bool is_closing;
	size_t n_open; /* sockets */
	struct lan_socket v6, v4, notices;
	struct timer rescan; /* lan_of_timer() */
	size_t n_places;
	struct lan_place places[LAN_PLACES_MAX];
	struct lan_counters counters;
};

/* ---- which wires there are ---- */

static bool is_wire(const struct lan *l, const struct ifaddrs *ifa)
{
	unsigned up = IFF_UP | IFF_RUNNING;

	if ((ifa->ifa_flags & up) != up || strcmp(ifa->ifa_name, l->tun) == 0)
		return false;
	if (l->interfaces.n == 0)
		return (ifa->ifa_flags & (IFF_LOOPBACK | IFF_POINTOPOINT)) == 0;
	for (size_t i = 0; i < l->interfaces.n; i++)
		if (fnmatch(l->interfaces.item[i], ifa->ifa_name, 0) == 0)
			return true;
	return false;
}

/* Whether a node there can be sent to in the family of this address. */
static bool is_place(const struct ifaddrs *ifa)
{
	const struct sockaddr_in6 *in6 = (const void *)ifa->ifa_addr;

	if (ifa->ifa_addr == NULL)
		return false;
	if (ifa->ifa_addr->sa_family == AF_INET)
		return (ifa->ifa_flags & IFF_BROADCAST) != 0;
	return ifa->ifa_addr->sa_family == AF_INET6 &&
	       (ifa->ifa_flags & IFF_MULTICAST) != 0 &&
	       IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static const struct lan_place *place_find(const struct lan_place *list,
					  size_t n, uint32_t ifindex,
					  int family)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].ifindex == ifindex && list[i].family == family)
			return &list[i];
	return NULL;
}

/* False: the system did not say. */
static bool scan(const struct lan *l, struct lan_place *out, size_t *n_out)
{
	struct ifaddrs *list;
	size_t n = 0;

	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i != NULL && n < LAN_PLACES_MAX;
	     i = i->ifa_next) {
		struct lan_place p = { 0 };

		if (!is_place(i) || !is_wire(l, i))
			continue;
		p.family = i->ifa_addr->sa_family;
		p.ifindex = if_nametoindex(i->ifa_name);
		if ((p.family == AF_INET6 ? l->v6.fd : l->v4.fd) < 0 ||
		    p.ifindex == 0 ||
		    place_find(out, n, p.ifindex, p.family) != NULL)
			continue;
		strncpy(p.name, i->ifa_name, sizeof p.name - 1);
		out[n++] = p;
	}
	freeifaddrs(list);
	*n_out = n;
	return true;
}

static void group_change(struct lan *l, const struct lan_place *p, int option)
{
	struct ipv6_mreq req = { .ipv6mr_interface = p->ifindex };

	if (p->family != AF_INET6)
		return;
	inet_pton(AF_INET6, LAN_GROUP, &req.ipv6mr_multiaddr);
	/* It may be in already, or its interface gone: nothing to mend. */
	if (setsockopt(l->v6.fd, IPPROTO_IPV6, option, &req, sizeof req) < 0)
		log_debug("beacon group unchanged: interface=%s error=%s",
			  p->name, strerror(errno));
}

/* Takes the wires as they are now; whether a place is new, or any is gone. */
static void look(struct lan *l, bool *is_new, bool *is_gone)
{
	struct lan_place now[LAN_PLACES_MAX];
	size_t n;

	*is_new = *is_gone = false;
	l->counters.n_scans++;
	if (!scan(l, now, &n))
		return;
	for (size_t i = 0; i < l->n_places; i++) {
		const struct lan_place *p = &l->places[i];

		if (place_find(now, n, p->ifindex, p->family) != NULL)
			continue;
		*is_gone = true;
		group_change(l, p, IPV6_LEAVE_GROUP);
		log_info("wire gone: interface=%s family=%s", p->name,
			 p->family == AF_INET6 ? "ipv6" : "ipv4");
	}
	for (size_t i = 0; i < n; i++) {
		if (place_find(l->places, l->n_places, now[i].ifindex,
			       now[i].family) != NULL)
			continue;
		*is_new = true;
		group_change(l, &now[i], IPV6_JOIN_GROUP);
		log_info("wire found: interface=%s family=%s", now[i].name,
			 now[i].family == AF_INET6 ? "ipv6" : "ipv4");
	}
	memcpy(l->places, now, n * sizeof now[0]);
	l->n_places = n;
}

static struct lan *lan_of_timer(struct timer *t)
{
	return container_of(t, struct lan, rescan);
}

static void rescan(struct timer *t)
{
	struct lan *l = lan_of_timer(t);
	bool is_new, is_gone;

	look(l, &is_new, &is_gone);
	loop_timer_set(l->loop, t,
		       loop_now(l->loop) + (l->notices.fd < 0 ? RESCAN_BLIND_NS
							      : RESCAN_NS));
	if (is_new || is_gone)
		l->ev->changed(l->ctx, is_new);
}

static void rescan_soon(struct lan *l)
{
	nsec at = loop_now(l->loop) + SETTLE_NS;

	if (l->rescan.at > at)
		loop_timer_set(l->loop, &l->rescan, at);
}

void lan_set_interfaces(struct lan *l, const struct config_list *interfaces)
{
	l->interfaces = *interfaces;
	rescan_soon(l);
}

/* ---- notices of the kernel ---- */

static void notice_ready(struct watch *w, int events)
{
	struct lan_socket *s = (struct lan_socket *)w;
	uint8_t data[NOTICE_BYTES_MAX];

	(void)events;
	/* What it says does not matter, nor whether some were lost. */
	for (int i = 0; i < NOTICES_PER_TURN; i++)
		if (recv(s->fd, data, sizeof data, 0) < 0 && errno != ENOBUFS)
			break;
	rescan_soon(s->lan);
}

static int notices_open(void)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK |
					       RTMGRP_IPV4_IFADDR |
					       RTMGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&nl, sizeof nl) < 0) {
		int rv = -errno;

		close(fd);
		return rv;
	}
	return fd;
}

/* ---- datagrams ---- */

/* Where a datagram came in, and whether it was for everybody there. */
struct arrival {
	uint32_t ifindex;
	bool is_for_all;
};

static struct arrival arrival_of(struct msghdr *m)
{
	struct arrival a = { 0 };
	struct in6_addr group;

	inet_pton(AF_INET6, LAN_GROUP, &group);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		struct in6_pktinfo in6;
		struct in_pktinfo in;

		if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&in6, CMSG_DATA(c), sizeof in6);
			a.ifindex = in6.ipi6_ifindex;
			a.is_for_all =
				IN6_ARE_ADDR_EQUAL(&in6.ipi6_addr, &group);
		} else if (c->cmsg_level == IPPROTO_IP &&
			   c->cmsg_type == IP_PKTINFO) {
			memcpy(&in, CMSG_DATA(c), sizeof in);
			a.ifindex = (uint32_t)in.ipi_ifindex;
			a.is_for_all =
				in.ipi_addr.s_addr == htonl(INADDR_BROADCAST);
		}
	}
	return a;
}

static void received(struct lan *l, struct msghdr *m, const uint8_t *data,
		     size_t len)
{
	const union endpoint *from = m->msg_name;
	struct arrival a = arrival_of(m);

	if (!a.is_for_all) {
		l->counters.n_unicast++;
		return;
	}
	if (place_find(l->places, l->n_places, a.ifindex, from->sa.sa_family) ==
	    NULL) {
		l->counters.n_other_wire++;
		return;
	}
	l->counters.n_received++;
	l->ev->received(l->ctx, data, len, from, a.ifindex);
}

static void datagram_ready(struct watch *w, int events)
{
	struct lan_socket *s = (struct lan_socket *)w;

	(void)events;
	for (int i = 0; i < DATAGRAMS_PER_TURN && !s->lan->is_closing; i++) {
		uint8_t data[BEACON_BYTES_MAX + 1];
		union endpoint from = { 0 };
		alignas(struct cmsghdr) uint8_t control[128];
		struct iovec iov = { data, sizeof data };
		struct msghdr m = { .msg_name = &from,
				    .msg_namelen = sizeof from,
				    .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof control };
		ssize_t n = recvmsg(s->fd, &m, 0);

		if (n >= 0)
			received(s->lan, &m, data, (size_t)n);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
	}
}

static int set_on(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof on);
}

static bool socket_prepare(int fd, int family)
{
	union endpoint at = { .in = { .sin_family = AF_INET,
				      .sin_port = htons(BEACON_PORT) } };

	if (set_on(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
		return false;
	if (family == AF_INET)
		return set_on(fd, SOL_SOCKET, SO_BROADCAST) == 0 &&
		       set_on(fd, IPPROTO_IP, IP_PKTINFO) == 0 &&
		       /* No router passes it on. */
		       set_on(fd, IPPROTO_IP, IP_TTL) == 0 &&
		       bind(fd, &at.sa, sizeof at.in) == 0;
	at.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					.sin6_port = htons(BEACON_PORT) };
	return set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0 &&
	       set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) == 0 &&
	       bind(fd, &at.sa, sizeof at.in6) == 0;
}

static int socket_open(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rv;

	if (fd < 0)
		return -errno;
	if (socket_prepare(fd, family))
		return fd;
	rv = -errno;
	close(fd);
	return rv;
}

int lan_send(struct lan *l, size_t place, const void *data, size_t len)
{
	const struct lan_place *p = &l->places[place];
	union endpoint to = { .in = { .sin_family = AF_INET,
				      .sin_port = htons(BEACON_PORT),
				      .sin_addr.s_addr =
					      htonl(INADDR_BROADCAST) } };
	alignas(struct cmsghdr)
		uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))] = { 0 };
	struct in_pktinfo from = { .ipi_ifindex = (int)p->ifindex };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_name = &to,
			    .msg_namelen = sizeof to.in,
			    .msg_iov = &iov,
			    .msg_iovlen = 1 };

	if (p->family == AF_INET6) {
		to.in6 = (struct sockaddr_in6){
			.sin6_family = AF_INET6,
			.sin6_port = htons(BEACON_PORT),
			.sin6_scope_id = p->ifindex,
		};
		inet_pton(AF_INET6, LAN_GROUP, &to.in6.sin6_addr);
		m.msg_namelen = sizeof to.in6;
	} else {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = sizeof control;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof from);
		memcpy(CMSG_DATA(c), &from, sizeof from);
	}
	if (sendmsg(p->family == AF_INET6 ? l->v6.fd : l->v4.fd, &m, 0) < 0) {
		l->counters.n_send_failed++;
		return -errno;
	}
	l->counters.n_sent++;
	return 0;
}

/* ---- opening and closing ---- */

/* Takes `fd`, which may be a -errno; 0 or that error. */
static int socket_watch(struct lan *l, struct lan_socket *s, int fd,
			void (*ready)(struct watch *, int))
{
	int rv;

	s->lan = l;
	s->fd = -1;
	if (fd < 0)
		return fd;
	s->watch.ready = ready;
	rv = watch_start(l->loop, &s->watch, fd, UV_READABLE);
	if (rv < 0) {
		close(fd);
		return rv;
	}
	s->fd = fd;
	l->n_open++;
	return 0;
}

static void socket_closed(uv_handle_t *handle)
{
	struct lan_socket *s = handle->data;
	struct lan *l = s->lan;

	close(s->fd);
	if (--l->n_open == 0)
		free(l);
}

static void socket_stop(struct lan_socket *s)
{
	if (s->fd >= 0)
		watch_stop(&s->watch, socket_closed);
}

void lan_close(struct lan *l)
{
	if (l == NULL)
		return;
	l->is_closing = true;
	loop_timer_set(l->loop, &l->rescan, TIME_NEVER);
	socket_stop(&l->v6);
	socket_stop(&l->v4);
	socket_stop(&l->notices);
}

int lan_open(struct lan **out, struct loop *loop,
	     const struct config_list *interfaces, const char *tun,
	     const struct lan_events *ev, void *ctx)
{
	struct lan *l = mem_new(l);
	bool is_new, is_gone;
	int rv6, rv4, rvn;

	l->loop = loop;
	l->interfaces = *interfaces;
	strncpy(l->tun, tun, sizeof l->tun - 1);
	l->ev = ev;
	l->ctx = ctx;
	l->rescan.fire = rescan;
	rv6 = socket_watch(l, &l->v6, socket_open(AF_INET6), datagram_ready);
	rv4 = socket_watch(l, &l->v4, socket_open(AF_INET), datagram_ready);
	if (rv6 < 0 && rv4 < 0) {
		free(l);
		return rv4;
	}
	rvn = socket_watch(l, &l->notices, notices_open(), notice_ready);
	if (rv6 < 0 || rv4 < 0 || rvn < 0)
		log_info("beacons limited: ipv6=%s ipv4=%s notices=%s",
			 strerror(-rv6), strerror(-rv4), strerror(-rvn));
	look(l, &is_new, &is_gone);
	loop_timer_set(loop, &l->rescan,
		       loop_now(loop) +
			       (rvn < 0 ? RESCAN_BLIND_NS : RESCAN_NS));
	*out = l;
	return 0;
}

size_t lan_n_places(const struct lan *l)
{
	return l->n_places;
}

const struct lan_place *lan_place(const struct lan *l, size_t i)
{
	return &l->places[i];
}

const struct lan_counters *lan_counters(const struct lan *l)
{
	return &l->counters;
}
