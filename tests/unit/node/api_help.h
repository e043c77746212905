/* A small API on a socket of its own, and a client of it. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/api/api.h"
#include "node/api/api_body.h"
#include "node/api/api_socket.h"
#include "node/io/loop.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/local_io.h"

#define NOBODY 65534

static struct loop *loop;
static struct api *api;
static char dir[64], path[96], why[256];
static api_call_no waiting;

/* ---- a small API ---- */

static inline json_t *get_hello(void *ctx, const struct api_request *r,
				int *status)
{
	const char *who = api_query(r, "who");

	(void)status;
	assert_ptr_equal(ctx, &loop);
	return json_pack("{s:s}", "hello", who != NULL ? who : "world");
}

static inline json_t *post_add(void *ctx, const struct api_request *r,
			       int *status)
{
	json_t *error = NULL;
	uint64_t a = api_number(r->body, "a", 0, 0, 100, &error);
	uint64_t b = api_number(r->body, "b", 7, 0, 100, &error);

	(void)ctx;
	if (error != NULL) {
		*status = 400;
		return error;
	}
	return json_pack("{s:i}", "sum", (int)(a + b));
}

static inline json_t *post_wait(void *ctx, const struct api_request *r,
				int *status)
{
	(void)ctx;
	(void)status;
	waiting = api_defer(r, 200 * NS_PER_MS);
	return NULL;
}

static inline json_t *post_at_once(void *ctx, const struct api_request *r,
				   int *status)
{
	(void)ctx;
	(void)status;
	api_reply(r->api, api_defer(r, NS_PER_S), 200,
		  json_pack("{s:b}", "now", 1));
	return NULL;
}

static const struct api_route routes[] = {
	{ "GET", "/v1/hello", get_hello },
	{ "POST", "/v1/add", post_add },
	{ "POST", "/v1/wait", post_wait },
	{ "POST", "/v1/at-once", post_at_once },
};

static inline int start(const char *group)
{
	const struct api_config config = {
		.socket = path,
		.group = group,
		.routes = routes,
		.n_routes = ARRAY_LEN(routes),
		.ctx = &loop,
	};

	return api_new(&api, loop, &config, why, sizeof why);
}

static inline int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/qanat-api-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/run/q.sock", dir);
	loop = loop_new();
	waiting = 0;
	if (start("") != 0)
		fail_msg("%s", why);
	return 0;
}

static inline int tear_down(void **state)
{
	char run[96];

	(void)state;
	api_free(api);
	api = NULL;
	loop_free(loop);
	snprintf(run, sizeof run, "%s/run", dir);
	unlink(path);
	rmdir(run);
	return rmdir(dir);
}

/* ---- a small client ---- */

static inline int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

struct answer {
	int fd;
	size_t len;
	bool is_over;
	char text[8192];
};

static inline bool answer_is_over(void *ctx)
{
	struct answer *a = ctx;
	ssize_t n;

	do {
		n = recv(a->fd, a->text + a->len, sizeof a->text - 1 - a->len,
			 0);
		if (n > 0)
			a->len += (size_t)n;
	} while (n > 0);
	a->is_over = n == 0 || (errno != EAGAIN && errno != EINTR);
	return a->is_over;
}

/* Sends all, reads until the API closes. */
static inline struct answer *talk(const void *data, size_t len)
{
	static struct answer a;

	memset(&a, 0, sizeof a);
	a.fd = dial();
	/* It may close in the middle. */
	local_send(loop, a.fd, data, len);
	local_run_until(loop, answer_is_over, &a);
	close(a.fd);
	local_run_some(loop);
	assert_true(a.is_over);
	return &a;
}

static inline struct answer *request(const char *head, const char *body)
{
	static char text[API_BODY_BYTES_MAX + 4096];
	int n = snprintf(text, sizeof text,
			 "%s HTTP/1.1\r\nHost: qanat\r\nConnection: close\r\n"
			 "Content-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 head, strlen(body), body);

	return talk(text, (size_t)n);
}

static inline int status_of(const struct answer *a)
{
	int status = 0;

	sscanf(a->text, "HTTP/1.1 %d ", &status);
	return status;
}

static inline const char *body_of(const struct answer *a)
{
	const char *body = strstr(a->text, "\r\n\r\n");

	return body != NULL ? body + 4 : "";
}
