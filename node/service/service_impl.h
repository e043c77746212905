/* What the parts of the service module share: service.c (who gets what),
 * service_tcp.c and service_udp.c (one stream each), service_listen.c and
 * service_flow.c (the forwarding from our overlay address). */
#pragma once

#include "discovery/keyed_hash.h"
#include "node/splice/bridge.h"
#include "node/channel/dgram.h"
#include "node/service/service.h"
#include "node/service/service_rule.h"
#include "node/splice/tcp_join.h"
#include "node/splice/splicer.h"

#define SERVICE_CONNECT_NS  (10 * NS_PER_S)
#define SERVICE_UDP_IDLE_NS (120 * NS_PER_S)
/* What a peer may send before we have accepted. */
#define SERVICE_EARLY_MAX 65536
/* Apps' ports that send to one UDP port of ours. */
#define SERVICE_FLOWS_MAX 4096

struct service_forward;
struct service_peer;

struct services {
	struct loop *loop;
	struct service_rules rules;
	bool is_tun_up;
	struct splicer *splicer; /* NULL: no TUN */
	struct serving *serving;
	struct service_peer *peers; /* those with streams, by id */
	uint8_t hash_key[HASH_KEY_BYTES];
	struct service_forward *forwards; /* listeners */
	struct forwarding *forwarding;    /* their connections */
	struct service_counts counts;
};

/* One stream that we serve. */
struct serving {
	struct serving *prev, *next;
	struct services *services;
	struct node_id peer;
	struct stream *stream; /* NULL: gone, or the bridge's */

	/* Where to connect to: the first that works. */
	union endpoint to[2];
	size_t n_to;
	size_t i_to;

	bool is_spliced;              /* as the app itself, to `port` */
	struct tun_splice_flow *flow; /* once it connects */
	uint16_t port;

	struct tcp *tcp; /* while connecting */
	enum stream_error why;
	uint8_t *early; /* came before we accepted */
	size_t n_early;
	bool is_ended; /* the peer has sent its end already */
	struct bridge *bridge;

	struct dgram *dgram;
	struct timer idle;
	nsec moved;
};

/* Counts one more stream of the peer; false if it has too many. */
bool service_peer_add(struct services *s, const struct node_id *peer);
void service_peer_remove(struct services *s, const struct node_id *peer);

/* Out of the list, and freed: its stream and sockets are closed already. */
void serving_remove(struct serving *v);

void serving_tcp_start(struct serving *v);
void serving_tcp_close(struct serving *v);
void serving_udp_start(struct serving *v);
void serving_udp_close(struct serving *v);

/* Listens where the rules want it, and no more where they do not; what stands
 * there is kept as long as the port is published. */
void service_forwards_refresh(struct services *s);
void service_forwards_close(struct services *s);
/* Who comes: by the source address, which the TUN has checked. */
bool service_peer_of(struct node_id *peer, const struct services *s,
		     const union endpoint *from);

/* UDP: the apps' datagrams to `at`, an address of ours. */
struct service_flows;
int service_flows_open(struct service_flows **out, struct services *s,
		       const union endpoint *at);
void service_flows_close(struct service_flows *fs); /* NULL is allowed */
