/* What a SOCKS client sends, taken for each of its messages. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/socks5.h"
#include "tests/support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_address(const struct socks_address *a)
{
	uint8_t out[SOCKS_REPLY_BYTES_MAX];
	struct socks_datagram d;
	size_t n;

	check(memchr(a->domain, '\0', sizeof a->domain) != NULL);
	check(a->type != SOCKS_DOMAIN || a->domain[0] != '\0');
	n = socks_datagram_header_write(out, a);
	check(n <= sizeof out);
	check(socks_datagram_parse(&d, out, n) == SOCKS_OK);
	check(d.address.type == a->type && d.address.port == a->port);
	check(memcmp(d.address.ip, a->ip, sizeof a->ip) == 0);
	check(strcmp(d.address.domain, a->domain) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct socks_credentials c;
	struct socks_greeting g;
	struct socks_datagram d;
	struct socks_request r;
	size_t used = 0;

	if (socks_greeting_parse(&g, data, len, &used) == SOCKS_OK) {
		check(used >= 3 && used <= len);
		data += used;
		len -= used;
	}
	if (socks_credentials_parse(&c, data, len, &used) == SOCKS_OK) {
		check(used >= 3 && used <= len);
		check(used == 3 + strlen(c.user) + strlen(c.password));
		data += used;
		len -= used;
	}
	if (socks_request_parse(&r, data, len, &used) == SOCKS_OK) {
		check(used >= 8 && used <= len);
		check(r.command >= SOCKS_CONNECT &&
		      r.command <= SOCKS_UDP_ASSOCIATE);
		check_address(&r.address);
	}
	if (socks_datagram_parse(&d, data, len) == SOCKS_OK) {
		check(d.payload + d.len == data + len);
		check_address(&d.address);
	}
	return 0;
}
