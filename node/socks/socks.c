#include "node/socks/socks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <utlist.h>

#include "node/config/config.h"
#include "node/socks/socks_auth.h"
#include "node/socks/socks_impl.h"
#include "node/io/tcp.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

enum {
	LOGS_PER_S = 1,
	LOGS_BURST = 5
};

struct socks {
	struct socks_env env;
	struct socks_auth *auth; /* NULL: any user is a tag */
	size_t n_listeners;
	struct tcp_listener *listeners[CONFIG_LIST_MAX];
	struct conn *conns;
};

enum conn_state {
	CONN_GREETING,
	CONN_PASSWORD,
	CONN_REQUEST,
	CONN_OPENING, /* the stream is asked for */
	CONN_BRIDGED,
	CONN_UDP,
	CONN_CLOSING, /* refused; waits for the client to close */
};

struct conn {
	struct conn *prev, *next;
	struct socks *socks;
	enum conn_state state;
	struct tcp *tcp; /* NULL: the bridge's */
	struct timer timer;
	uint8_t *in; /* not used up yet */
	size_t n_in;
	bool is_ended;         /* the client has sent its end */
	struct dest_tag tag;   /* of its user */
	struct stream *stream; /* while opening */
	struct bridge *bridge;
	struct socks_udp *udp;
};

/* ---- ends ---- */

static struct loop *loop_of(const struct conn *c)
{
	return c->socks->env.loop;
}

static struct socks_counts *counts_of(const struct conn *c)
{
	return &c->socks->env.counts;
}

/* What it holds is closed by the caller. */
static void conn_remove(struct conn *c)
{
	loop_timer_set(loop_of(c), &c->timer, TIME_NEVER);
	counts_of(c)->n_open--;
	DL_DELETE(c->socks->conns, c);
	free(c->in);
	free(c);
}

static void conn_close(struct conn *c)
{
	if (c->bridge != NULL)
		bridge_close(c->bridge);
	if (c->stream != NULL)
		stream_close(c->stream, STREAM_RESET);
	socks_udp_free(c->udp);
	if (c->tcp != NULL)
		tcp_close(c->tcp);
	conn_remove(c);
}

static void reply(struct conn *c, enum socks_reply code,
		  const struct socks_address *bound)
{
	uint8_t out[SOCKS_REPLY_BYTES_MAX];

	tcp_write(c->tcp, out, socks_reply_write(out, code, bound));
}

/* Says the last word.  The client closes first, or the kernel would answer
 * what it may still send with a reset, and that overtakes our reply. */
static void closing(struct conn *c)
{
	c->state = CONN_CLOSING;
	c->n_in = 0;
	tcp_end(c->tcp);
	tcp_read(c->tcp, true);
	loop_timer_set(loop_of(c), &c->timer,
		       loop_now(loop_of(c)) + SOCKS_CLOSING_NS);
}

static void refuse(struct conn *c, enum socks_reply code)
{
	counts_of(c)->n_refused[code]++;
	reply(c, code, NULL);
	closing(c);
}

static void conn_fired(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (c->state == CONN_OPENING) {
		stream_close(c->stream, STREAM_TIMED_OUT);
		c->stream = NULL;
		refuse(c, SOCKS_REPLY_HOST_UNREACHABLE);
		return;
	}
	if (c->state != CONN_CLOSING)
		counts_of(c)->n_too_slow++;
	conn_close(c);
}

/* ---- CONNECT ---- */

static const enum socks_reply reply_to[STREAM_ERRORS] = {
	[STREAM_OK] = SOCKS_REPLY_FAILURE,
	[STREAM_UNREACHABLE] = SOCKS_REPLY_HOST_UNREACHABLE,
	[STREAM_NOT_ALLOWED] = SOCKS_REPLY_NOT_ALLOWED,
	[STREAM_REFUSED] = SOCKS_REPLY_REFUSED,
	[STREAM_TIMED_OUT] = SOCKS_REPLY_HOST_UNREACHABLE,
	[STREAM_HOST_UNKNOWN] = SOCKS_REPLY_HOST_UNREACHABLE,
	[STREAM_NET_UNREACHABLE] = SOCKS_REPLY_NET_UNREACHABLE,
	[STREAM_RESET] = SOCKS_REPLY_FAILURE,
	[STREAM_LIMIT] = SOCKS_REPLY_FAILURE,
	[STREAM_UNSUPPORTED] = SOCKS_REPLY_FAILURE,
};

