#include "proto/socks5.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

#define VERSION      5
#define AUTH_VERSION 1

/* The first byte alone tells, so that a client which speaks first and waits
 * (HTTP, SOCKS4, TLS) is not kept waiting. */
static bool is_other_protocol(const uint8_t *data, size_t len)
{
	return len != 0 && data[0] != VERSION;
}

enum socks_verdict socks_greeting_parse(struct socks_greeting *out,
					const uint8_t *data, size_t len,
					size_t *used)
{
	struct view v = view_of(data, len);
	struct socks_greeting g = { 0 };
	uint8_t n;

	if (is_other_protocol(data, len))
		return SOCKS_NOT_SOCKS5;
	view_u8(&v);
	n = view_u8(&v);
	if (v.bad)
		return SOCKS_MORE;
	if (n == 0)
		return SOCKS_MALFORMED;
	for (size_t i = 0; i < n; i++) {
		uint8_t method = view_u8(&v);

		if (v.bad)
			return SOCKS_MORE;
		if (method == SOCKS_NO_AUTH)
			g.no_auth = true;
		else if (method == SOCKS_PASSWORD)
			g.password = true;
	}
	*out = g;
	*used = len - view_left(&v);
	return SOCKS_OK;
}

/* A length and as many bytes, as a C string; false if a NUL is among them. */
static bool string_read(struct view *v, char out[256])
{
	uint8_t len = view_u8(v);

	view_copy(v, out, len);
	out[len] = '\0';
	return v->bad || memchr(out, '\0', len) == NULL;
}

/* RFC 1929 asks for one byte at least in each; clients send empty passwords,
 * and here both only keep streams apart. */
enum socks_verdict socks_credentials_parse(struct socks_credentials *out,
					   const uint8_t *data, size_t len,
					   size_t *used)
{
	struct view v = view_of(data, len);
	struct socks_credentials c;
	bool clean;

	if (len != 0 && data[0] != AUTH_VERSION)
		return SOCKS_MALFORMED;
	view_u8(&v);
	clean = string_read(&v, c.user);
	clean = string_read(&v, c.password) && clean;
	if (!clean)
		return SOCKS_MALFORMED;
	if (v.bad)
		return SOCKS_MORE;
	*out = c;
	*used = len - view_left(&v);
	return SOCKS_OK;
}

/* SOCKS_MORE if the view ends before the address does. */
static enum socks_verdict address_read(struct socks_address *a, struct view *v)
{
	uint8_t type = view_u8(v);
	bool clean = true;

	memset(a, 0, sizeof *a);
	if (v->bad)
		return SOCKS_MORE;
	switch (type) {
	case SOCKS_IPV4:
		view_copy(v, a->ip, 4);
		break;
	case SOCKS_IPV6:
		view_copy(v, a->ip, 16);
		break;
	case SOCKS_DOMAIN:
		clean = string_read(v, a->domain);
		clean = clean && (v->bad || a->domain[0] != '\0');
		break;
	default:
		return SOCKS_ADDRESS_TYPE;
	}
	a->type = (enum socks_address_type)type;
	a->port = view_be16(v);
	if (!clean)
		return SOCKS_MALFORMED;
	return v->bad ? SOCKS_MORE : SOCKS_OK;
}

static void address_write(struct buf *out, const struct socks_address *a)
{
	size_t len;

	buf_u8(out, (uint8_t)a->type);
	switch (a->type) {
	case SOCKS_IPV4:
		buf_bytes(out, a->ip, 4);
		break;
	case SOCKS_IPV6:
		buf_bytes(out, a->ip, 16);
		break;
	case SOCKS_DOMAIN:
		len = strnlen(a->domain, sizeof a->domain - 1);
		buf_u8(out, (uint8_t)len);
		buf_bytes(out, a->domain, len);
		break;
	}
	buf_be16(out, a->port);
}

/* An unknown command is reported when the request is whole: closing with
 * unread bytes would make the kernel reset the connection under our reply. */
enum socks_verdict socks_request_parse(struct socks_request *out,
				       const uint8_t *data, size_t len,
				       size_t *used)
{
	struct view v = view_of(data, len);
	enum socks_verdict verdict;
	struct socks_request r;
	uint8_t command;

	if (is_other_protocol(data, len))
		return SOCKS_NOT_SOCKS5;
	view_u8(&v);
	command = view_u8(&v);
	view_u8(&v); /* reserved */
	verdict = address_read(&r.address, &v);
	if (verdict != SOCKS_OK)
		return verdict;
	if (command < SOCKS_CONNECT || command > SOCKS_UDP_ASSOCIATE)
		return SOCKS_COMMAND;
	r.command = (enum socks_command)command;
	*out = r;
	*used = len - view_left(&v);
	return SOCKS_OK;
}

enum socks_verdict socks_datagram_parse(struct socks_datagram *out,
					const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	struct socks_datagram d;
	enum socks_verdict verdict;
	uint8_t fragment;

	view_be16(&v); /* reserved */
	fragment = view_u8(&v);
	if (!v.bad && fragment != 0)
		return SOCKS_FRAGMENT;
	verdict = address_read(&d.address, &v);
	if (verdict == SOCKS_MORE)
		return SOCKS_MALFORMED;
	if (verdict != SOCKS_OK)
		return verdict;
	d.len = view_left(&v);
	d.payload = v.pos;
	*out = d;
	return SOCKS_OK;
}

size_t socks_method_write(uint8_t out[2], enum socks_method m)
{
	out[0] = VERSION;
	out[1] = (uint8_t)m;
	return 2;
}

size_t socks_auth_write(uint8_t out[2], bool ok)
{
	out[0] = AUTH_VERSION;
	out[1] = ok ? 0 : 1;
	return 2;
}

size_t socks_reply_write(uint8_t out[SOCKS_REPLY_BYTES_MAX],
			 enum socks_reply reply,
			 const struct socks_address *bound)
{
	static const struct socks_address none = { .type = SOCKS_IPV4 };
	struct buf b = buf_of(out, SOCKS_REPLY_BYTES_MAX);

	buf_u8(&b, VERSION);
	buf_u8(&b, (uint8_t)reply);
	buf_u8(&b, 0);
	address_write(&b, bound != NULL ? bound : &none);
	return b.len;
}

size_t socks_datagram_header_write(uint8_t out[SOCKS_REPLY_BYTES_MAX],
				   const struct socks_address *from)
{
	struct buf b = buf_of(out, SOCKS_REPLY_BYTES_MAX);

	buf_be16(&b, 0);
	buf_u8(&b, 0);
	address_write(&b, from);
	return b.len;
}
