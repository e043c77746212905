/* Packets into the TUN: small ones of a flow as one, where the device takes
 * that. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/tun/tun.h"
#include "node/tun/tun_offload.h"

struct tun_writer {
	int fd;
	bool has_vnet, has_uso;
	struct tun_counts *counts;
	size_t next_merge; /* the one that gives way */
	struct tun_merge merges[TUN_MERGES];
};

/* With a header of its own, if the device has them; not counted. */
bool tun_write_behind(struct tun_writer *w, const struct virtio_net_hdr *h,
		      const uint8_t *packet, size_t len);
void tun_write_packet(struct tun_writer *w, const uint8_t *packet, size_t len);
/* Perhaps with others, until tun_write_flush(); packets of a flow stay in their
 * order. */
void tun_write_merged(struct tun_writer *w, const uint8_t *packet, size_t len);
void tun_write_flush(struct tun_writer *w);
