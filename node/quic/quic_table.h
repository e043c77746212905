/* Connection ids to connections, and what all connections of one kind share:
 * the TLS configuration and the reset key.  One table for sessions, one for
 * channels; a pair of them has no id twice, so that the id alone tells whose a
 * packet is that came over UDP. */
#pragma once

#include <ngtcp2/ngtcp2.h>
#include <stddef.h>
#include <stdint.h>

#include "node/quic/quic_tls.h"

struct quic;
struct quic_table;

/* `tls` is borrowed.  `reset_key` (32 bytes) makes the stateless reset tokens:
 * the same after a restart, so that peers learn of it at once (RFC 9000
 * 10.3.2). */
struct quic_table *quic_table_new(struct quic_tls *tls,
				  const uint8_t reset_key[32]);
/* The same TLS, and no id that `with` has; to be freed before it. */
struct quic_table *quic_table_beside(struct quic_table *with,
				     const uint8_t reset_key[32]);
void quic_table_free(struct quic_table *t);

struct quic_tls *quic_table_tls(const struct quic_table *t);

enum quic_lookup {
	QUIC_FOUND,   /* *out is the connection */
	QUIC_BESIDE,  /* a short header for *out, which is of the other table */
	QUIC_INITIAL, /* no connection: *hd is an acceptable first packet */
	QUIC_VERSION, /* answer with version negotiation: *vc */
	QUIC_RESET,   /* a short header for nobody: stateless reset */
	QUIC_GARBAGE, /* not QUIC */
};
enum quic_lookup quic_table_find(struct quic_table *t, const uint8_t *data,
				 size_t len, struct quic **out,
				 ngtcp2_pkt_hd *hd, ngtcp2_version_cid *vc);

/* For quic.c. */
void quic_table_add(struct quic_table *t, const ngtcp2_cid *cid,
		    struct quic *q);
void quic_table_remove(struct quic_table *t, const ngtcp2_cid *cid,
		       const struct quic *q);
/* A fresh 4-byte id that nobody has, and its reset token. */
void quic_table_new_cid(struct quic_table *t, ngtcp2_cid *cid, size_t len,
			uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN]);

/* A stateless reset for a short packet of `len` bytes; 0: none. */
size_t quic_table_write_reset(struct quic_table *t, uint8_t *out, size_t cap,
			      const uint8_t *data, size_t len);
