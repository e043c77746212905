#include "node/channel/dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

struct dgram {
	uv_udp_t uv;
	struct loop *loop;
	const struct dgram_events *ev;
	void *ctx;
	bool closed;
};

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void dgram_close(struct dgram *d)
{
	d->closed = true;
	uv_close((uv_handle_t *)&d->uv, freed);
}

static void read_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	/* Filled and handed to received() before anything else runs. */
	struct dgram *d = h->data;

	(void)suggested;
	*out = uv_buf_init((char *)loop_scratch(d->loop), LOOP_SCRATCH_BYTES);
}

static void received(uv_udp_t *uv, ssize_t n, const uv_buf_t *b,
		     const struct sockaddr *from, unsigned flags)
{
	struct dgram *d = uv->data;
	union endpoint e;

	loop_turn(d->loop);
	if (d->closed)
		return;
	if (n < 0) {
		d->ev->failed(d->ctx, (int)n);
		return;
	}
	/* Without an address it only says that there is no more. */
	if (from == NULL || (flags & UV_UDP_PARTIAL))
		return;
	memset(&e, 0, sizeof e);
	memcpy(&e, from,
	       from->sa_family == AF_INET6 ? sizeof e.in6 : sizeof e.in);
	d->ev->data(d->ctx, &e, (const uint8_t *)b->base, (size_t)n);
}

/* With a family there is a socket at once. */
static struct dgram *dgram_new(struct loop *l, int family,
			       const struct dgram_events *ev, void *ctx)
{
	struct dgram *d = mem_new(d);

	d->loop = l;
	d->ev = ev;
	d->ctx = ctx;
	uv_udp_init_ex(loop_uv(l), &d->uv, (unsigned)family);
	d->uv.data = d;
	return d;
}

static int start(struct dgram **out, struct dgram *d, int rv)
{
	if (rv == 0)
		rv = uv_udp_recv_start(&d->uv, read_room, received);
	if (rv < 0) {
		dgram_close(d);
		return rv;
	}
	*out = d;
	return 0;
}

int dgram_bind(struct dgram **out, struct loop *l, const union endpoint *at,
	       const struct dgram_events *ev, void *ctx)
{
	struct dgram *d = dgram_new(l, AF_UNSPEC, ev, ctx);

	return start(out, d, uv_udp_bind(&d->uv, &at->sa, 0));
}

int dgram_bind_overlay(struct dgram **out, struct loop *l,
		       const union endpoint *at, const struct dgram_events *ev,
		       void *ctx)
{
	struct dgram *d = dgram_new(l, AF_INET6, ev, ctx);
	int rv = loop_bind_free((uv_handle_t *)&d->uv);

	if (rv == 0)
		rv = uv_udp_bind(&d->uv, &at->sa, UV_UDP_IPV6ONLY);
	return start(out, d, rv);
}

int dgram_connect(struct dgram **out, struct loop *l, const union endpoint *to,
		  const struct dgram_events *ev, void *ctx)
{
	struct dgram *d = dgram_new(l, AF_UNSPEC, ev, ctx);

	return start(out, d, uv_udp_connect(&d->uv, &to->sa));
}

bool dgram_send(struct dgram *d, const union endpoint *to, const uint8_t *head,
		size_t head_len, const uint8_t *data, size_t len)
{
	const uv_buf_t b[] = { uv_buf_init((char *)head, (unsigned)head_len),
			       uv_buf_init((char *)data, (unsigned)len) };

	return uv_udp_try_send(&d->uv, b, 2, to != NULL ? &to->sa : NULL) >= 0;
}

bool dgram_local(const struct dgram *d, union endpoint *out)
{
	int len = sizeof *out;

	memset(out, 0, sizeof *out);
	return uv_udp_getsockname(&d->uv, &out->sa, &len) == 0;
}
