/* SOCKS5 UDP ASSOCIATE: one local socket, one stream per target.  RFC 1928 7 */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "node/socks/socks_impl.h"
#include "node/io/tcp.h"
#include "proto/base/mem.h"

struct waiting {
	size_t len;
	uint8_t data[];
};

struct flow {
	struct flow *prev, *next; /* the one used last comes first */
	struct socks_udp *udp;
	struct socks_address address; /* as the client wrote it */
	struct stream *stream;        /* NULL: failed a moment ago */
	bool is_open;
	size_t n_waiting;
	struct waiting *waiting[SOCKS_FLOW_WAIT_MAX];
	struct timer idle;
	nsec moved;
};

struct socks_udp {
	struct socks_env *env;
	struct dest_tag tag;
	struct dgram *dgram;
	union endpoint client;
	bool is_pinned; /* the client's port is known */
	size_t n_flows;
	struct flow *flows;
};

/* ---- flows ---- */

static void drop_waiting(struct flow *f)
{
	f->udp->env->counts.n_datagrams_dropped += f->n_waiting;
	while (f->n_waiting > 0)
		free(f->waiting[--f->n_waiting]);
}

static void flow_remove(struct flow *f)
{
	struct socks_udp *u = f->udp;

	if (f->stream != NULL)
		stream_close(f->stream, STREAM_OK);
	drop_waiting(f);
	loop_timer_set(u->env->loop, &f->idle, TIME_NEVER);
	DL_DELETE(u->flows, f);
	u->n_flows--;
	free(f);
}

static void flow_fired(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, idle);
	struct loop *l = f->udp->env->loop;
	nsec due = f->moved + SOCKS_FLOW_IDLE_NS;

	if (f->stream != NULL && loop_now(l) < due)
		loop_timer_set(l, t, due);
	else
		flow_remove(f);
}

static void flow_send(struct flow *f, const uint8_t *data, size_t len)
{
	struct socks_counts *n = &f->udp->env->counts;

	if (len <= stream_datagram_max(f->stream) &&
	    stream_write(f->stream, data, len) == len)
		n->n_datagrams_out++;
	else
		n->n_datagrams_dropped++;
}

static void flow_wait(struct flow *f, const uint8_t *data, size_t len)
{
	struct waiting *w;

	if (f->n_waiting == SOCKS_FLOW_WAIT_MAX) {
		f->udp->env->counts.n_datagrams_dropped++;
		return;
	}
	w = mem_calloc(1, sizeof *w + len);
	w->len = len;
	memcpy(w->data, data, len);
	f->waiting[f->n_waiting++] = w;
}

static void opened(void *ctx)
{
	struct flow *f = ctx;

	f->is_open = true;
	for (size_t i = 0; i < f->n_waiting; i++) {
		flow_send(f, f->waiting[i]->data, f->waiting[i]->len);
		free(f->waiting[i]);
	}
	f->n_waiting = 0;
}

static void stream_data(void *ctx, const uint8_t *data, size_t len)
{
	struct flow *f = ctx;
	struct socks_udp *u = f->udp;
	uint8_t head[SOCKS_REPLY_BYTES_MAX];
	size_t head_len = socks_datagram_header_write(head, &f->address);

	f->moved = loop_now(u->env->loop);
	if (dgram_send(u->dgram, &u->client, head, head_len, data, len))
		u->env->counts.n_datagrams_in++;
	else
		u->env->counts.n_datagrams_dropped++;
}

static void stream_ended(void *ctx)
{
	(void)ctx; /* `closed` follows */
}

static void stream_writable(void *ctx)
{
	(void)ctx; /* what did not fit is gone */
}

/* Stays for a moment, so that the app's next datagrams do not each ask the far
 * end again. */
static void closed(void *ctx, enum stream_error why)
{
	struct flow *f = ctx;
	struct loop *l = f->udp->env->loop;

	(void)why;
	f->stream = NULL;
	f->is_open = false;
	drop_waiting(f);
	loop_timer_set(l, &f->idle, loop_now(l) + SOCKS_FLOW_DEAD_NS);
}

static const struct stream_events stream_side = {
	.opened = opened,
	.data = stream_data,
	.ended = stream_ended,
	.writable = stream_writable,
	.closed = closed,
};

static bool address_equal(const struct socks_address *a,
			  const struct socks_address *b)
{
	return a->type == b->type && a->port == b->port &&
	       memcmp(a->ip, b->ip, sizeof a->ip) == 0 &&
	       strcmp(a->domain, b->domain) == 0;
}

