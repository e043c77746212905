#include "node/api/api.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "node/api/api_body.h"
#include "node/api/api_socket.h"
#include "node/io/loop.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

/* A body that goes on and on is read to its end only so far. */
#define SWALLOW_BYTES_MAX (1024 * 1024)

/* One request, from its first line to its reply. */
struct call {
	struct call *prev, *next; /* of the deferred ones */
	struct api *api;
	struct MHD_Connection *connection;
	const struct api_route *route;
	bool is_deferred;   /* once, and for good */
	api_call_no number; /* 0: no reply is awaited */
	struct timer timer;
	int status;
	json_t *reply; /* for the second visit, after a deferral */
	size_t n_body;
	char *body;
};

struct api {
	struct loop *loop;
	struct MHD_Daemon *http;
	struct watch watch;
	struct timer timer;
	bool runs_soon;
	bool has_closed; /* a connection, in this run */
	bool is_closed;
	gid_t gid;
	char *socket;
	const struct api_route *routes;
	size_t n_routes;
	void *ctx;
	api_call_no last_number;
	struct call *deferred;
	struct api_counters count;
};

/* ---- running libmicrohttpd on our loop ---- */

static void run(struct api *a)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	nsec at = TIME_NEVER;

	a->has_closed = false;
	MHD_run(a->http);
	/* At its limit it stops to accept, and looks again when it runs. */
	if (a->has_closed)
		at = loop_now(a->loop);
	else if (MHD_get_timeout(a->http, &wait_ms) == MHD_YES)
		at = loop_now(a->loop) + wait_ms * NS_PER_MS;
	loop_timer_set(a->loop, &a->timer, at);
}

static void watch_ready(struct watch *w, int events)
{
	(void)events;
	run(container_of(w, struct api, watch));
}

static void timer_fired(struct timer *t)
{
	run(container_of(t, struct api, timer));
}

/* ---- replies ---- */

static enum MHD_Result send_json(struct call *c, int status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(10));
	struct MHD_Response *r;
	enum MHD_Result rv;

	json_decref(body);
	if (text == NULL)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(text), text,
					    MHD_RESPMEM_MUST_FREE);
	MHD_add_response_header(r, "Content-Type", "application/json");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	rv = MHD_queue_response(c->connection, (unsigned)status, r);
	MHD_destroy_response(r);
	return rv;
}

static enum MHD_Result send_error(struct call *c, int status, const char *code,
				  const char *message, const char *hint)
{
	if (status == MHD_HTTP_FORBIDDEN)
		c->api->count.n_refused++;
	else
		c->api->count.n_bad++;
	return send_json(c, status, api_error(code, message, hint));
}

/* ---- requests ---- */

static const char *header(const struct call *c, const char *name)
{
	return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND,
					   name);
}

/* A page in somebody's browser must not be able to speak to us through a
 * proxy of theirs. */
static bool is_from_browser(const struct call *c)
{
	return header(c, "Origin") != NULL ||
	       header(c, "Sec-Fetch-Site") != NULL;
}

static bool peer_is_allowed(const struct call *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info != NULL &&
	       api_socket_peer_is_allowed(info->connect_fd, c->api->gid);
}

