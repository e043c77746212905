/* Two connections in memory, client and server, on a clock of their own: what
 * one writes the other reads, in order, half a round trip later. */
#pragma once

#include "node/quic/protect.h"
#include "node/quic/quic.h"
#include "node/quic/quic_table.h"
#include "tests/support/certs.h"

#define QUIC_PAIR_TRIP_NS (100 * NS_PER_US)

struct quic_pair;

struct quic_pair_end {
	struct quic_pair *pair;
	struct test_cert cert;
	struct credentials credentials;
	struct quic_tls *tls;
	struct quic_table *table;
	struct quic *quic;
	ngtcp2_path_storage path;
	uint64_t n_datagrams, n_bytes; /* that came, in datagrams */
	uint64_t n_marked;             /* of these */
	uint64_t n_stream_bytes;       /* that came in streams */
	bool keeps;         /* what comes in streams is not consumed */
	int64_t stream;     /* what it sends on; -1: none */
	uint64_t n_to_send; /* bytes left to send there */
	bool is_blocked;    /* by the peer's windows */
};

struct quic_pair {
	struct test_cert ca;
	struct quic_pair_end client, server;
	nsec now;
	nsec trip; /* QUIC_PAIR_TRIP_NS until it is changed */
	uint64_t n_packets;
	bool is_congested; /* packets come with a mark, instead of as sent */
	/* If set: whether a packet is lost; may change the former. */
	bool (*is_lost)(struct quic_pair *pair, const uint8_t *data,
			size_t len);
};

struct quic_pair_config {
	const struct protect *client, *server;
	bool is_channel;      /* as in quic_config */
	const char *priority; /* of GnuTLS; NULL: ours */
};

struct quic_pair *quic_pair_new(const struct quic_pair_config *config);
void quic_pair_free(struct quic_pair *p);
/* Until both have seen the handshake confirmed. */
void quic_pair_connect(struct quic_pair *p);
/* Carries all packets that there are, both ways, then lets the time pass until
 * the next of the two has something to do, but not beyond `ns`. */
void quic_pair_run(struct quic_pair *p, nsec ns);
/* What every datagram begins with. */
extern const char quic_pair_text[];
/* Sends one datagram of `len` bytes, now or within a second. */
void quic_pair_datagram(struct quic_pair_end *from, size_t len);
