/* Whole nodes without disk or device, three in one loop on the loopback: A - B
 * - C in a line, with B as the relay.  The asked side echoes; the asking side
 * keeps what it saw. */
#pragma once

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/overlay.h"
#include "tests/support/certs.h"

enum {
	NODES = 3,
	BULK = 3 << 20,
};

struct end {
	struct lab *lab;
	struct test_cert cert;
	struct credentials credentials;
	struct overlay *overlay;
	union endpoint at;
	int n_sessions, n_routes, n_identities, n_records, n_requests;
	struct stream *asked; /* the last request that came in */
	uint8_t *held;        /* what the echo could not write yet */
	size_t n_held;
	bool is_end_due;
	enum stream_error refuse; /* STREAM_OK: accept */
	bool is_echo;
	size_t n_packets, n_marked, last_packet_len;
	uint8_t marks[256]; /* the second byte of the first packets */
	struct node_id last_packet_from;
	int n_unblocked, n_unreachable, n_too_big;
};

struct lab {
	struct loop *loop;
	struct protect *protect;
	struct test_cert ca;
	struct end n[NODES];
	bool (*done)(struct lab *lab);
};

/* What the asking side saw. */
struct seen {
	struct stream *stream;
	bool is_opened, is_ended, is_closed;
	enum stream_error why;
	size_t n_bytes, n_written, n_datagrams;
	crypto_hash_sha256_state hash;
	uint8_t *data; /* what is written */
	bool is_consuming;
};

struct lab *lab_new(void); /* the line is up */
/* No sessions yet; which nodes take direct packets, NULL: all. */
struct lab *lab_new_apart(const bool direct[NODES]);
void lab_free(struct lab *lab);
/* Fails the test if it takes too long. */
void lab_run_until(struct lab *lab, bool (*done)(struct lab *lab));
void lab_dial(struct lab *lab, size_t i, const union endpoint *at);
/* Node i dials node j. */
void lab_join(struct lab *lab, size_t i, size_t j);
const struct node_id *lab_id(const struct lab *lab, size_t i);

/* A asks `id`; what comes of it is in `seen`. */
extern struct seen seen;
void lab_ask(struct lab *lab, const struct node_id *id, enum stream_kind kind);
/* A's request is for the holder of a key, too. */
void lab_ask_key(struct lab *lab, const struct node_id *id,
		 const struct node_hash *key_hash);
void lab_ask_from(struct lab *lab, size_t from, const struct node_id *id,
		  enum stream_kind kind);
/* Writes what is left of seen.data, then ends. */
void lab_push(struct seen *s);
bool lab_is_closed(struct lab *lab);
bool lab_is_opened(struct lab *lab);
