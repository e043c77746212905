/* The kernel rewrites packets of spliced flows by itself (tun_splice.h), with a
 * BPF program at the TUN's egress: they never come up to us.  Only what begins
 * or ends a flow (SYN, FIN, RST) still does.  decisions/0030.
 *
 * Optional everywhere: without the right to load it, or on a kernel without it,
 * the same packets are read, rewritten and written back as before.  It lives
 * as long as the device does: nothing is left behind by a crash.
 *
 * bpf(2), tc-bpf(8) */
#pragma once

#include <stdint.h>

#include "proto/addr.h"

struct tun_bpf;

/* As in the packet: what it is found by, and all that is read of it. */
struct tun_bpf_key {
	struct addr src, dst;
	uint16_t src_port, dst_port; /* network order */
};

/* For the device of this index, which is ours.  0, or -errno: nothing was
 * changed. */
int tun_bpf_open(struct tun_bpf **out, int index);
void tun_bpf_close(struct tun_bpf *b); /* NULL is allowed */

/* From now on the addresses of such packets change places, their ports become
 * these, in network order, and they come out of the device.  `b` may be NULL;
 * without room it is as if it were. */
void tun_bpf_add(struct tun_bpf *b, const struct tun_bpf_key *key,
		 uint16_t src_port, uint16_t dst_port);
void tun_bpf_remove(struct tun_bpf *b, const struct tun_bpf_key *key);
