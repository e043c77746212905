#include "node/peers/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
/* The default function falls through its cases, which clang warns of; the names
 * are the configuration's, so this one needs no key. */
#define HASH_FUNCTION(k, len, out) HASH_FNV(k, len, out)
#include <uthash.h>

#include "discovery/backoff.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"

/* What a host is known to be. */
struct answer {
	size_t n;
	union endpoint list[ENDPOINTS_PER_PEER_MAX];
};

struct name {
	char host[256];
	struct resolve *resolve; /* NULL: it is gone, and this goes too */
	bool is_looking_up;
	nsec good_until;
	uint32_t n_failures;
	struct answer answer;
	struct resolve_ask *waiting;
	uv_getaddrinfo_t req;
	UT_hash_handle hh; /* in the order of their last use */
};

struct resolve_ask {
	struct resolve_ask *prev, *next;
	struct resolve_ask **in; /* the list that it is in */
	struct resolve *resolve;
	uint16_t port;
	struct answer answer;
	resolve_done *done;
	void *ctx;
};

struct resolve {
	struct loop *loop;
	struct name *names;
	struct resolve_ask *ready;
	struct timer timer; /* set while some are ready */
	struct resolve_counters counters;
};

/* ---- those who ask ---- */

static void ask_wait_in(struct resolve_ask *a, struct resolve_ask **list)
{
	DL_APPEND(*list, a);
	a->in = list;
}

void resolve_cancel(struct resolve_ask *a)
{
	DL_DELETE(*a->in, a);
	free(a);
}

static void ask_ready(struct resolve_ask *a, const struct answer *answer)
{
	struct resolve *r = a->resolve;

	a->answer = *answer;
	for (size_t i = 0; i < a->answer.n; i++) {
		union endpoint *e = &a->answer.list[i];

		if (e->sa.sa_family == AF_INET6)
			e->in6.sin6_port = htons(a->port);
		else
			e->in.sin_port = htons(a->port);
	}
	ask_wait_in(a, &r->ready);
	loop_timer_set(r->loop, &r->timer, loop_now(r->loop));
}

static void answer_ready(struct timer *t)
{
	struct resolve *r = container_of(t, struct resolve, timer);

	/* A callback may ask again: then the timer is set anew. */
	while (r->ready != NULL && t->index == 0) {
		struct resolve_ask *a = r->ready;

		DL_DELETE(r->ready, a);
		a->done(a->ctx, a->answer.list, a->answer.n);
		free(a);
	}
}

/* ---- names ---- */

static void name_answered(struct name *n)
{
	while (n->waiting != NULL) {
		struct resolve_ask *a = n->waiting;

		DL_DELETE(n->waiting, a);
		ask_ready(a, &n->answer);
	}
}

static void name_failed(struct name *n, int status)
{
	struct resolve *r = n->resolve;

	n->n_failures++;
	n->answer.n = 0;
	/* Half, as the dialler has a back-off with a jitter of its own: its
	 * next question shall be a new one. */
	n->good_until = loop_now(r->loop) + backoff_nominal(n->n_failures) / 2;
	r->counters.n_failed++;
	/* Once a row: the dialler asks again and again. */
	if (n->n_failures == 1)
		log_info("name not resolved: host=%s error=%s", n->host,
			 uv_strerror(status));
	name_answered(n);
}

static void take_addresses(struct answer *out, const struct addrinfo *list)
{
	out->n = 0;
	for (; list != NULL && out->n < ENDPOINTS_PER_PEER_MAX;
	     list = list->ai_next) {
		union endpoint *e = &out->list[out->n];

		memset(e, 0, sizeof *e);
		if (list->ai_family == AF_INET6)
			memcpy(&e->in6, list->ai_addr, sizeof e->in6);
		else if (list->ai_family == AF_INET)
			memcpy(&e->in, list->ai_addr, sizeof e->in);
		else
			continue;
		out->n++;
	}
}