static void bridge_ended(void *ctx)
{
	struct conn *c = ctx;

	c->bridge = NULL;
	conn_remove(c);
}

static void stream_opened(void *ctx)
{
	struct conn *c = ctx;
	struct stream *s = c->stream;
	struct tcp *tcp = c->tcp;

	reply(c, SOCKS_REPLY_OK, NULL);
	loop_timer_set(loop_of(c), &c->timer, TIME_NEVER);
	c->state = CONN_BRIDGED;
	c->stream = NULL;
	c->tcp = NULL;
	c->bridge = bridge_new(loop_of(c), tcp, s, c->in, c->n_in, c->is_ended,
			       &counts_of(c)->bridges, bridge_ended, c);
	free(c->in);
	c->in = NULL;
	c->n_in = 0;
}

static void stream_early(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx; /* nothing comes before `opened` */
	(void)data;
	(void)len;
}

static void stream_quiet(void *ctx)
{
	(void)ctx;
}

static void stream_closed(void *ctx, enum stream_error why)
{
	struct conn *c = ctx;

	c->stream = NULL;
	refuse(c, reply_to[why]);
}

static const struct stream_events opening = {
	.opened = stream_opened,
	.data = stream_early,
	.ended = stream_quiet,
	.writable = stream_quiet,
	.closed = stream_closed,
};

static void start_connect(struct conn *c, const struct socks_address *a)
{
	struct socks_env *env = &c->socks->env;
	struct socks_target target;
	enum socks_reply code = socks_target_of(&target, env, a);

	env->counts.n_connect++;
	if (code != SOCKS_REPLY_OK) {
		log_debug("socks: refused: host=%s port=%u reply=%d",
			  a->type == SOCKS_DOMAIN ? a->domain : "-", a->port,
			  (int)code);
		refuse(c, code);
		return;
	}
	c->state = CONN_OPENING;
	loop_timer_set(env->loop, &c->timer,
		       loop_now(env->loop) + SOCKS_OPEN_NS);
	c->stream = socks_target_stream(env, &target, &c->tag, STREAM_TCP,
					&opening, c);
}

/* ---- UDP ASSOCIATE ---- */

static void start_associate(struct conn *c)
{
	struct socks_address bound;

	counts_of(c)->n_associate++;
	c->udp = socks_udp_new(&c->socks->env, c->tcp, &c->tag);
	if (c->udp == NULL || !socks_udp_local(c->udp, &bound)) {
		refuse(c, SOCKS_REPLY_FAILURE);
		return;
	}
	c->state = CONN_UDP;
	loop_timer_set(loop_of(c), &c->timer, TIME_NEVER);
	reply(c, SOCKS_REPLY_OK, &bound);
	/* Its end is the association's. */
	tcp_read(c->tcp, true);
}

/* ---- the handshake ---- */

static enum socks_verdict handle_greeting(struct conn *c, size_t *used)
{
	struct socks_greeting g;
	enum socks_verdict v = socks_greeting_parse(&g, c->in, c->n_in, used);
	enum socks_method m = SOCKS_NO_METHOD;
	uint8_t out[2];

	if (v != SOCKS_OK)
		return v;
	/* Who offers a password has one to tell. */
	if (g.password)
		m = SOCKS_PASSWORD;
	else if (g.no_auth && c->socks->auth == NULL)
		m = SOCKS_NO_AUTH;
	tcp_write(c->tcp, out, socks_method_write(out, m));
	if (m == SOCKS_NO_METHOD) {
		counts_of(c)->n_auth_failed++;
		closing(c);
		return SOCKS_MORE;
	}
	c->state = m == SOCKS_PASSWORD ? CONN_PASSWORD : CONN_REQUEST;
	return SOCKS_OK;
}

