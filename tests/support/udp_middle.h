/* Somebody on the wire between two nodes, as a NAT or an attacker would be: one
 * node dials `at`, the other sees what comes from another port of ours.  What
 * passes can be looked at, kept, lost, and sent again; its ECN mark passes,
 * too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/io/loop.h"
#include "proto/endpoint.h"

enum {
	MIDDLE_KEPT_BYTES = 1500,
};

struct udp_middle;

/* `to` is where the node listens that is dialled. */
struct udp_middle *udp_middle_new(struct loop *l, const union endpoint *to);
void udp_middle_free(struct udp_middle *m);
const union endpoint *udp_middle_at(const struct udp_middle *m);

/* What is done with a packet that comes from the dialling node, or goes to it.
 */
typedef bool udp_middle_judge(void *ctx, bool is_forth, const uint8_t *data,
			      size_t len);
/* False: the packet is lost.  NULL: all pass. */
void udp_middle_watch(struct udp_middle *m, udp_middle_judge *judge, void *ctx);
/* How the packet was marked that is judged now. */
uint8_t udp_middle_ecn(const struct udp_middle *m);
/* As a full router: what is not dropped is marked, whatever its sender knows of
 * marks. */
void udp_middle_congest(struct udp_middle *m, bool is_congested);
/* To the node that is dialled: from where all came, or from elsewhere. */
void udp_middle_inject(struct udp_middle *m, bool is_elsewhere,
		       const uint8_t *data, size_t len);
/* The dialled node sees another port from now on. */
void udp_middle_move(struct udp_middle *m);
