/* Making the TUN device: name, address, MTU, up.  Needs CAP_NET_ADMIN, so it
 * is done before privileges are dropped; the descriptor needs none. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/addr.h"

struct tun_link {
	int fd;
	char name[IF_NAMESIZE];
	int index;     /* as the kernel numbers interfaces */
	bool has_vnet; /* a virtio_net_hdr is before each packet */
	bool has_uso;  /* it may stand for several of UDP */
};

/* `offload`: the kernel may hand us many packets as one, and checksums undone
 * (tun_offload.h), as far as it knows how.  The device holds `self`/48, usable
 * at once (no duplicate address detection, no link-local address), and with it
 * the route to the cluster.  0, or -errno with a text for the user that says
 * what to do. */
int tun_link_open(struct tun_link *out, const char *name,
		  const struct addr *self, uint16_t mtu, bool offload,
		  char *why, size_t why_cap);
void tun_link_close(struct tun_link *t);