static void set_tag(struct conn *c, const struct socks_credentials *who)
{
	const struct socks_env *env = &c->socks->env;
	crypto_generichash_state h;

	/* With their zeros, so that one does not run into the other. */
	crypto_generichash_init(&h, env->tag_key, sizeof env->tag_key,
				sizeof c->tag);
	crypto_generichash_update(&h, (const uint8_t *)who->user,
				  strlen(who->user) + 1);
	crypto_generichash_update(&h, (const uint8_t *)who->password,
				  strlen(who->password) + 1);
	crypto_generichash_final(&h, c->tag.b, sizeof c->tag);
}

static enum socks_verdict handle_password(struct conn *c, size_t *used)
{
	const struct socks_auth *auth = c->socks->auth;
	struct socks_credentials who;
	enum socks_verdict v =
		socks_credentials_parse(&who, c->in, c->n_in, used);
	uint8_t out[2];
	bool ok;

	if (v != SOCKS_OK)
		return v;
	ok = auth == NULL || socks_auth_check(auth, &who);
	set_tag(c, &who);
	sodium_memzero(&who, sizeof who);
	tcp_write(c->tcp, out, socks_auth_write(out, ok));
	if (!ok) {
		counts_of(c)->n_auth_failed++;
		closing(c);
		return SOCKS_MORE;
	}
	c->state = CONN_REQUEST;
	return SOCKS_OK;
}

static void use_up(struct conn *c, size_t used)
{
	c->n_in -= used;
	memmove(c->in, c->in + used, c->n_in);
}

static enum socks_verdict handle_request(struct conn *c)
{
	struct socks_request r;
	size_t used;
	enum socks_verdict v = socks_request_parse(&r, c->in, c->n_in, &used);

	if (v != SOCKS_OK)
		return v;
	use_up(c, used);
	if (r.command == SOCKS_CONNECT)
		start_connect(c, &r.address);
	else if (r.command == SOCKS_UDP_ASSOCIATE)
		start_associate(c);
	else
		refuse(c, SOCKS_REPLY_COMMAND);
	return SOCKS_MORE;
}

static void reject(struct conn *c, enum socks_verdict v)
{
	switch (v) {
	case SOCKS_COMMAND:
		refuse(c, SOCKS_REPLY_COMMAND);
		break;
	case SOCKS_ADDRESS_TYPE:
		refuse(c, SOCKS_REPLY_ADDRESS_TYPE);
		break;
	case SOCKS_NOT_SOCKS5:
		counts_of(c)->n_not_socks++;
		conn_close(c);
		break;
	default:
		counts_of(c)->n_malformed++;
		conn_close(c);
	}
}

/* Takes one message; SOCKS_MORE: nothing more can be done for now (and `c` may
 * be gone). */
static enum socks_verdict handle_message(struct conn *c)
{
	enum socks_verdict v;
	size_t used = 0;

	switch (c->state) {
	case CONN_GREETING:
		v = handle_greeting(c, &used);
		break;
	case CONN_PASSWORD:
		v = handle_password(c, &used);
		break;
	case CONN_REQUEST:
		v = handle_request(c);
		break;
	default:
		return SOCKS_MORE;
	}
	if (v == SOCKS_OK)
		use_up(c, used);
	return v;
}

/* ---- the client's connection ---- */

static size_t conn_room(void *ctx)
{
	const struct conn *c = ctx;

	return SOCKS_EARLY_MAX - c->n_in;
}

static void conn_data(void *ctx, const uint8_t *data, size_t len)
{
	struct conn *c = ctx;
	enum socks_verdict v;

	/* Only the end of it counts now. */
	if (c->state == CONN_UDP || c->state == CONN_CLOSING)
		return;
	c->in = mem_realloc(c->in, c->n_in + len, 1);
	memcpy(c->in + c->n_in, data, len);
	c->n_in += len;
	if (c->n_in == SOCKS_EARLY_MAX)
		tcp_read(c->tcp, false);
	do {
		v = handle_message(c);
	} while (v == SOCKS_OK);
	if (v != SOCKS_MORE)
		reject(c, v);
}

static void conn_ended(void *ctx)
{
	struct conn *c = ctx;

	c->is_ended = true;
	/* A client may half-close behind its first bytes, and our last word
	 * may not have gone out yet. */
	if (c->state != CONN_OPENING && tcp_queued(c->tcp) == 0)
		conn_close(c);
}