static bool type_is_json(const struct call *c)
{
	const char *type = header(c, "Content-Type");
	size_t len = strlen("application/json");

	return type != NULL &&
	       strncasecmp(type, "application/json", len) == 0 &&
	       (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

static enum MHD_Result route_find(struct call *c, const char *method,
				  const char *path)
{
	const struct api *a = c->api;
	bool has_path = false;

	for (size_t i = 0; i < a->n_routes; i++) {
		if (strcmp(a->routes[i].path, path) != 0)
			continue;
		has_path = true;
		if (strcmp(a->routes[i].method, method) == 0) {
			c->route = &a->routes[i];
			return MHD_YES;
		}
	}
	if (has_path)
		return send_error(c, MHD_HTTP_METHOD_NOT_ALLOWED, "bad-method",
				  "this path has no such method", NULL);
	return send_error(c, MHD_HTTP_NOT_FOUND, "no-such-path",
			  "there is no such path",
			  "is qanat newer than qanatd?");
}

/* The head of a request is there; its body is not. */
static enum MHD_Result call_begin(struct call *c, const char *method,
				  const char *path)
{
	const char *length = header(c, "Content-Length");
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	*(bool *)info->socket_context = true;
	c->api->count.n_requests++;
	if (!peer_is_allowed(c))
		return send_error(c, MHD_HTTP_FORBIDDEN, "not-allowed",
				  "you may not use the control socket",
				  "run as root, or join the group of [admin]");
	if (is_from_browser(c))
		return send_error(c, MHD_HTTP_FORBIDDEN, "not-allowed",
				  "browsers may not use the control socket",
				  NULL);
	if (length != NULL && strtoull(length, NULL, 10) > API_BODY_BYTES_MAX)
		return send_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "too-large",
				  "the body is longer than 65536 bytes", NULL);
	return route_find(c, method, path);
}

static enum MHD_Result body_add(struct call *c, const char *data, size_t *len)
{
	if (c->n_body + *len <= API_BODY_BYTES_MAX) {
		c->body = mem_realloc(c->body, c->n_body + *len, 1);
		memcpy(c->body + c->n_body, data, *len);
	}
	c->n_body += *len;
	*len = 0;
	return c->n_body <= SWALLOW_BYTES_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result call_handle(struct call *c)
{
	struct api_request r = { .api = c->api,
				 .method = c->route->method,
				 .path = c->route->path,
				 .call = c };
	json_t *error = NULL, *reply;
	int status = MHD_HTTP_OK;

	if (c->n_body > API_BODY_BYTES_MAX)
		return send_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "too-large",
				  "the body is longer than 65536 bytes", NULL);
	if (c->n_body > 0 && !type_is_json(c))
		return send_error(
			c, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "bad-type",
			"the body is not of type application/json", NULL);
	r.body = api_body_parse(c->body, c->n_body, &error);
	if (r.body == NULL) {
		c->api->count.n_bad++;
		return send_json(c, MHD_HTTP_BAD_REQUEST, error);
	}
	reply = c->route->fn(c->api->ctx, &r, &status);
	json_decref(r.body);
	if (reply == NULL)
		return c->is_deferred ? MHD_YES : MHD_NO;
	if (status >= 400 && status < 500)
		c->api->count.n_bad++;
	return send_json(c, status, reply);
}

static enum MHD_Result request(void *ctx, struct MHD_Connection *connection,
			       const char *path, const char *method,
			       const char *version, const char *data,
			       size_t *len, void **per_request)
{
	struct call *c = *per_request;
	json_t *reply;

	(void)version;
	if (c == NULL) {
		c = mem_new(c);
		c->api = ctx;
		c->connection = connection;
		*per_request = c;
		return call_begin(c, method, path);
	}
	if (*len > 0)
		return body_add(c, data, len);
	if (c->reply == NULL)
		return call_handle(c);
	reply = c->reply;
	c->reply = NULL;
	return send_json(c, c->status, reply);
}

/* ---- deferred replies ---- */

const char *api_query(const struct api_request *r, const char *key)
{
	const struct call *c = r->call;

	return MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND,
					   key);
}

static void run_later(void *p)
{
	struct api *a = p;

	a->runs_soon = false;
	if (a->is_closed)
		free(a);
	else if (a->http != NULL)
		run(a);
}

static void reply_to(struct call *c, int status, json_t *body)
{
	struct api *a = c->api;

	c->status = status;
	c->reply = body;
	c->number = 0;
	loop_timer_set(a->loop, &c->timer, TIME_NEVER);
	DL_DELETE(a->deferred, c);
	MHD_resume_connection(c->connection);
	if (!a->runs_soon) {
		a->runs_soon = true;
		loop_defer(a->loop, run_later, a);
	}
}

static void call_timed_out(struct timer *t)
{
	struct call *c = container_of(t, struct call, timer);

	c->api->count.n_timed_out++;
	reply_to(c, MHD_HTTP_GATEWAY_TIMEOUT,
		 api_error("timed-out", "no answer in time", NULL));
}

api_call_no api_defer(const struct api_request *r, nsec limit)
{
	struct call *c = r->call;
	struct api *a = c->api;

	c->is_deferred = true;
	c->number = ++a->last_number;
	c->timer.fire = call_timed_out;
	loop_timer_set(a->loop, &c->timer, loop_now(a->loop) + limit);
	DL_APPEND(a->deferred, c);
	MHD_suspend_connection(c->connection);
	return c->number;
}

