/* Overlay addresses: fd cc | H(ca)[0..4) | H(node)[0..10).  protocol.md 1.4. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

#define ADDR_TEXT_MAX 46 /* with the NUL: INET6_ADDRSTRLEN */

struct addr {
	uint8_t b[16];
};

/* The cluster's /48 (6 bytes of prefix). */
struct overlay_net {
	uint8_t prefix[6];
};

struct overlay_net addr_net(const struct node_hash *ca);
struct addr addr_of(const struct overlay_net *net, const struct node_id *id);
bool addr_in_net(const struct addr *a, const struct overlay_net *net);
struct node_id addr_id(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);

/* RFC 5952 text; `out` holds ADDR_TEXT_MAX. */
void addr_text(char *out, const struct addr *a);
void addr_net_text(char *out, const struct overlay_net *net); /* with /48 */
bool addr_parse(struct addr *out, const char *text);
