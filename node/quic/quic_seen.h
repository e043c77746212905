/* Which packets of a connection have come before, for who counts packets: a
 * copy of one that was seen on the wire must not count as another.  The window
 * of RFC 4303 3.4.3 over the packet numbers of RFC 9000. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	QUIC_SEEN_WORDS = 16,
	QUIC_SEEN_PACKETS = QUIC_SEEN_WORDS * 64,
	QUIC_MASK_BYTES = 5, /* RFC 9001 5.4.1 */
};

struct quic_seen {
	uint64_t next; /* one over the largest number */
	uint64_t bits[QUIC_SEEN_WORDS];
};

/* The number of a packet with a short header and an id of SESSION_CID_BYTES,
 * of which `mask` protects the header; RFC 9000 A.3. */
uint64_t quic_seen_number(const struct quic_seen *w, const uint8_t *packet,
			  const uint8_t mask[QUIC_MASK_BYTES]);
/* False: it was there before, or is older than the window is long. */
bool quic_seen_add(struct quic_seen *w, uint64_t number);
