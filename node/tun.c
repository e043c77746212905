#include "node/tun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	PACKET_BYTES = 65536
};

struct tun {
	struct watch watch;
	struct loop *loop;
	struct dests *dests;
	const struct services *services;
	int fd;
	struct tun_ip ip;
	struct tun_counts counts;
	struct node_id held_for;
	size_t held; /* length of the packet in `packet` that is blocked */
	struct timer patience;
	size_t n_stuck;
	struct node_id stuck[TUN_STUCK_MAX]; /* oldest first */
	uint8_t packet[PACKET_BYTES];
};

/* ---- towards the app ---- */

static void write_packet(struct tun *t, const uint8_t *packet, size_t len)
{
	if (write(t->fd, packet, len) == (ssize_t)len)
		t->counts.n_written++;
	else
		t->counts.n_write_failed++;
}

static void tell_app(struct tun *t, enum icmp6_error error, size_t mtu,
		     const uint8_t *packet, size_t len)
{
	uint8_t out[ICMP6_ERROR_BYTES_MAX];
	size_t n = tun_ip_answer(&t->ip, out, TUN_OUT, error, mtu, &t->ip.self,
				 packet, len, loop_now(t->loop));

	if (n > 0)
		write_packet(t, out, n);
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

	stuck_add(t, &t->held_for);
	t->counts.n_stuck++;
	t->held = 0;
	watch_change(&t->watch, UV_READABLE);
}

/* ---- out ---- */

static void hold_packet(struct tun *t, const struct node_id *peer, size_t len)
{
	struct loop *l = t->loop;

	t->held = len;
	t->held_for = *peer;
	t->counts.n_blocked++;
	/* From the first time on: other nodes' news do not renew it. */
	if (t->patience.index == 0)
		loop_timer_set(l, &t->patience, loop_now(l) + TUN_PATIENCE_NS);
}

/* False: there is no room, the packet is held. */
static bool send_packet(struct tun *t, const struct node_id *peer, size_t len)
{
	size_t mtu = 0;

	switch (dest_packet(t->dests, peer, t->packet, len, &mtu)) {
	case DEST_SENT:
		stuck_remove(t, stuck_find(t, peer));
		break;
	case DEST_BLOCKED:
		if (stuck_find(t, peer) == t->n_stuck) {
			hold_packet(t, peer, len);
			return false;
		}
		t->counts.n_stuck++;
		break;
	case DEST_TOO_BIG:
		t->counts.n_too_big++;
		tell_app(t, ICMP6_TOO_BIG, mtu, t->packet, len);
		break;
	case DEST_UNREACHABLE:
		t->counts.n_unreachable++;
		tell_app(t, ICMP6_ADDRESS_UNREACHABLE, 0, t->packet, len);
		break;
	}
	return true;
}

/* False: stop reading. */
static bool handle_packet(struct tun *t, size_t len)
{
	enum tun_verdict verdict;
	enum icmp6_error error;
	struct node_id peer;

	t->counts.n_read++;
	verdict = tun_ip_out(&t->ip, t->packet, len, loop_now(t->loop), &peer);
	if (verdict == TUN_PASS)
		return send_packet(t, &peer, len);
	if (tun_ip_error_of(&error, TUN_OUT, verdict))
		tell_app(t, error, 0, t->packet, len);
	return true;
}

/* The device is gone: it would stay readable, and the loop spin. */
static void lost(struct tun *t, int error)
{
	watch_change(&t->watch, 0);
	log_error("tun lost, only SOCKS works until a restart: error=%s",
		  strerror(error));
}

static void read_packets(struct watch *w, int events)
{
	struct tun *t = container_of(w, struct tun, watch);

	(void)events;
	for (int i = 0; i < TUN_BATCH; i++) {
		ssize_t n = read(t->fd, t->packet, sizeof t->packet);

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				lost(t, errno);
			return;
		}
		if (!handle_packet(t, (size_t)n)) {
			watch_change(w, 0);
			return;
		}
	}
}

static void unblocked(void *ctx)
{
	struct tun *t = ctx;
	size_t len = t->held;

	if (len == 0)
		return;
	t->held = 0;
	if (!send_packet(t, &t->held_for, len))
		return;
	loop_timer_set(t->loop, &t->patience, TIME_NEVER);
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

static void packet_in(void *ctx, const struct node_id *peer,
		      const uint8_t *packet, size_t len)
{
	struct tun *t = ctx;
	enum icmp6_error error;
	enum tun_verdict verdict =
		tun_ip_in(&t->ip, peer, packet, len, loop_now(t->loop));

	if (verdict == TUN_PASS)
		write_packet(t, packet, len);
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

struct tun *tun_new(struct loop *l, int fd, struct dests *d,
		    const struct services *services,
		    const struct overlay_net *net, const struct node_id *self)
{
	struct tun *t = mem_new(t);
	uint8_t hash_key[16];

	if (getrandom(hash_key, sizeof hash_key, 0) != sizeof hash_key)
		abort();
	t->loop = l;
	t->fd = fd;
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

static void freed(uv_handle_t *h)
{
	struct watch *w = h->data;
	struct tun *t = container_of(w, struct tun, watch);

	close(t->fd);
	tun_ip_deinit(&t->ip);
	free(t);
}

static void ignore_packet(void *ctx, const struct node_id *peer,
			  const uint8_t *packet, size_t len)
{
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

void tun_free(struct tun *t)
{
	if (t == NULL)
		return;
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
