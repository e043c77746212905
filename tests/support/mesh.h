/* A network of routers in one process and in virtual time: links with delay,
 * jitter and loss, nodes that die and come back.  The same seed and calls give
 * the same run, message by message.
 *
 * Control messages travel as bytes (written and parsed by proto/msg.h) on a
 * reliable, ordered stream: what a real link loses shows as a spike of delay.
 * Packets are lost.  A link that is cut takes what is under way with it; each
 * end notices some time later.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"

struct mesh;

struct mesh_link {
	nsec delay;             /* one way */
	nsec jitter;            /* up to so much more */
	unsigned loss_permille; /* packets lost, control messages late */
	uint16_t mtu;
	nsec notice; /* each end notices a cut within this time */
	/* Each way; 0: more than ever is sent.  Packets beyond 100 ms of
	 * waiting are lost, control messages wait. */
	uint32_t rate_kbps;
};

struct mesh_event {
	nsec at;
	struct router_event event; /* `route` is NULL */
};

/* Looks at a message that `from` sends to `to`, and may alter it; false drops
 * it. */
typedef bool mesh_filter(void *ctx, size_t from, size_t to, struct msg *m);

struct mesh_options {
	/* Nodes: smaller networks are flooded; 0: every probe is steered. */
	uint32_t flood_below;
	uint32_t directory_from; /* nodes; 0: as in real networks */
	bool is_cheap;           /* signatures by mesh_cheap_crypto */
	/* For large networks: events, deliveries, routes and the crossings of
	 * probes are not kept; a watch sees them. */
	bool is_forgetful;
};
extern const struct router_crypto mesh_cheap_crypto;

/* Floods at any size, with Ed25519. */
struct mesh *mesh_new(uint64_t seed);
struct mesh *mesh_new_with(uint64_t seed, const struct mesh_options *options);
void mesh_free(struct mesh *m);

size_t mesh_add_node(struct mesh *m, bool transit);
/* From now on the node claims this cost for its links, whatever they are. */
void mesh_claim(struct mesh *m, size_t node, uint16_t cost_100us);
/* Its sessions come up at once. */
size_t mesh_add_link(struct mesh *m, size_t a, size_t b,
		     const struct mesh_link *link);
void mesh_cut(struct mesh *m, size_t link);
/* As mesh_cut(), but this end notices at once: it has moved away. */
void mesh_unplug(struct mesh *m, size_t link, size_t node);
void mesh_heal(struct mesh *m, size_t link);
bool mesh_link_is_up(const struct mesh *m, size_t link);
/* The node's links are cut, its router is gone; then a new one, with the routes
 * and identities that the old one asked to keep. */
void mesh_kill(struct mesh *m, size_t node);
void mesh_revive(struct mesh *m, size_t node);
bool mesh_is_alive(const struct mesh *m, size_t node);

void mesh_set_filter(struct mesh *m, mesh_filter *filter, void *ctx);

struct mesh_delivery {
	nsec at;
	size_t node;
	circuit_no circuit;
	uint64_t tag;
	unsigned n_hops;
};

enum mesh_loss {
	LOSS_CUT,       /* sent into a cut that the node has not noticed */
	LOSS_UNDER_WAY, /* cut while it was under way */
	LOSS_LINK,      /* by the link, or for want of room */
	LOSS_CIRCUIT,   /* no such label there, or not established */
	MESH_LOSSES,
};

/* Who looks on; each may be NULL. */
struct mesh_watch {
	void *ctx;
	/* A message is on its way; `bytes` as it is on the stream. */
	void (*sent)(void *ctx, size_t from, size_t to, const struct msg *m,
		     size_t bytes);
	void (*event)(void *ctx, size_t node, const struct router_event *ev);
	void (*delivered)(void *ctx, const struct mesh_delivery *d);
	/* Whether the node passes on a packet of others; false: it is lost. */
	bool (*relays)(void *ctx, size_t node, size_t to);
	/* Before and after the router of a node is handed a message. */
	void (*handling)(void *ctx, size_t node, bool begins);
	/* A packet that was lost at this node, or on the way to it. */
	void (*lost)(void *ctx, size_t node, uint64_t tag, enum mesh_loss why);
};
void mesh_set_watch(struct mesh *m, const struct mesh_watch *watch);

nsec mesh_now(const struct mesh *m);
void mesh_run(struct mesh *m, nsec until);
/* Runs until `done` says so or until the time; whether it said so. */
typedef bool mesh_done(void *ctx, struct mesh *m);
bool mesh_run_until(struct mesh *m, mesh_done *done, void *ctx, nsec until);

/* After calls to a node's router that did not go through here: takes its
 * outputs. */
void mesh_pump(struct mesh *m, size_t node);

size_t mesh_n_nodes(const struct mesh *m);
size_t mesh_n_links(const struct mesh *m);
void mesh_link_ends(const struct mesh *m, size_t link, size_t *a, size_t *b);
/* All links that the node ever had. */
const size_t *mesh_node_links(const struct mesh *m, size_t node, size_t *n);
const struct mesh_link *mesh_link_config(const struct mesh *m, size_t link);
struct router *mesh_router(const struct mesh *m, size_t node);
const struct identity *mesh_identity(const struct mesh *m, size_t node);
const struct sign_key *mesh_key(const struct mesh *m, size_t node);
const struct node_hash *mesh_ca(const struct mesh *m);
/* SIZE_MAX if there is none. */
size_t mesh_find(const struct mesh *m, const struct node_id *id);
/* The number of the session of `node` on this link; 0: it is down. */
session_no mesh_session(const struct mesh *m, size_t node, size_t link);
/* The link and far end of a session. */
bool mesh_session_peer(const struct mesh *m, size_t node, session_no s,
		       size_t *peer, session_no *peer_session);
uint64_t mesh_wall(const struct mesh *m);

void mesh_connect(struct mesh *m, size_t from, size_t to, circuit_no avoid);
void mesh_close(struct mesh *m, size_t node, circuit_no c);
void mesh_hold(struct mesh *m, size_t from, size_t to);
void mesh_release(struct mesh *m, size_t from, size_t to);
/* Hands a message to a node as if it had come over this link. */
enum msg_verdict mesh_inject(struct mesh *m, size_t node, size_t link,
			     const struct msg *msg);

/* The events of one node so far. */
const struct mesh_event *mesh_events(const struct mesh *m, size_t node,
				     size_t *n);
/* The last event of this type about `peer` at or after `since`; NULL. */
const struct mesh_event *mesh_last(const struct mesh *m, size_t node,
				   enum router_event_type type, size_t peer,
				   nsec since);

/* The last circuit to `peer` that the node itself opened since then; NULL. */
const struct mesh_event *mesh_opened(const struct mesh *m, size_t node,
				     size_t peer, nsec since);

/* Sends a packet into a circuit; false if it is not established. */
bool mesh_send_packet(struct mesh *m, size_t node, circuit_no c, size_t len,
		      uint64_t tag);
const struct mesh_delivery *mesh_deliveries(const struct mesh *m, size_t *n);

/* The count of copies per link starts anew: probes of before are long over. */
void mesh_forget_probes(struct mesh *m);

/* Over everything that was delivered: time, ends and bytes. */
uint64_t mesh_trace(const struct mesh *m);
uint64_t mesh_n_messages(const struct mesh *m);
uint64_t mesh_n_packets_dropped(const struct mesh *m);
/* A fault of the network itself: a message that does not survive its own
 * encoding, a link used twice for one probe.  NULL: none so far. */
const char *mesh_fault(const struct mesh *m);
