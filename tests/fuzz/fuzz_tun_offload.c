/* First byte: 0 cuts what follows (a virtio_net_hdr and a packet), else it is
 * taken as packets of up to that many bytes that are put together. */
#include <assert.h>
#include <string.h>

#include "node/tun/tun_offload.h"

static void cut(const uint8_t *data, size_t len)
{
	static uint8_t packet[TUN_PACKET_MAX], out[16384];
	struct virtio_net_hdr h;
	struct tun_split s;
	size_t n, total = 0;

	if (len < sizeof h || len - sizeof h > sizeof packet)
		return;
	memcpy(&h, data, sizeof h);
	len -= sizeof h;
	memcpy(packet, data + sizeof h, len);
	if (!tun_split_begin(&s, &h, packet, len))
		return;
	for (; !tun_split_is_done(&s); tun_split_advance(&s)) {
		if (tun_split_get(&s, out, sizeof out, &n) == NULL)
			return;
		assert(n > s.n_headers);
		total += n - s.n_headers;
	}
	assert(total == len - s.n_headers);
}

static void put_together(const uint8_t *data, size_t len, size_t each)
{
	static struct tun_merge m;
	struct virtio_net_hdr h;

	m.len = 0;
	while (len > 0) {
		size_t n = len < each ? len : each;
		bool can = tun_merge_can(data, n, true);

		if (tun_merge_add(&m, data, n) == TUN_MERGED) {
			assert(can);
		} else if (m.len > 0) {
			assert(tun_merge_take(&m, &h) <= TUN_PACKET_MAX);
			assert((tun_merge_add(&m, data, n) == TUN_MERGED) ==
			       can);
		}
		data += n;
		len -= n;
	}
	if (m.len > 0)
		assert(tun_merge_take(&m, &h) <= TUN_PACKET_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] == 0)
		cut(data + 1, len - 1);
	else
		put_together(data + 1, len - 1, data[0]);
	return 0;
}
