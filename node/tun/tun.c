#include "node/tun/tun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include "node/tun/tun_offload.h"
#include "node/tun/tun_write.h"
#include "node/io/udp.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

enum {
	PACKET_BYTES = TUN_PACKET_MAX + 1,
	FRONT_BYTES = 16,    /* for the kernel's header, and a packet aligned */
	PIECE_BYTES = 16384, /* over any MTU that a TUN of ours may have */
	LARGE_BYTES = 16384, /* of what is written back: counts as one more */
};

struct tun {
	struct watch watch;
	struct loop *loop;
	struct dests *dests;
	const struct services *services;
	int fd;
	bool has_vnet;
	struct splicer *splicer; /* NULL: all goes as packets */
	struct tun_ip ip;
	struct tun_counts counts;
	struct node_id peer;    /* where `split` goes */
	struct tun_split split; /* what was read last */
	bool is_held;           /* its next piece is blocked */
	struct timer patience;
	size_t n_stuck;
	struct node_id stuck[TUN_STUCK_MAX]; /* oldest first */
	uint8_t *packet; /* what was read last, in `frame` */
	uint8_t frame[FRONT_BYTES + PACKET_BYTES];
	uint8_t piece[PIECE_BYTES];
	struct tun_writer writer;
};

/* ---- towards the app ---- */

void tun_flush(struct tun *t)
{
	if (t != NULL)
		tun_write_flush(&t->writer);
}

static void unreachable(void *ctx, const uint8_t *packet, size_t len);

static void tell_app(struct tun *t, enum icmp6_error error, size_t mtu,
		     const uint8_t *packet, size_t len)
{
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	size_t n = tun_ip_answer(&t->ip, out, TUN_OUT, error, mtu, &t->ip.self,
				 packet, len, loop_now(t->loop));

	if (n > 0)
		tun_write_packet(&t->writer, out, n);
}

/* ---- flows that end here ---- */

static void write_for_splicer(void *ctx, const uint8_t *packet, size_t len)
{
	struct tun *t = ctx;

	tun_write_packet(&t->writer, packet, len);
}

static void pass_for_splicer(void *ctx, const struct node_id *peer,
			     const uint8_t *packet, size_t len)
{
	struct tun *t = ctx;
	size_t mtu;

	/* Without room it is lost, and comes again. */
	if (dest_packet(t->dests, peer, packet, len, &mtu) == DEST_UNREACHABLE)
		unreachable(t, packet, len);
}

const struct splicer_io tun_splicer_io = {
	.write = write_for_splicer,
	.pass = pass_for_splicer,
	.unreachable = unreachable,
};

void tun_set_splicer(struct tun *t, struct splicer *sp)
{
	t->splicer = sp;
}

/* False: it goes as a packet, whose checksum is complete now. */
static bool begin_splice(struct tun *t, struct virtio_net_hdr *h, size_t len)
{
	static const struct virtio_net_hdr plain;

	if (!tun_split_begin(&t->split, h, t->packet, len) ||
	    tun_split_n(&t->split) != 1)
		return false;
	*h = plain;
	return splicer_begin(t->splicer, &t->peer, t->packet, len);
}

static void write_back(struct tun *t, const struct virtio_net_hdr *h,
		       size_t len)
{
	size_t n = h->gso_size != 0 ? (len + h->gso_size - 1) / h->gso_size : 1;

	t->counts.n_read += n;
	if (n > 1)
		t->counts.n_read_large++;
	if (!tun_write_behind(&t->writer, h, t->packet, len)) {
		t->counts.n_write_failed += n;
		return;
	}
	t->counts.n_written += n;
	if (n > 1)
		t->counts.n_written_large++;
}

/* True: the packet in `t->packet`, for `t->peer`, is done with. */
static bool try_splice(struct tun *t, struct virtio_net_hdr *h, size_t len)
{
	const bool is_partial = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
	static const struct virtio_net_hdr plain;

	switch (splicer_out(t->splicer, &t->peer, t->packet, &len,
			    is_partial)) {
	case TUN_SPLICE_BEGINS:
		return begin_splice(t, h, len);
	case TUN_SPLICE_BACK:
		write_back(t, h, len);
		return true;
	case TUN_SPLICE_LETS_IN:
		write_back(t, &plain, len);
		return true;
	case TUN_SPLICE_DROP:
		return true;
	case TUN_SPLICE_NONE:
		break;
	}
	return false;
}

