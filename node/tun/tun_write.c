#include "node/tun/tun_write.h"

#include <sys/uio.h>

bool tun_write_behind(struct tun_writer *w, const struct virtio_net_hdr *h,
		      const uint8_t *packet, size_t len)
{
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)h, sizeof *h },
		{ (void *)(uintptr_t)packet, len },
	};
	int skip = w->has_vnet ? 0 : 1;

	return writev(w->fd, iov + skip, 2 - skip) ==
	       (ssize_t)(len + (w->has_vnet ? sizeof *h : 0));
}

void tun_write_packet(struct tun_writer *w, const uint8_t *packet, size_t len)
{
	static const struct virtio_net_hdr plain;

	if (tun_write_behind(w, &plain, packet, len))
		w->counts->n_written++;
	else
		w->counts->n_write_failed++;
}

static void write_merge(struct tun_writer *w, struct tun_merge *m)
{
	size_t n_pieces = m->n_pieces;
	struct virtio_net_hdr h;
	size_t len = tun_merge_take(m, &h);

	if (!tun_write_behind(w, &h, m->packet, len)) {
		w->counts->n_write_failed += n_pieces;
		return;
	}
	w->counts->n_written += n_pieces;
	if (n_pieces > 1)
		w->counts->n_written_large++;
}

void tun_write_flush(struct tun_writer *w)
{
	for (size_t i = 0; i < TUN_MERGES; i++)
		if (w->merges[i].len > 0)
			write_merge(w, &w->merges[i]);
}

static struct tun_merge *merge_free(struct tun_writer *w)
{
	struct tun_merge *m;

	for (size_t i = 0; i < TUN_MERGES; i++)
		if (w->merges[i].len == 0)
			return &w->merges[i];
	m = &w->merges[w->next_merge++ % TUN_MERGES];
	write_merge(w, m);
	return m;
}

/* Packets of a flow stay in their order. */
void tun_write_merged(struct tun_writer *w, const uint8_t *packet, size_t len)
{
	for (size_t i = 0; w->has_vnet && i < TUN_MERGES; i++) {
		struct tun_merge *m = &w->merges[i];

		if (m->len == 0)
			continue;
		switch (tun_merge_add(m, packet, len)) {
		case TUN_MERGED:
			return;
		case TUN_MUST_FLUSH:
			write_merge(w, m);
			break;
		case TUN_OTHER:
			break;
		}
	}
	if (w->has_vnet && tun_merge_can(packet, len, w->has_uso))
		tun_merge_add(merge_free(w), packet, len);
	else
		tun_write_packet(w, packet, len);
}
