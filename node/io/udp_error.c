#include "node/io/udp_error.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_SELECT_ERR_QUEUE
#define SO_SELECT_ERR_QUEUE 45
#endif

enum {
	CONTROL_BYTES = 256,
	/* Errors of our own system about one datagram come between. */
	SKIPPED_MAX = 64,
};

static bool set_on(int fd, int level, int name)
{
	const int on = 1;

	return setsockopt(fd, level, name, &on, sizeof on) == 0;
}

bool udp_error_enable(int fd, int family)
{
	/* Without this the socket only shows POLLERR, at which libuv stops to
	 * watch it. */
	if (!set_on(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE))
		return false;
	if (family == AF_INET6)
		return set_on(fd, IPPROTO_IPV6, IPV6_RECVERR);
	return set_on(fd, IPPROTO_IP, IP_RECVERR);
}

/* Of an ICMP message; 0: it is something else. */
static int icmp_error(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL;
	     c = CMSG_NXTHDR(h, c)) {
		struct sock_extended_err e;

		if (!(c->cmsg_level == IPPROTO_IP &&
		      c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 &&
		      c->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof e);
		if (e.ee_origin == SO_EE_ORIGIN_ICMP ||
		    e.ee_origin == SO_EE_ORIGIN_ICMP6)
			return (int)e.ee_errno;
	}
	return 0;
}

bool udp_error_next(int fd, struct udp_error *out)
{
	for (int i = 0; i < SKIPPED_MAX; i++) {
		_Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
		struct udp_error e = { 0 };
		struct iovec vec = { e.quote, sizeof e.quote };
		struct msghdr h = {
			.msg_name = &e.remote,
			.msg_namelen = sizeof e.remote,
			.msg_iov = &vec,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof control,
		};
		ssize_t n = recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT);

		if (n < 0)
			return false;
		e.error = icmp_error(&h);
		if (e.error == 0 || e.error == EMSGSIZE)
			continue;
		e.len = (size_t)n;
		if (e.remote.sa.sa_family == AF_INET6)
			e.remote.in6.sin6_flowinfo = 0;
		*out = e;
		return true;
	}
	return false;
}
