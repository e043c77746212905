#include "node/tun/tun_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "node/io/netlink.h"

enum {
	PREFIX_BITS = 48,
	TX_QUEUE_LEN = 1000,
	ADDRESS_WAIT_MS = 2000
};

/* ---- the device ---- */

static int link_up(int nl, int index, uint16_t mtu)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC,
					.ifi_index = index,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	const uint32_t mtu_bytes = mtu, queue = TX_QUEUE_LEN;
	struct netlink_request r;

	netlink_begin(&r, RTM_NEWLINK, 0, &body, sizeof body);
	netlink_add(&r, IFLA_MTU, &mtu_bytes, sizeof mtu_bytes);
	netlink_add(&r, IFLA_TXQLEN, &queue, sizeof queue);
	return netlink_send(nl, &r);
}

/* No link-local address: nothing but the cluster is behind the device.  A
 * refusal does no harm, as such packets are dropped. */
static void no_link_local(int nl, int index)
{
	const struct ifinfomsg body = { .ifi_family = AF_UNSPEC,
					.ifi_index = index };
	const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *spec, *inet6;
	struct netlink_request r;

	netlink_begin(&r, RTM_NEWLINK, 0, &body, sizeof body);
	spec = netlink_add(&r, IFLA_AF_SPEC, NULL, 0);
	inet6 = netlink_add(&r, AF_INET6, NULL, 0);
	netlink_add(&r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
	netlink_nest_end(&r, inet6);
	netlink_nest_end(&r, spec);
	netlink_send(nl, &r);
}

static int address_add(int nl, int index, const struct addr *self)
{
	const struct ifaddrmsg body = { .ifa_family = AF_INET6,
					.ifa_prefixlen = PREFIX_BITS,
					.ifa_flags = IFA_F_NODAD,
					.ifa_index = (uint32_t)index };
	struct netlink_request r;
	int rv;

	netlink_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body,
		      sizeof body);
	netlink_add(&r, IFA_LOCAL, self->b, sizeof self->b);
	netlink_add(&r, IFA_ADDRESS, self->b, sizeof self->b);
	rv = netlink_send(nl, &r);
	return rv == -EEXIST ? 0 : rv;
}

static bool is_routed_here(int nl, const struct addr *self)
{
	const struct rtmsg body = { .rtm_family = AF_INET6,
				    .rtm_dst_len = 128 };
	struct netlink_reply reply = { 0 };
	const struct rtmsg *got = NLMSG_DATA(&reply.head);
	struct netlink_request r;

	netlink_begin(&r, RTM_GETROUTE, 0, &body, sizeof body);
	r.head.nlmsg_flags = NLM_F_REQUEST;
	netlink_add(&r, RTA_DST, self->b, sizeof self->b);
	return netlink_ask(nl, &r, &reply, sizeof *got) == 0 &&
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

static int configure(int index, const struct addr *self, uint16_t mtu)
{
	int nl = netlink_open();
	int rv;

	if (nl < 0)
		return nl;
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
	t.index = (int)if_nametoindex(t.name);
	rv = t.index != 0 ? configure(t.index, self, mtu) : -errno;
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
