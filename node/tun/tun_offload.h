/* Large packets between us and the kernel: what it would have sent as many
 * packets comes through the TUN as one (TSO, USO), and what came to us as many
 * goes into the TUN as one (GRO).  The virtio_net_hdr before each packet says
 * which (OASIS virtio 1.2, 5.1.6; Linux uapi virtio_net.h).
 *
 * No I/O: the caller reads and writes.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TUN_VNET_BYTES  sizeof(struct virtio_net_hdr)
#define TUN_PACKET_MAX  65535
#define TUN_HEADERS_MAX 128 /* IPv6 and TCP with all its options */

/* ---- out: cutting ---- */

struct tun_split {
	uint8_t *packet; /* borrowed */
	size_t len;
	size_t n_headers; /* copied before each piece; 0: goes out whole */
	size_t transport; /* where its header begins */
	size_t piece;     /* payload bytes of each but the last */
	size_t offset;    /* of the payload that is next */
	uint8_t protocol;
	uint32_t seq; /* TCP: of the first piece */
};

/* `packet` was read behind `h`; its checksum is completed if it goes out whole.
 * False if header and packet do not fit together. */
bool tun_split_begin(struct tun_split *s, const struct virtio_net_hdr *h,
		     uint8_t *packet, size_t len);
/* How many pieces there are in all. */
size_t tun_split_n(const struct tun_split *s);
bool tun_split_is_done(const struct tun_split *s);
/* The next piece, which stays where it is until tun_split_advance(): `*out` has
 * room for `cap` bytes, and is used if the piece has to be put together.
 * Returns where it is; NULL if it is larger than `cap`. */
const uint8_t *tun_split_get(const struct tun_split *s, uint8_t *out,
			     size_t cap, size_t *len);
void tun_split_advance(struct tun_split *s);

/* ---- in: putting together ---- */

/* One TCP or UDP flow's packets that follow each other. */
struct tun_merge {
	size_t len; /* 0: empty */
	size_t n_headers;
	size_t piece;
	size_t n_pieces;
	uint32_t next_seq; /* TCP */
	bool is_closed;    /* the last piece was short, or pushed */
	uint8_t packet[TUN_PACKET_MAX + 1];
};

enum tun_merge_verdict {
	TUN_MERGED,    /* it is in */
	TUN_OTHER,     /* of another flow: try the next */
	TUN_MUST_FLUSH /* of this flow, but does not fit behind what is there */
};
enum tun_merge_verdict tun_merge_add(struct tun_merge *m, const uint8_t *packet,
				     size_t len);
/* Whether a packet could begin a merge at all; `has_uso`: one of UDP may. */
bool tun_merge_can(const uint8_t *packet, size_t len, bool has_uso);
/* Makes the packet ready to be written behind `h`, and empties the merge: its
 * bytes stay where they are until the next add. */
size_t tun_merge_take(struct tun_merge *m, struct virtio_net_hdr *h);
