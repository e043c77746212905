/* Where a CONNECT wants to go: the path of RFC 9298 and the :authority of
 * RFC 9114 4.4. */
#include <arpa/inet.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/text.h"
#include "proto/masque.h"

#define UDP_PATH     "/.well-known/masque/udp/"
#define UDP_PATH_LEN (sizeof UDP_PATH - 1)

#define TCP_PATH     "/.well-known/qanat/tcp/"
#define TCP_PATH_LEN (sizeof TCP_PATH - 1)

#define HOST_BYTES_MAX 255

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* What names and numeric addresses are made of: no blank, no control, nothing
 * with a meaning to a resolver, a shell or a log. */
static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == ':';
}

/* The next character of a percent-encoded text; -1 if it is cut short. */
static int percent_read(const char *text, size_t len, size_t *pos)
{
	char c = text[(*pos)++];
	int high, low;

	if (c != '%')
		return (unsigned char)c;
	if (len - *pos < 2)
		return -1;
	high = hex_digit(text[(*pos)++]);
	low = hex_digit(text[(*pos)++]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* The length that was written, 0 if it is no host. */
static size_t host_decode(char host[HOST_BYTES_MAX + 1], const char *text,
			  size_t len)
{
	size_t n = 0;

	for (size_t pos = 0; pos < len;) {
		int c = percent_read(text, len, &pos);

		if (c < 0 || !is_host_char((char)c) || n == HOST_BYTES_MAX)
			return 0;
		host[n++] = (char)c;
	}
	host[n] = '\0';
	return n;
}

static bool is_ip6(const char *host)
{
	struct in6_addr a;

	return inet_pton(AF_INET6, host, &a) == 1;
}

static bool port_read(uint16_t *port, const char *text, size_t len)
{
	char digits[6];
	uint64_t x;

	if (len == 0 || len >= sizeof digits)
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!text_u64(&x, digits, 1, UINT16_MAX))
		return false;
	*port = (uint16_t)x;
	return true;
}

bool masque_udp_path_parse(char host[256], uint16_t *port, const char *path,
			   size_t len)
{
	char name[HOST_BYTES_MAX + 1];
	const char *slash;
	uint16_t number;

	if (len <= UDP_PATH_LEN || memcmp(path, UDP_PATH, UDP_PATH_LEN) != 0 ||
	    path[len - 1] != '/')
		return false;
	path += UDP_PATH_LEN;
	len -= UDP_PATH_LEN + 1;
	slash = memchr(path, '/', len);
	if (slash == NULL ||
	    host_decode(name, path, (size_t)(slash - path)) == 0)
		return false;
	if (strchr(name, ':') != NULL && !is_ip6(name))
		return false;
	len -= (size_t)(slash - path) + 1;
	if (!port_read(&number, slash + 1, len))
		return false;
	memcpy(host, name, sizeof name);
	*port = number;
	return true;
}

static void percent_write(struct buf *b, char c)
{
	static const char digits[] = "0123456789ABCDEF";

	if (is_host_char(c) && c != ':') {
		buf_u8(b, (uint8_t)c);
		return;
	}
	buf_u8(b, '%');
	buf_u8(b, (uint8_t)digits[(uint8_t)c >> 4]);
	buf_u8(b, (uint8_t)digits[(uint8_t)c & 15]);
}

static void decimal_write(struct buf *b, uint16_t x)
{
	if (x >= 10)
		decimal_write(b, x / 10);
	buf_u8(b, (uint8_t)('0' + x % 10));
}

size_t masque_udp_path_write(char *out, size_t cap, const char *host,
			     uint16_t port)
{
	struct buf b = buf_of(out, cap);

	buf_bytes(&b, UDP_PATH, UDP_PATH_LEN);
	for (const char *p = host; *p != '\0'; p++)
		percent_write(&b, *p);
	buf_u8(&b, '/');
	decimal_write(&b, port);
	buf_bytes(&b, "/", sizeof "/");
	return b.bad ? 0 : b.len - 1;
}

bool splice_path_parse(uint16_t *port, uint16_t *source, const char *path,
		       size_t len)
{
	const char *slash;
	uint16_t first, second;

	if (len <= TCP_PATH_LEN || memcmp(path, TCP_PATH, TCP_PATH_LEN) != 0 ||
	    path[len - 1] != '/')
		return false;
	path += TCP_PATH_LEN;
	len -= TCP_PATH_LEN + 1;
	slash = memchr(path, '/', len);
	if (slash == NULL || !port_read(&first, path, (size_t)(slash - path)))
		return false;
	len -= (size_t)(slash - path) + 1;
	if (!port_read(&second, slash + 1, len))
		return false;
	*port = first;
	*source = second;
	return true;
}

size_t splice_path_write(char *out, size_t cap, uint16_t port, uint16_t source)
{
	struct buf b = buf_of(out, cap);

	buf_bytes(&b, TCP_PATH, TCP_PATH_LEN);
	decimal_write(&b, port);
	buf_u8(&b, '/');
	decimal_write(&b, source);
	buf_bytes(&b, "/", sizeof "/");
	return b.bad ? 0 : b.len - 1;
}

/* The characters as they are; false if one may not be in a host. */
static bool host_copy(char host[HOST_BYTES_MAX + 1], const char *text,
		      size_t len)
{
	if (len == 0 || len > HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_host_char(text[i]))
			return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return true;
}

bool authority_parse(char host[256], uint16_t *port, const char *text,
		     size_t len)
{
	const char *colon = memrchr(text, ':', len);
	char name[HOST_BYTES_MAX + 1];
	size_t host_len;
	bool is_bracketed;
	uint16_t number;

	if (colon == NULL || colon == text)
		return false;
	host_len = (size_t)(colon - text);
	if (!port_read(&number, colon + 1, len - host_len - 1))
		return false;
	is_bracketed =
		text[0] == '[' && text[host_len - 1] == ']' && host_len > 2;
	if (is_bracketed) {
		text++;
		host_len -= 2;
	}
	if (!host_copy(name, text, host_len) ||
	    is_bracketed != (strchr(name, ':') != NULL) ||
	    (is_bracketed && !is_ip6(name)))
		return false;
	memcpy(host, name, sizeof name);
	*port = number;
	return true;
}
