/* Circuit packets beside QUIC: sealed by AES-GCM under keys of the session's
 * own handshake.  protocol.md 2.9.
 *
 *   type(8) to(32) number(56) { data header, payload } tag(128)
 *
 * `to` is the receiver's number of the session; `number` counts the packets of
 * one direction from zero and is the nonce.  Nothing repeats what is lost, and
 * nothing acknowledges it: that is for the ends of the circuit.  Each key
 * serves so many numbers, then the next one follows from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct protect;
struct seal;

enum {
	SEAL_SECRET_BYTES = 64, /* a half for each direction */
	SEAL_TYPE = 0x01,       /* no packet of QUIC begins so: RFC 9443 */
	SEAL_HEADER_BYTES = 12,
	SEAL_OVERHEAD = SEAL_HEADER_BYTES + 16,
};

/* Packets under one key: RFC 9001 6.6 allows 2^23. */
#define SEAL_KEY_PACKETS (UINT64_C(1) << 22)

/* Whether a node sends and takes them. */
enum seal_use {
	SEAL_OFF,
	SEAL_AUTO, /* over links that carry much and are not full */
	SEAL_ALWAYS,
	SEAL_USES,
};

enum seal_verdict {
	SEAL_OK,
	SEAL_SHORT,
	SEAL_FORGED, /* or of a key that is gone, or not to be had yet */
	SEAL_SEEN,   /* a copy, or too old to tell */
};

/* `secret` is copied and may be wiped; `p` is borrowed.  Both ends have to name
 * the same number of packets for a key. */
struct seal *seal_new(const struct protect *p,
		      const uint8_t secret[SEAL_SECRET_BYTES], bool is_client,
		      uint64_t key_packets);
/* Wipes; of NULL too. */
void seal_free(struct seal *s);

/* Whether it is one, and for whom. */
bool seal_is(const uint8_t *packet, size_t len);
uint32_t seal_to(const uint8_t *packet);

/* Seals the `len` bytes at packet + SEAL_HEADER_BYTES where they are; returns
 * the packet's length, 0 if that failed. */
size_t seal_write(struct seal *s, uint8_t *packet, size_t len, uint32_t to);
/* Opens one into `out`, which has room for `len` bytes. */
enum seal_verdict seal_read(struct seal *s, uint8_t *out, size_t *n_out,
			    const uint8_t *packet, size_t len);
