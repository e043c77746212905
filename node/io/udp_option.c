#include "node/io/udp_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	SOCKET_BUFFER_BYTES = 8 << 20,
};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

static void grow_buffers(int fd)
{
	/* The FORCE forms need CAP_NET_ADMIN; the plain ones are clipped. */
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES) < 0)
		set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES) < 0)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
}

int udp_option_set(int fd, int family)
{
	int rv;

	if (family == AF_INET6) {
		rv = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		rv |= set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
			IPV6_PMTUDISC_PROBE);
		set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
	} else {
		rv = set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
		set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
		set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	}
	if (rv < 0)
		return -errno;
	grow_buffers(fd);
	return 0;
}

bool udp_option_gro(int fd)
{
	return set_int(fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
}
