/* The wires that we are on, and datagrams to everybody there: what carries
 * beacons (discovery/beacon.h), which it does not look into.  protocol.md 8.1.
 *
 * A wire is an interface that is up, has a carrier, and is neither loopback,
 * point-to-point nor our own TUN, or whatever matches `interfaces =`.  On each
 * of them there is a place to send to for IPv6 (link-local multicast) and one
 * for IPv4 (broadcast).  One socket per address family serves all wires;
 * several nodes on a machine share the port.  What comes in is handed on only
 * if it was sent to the group or to broadcast, on one of our wires.
 *
 * How the caller drives it:
 *   when beacon_clock_due()  for (i = 0; i < lan_n_places(l); i++) write a
 *                            beacon with a new nonce, lan_send(l, i, …)
 *   received                 beacon_receive(), peers_handle_hint()
 *   changed                  peers_handle_network_changed(), and if `is_new`
 *                            beacon_clock_interface_up()
 * Callbacks come from the loop, never from inside a call.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/config/config.h"
#include "node/io/loop.h"
#include "proto/endpoint.h"

/* "qnat" with the bit of RFC 3307 4.3 that marks a group as not assigned, and
 * the flag of RFC 4291 2.7 that says the same. */
#define LAN_GROUP      "ff12::f16e:6174"
#define LAN_WIRES_MAX  64
#define LAN_PLACES_MAX (2 * LAN_WIRES_MAX)

struct lan;

struct lan_events {
	/* A datagram, longer ones cut to BEACON_BYTES_MAX + 1.  Borrowed. */
	void (*received)(void *ctx, const uint8_t *data, size_t len,
			 const union endpoint *from, uint32_t ifindex);
	/* The wires are not what they were; `is_new`: there is a new place. */
	void (*changed)(void *ctx, bool is_new);
};

/* `interfaces` are glob patterns, empty for all real ones; `tun` ("" for none)
 * is never a wire.  0, or -errno if no socket could be opened. */
int lan_open(struct lan **out, struct loop *l,
	     const struct config_list *interfaces, const char *tun,
	     const struct lan_events *ev, void *ctx);
/* Silent from now on; freed by the loop.  NULL is allowed. */
void lan_close(struct lan *l);
/* After a reload; `changed` follows if that changes anything. */
void lan_set_interfaces(struct lan *l, const struct config_list *interfaces);

struct lan_place {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	int family; /* AF_INET6, AF_INET */
};
size_t lan_n_places(const struct lan *l);
const struct lan_place *lan_place(const struct lan *l, size_t i);
/* 0 or -errno: counted, and else of no consequence. */
int lan_send(struct lan *l, size_t place, const void *data, size_t len);

struct lan_counters {
	uint64_t n_sent, n_send_failed, n_received;
	uint64_t n_unicast;    /* dropped: sent to us alone */
	uint64_t n_other_wire; /* dropped: came in elsewhere */
	uint64_t n_scans;
};
const struct lan_counters *lan_counters(const struct lan *l);