/* ---- stuck nodes ---- */

static size_t stuck_find(const struct tun *t, const struct node_id *id)
{
	size_t i = 0;

	while (i < t->n_stuck && !id_equal(&t->stuck[i], id))
		i++;
	return i;
}

static void stuck_remove(struct tun *t, size_t i)
{
	if (i == t->n_stuck)
		return;
	t->n_stuck--;
	memmove(&t->stuck[i], &t->stuck[i + 1],
		(t->n_stuck - i) * sizeof t->stuck[0]);
}

static void stuck_add(struct tun *t, const struct node_id *id)
{
	if (t->n_stuck == TUN_STUCK_MAX)
		stuck_remove(t, 0);
	t->stuck[t->n_stuck++] = *id;
}

/* Its channel may have lost its path, or be gone. */
static void patience_ends(struct timer *timer)
{
	struct tun *t = container_of(timer, struct tun, patience);

	stuck_add(t, &t->peer);
	t->counts.n_stuck++;
	t->is_held = false;
	watch_change(&t->watch, UV_READABLE);
}

/* ---- out ---- */

static void hold(struct tun *t)
{
	struct loop *l = t->loop;

	t->is_held = true;
	t->counts.n_blocked++;
	/* From the first time on: other nodes' news do not renew it. */
	if (t->patience.index == 0)
		loop_timer_set(l, &t->patience, loop_now(l) + TUN_PATIENCE_NS);
}

enum sent {
	SENT,
	SENT_NOT_YET, /* there is no room: the piece is held */
	SENT_NEVER,   /* nor will the pieces behind it be */
};

static enum sent send_piece(struct tun *t, const uint8_t *packet, size_t len)
{
	size_t mtu = 0;

	switch (dest_packet(t->dests, &t->peer, packet, len, &mtu)) {
	case DEST_SENT:
		stuck_remove(t, stuck_find(t, &t->peer));
		return SENT;
	case DEST_BLOCKED:
		if (stuck_find(t, &t->peer) == t->n_stuck) {
			hold(t);
			return SENT_NOT_YET;
		}
		t->counts.n_stuck++;
		break;
	case DEST_TOO_BIG:
		t->counts.n_too_big++;
		tell_app(t, ICMP6_TOO_BIG, mtu, packet, len);
		break;
	case DEST_UNREACHABLE:
		t->counts.n_unreachable++;
		tell_app(t, ICMP6_ADDRESS_UNREACHABLE, 0, packet, len);
		break;
	}
	return SENT_NEVER;
}

/* False: there is no room, the rest is held. */
static bool send_pieces(struct tun *t, size_t *n)
{
	while (!tun_split_is_done(&t->split)) {
		size_t len;
		const uint8_t *packet = tun_split_get(&t->split, t->piece,
						      sizeof t->piece, &len);
		enum sent sent;

		if (packet == NULL) {
			t->counts.n_malformed++;
			return true;
		}
		sent = send_piece(t, packet, len);
		if (sent == SENT_NOT_YET)
			return false;
		if (sent == SENT_NEVER)
			return true;
		tun_split_advance(&t->split);
		++*n;
	}
	return true;
}

/* False: stop reading. */
static bool handle_packet(struct tun *t, struct virtio_net_hdr *h, size_t len,
			  size_t *n)
{
	enum tun_verdict verdict;
	enum icmp6_error error;

	verdict =
		tun_ip_out(&t->ip, t->packet, len, loop_now(t->loop), &t->peer);
	if (verdict != TUN_PASS) {
		t->counts.n_read++;
		if (tun_ip_error_of(&error, TUN_OUT, verdict))
			tell_app(t, error, 0, t->packet, len);
		return true;
	}
	if (t->splicer != NULL && try_splice(t, h, len)) {
		*n += 1 + len / LARGE_BYTES;
		return true;
	}
	if (!tun_split_begin(&t->split, h, t->packet, len)) {
		t->counts.n_malformed++;
		return true;
	}
	t->counts.n_read += tun_split_n(&t->split);
	if (tun_split_n(&t->split) > 1)
		t->counts.n_read_large++;
	return send_pieces(t, n);
}

