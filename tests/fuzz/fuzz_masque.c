/* What comes on an HTTP/3 connection: a byte that says as what, then an HTTP
 * datagram, capsules, a path or an authority. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/masque.h"
#include "tests/support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_datagram(const uint8_t *data, size_t len)
{
	uint8_t out[HTTP_DATAGRAM_HEADER_MAX];
	struct http_datagram d, again;
	size_t n;

	if (http_datagram_parse(&d, data, len) != MASQUE_OK)
		return;
	check(d.stream_id >= 0 && d.stream_id % 4 == 0);
	check(d.payload + d.len == data + len);
	n = http_datagram_header_write(out, d.stream_id, d.context);
	check(http_datagram_parse(&again, out, n) == MASQUE_OK);
	check(again.stream_id == d.stream_id && again.context == d.context);
}

static void fuzz_capsules(const uint8_t *data, size_t len)
{
	struct capsule_address addresses[4];
	struct capsule_route routes[4];
	struct capsule c;
	size_t used, n;

	while (capsule_parse(&c, data, len, &used) == MASQUE_OK) {
		check(used >= 2 && used <= len && c.len <= CAPSULE_BYTES_MAX);
		if (capsule_addresses_parse(addresses, 4, &n, &c) == MASQUE_OK)
			check(n <= 4);
		if (capsule_routes_parse(routes, 4, &n, &c) == MASQUE_OK) {
			check(n <= 4);
			for (size_t i = 0; i < n; i++)
				check(memcmp(routes[i].start.b, routes[i].end.b,
					     16) <= 0);
		}
		data += used;
		len -= used;
	}
}

static void check_host(const char host[256], uint16_t port)
{
	char path[1024], again[256];
	uint16_t port_again;
	size_t n;

	check(memchr(host, '\0', 256) != NULL && host[0] != '\0');
	check(port != 0);
	n = masque_udp_path_write(path, sizeof path, host, port);
	check(n != 0 && n == strlen(path));
	check(masque_udp_path_parse(again, &port_again, path, n));
	check(strcmp(host, again) == 0 && port == port_again);
}

static void check_splice(uint16_t port, uint16_t source)
{
	uint16_t port_again, source_again;
	char path[64];
	size_t n = splice_path_write(path, sizeof path, port, source);

	check(port != 0 && source != 0 && n != 0 && n == strlen(path));
	check(splice_path_parse(&port_again, &source_again, path, n));
	check(port == port_again && source == source_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data + 1;
	char host[256];
	uint16_t port, source;

	if (len == 0)
		return 0;
	switch (data[0]) {
	case 'd':
		fuzz_datagram(data + 1, len - 1);
		break;
	case 'c':
		fuzz_capsules(data + 1, len - 1);
		break;
	case 'p':
		if (masque_udp_path_parse(host, &port, text, len - 1))
			check_host(host, port);
		break;
	case 's':
		if (splice_path_parse(&port, &source, text, len - 1))
			check_splice(port, source);
		break;
	case 'a':
		if (authority_parse(host, &port, text, len - 1))
			check_host(host, port);
		break;
	default:
		break;
	}
	return 0;
}
