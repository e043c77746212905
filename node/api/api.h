/* The control API: HTTP/1.1 with JSON on a unix socket.  docs/api.md.
 *
 * Transport only: the caller gives a table of routes.  Who may talk is checked
 * by the socket's mode and again by the peer's credentials: root, our own
 * user, members of the group.  Everything runs on the loop's thread, inside
 * libmicrohttpd's callbacks: a handler answers now, or defers and answers
 * later by number.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"

#define API_BODY_BYTES_MAX  65536
#define API_CONNECTIONS_MAX 64
#define API_IDLE_S          30

struct api;
struct loop;

typedef uint64_t api_call_no; /* 0: none; never used again */

struct api_request {
	struct api *api;
	const char *method;
	const char *path;
	json_t *body; /* an object, {} if there is none; borrowed */
	void *call;   /* for api_query() and api_defer() */
};

/* Returns the body of the reply (taken over) and may change *status from 200;
 * or NULL after api_defer(). */
typedef json_t *api_handler(void *ctx, const struct api_request *r,
			    int *status);

struct api_route {
	const char *method; /* "GET" never changes anything */
	const char *path;
	api_handler *fn;
};

struct api_config {
	const char *socket;
	const char *group; /* "" or a name */
	const struct api_route *routes;
	size_t n_routes;
	void *ctx;
};

/* 0 or -errno with `why`.  The socket's folder is made if it is missing; a
 * socket that nobody listens on is removed.  `config` is copied, `routes` is
 * borrowed. */
int api_new(struct api **out, struct loop *l, const struct api_config *config,
	    char *why, size_t why_cap);
/* Ends all requests, removes the socket.  NULL is allowed. */
void api_free(struct api *a);

/* A parameter of the URL, "?dst=…"; borrowed; NULL: not there. */
const char *api_query(const struct api_request *r, const char *key);

/* The reply comes later, by api_reply(); after `limit` the API itself replies
 * with 504. */
api_call_no api_defer(const struct api_request *r, nsec limit);
/* Takes `body` over.  Nothing happens if the call is gone. */
void api_reply(struct api *a, api_call_no call, int status, json_t *body);

struct api_counters {
	uint64_t n_connections;
	uint64_t n_requests;
	uint64_t n_refused;         /* by credentials, or sent by a browser */
	uint64_t n_bad;             /* other replies of 400 to 499 */
	uint64_t n_timed_out;       /* deferred for too long */
	uint64_t n_without_request; /* closed before one was understood */
};
const struct api_counters *api_counters(const struct api *a);
