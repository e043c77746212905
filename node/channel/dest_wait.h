/* The inside of a destination, and what waits there for a path: streams,
 * packets and those who asked to be told.  For dest*.c only. */
#pragma once

#include "circuit/router.h"
#include "discovery/keyed_hash.h"
#include "node/channel/channel.h"
#include "node/channel/dest.h"
#include "node/io/loop.h"
#include "node/channel/stream_self.h"

struct held {
	struct held *next;
	size_t len;
	uint8_t data[];
};

struct waiter {
	struct waiter *next;
	dest_reported *reported;
	void *ctx;
};

struct dest {
	struct node_id id;
	UT_hash_handle hh; /* if the tag is all zeros */
	struct dest_tag tag;
	struct dest *apart; /* the same node, with other tags */
	struct dests *dests;
	struct channel *client; /* ours */
	struct channel *server; /* the peer's, carries packets too */
	bool is_second_try;
	bool is_connecting; /* the router or the channel is at it */
	nsec unreachable_until;
	struct stream *streams, **streams_tail;
	size_t n_streams;
	struct held *packets, **packets_tail;
	size_t n_packets;
	struct waiter *waiters;
	nsec began;
	struct timer retry;
	circuit_no lost;
	/* Only of the one whose tag is zero: the router holds the node. */
	bool is_held;
	struct timer unused;
};

struct dests {
	struct loop *loop;
	struct router *router;
	struct channels *channels;
	struct dest *table;
	struct self_streams self;
	struct stream *failed; /* to be told at the end of the turn */
	dest_request *request;
	void *request_ctx;
	const struct dest_packet_events *packet_events;
	void *packet_ctx;
	struct dest_counters counters;
};

/* Told when the turn ends: never inside the call that asked. */
void dest_fail_later(struct dests *d, struct stream *s, enum stream_error why);
void dest_fail_streams(struct dest *t);

/* Oldest out when there are too many. */
void dest_hold_packet(struct dest *t, const uint8_t *packet, size_t len);
/* Frees what is held, without a word. */
void dest_drop_packets(struct dest *t);
/* Each is told as unreachable. */
void dest_fail_packets(struct dest *t);
/* Sends while there is room. */
void dest_flush_packets(struct dest *t, struct channel *c);

void dest_report_all(struct dest *t, bool is_up, bool is_proved);

/* ---- dest.c ---- */
struct dest *dest_new(struct dests *d, const struct node_id *id);
struct dest *dest_find(struct dests *d, const struct node_id *id);
/* NULL: too many that are in use. */
struct dest *dest_get(struct dests *d, const struct node_id *id);
/* Whose channel it is. */
struct dest *dest_of(struct dests *d, const struct channel *c);
/* Who waits is told that there is no path. */
void dest_give_up(struct dest *t, bool is_proved);
/* Closes a circuit that no channel uses. */
void dest_leave_circuit(struct dests *d, circuit_no circuit);

/* ---- dest_apart.c: from the one whose tag is zero ---- */
/* NULL: there is none. */
struct dest *dest_with_tag(struct dest *main, const struct dest_tag *tag);
/* NULL: too many that are in use. */
struct dest *dest_get_apart(struct dest *main, const struct dest_tag *tag);

/* ---- dest_hold.c: for the one whose tag is zero ---- */
void dest_hold_init(struct dest *t);
/* After a channel came up or ended, or is used again. */
void dest_hold_as_needed(struct dest *main);