static void conn_written(void *ctx)
{
	struct conn *c = ctx;

	if (c->is_ended && c->state != CONN_OPENING && tcp_queued(c->tcp) == 0)
		conn_close(c);
}

static void conn_failed(void *ctx, int rv)
{
	(void)rv;
	conn_close(ctx);
}

static const struct tcp_events client_side = {
	.room = conn_room,
	.data = conn_data,
	.ended = conn_ended,
	.written = conn_written,
	.failed = conn_failed,
};

static void accepted(void *ctx, struct tcp *t)
{
	struct socks *s = ctx;
	struct socks_counts *n = &s->env.counts;
	struct conn *c;

	n->n_accepted++;
	if (n->n_open >= SOCKS_CONNS_MAX) {
		n->n_over_limit++;
		tcp_reset(t);
		return;
	}
	n->n_open++;
	c = mem_new(c);
	c->socks = s;
	c->tcp = t;
	c->timer.fire = conn_fired;
	DL_APPEND(s->conns, c);
	loop_timer_set(s->env.loop, &c->timer,
		       loop_now(s->env.loop) + SOCKS_REQUEST_NS);
	tcp_set_events(t, &client_side, c);
	tcp_read(t, true);
}

/* ---- the server ---- */

struct socks *socks_new(struct loop *l, struct dests *d,
			const struct overlay_net *net, socks_lookup *lookup,
			void *ctx)
{
	struct socks *s = mem_new(s);

	s->env.loop = l;
	s->env.dests = d;
	s->env.net = *net;
	s->env.lookup = lookup;
	s->env.ctx = ctx;
	randombytes_buf(s->env.tag_key, sizeof s->env.tag_key);
	bucket_init(&s->env.log_limit, LOGS_PER_S, LOGS_BURST, loop_now(l));
	return s;
}

int socks_reload(struct socks *s, const struct config *c, char *why, size_t cap)
{
	struct socks_auth *auth = NULL;
	int rv;

	if (c->socks.passwords[0] != '\0') {
		rv = socks_auth_load(&auth, c->socks.passwords, why, cap);
		if (rv < 0)
			return rv;
	}
	socks_auth_free(s->auth);
	s->auth = auth;
	return 0;
}

static bool is_loopback(const union endpoint *e)
{
	if (e->sa.sa_family == AF_INET)
		return ntohl(e->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&e->in6.sin6_addr);
}

static int listen_at(struct socks *s, const union endpoint *at, char *why,
		     size_t cap)
{
	char text[ENDPOINT_TEXT_MAX];
	int rv = tcp_listen(&s->listeners[s->n_listeners], s->env.loop, at,
			    false, accepted, s);

	endpoint_text(text, at);
	if (rv < 0) {
		snprintf(why, cap,
			 "cannot listen on %s for SOCKS: %s. Set another "
			 "address for listen in [socks]",
			 text, uv_strerror(rv));
		return rv;
	}
	s->n_listeners++;
	if (!is_loopback(at) && s->auth == NULL)
		log_warn("socks: anyone who reaches this address may use it: "
			 "listen=%s",
			 text);
	return 0;
}

static void close_listeners(struct socks *s)
{
	while (s->n_listeners > 0)
		tcp_listener_close(s->listeners[--s->n_listeners]);
}

int socks_start(struct socks *s, const struct config *c, char *why, size_t cap)
{
	int rv = socks_reload(s, c, why, cap);

	for (size_t i = 0; rv == 0 && i < c->socks.listen.n; i++)
		rv = listen_at(s, &c->socks.listen.at[i], why, cap);
	if (rv < 0)
		close_listeners(s);
	return rv;
}

void socks_free(struct socks *s)
{
	if (s == NULL)
		return;
	close_listeners(s);
	while (s->conns != NULL)
		conn_close(s->conns);
	socks_auth_free(s->auth);
	free(s);
}

const struct socks_counts *socks_counts(const struct socks *s)
{
	return &s->env.counts;
}

bool socks_listens_at(const struct socks *s, size_t n, union endpoint *out)
{
	return n < s->n_listeners && tcp_listener_local(s->listeners[n], out);
}
