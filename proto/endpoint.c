#include "proto/endpoint.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/text.h"
#include "proto/base/view.h"

#define HOST_MAX 256

socklen_t endpoint_len(const union endpoint *e)
{
	return e->sa.sa_family == AF_INET6 ? sizeof e->in6 : sizeof e->in;
}

uint16_t endpoint_port(const union endpoint *e)
{
	return ntohs(e->sa.sa_family == AF_INET6 ? e->in6.sin6_port
						 : e->in.sin_port);
}

bool endpoint_equal(const union endpoint *a, const union endpoint *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port &&
		       a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return a->in6.sin6_port == b->in6.sin6_port &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
	       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
		      sizeof a->in6.sin6_addr) == 0;
}

static void scope_text(char out[IF_NAMESIZE + 1], uint32_t scope)
{
	out[0] = '\0';
	if (scope == 0)
		return;
	out[0] = '%';
	if (if_indextoname(scope, out + 1) == NULL)
		snprintf(out + 1, IF_NAMESIZE, "%u", scope);
}

void endpoint_text(char out[ENDPOINT_TEXT_MAX], const union endpoint *e)
{
	char host[INET6_ADDRSTRLEN] = "";
	char scope[IF_NAMESIZE + 1];

	if (e->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &e->in.sin_addr, host, sizeof host);
		snprintf(out, ENDPOINT_TEXT_MAX, "%s:%u", host,
			 ntohs(e->in.sin_port));
	} else if (e->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &e->in6.sin6_addr, host, sizeof host);
		scope_text(scope, e->in6.sin6_scope_id);
		snprintf(out, ENDPOINT_TEXT_MAX, "[%s%s]:%u", host, scope,
			 ntohs(e->in6.sin6_port));
	} else {
		snprintf(out, ENDPOINT_TEXT_MAX, "-");
	}
}

static bool port_parse(uint16_t *out, const char *text)
{
	uint64_t x;

	if (!text_u64(&x, text, 1, UINT16_MAX))
		return false;
	*out = (uint16_t)x;
	return true;
}

/* A DNS name, an IPv4 address, or an IPv6 address with an optional scope. */
static bool host_is_plausible(const char *host)
{
	const char *colon = strchr(host, ':');
	size_t len = strlen(host);

	if (len == 0 || host[0] == '.' || host[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = host[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9');

		/* Interface names hold nearly anything: the scope is looked
		 * up where the address is parsed. */
		if (c == '%' && colon != NULL)
			return true;
		if (!alnum && c != '.' && c != '-' && c != '_' && c != ':')
			return false;
	}
	return true;
}

/* Finds host and what follows it ("" or ":port"). */
static bool split_at(const char *text, const char **host, size_t *len,
		     const char **rest)
{
	const char *first = strchr(text, ':');

	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (close == NULL)
			return false;
		*host = text + 1;
		*len = (size_t)(close - *host);
		*rest = close + 1;
		/* Brackets are for IPv6 alone. */
		return memchr(*host, ':', *len) != NULL;
	}
	*host = text;
	*len = strlen(text);
	/* Two colons without brackets: an IPv6 address without a port. */
	if (first != NULL && strchr(first + 1, ':') == NULL)
		*len = (size_t)(first - text);
	*rest = text + *len;
	return true;
}

bool endpoint_split(char host[HOST_MAX], uint16_t *port, const char *text,
		    uint16_t default_port)
{
	char copy[HOST_MAX];
	const char *start, *rest;
	uint16_t p = default_port;
	size_t len;

	if (!split_at(text, &start, &len, &rest) || len >= sizeof copy)
		return false;
	memcpy(copy, start, len);
	copy[len] = '\0';
	if (!host_is_plausible(copy))
		return false;
	if (rest[0] == ':') {
		if (!port_parse(&p, rest + 1))
			return false;
	} else if (rest[0] != '\0' || p == 0) {
		return false;
	}
	memcpy(host, copy, len + 1);
	*port = p;
	return true;
}

/* The index of an interface by name or number; 0 if there is none. */
static uint32_t scope_parse(const char *text)
{
	uint64_t x;

	if (text_u64(&x, text, 1, UINT32_MAX))
		return (uint32_t)x;
	return if_nametoindex(text);
}

static bool host_parse_in6(union endpoint *out, char *host, uint16_t port)
{
	union endpoint e = { .in6 = { .sin6_family = AF_INET6,
				      .sin6_port = htons(port) } };
	char *percent = strchr(host, '%');

	if (percent != NULL) {
		*percent = '\0';
		e.in6.sin6_scope_id = scope_parse(percent + 1);
		if (e.in6.sin6_scope_id == 0)
			return false;
	}
	if (inet_pton(AF_INET6, host, &e.in6.sin6_addr) != 1)
		return false;
	*out = e;
	return true;
}

bool endpoint_parse(union endpoint *out, const char *text,
		    uint16_t default_port)
{
	union endpoint e = { .in = { .sin_family = AF_INET } };
	char host[HOST_MAX];
	uint16_t port;

	if (!endpoint_split(host, &port, text, default_port))
		return false;
	if (strchr(host, ':') != NULL)
		return host_parse_in6(out, host, port);
	if (inet_pton(AF_INET, host, &e.in.sin_addr) != 1)
		return false;
	e.in.sin_port = htons(port);
	*out = e;
	return true;
}

size_t endpoint_write(uint8_t out[ENDPOINT_WIRE_MAX], const union endpoint *e)
{
	struct buf b = buf_of(out, ENDPOINT_WIRE_MAX);

	if (e->sa.sa_family == AF_INET) {
		buf_u8(&b, 4);
		buf_be16(&b, ntohs(e->in.sin_port));
		buf_bytes(&b, &e->in.sin_addr, 4);
	} else {
		assert(e->sa.sa_family == AF_INET6);
		buf_u8(&b, 6);
		buf_be16(&b, ntohs(e->in6.sin6_port));
		buf_bytes(&b, &e->in6.sin6_addr, 16);
	}
	return b.len;
}

bool endpoint_read(union endpoint *out, const uint8_t *data, size_t len)
{
	union endpoint e = { 0 };
	struct view v = view_of(data, len);
	uint8_t family = view_u8(&v);
	uint16_t port = view_be16(&v);

	if (family == 4) {
		e.in.sin_family = AF_INET;
		e.in.sin_port = htons(port);
		view_copy(&v, &e.in.sin_addr, 4);
	} else if (family == 6) {
		e.in6.sin6_family = AF_INET6;
		e.in6.sin6_port = htons(port);
		view_copy(&v, &e.in6.sin6_addr, 16);
	} else {
		return false;
	}
	if (v.bad || view_left(&v) != 0 || port == 0)
		return false;
	*out = e;
	return true;
}