void api_reply(struct api *a, api_call_no call, int status, json_t *body)
{
	struct call *c;

	DL_FOREACH (a->deferred, c) {
		if (c->number == call) {
			reply_to(c, status, body);
			return;
		}
	}
	json_decref(body);
}

/* ---- what libmicrohttpd tells ---- */

static void request_completed(void *ctx, struct MHD_Connection *connection,
			      void **per_request,
			      enum MHD_RequestTerminationCode why)
{
	struct call *c = *per_request;

	(void)ctx;
	(void)connection;
	(void)why;
	if (c == NULL)
		return;
	if (c->number != 0) {
		DL_DELETE(c->api->deferred, c);
		loop_timer_set(c->api->loop, &c->timer, TIME_NEVER);
	}
	json_decref(c->reply);
	free(c->body);
	free(c);
	*per_request = NULL;
}

static void connection_changed(void *ctx, struct MHD_Connection *connection,
			       void **per_connection,
			       enum MHD_ConnectionNotificationCode what)
{
	struct api *a = ctx;
	bool *has_request;

	(void)connection;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*per_connection = mem_new(has_request);
		a->count.n_connections++;
		return;
	}
	a->has_closed = true;
	has_request = *per_connection;
	/* Garbage, a port scan, or a client that thought better of it. */
	if (!*has_request)
		a->count.n_without_request++;
	free(has_request);
}

static void http_log(void *ctx, const char *fmt, va_list ap)
{
	char text[256];

	(void)ctx;
	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("control socket: http=\"%s\"", text);
}

/* ---- life ---- */

static struct MHD_Daemon *http_start(struct api *a, int fd)
{
	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, request, a, MHD_OPTION_EXTERNAL_LOGGER, http_log,
		NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)API_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)API_IDLE_S, MHD_OPTION_NOTIFY_COMPLETED,
		request_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
		connection_changed, a, MHD_OPTION_END);
}

int api_new(struct api **out, struct loop *l, const struct api_config *config,
	    char *why, size_t why_cap)
{
	const union MHD_DaemonInfo *info;
	struct api *a = mem_new(a);
	int fd, rv;

	a->loop = l;
	a->timer.fire = timer_fired;
	a->watch.ready = watch_ready;
	a->routes = config->routes;
	a->n_routes = config->n_routes;
	a->ctx = config->ctx;
	fd = api_socket_open(config->socket, config->group, &a->gid, why,
			     why_cap);
	if (fd < 0) {
		free(a);
		return fd;
	}
	a->http = http_start(a, fd);
	info = a->http != NULL
		       ? MHD_get_daemon_info(a->http, MHD_DAEMON_INFO_EPOLL_FD)
		       : NULL;
	rv = info != NULL
		     ? watch_start(l, &a->watch, info->epoll_fd, UV_READABLE)
		     : -ENOTSUP;
	if (rv < 0) {
		snprintf(why, why_cap, "%s: the HTTP server does not start",
			 config->socket);
		if (a->http != NULL)
			MHD_stop_daemon(a->http);
		else
			close(fd);
		unlink(config->socket);
		free(a);
		return rv;
	}
	a->socket = mem_strdup(config->socket);
	*out = a;
	return 0;
}

static void watch_closed(uv_handle_t *h)
{
	struct watch *w = h->data;
	struct api *a = container_of(w, struct api, watch);

	a->is_closed = true;
	if (!a->runs_soon)
		free(a);
}

void api_free(struct api *a)
{
	struct call *c, *next;

	if (a == NULL)
		return;
	DL_FOREACH_SAFE (a->deferred, c, next)
		reply_to(c, MHD_HTTP_SERVICE_UNAVAILABLE,
			 api_error("stopping", "qanatd is stopping", NULL));
	/* A last chance for what is ready to go out. */
	MHD_run(a->http);
	loop_timer_set(a->loop, &a->timer, TIME_NEVER);
	unlink(a->socket);
	free(a->socket);
	a->socket = NULL;
	watch_stop(&a->watch, watch_closed);
	MHD_stop_daemon(a->http);
	a->http = NULL;
}

const struct api_counters *api_counters(const struct api *a)
{
	return &a->count;
}