static void looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct name *n = req->data;
	struct resolve *r = n->resolve;

	n->is_looking_up = false;
	if (r == NULL) {
		uv_freeaddrinfo(list);
		free(n);
		return;
	}
	loop_turn(r->loop);
	take_addresses(&n->answer, list);
	uv_freeaddrinfo(list);
	if (status < 0 || n->answer.n == 0) {
		name_failed(n, status < 0 ? status : UV_EAI_NODATA);
		return;
	}
	n->n_failures = 0;
	n->good_until = loop_now(r->loop) + RESOLVE_KEEP_NS;
	name_answered(n);
}

static void name_look_up(struct name *n)
{
	/* No AI_ADDRCONFIG: a wire with link-local addresses alone is one. */
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_DGRAM };
	struct resolve *r = n->resolve;
	int rv;

	r->counters.n_lookups++;
	n->req.data = n;
	rv = uv_getaddrinfo(loop_uv(r->loop), &n->req, looked_up, n->host, NULL,
			    &hints);
	if (rv < 0)
		name_failed(n, rv);
	else
		n->is_looking_up = true;
}

static void name_free(struct resolve *r, struct name *n)
{
	HASH_DEL(r->names, n);
	while (n->waiting != NULL)
		resolve_cancel(n->waiting);
	n->resolve = NULL;
	/* Else the thread still writes into it. */
	if (!n->is_looking_up)
		free(n);
}

/* Room for one more; false if all are busy. */
static bool make_room(struct resolve *r)
{
	struct name *n, *tmp;

	if (HASH_COUNT(r->names) < RESOLVE_NAMES_MAX)
		return true;
	HASH_ITER (hh, r->names, n, tmp) {
		if (!n->is_looking_up) {
			name_free(r, n);
			return true;
		}
	}
	return false;
}

/* The name, made the last one used; NULL if there is no room for it. */
static struct name *name_get(struct resolve *r, const char *host)
{
	struct name *n;

	HASH_FIND_STR(r->names, host, n);
	if (n != NULL) {
		HASH_DEL(r->names, n);
	} else {
		if (!make_room(r))
			return NULL;
		n = mem_new(n);
		n->resolve = r;
		text_copy(n->host, sizeof n->host, host);
	}
	HASH_ADD_STR(r->names, host, n);
	return n;
}

static bool is_numeric(struct answer *out, const char *host)
{
	union endpoint *e = &out->list[0];

	*out = (struct answer){ .n = 1 };
	e->sa.sa_family = AF_INET6;
	if (inet_pton(AF_INET6, host, &e->in6.sin6_addr) == 1)
		return true;
	e->sa.sa_family = AF_INET;
	return inet_pton(AF_INET, host, &e->in.sin_addr) == 1;
}

struct resolve_ask *resolve_ask(struct resolve *r, const char *host,
				uint16_t port, resolve_done *done, void *ctx)
{
	struct resolve_ask *a = mem_new(a);
	struct answer none = { .n = 0 }, numeric;
	struct name *n;

	a->resolve = r;
	a->port = port;
	a->done = done;
	a->ctx = ctx;
	r->counters.n_asked++;
	if (is_numeric(&numeric, host)) {
		ask_ready(a, &numeric);
		return a;
	}
	n = strlen(host) < sizeof n->host ? name_get(r, host) : NULL;
	if (n == NULL) {
		ask_ready(a, &none);
	} else if (!n->is_looking_up && n->good_until > loop_now(r->loop)) {
		r->counters.n_from_memory++;
		ask_ready(a, &n->answer);
	} else {
		ask_wait_in(a, &n->waiting);
		if (!n->is_looking_up)
			name_look_up(n);
	}
	return a;
}

/* ---- the whole ---- */

struct resolve *resolve_new(struct loop *l)
{
	struct resolve *r = mem_new(r);

	r->loop = l;
	r->timer.fire = answer_ready;
	return r;
}

size_t resolve_free(struct resolve *r)
{
	size_t n_left = 0;

	if (r == NULL)
		return 0;
	loop_timer_set(r->loop, &r->timer, TIME_NEVER);
	while (r->ready != NULL)
		resolve_cancel(r->ready);
	while (r->names != NULL) {
		struct name *n = r->names;

		if (n->is_looking_up && uv_cancel((uv_req_t *)&n->req) != 0)
			n_left++;
		name_free(r, n);
	}
	free(r);
	return n_left;
}

const struct resolve_counters *resolve_counters(const struct resolve *r)
{
	return &r->counters;
}
