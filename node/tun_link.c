#include "node/tun_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	PREFIX_BITS = 48,
	TX_QUEUE_LEN = 1000,
	REQUEST_BYTES = 256,
	REPLY_BYTES = 4096,
	ADDRESS_WAIT_MS = 2000
};

/* ---- netlink: one request, one reply ---- */

struct request {
	union {
		struct nlmsghdr head;
		uint8_t bytes[REQUEST_BYTES];
	};
};

static void request_init(struct request *r, uint16_t type, uint16_t flags,
			 const void *body, size_t len)
{
	*r = (struct request){ 0 };
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->head.nlmsg_seq = 1;
	r->head.nlmsg_len = NLMSG_LENGTH((uint32_t)len);
	memcpy(NLMSG_DATA(&r->head), body, len);
}

/* The requests below are far under REQUEST_BYTES.  Returns the attribute, to
 * be passed to nest_end() if it is to hold others. */
static struct rtattr *request_add(struct request *r, uint16_t type,
				  const void *data, size_t len)
{
	uint32_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	struct rtattr *a = (struct rtattr *)(void *)(r->bytes + at);

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = at + RTA_ALIGN(a->rta_len);
	return a;
}

static void nest_end(struct request *r, struct rtattr *a)
{
	a->rta_len = (uint16_t)(r->bytes + r->head.nlmsg_len - (uint8_t *)a);
}

struct reply {
	union {
		struct nlmsghdr head;
		uint8_t bytes[REPLY_BYTES];
	};
};

/* The reply has a body of `len` bytes at least; an error is returned. */
static int request_ask(struct reply *reply, int fd, const struct request *r,
		       size_t len)
{
	const struct nlmsgerr *e = NLMSG_DATA(&reply->head);
	ssize_t n;

	if (send(fd, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, reply, sizeof *reply, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof *e))
		return -EPROTO;
	if (reply->head.nlmsg_type == NLMSG_ERROR)
		return e->error;
	return (size_t)n < NLMSG_LENGTH(len) ? -EPROTO : 0;
}

static int request_send(int fd, const struct request *r)
{
	struct reply reply;

	return request_ask(&reply, fd, r, 0);
}

/* ---- the device ---- */

static int link_up(int nl, int index, uint16_t mtu)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC,
					.ifi_index = index,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	const uint32_t mtu_bytes = mtu, queue = TX_QUEUE_LEN;
	struct request r;

	request_init(&r, RTM_NEWLINK, 0, &body, sizeof body);
	request_add(&r, IFLA_MTU, &mtu_bytes, sizeof mtu_bytes);
	request_add(&r, IFLA_TXQLEN, &queue, sizeof queue);
	return request_send(nl, &r);
}

/* No link-local address: nothing but the cluster is behind the device.  A
 * refusal does no harm, as such packets are dropped. */
static void no_link_local(int nl, int index)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC,
					.ifi_index = index };
	const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *spec, *inet6;
	struct request r;

	request_init(&r, RTM_NEWLINK, 0, &body, sizeof body);
	spec = request_add(&r, IFLA_AF_SPEC, NULL, 0);
	inet6 = request_add(&r, AF_INET6, NULL, 0);
	request_add(&r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
	nest_end(&r, inet6);
	nest_end(&r, spec);
	request_send(nl, &r);
}

static int address_add(int nl, int index, const struct addr *self)
{
	const struct ifaddrmsg body = { .ifa_family = AF_INET6,
					.ifa_prefixlen = PREFIX_BITS,
					.ifa_flags = IFA_F_NODAD,
					.ifa_index = (uint32_t)index };
	struct request r;
	int rv;

	request_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body,
		     sizeof body);
	request_add(&r, IFA_LOCAL, self->b, sizeof self->b);
	request_add(&r, IFA_ADDRESS, self->b, sizeof self->b);
	rv = request_send(nl, &r);
	return rv == -EEXIST ? 0 : rv;
}

static bool is_routed_here(int nl, const struct addr *self)
{
	const struct rtmsg body = { .rtm_family = AF_INET6,
				    .rtm_dst_len = 128 };
	struct reply reply = { 0 };
	const struct rtmsg *got = NLMSG_DATA(&reply.head);
	struct request r;

	request_init(&r, RTM_GETROUTE, 0, &body, sizeof body);
	r.head.nlmsg_flags = NLM_F_REQUEST;
	request_add(&r, RTA_DST, self->b, sizeof self->b);
	return request_ask(&reply, nl, &r, sizeof *got) == 0 &&
	       reply.head.nlmsg_type == RTM_NEWROUTE &&
	       got->rtm_type == RTN_LOCAL;
}

