/* Published services: which ports the overlay may reach, and by whom.  Closed
 * by default.  Answers incoming streams, and tells the TUN which inbound
 * packets are allowed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/splice/bridge.h"
#include "node/io/loop.h"
#include "node/channel/stream.h"
#include "proto/addr.h"
#include "proto/id.h"

struct config;
struct services;

/* What a node's certificate says, for `allow = alice`; borrowed for a moment.
 * NULL: not known. */
typedef const struct identity *service_identity(void *ctx,
						const struct node_id *peer);

/* `self` is our overlay address; with `tun_up` a service whose `to` is another
 * address is also listened for on [self]:port and forwarded. */
struct services *services_new(struct loop *l, const struct config *c,
			      const struct addr *self,
			      service_identity *identity, void *ctx);
void services_free(struct services *s);
/* After a reload: streams that stand are kept. */
void services_reload(struct services *s, const struct config *c);
/* Call when the TUN is up: opens the listeners on our overlay address. */
void services_tun_up(struct services *s);

struct splicer;
/* With it TCP flows of other nodes' TUNs are served as well; it outlives `s`.
 */
void services_set_splicer(struct services *s, struct splicer *sp);

/* An incoming stream: accepted or refused, now or when the local connect has
 * ended.  Host may be our name, our overlay address, a service's name or
 * "localhost"; anything else is STREAM_HOST_UNKNOWN. */
void services_stream(struct services *s, struct stream *stream);

struct service_counts {
	uint64_t n_asked;
	uint64_t n_host_unknown;
	uint64_t n_not_allowed;
	uint64_t n_over_limit;
	uint64_t n_connect_failed;
	uint64_t n_forward_refused; /* on our overlay address */
	uint64_t n_datagrams_in;
	uint64_t n_datagrams_out;
	uint64_t n_datagrams_dropped;
	struct bridge_set bridges;
};
const struct service_counts *services_counts(const struct services *s);

/* Whether `peer` may send to this local port. `proto` is IPPROTO_TCP/UDP. */
bool services_allow(const struct services *s, const struct node_id *peer,
		    uint8_t proto, uint16_t port);