/* The device is gone: it would stay readable, and the loop spin. */
static void lost(int error)
{
	log_error("tun lost, only SOCKS works until a restart: error=%s",
		  strerror(error));
}

static ssize_t read_behind(struct tun *t, struct virtio_net_hdr *h)
{
	uint8_t *behind = t->packet - sizeof *h;
	ssize_t n;

	/* One piece: to read into two costs half as much again. */
	if (!t->has_vnet)
		return read(t->fd, t->packet, TUN_PACKET_MAX);
	n = read(t->fd, behind, sizeof *h + TUN_PACKET_MAX);
	if (n <= 0)
		return n;
	memcpy(h, behind, sizeof *h);
	return n > (ssize_t)sizeof *h ? n - (ssize_t)sizeof *h : 0;
}

/* False: there is no room for more, or nothing will come. */
static bool read_batch(struct tun *t)
{
	size_t n_pieces = 0;

	for (int i = 0; i < TUN_BATCH && n_pieces < TUN_BATCH; i++) {
		struct virtio_net_hdr h = { 0 };
		ssize_t n = read_behind(t, &h);

		if (n <= 0) {
			if (n == 0 || errno == EAGAIN || errno == EINTR)
				return true;
			lost(errno);
			return false;
		}
		if (!handle_packet(t, &h, (size_t)n, &n_pieces))
			return false;
	}
	return true;
}

static void read_packets(struct watch *w, int events)
{
	struct tun *t = container_of(w, struct tun, watch);

	(void)events;
	if (!read_batch(t))
		watch_change(w, 0);
}

static void unblocked(void *ctx)
{
	struct tun *t = ctx;
	size_t n = 0;

	if (!t->is_held)
		return;
	t->is_held = false;
	if (!send_pieces(t, &n))
		return;
	loop_timer_set(t->loop, &t->patience, TIME_NEVER);
	/* At once, so that what is sent in a turn is more than the rest of one
	 * large packet. */
	if (read_batch(t))
		watch_change(&t->watch, UV_READABLE);
}

/* ---- in ---- */

/* The peer's app sees a refusal at once. */
static void tell_peer(struct tun *t, const struct node_id *peer,
		      enum icmp6_error error, const uint8_t *packet, size_t len)
{
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	struct addr to = addr_of(&t->ip.net, peer);
	size_t n = tun_ip_answer(&t->ip, out, TUN_IN, error, 0, &to, packet,
				 len, loop_now(t->loop));
	size_t mtu;

	if (n > 0)
		dest_packet(t->dests, peer, out, n, &mtu);
}

/* RFC 6040 4.2: who knows no marks is told by a loss.  That the channel knows
 * is not enough: its window says nothing to an app which fills it. */
static void write_marked(struct tun *t, const uint8_t *packet, size_t len)
{
	uint8_t copy[UDP_PAYLOAD_MAX];

	memcpy(copy, packet, len < sizeof copy ? len : sizeof copy);
	if (len > sizeof copy || !ip6_mark(copy)) {
		t->counts.n_unmarkable++;
		return;
	}
	t->counts.n_marked++;
	tun_write_merged(&t->writer, copy, len);
}

static void packet_in(void *ctx, const struct node_id *peer,
		      const uint8_t *packet, size_t len, bool is_marked)
{
	struct tun *t = ctx;
	enum icmp6_error error;
	enum tun_verdict verdict =
		tun_ip_in(&t->ip, peer, packet, len, loop_now(t->loop));

	if (verdict == TUN_PASS && t->splicer != NULL &&
	    splicer_claims(t->splicer, peer, packet, len))
		return;
	if (verdict == TUN_PASS && is_marked)
		write_marked(t, packet, len);
	else if (verdict == TUN_PASS)
		tun_write_merged(&t->writer, packet, len);
	else if (tun_ip_error_of(&error, TUN_IN, verdict))
		tell_peer(t, peer, error, packet, len);
}

