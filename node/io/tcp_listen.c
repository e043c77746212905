#include <stdlib.h>
#include <string.h>

#include "node/io/tcp.h"
#include "proto/base/mem.h"

enum {
	BACKLOG = 511
};

struct tcp_listener {
	uv_tcp_t uv;
	struct loop *loop;
	tcp_accepted *accepted;
	void *ctx;
	bool closed;
};

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void tcp_listener_close(struct tcp_listener *tl)
{
	if (tl == NULL)
		return;
	tl->closed = true;
	uv_close((uv_handle_t *)&tl->uv, freed);
}

static void incoming(uv_stream_t *server, int status)
{
	struct tcp_listener *tl = server->data;
	struct tcp *t;

	loop_turn(tl->loop);
	if (status < 0 || tl->closed)
		return;
	t = tcp_accept(tl->loop, server);
	if (t != NULL)
		tl->accepted(tl->ctx, t);
}

int tcp_listen(struct tcp_listener **out, struct loop *l,
	       const union endpoint *at, bool overlay, tcp_accepted *accepted,
	       void *ctx)
{
	struct tcp_listener *tl = mem_new(tl);
	int rv;

	tl->loop = l;
	tl->accepted = accepted;
	tl->ctx = ctx;
	rv = uv_tcp_init_ex(loop_uv(l), &tl->uv, at->sa.sa_family);
	if (rv < 0) {
		free(tl);
		return rv;
	}
	tl->uv.data = tl;
	if (overlay)
		rv = loop_bind_free((uv_handle_t *)&tl->uv);
	if (rv == 0)
		rv = uv_tcp_bind(&tl->uv, &at->sa,
				 overlay ? UV_TCP_IPV6ONLY : 0);
	if (rv == 0)
		rv = uv_listen((uv_stream_t *)&tl->uv, BACKLOG, incoming);
	if (rv < 0) {
		tcp_listener_close(tl);
		return rv;
	}
	*out = tl;
	return 0;
}

bool tcp_listener_local(const struct tcp_listener *tl, union endpoint *out)
{
	int len = sizeof *out;

	memset(out, 0, sizeof *out);
	return uv_tcp_getsockname(&tl->uv, &out->sa, &len) == 0;
}
