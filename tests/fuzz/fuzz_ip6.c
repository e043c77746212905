/* A packet from the TUN, and the errors about it. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/icmp6.h"
#include "tests/support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_error(const uint8_t *data, size_t len, enum icmp6_error e)
{
	static const struct addr from = { .b = { 0xfd, 0xcc, [15] = 1 } };
	uint8_t out[ICMP6_ERROR_BYTES_MAX], again[ICMP6_ERROR_BYTES_MAX];
	size_t n = icmp6_error_write(out, e, 1280, &from, data, len);
	uint8_t type;

	if (n == 0)
		return;
	check(n >= 48 && n <= sizeof out);
	check(len > n - 48 ? n == sizeof out : n == 48 + len);
	check(memcmp(out + 48, data, n - 48) == 0);
	check(ip6_is_icmp(out, n, &type) && type < 128);
	/* An error about an error would never end. */
	check(icmp6_error_write(again, e, 1280, &from, out, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint16_t src, dst;
	uint8_t proto, type;
	struct ip6 h;

	if (ip6_parse(&h, data, len) == IP6_OK) {
		check(h.len == len && h.hop_limit > 1);
		check(h.src.b[0] != 0xff && h.dst.b[0] != 0xff);
	}
	for (int e = ICMP6_NO_ROUTE; e <= ICMP6_HOP_LIMIT; e++)
		check_error(data, len, (enum icmp6_error)e);
	if (ip6_ports(data, len, &proto, &src, &dst))
		check(proto == 6 || proto == 17);
	if (ip6_is_icmp(data, len, &type))
		check(len >= 48);
	return 0;
}