static void unreachable(void *ctx, const uint8_t *packet, size_t len)
{
	struct tun *t = ctx;

	t->counts.n_unreachable++;
	tell_app(t, ICMP6_ADDRESS_UNREACHABLE, 0, packet, len);
}

static void too_big(void *ctx, const uint8_t *packet, size_t len, size_t mtu)
{
	struct tun *t = ctx;

	t->counts.n_too_big++;
	tell_app(t, ICMP6_TOO_BIG, mtu, packet, len);
}

static const struct dest_packet_events events = {
	.packet = packet_in,
	.too_big = too_big,
	.unreachable = unreachable,
	.unblocked = unblocked,
};

/* ---- */

static bool allow(void *ctx, const struct node_id *peer, uint8_t proto,
		  uint16_t port)
{
	const struct tun *t = ctx;

	return t->services != NULL &&
	       services_allow(t->services, peer, proto, port);
}

struct tun *tun_new(struct loop *l, int fd, bool has_vnet, struct dests *d,
		    const struct services *services,
		    const struct overlay_net *net, const struct node_id *self)
{
	struct tun *t = mem_new(t);
	uint8_t hash_key[16];

	if (getrandom(hash_key, sizeof hash_key, 0) != sizeof hash_key)
		abort();
	t->loop = l;
	t->fd = fd;
	t->packet = t->frame + FRONT_BYTES;
	t->has_vnet = has_vnet;
	t->writer.fd = fd;
	t->writer.has_vnet = has_vnet;
	t->writer.counts = &t->counts;
	t->dests = d;
	t->services = services;
	tun_ip_init(&t->ip, net, self, hash_key, allow, t, loop_now(l));
	t->watch.ready = read_packets;
	t->patience.fire = patience_ends;
	if (watch_start(l, &t->watch, fd, UV_READABLE) < 0) {
		tun_ip_deinit(&t->ip);
		free(t);
		return NULL;
	}
	dest_set_packet_events(d, &events, t);
	return t;
}

void tun_set_uso(struct tun *t, bool has_uso)
{
	t->writer.has_uso = has_uso;
}

static void freed(uv_handle_t *h)
{
	struct watch *w = h->data;
	struct tun *t = container_of(w, struct tun, watch);

	close(t->fd);
	tun_ip_deinit(&t->ip);
	free(t);
}

static void ignore_packet(void *ctx, const struct node_id *peer,
			  const uint8_t *packet, size_t len, bool is_marked)
{
	(void)is_marked;
	(void)ctx;
	(void)peer;
	(void)packet;
	(void)len;
}

static void ignore_unreachable(void *ctx, const uint8_t *packet, size_t len)
{
	(void)ctx;
	(void)packet;
	(void)len;
}

static void ignore_unblocked(void *ctx)
{
	(void)ctx;
}

static void ignore_too_big(void *ctx, const uint8_t *packet, size_t len,
			   size_t mtu)
{
	(void)ctx;
	(void)packet;
	(void)len;
	(void)mtu;
}

/* Without a TUN packets go nowhere. */
static const struct dest_packet_events no_events = {
	.packet = ignore_packet,
	.too_big = ignore_too_big,
	.unreachable = ignore_unreachable,
	.unblocked = ignore_unblocked,
};

/* Nobody reads here any more: what the splicer's sockets have just sent. */
static void write_resets(struct tun *t)
{
	for (int i = 0; i < 2 * SPLICE_FLOWS_MAX; i++) {
		struct virtio_net_hdr h = { 0 };
		ssize_t n = read_behind(t, &h);

		if (n <= 0)
			return;
		if (tun_ip_out(&t->ip, t->packet, (size_t)n, loop_now(t->loop),
			       &t->peer) == TUN_PASS)
			try_splice(t, &h, (size_t)n);
	}
}

void tun_free(struct tun *t)
{
	if (t == NULL)
		return;
	if (t->splicer != NULL)
		write_resets(t);
	dest_set_packet_events(t->dests, &no_events, NULL);
	loop_timer_set(t->loop, &t->patience, TIME_NEVER);
	watch_stop(&t->watch, freed);
}

const struct tun_counts *tun_counts(const struct tun *t)
{
	return &t->counts;
}

const struct tun_ip *tun_checks(const struct tun *t)
{
	return &t->ip;
}
