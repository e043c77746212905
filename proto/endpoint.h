/* Where a node can be reached: an IP address and a UDP port, or a host name and
 * a port.  Text forms: 192.0.2.1:4433, [2001:db8::1]:4433, host.example:4433;
 * [fe80::1%eth0]:4433 for a scoped address. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* IPv4, or IPv6 with its scope. */
union endpoint {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

#define ENDPOINT_TEXT_MAX 72
socklen_t endpoint_len(const union endpoint *e);
/* In host order. */
uint16_t endpoint_port(const union endpoint *e);
bool endpoint_equal(const union endpoint *a, const union endpoint *b);
void endpoint_text(char out[ENDPOINT_TEXT_MAX], const union endpoint *e);
/* Numeric addresses only. `default_port` is used if the text has none (0: then
 * a port is required). */
bool endpoint_parse(union endpoint *out, const char *text,
		    uint16_t default_port);
/* Splits "host:port"; the host may be numeric or a DNS name. */
bool endpoint_split(char host[256], uint16_t *port, const char *text,
		    uint16_t default_port);

/* Wire and store form: family(1: 4 or 6) port(2) address(4|16). */
#define ENDPOINT_WIRE_MAX 19
size_t endpoint_write(uint8_t out[ENDPOINT_WIRE_MAX], const union endpoint *e);
bool endpoint_read(union endpoint *out, const uint8_t *data, size_t len);