/* Even without duplicate address detection the kernel makes the address ours
 * a moment after the request, in a worker.  Until then it may be bound to, but
 * packets to it go out again.  If it takes longer we go on all the same. */
static void wait_for_address(int nl, const struct addr *self)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < ADDRESS_WAIT_MS && !is_routed_here(nl, self); i++)
		nanosleep(&pause, NULL);
}

static int configure(const char *name, const struct addr *self, uint16_t mtu)
{
	const struct timeval limit = { .tv_sec = 2 };
	int index = (int)if_nametoindex(name);
	int nl, rv;

	if (index == 0)
		return -errno;
	nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (nl < 0)
		return -errno;
	setsockopt(nl, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	no_link_local(nl, index);
	rv = address_add(nl, index, self);
	if (rv == 0)
		rv = link_up(nl, index, mtu);
	if (rv == 0)
		wait_for_address(nl, self);
	close(nl);
	return rv;
}

/* ---- */

static void explain(char *why, size_t cap, const char *what, int rv)
{
	static const char socks_only[] =
		"set enabled = off in [tun] to use SOCKS only";

	switch (-rv) {
	case EPERM:
	case EACCES:
		snprintf(why, cap,
			 "%s: permission denied. Run with CAP_NET_ADMIN, or %s",
			 what, socks_only);
		break;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		snprintf(why, cap,
			 "%s: not there. Load it with modprobe tun, or %s",
			 what, socks_only);
		break;
	case EBUSY:
		snprintf(why, cap,
			 "%s: in use. Set another name in [tun], or %s", what,
			 socks_only);
		break;
	default:
		snprintf(why, cap, "%s: %s", what, strerror(-rv));
	}
}

/* Linux 6.2; older headers lack them. */
#ifndef TUN_F_USO6
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* The most that the kernel knows; without any it still prepends the header. */
static void ask_offload(struct tun_link *t)
{
	static const unsigned wishes[] = {
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN |
			TUN_F_USO4 | TUN_F_USO6,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
		TUN_F_CSUM,
	};

	for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
		if (ioctl(t->fd, TUNSETOFFLOAD, wishes[i]) == 0) {
			t->has_uso = i == 0;
			return;
		}
}

static int device_open(struct tun_link *t, const char *name, bool offload,
		       char *why, size_t cap)
{
	struct ifreq req = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	char what[64 + IF_NAMESIZE];
	size_t len = strlen(name);
	int rv;

	if (len >= sizeof req.ifr_name) {
		snprintf(why, cap, "TUN name %.32s is too long (at most %d)",
			 name, IF_NAMESIZE - 1);
		return -ENAMETOOLONG;
	}
	memcpy(req.ifr_name, name, len);
	if (offload)
		req.ifr_flags |= IFF_VNET_HDR;
	t->has_vnet = offload;
	t->has_uso = false;
	t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0) {
		rv = -errno;
		explain(why, cap, "cannot open /dev/net/tun", rv);
		return rv;
	}
	if (ioctl(t->fd, TUNSETIFF, &req) < 0) {
		rv = -errno;
		snprintf(what, sizeof what, "cannot make the TUN %s", name);
		explain(why, cap, what, rv);
		close(t->fd);
		return rv;
	}
	memcpy(t->name, req.ifr_name, sizeof t->name);
	if (offload)
		ask_offload(t);
	return 0;
}

int tun_link_open(struct tun_link *out, const char *name,
		  const struct addr *self, uint16_t mtu, bool offload,
		  char *why, size_t why_cap)
{
	char what[64 + IF_NAMESIZE];
	struct tun_link t;
	int rv = device_open(&t, name, offload, why, why_cap);

	if (rv < 0)
		return rv;
	rv = configure(t.name, self, mtu);
	if (rv < 0) {
		snprintf(what, sizeof what, "cannot set up the TUN %s", t.name);
		explain(why, why_cap, what, rv);
		close(t.fd);
		return rv;
	}
	*out = t;
	return 0;
}

void tun_link_close(struct tun_link *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}