static struct flow *flow_find(struct socks_udp *u,
			      const struct socks_address *a)
{
	struct flow *f;

	DL_FOREACH (u->flows, f) {
		if (!address_equal(&f->address, a))
			continue;
		DL_DELETE(u->flows, f);
		DL_PREPEND(u->flows, f);
		return f;
	}
	return NULL;
}

static struct flow *flow_new(struct socks_udp *u, const struct socks_address *a,
			     const struct socks_target *target)
{
	struct flow *f = mem_new(f);
	nsec now = loop_now(u->env->loop);

	if (u->n_flows == SOCKS_FLOWS_MAX)
		flow_remove(u->flows->prev);
	u->n_flows++;
	DL_PREPEND(u->flows, f);
	f->udp = u;
	f->address = *a;
	f->moved = now;
	f->idle.fire = flow_fired;
	loop_timer_set(u->env->loop, &f->idle, now + SOCKS_FLOW_IDLE_NS);
	f->stream = socks_target_stream(u->env, target, &u->tag, STREAM_UDP,
					&stream_side, f);
	return f;
}

/* ---- the client ---- */

/* From the address of the control connection, and always from one port. */
static bool is_client(struct socks_udp *u, const union endpoint *from)
{
	union endpoint e = *from;

	if (!u->is_pinned) {
		if (e.sa.sa_family == AF_INET6)
			e.in6.sin6_port = u->client.in6.sin6_port;
		else
			e.in.sin_port = u->client.in.sin_port;
	}
	if (!endpoint_equal(&e, &u->client))
		return false;
	u->client = *from;
	u->is_pinned = true;
	return true;
}

static struct flow *flow_for(struct socks_udp *u, const struct socks_address *a)
{
	struct flow *f = flow_find(u, a);
	struct socks_target target;

	if (f != NULL)
		return f;
	if (socks_target_of(&target, u->env, a) != SOCKS_REPLY_OK)
		return NULL;
	return flow_new(u, a, &target);
}

static void client_data(void *ctx, const union endpoint *from,
			const uint8_t *data, size_t len)
{
	struct socks_udp *u = ctx;
	struct socks_counts *n = &u->env->counts;
	struct socks_datagram d;
	struct flow *f = NULL;

	if (!is_client(u, from)) {
		n->n_datagrams_strange++;
		return;
	}
	if (socks_datagram_parse(&d, data, len) == SOCKS_OK)
		f = flow_for(u, &d.address);
	if (f == NULL) {
		n->n_datagrams_refused++;
		return;
	}
	f->moved = loop_now(u->env->loop);
	if (f->is_open)
		flow_send(f, d.payload, d.len);
	else if (f->stream != NULL)
		flow_wait(f, d.payload, d.len);
	else
		n->n_datagrams_dropped++;
}

static void client_failed(void *ctx, int rv)
{
	(void)ctx; /* the control connection tells when the client goes */
	(void)rv;
}

static const struct dgram_events client_side = {
	.data = client_data,
	.failed = client_failed,
};

/* ---- */

struct socks_udp *socks_udp_new(struct socks_env *env, const struct tcp *tcp,
				const struct dest_tag *tag)
{
	struct socks_udp *u;
	union endpoint at, client;

	if (!tcp_local(tcp, &at) || !tcp_peer(tcp, &client))
		return NULL;
	if (at.sa.sa_family == AF_INET6)
		at.in6.sin6_port = 0;
	else
		at.in.sin_port = 0;
	u = mem_new(u);
	u->env = env;
	u->tag = *tag;
	u->client = client;
	if (dgram_bind(&u->dgram, env->loop, &at, &client_side, u) < 0) {
		free(u);
		return NULL;
	}
	return u;
}

bool socks_udp_local(const struct socks_udp *u, struct socks_address *out)
{
	union endpoint e;

	memset(out, 0, sizeof *out);
	if (!dgram_local(u->dgram, &e))
		return false;
	if (e.sa.sa_family == AF_INET6) {
		out->type = SOCKS_IPV6;
		memcpy(out->ip, &e.in6.sin6_addr, 16);
		out->port = ntohs(e.in6.sin6_port);
	} else {
		out->type = SOCKS_IPV4;
		memcpy(out->ip, &e.in.sin_addr, 4);
		out->port = ntohs(e.in.sin_port);
	}
	return true;
}

void socks_udp_free(struct socks_udp *u)
{
	if (u == NULL)
		return;
	while (u->flows != NULL)
		flow_remove(u->flows);
	dgram_close(u->dgram);
	free(u);
}
