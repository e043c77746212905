#include "node/api.h"

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

#include "node/api_body.h"
#include "node/api_socket.h"
#include "node/loop.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/local_io.h"

#define NOBODY 65534

static struct loop *loop;
static struct api *api;
static char dir[64], path[96], why[256];
static api_call_no waiting;

/* ---- a small API ---- */

static json_t *get_hello(void *ctx, const struct api_request *r, int *status)
{
	const char *who = api_query(r, "who");

	(void)status;
	assert_ptr_equal(ctx, &loop);
	return json_pack("{s:s}", "hello", who != NULL ? who : "world");
}

static json_t *post_add(void *ctx, const struct api_request *r, int *status)
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

static json_t *post_wait(void *ctx, const struct api_request *r, int *status)
{
	(void)ctx;
	(void)status;
	waiting = api_defer(r, 200 * NS_PER_MS);
	return NULL;
}

static json_t *post_at_once(void *ctx, const struct api_request *r, int *status)
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

static int start(const char *group)
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

static int set_up(void **state)
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

static int tear_down(void **state)
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

static int dial(void)
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

static bool answer_is_over(void *ctx)
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
static struct answer *talk(const void *data, size_t len)
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

static struct answer *request(const char *head, const char *body)
{
	static char text[API_BODY_BYTES_MAX + 4096];
	int n = snprintf(text, sizeof text,
			 "%s HTTP/1.1\r\nHost: qanat\r\nConnection: close\r\n"
			 "Content-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 head, strlen(body), body);

	return talk(text, (size_t)n);
}

static int status_of(const struct answer *a)
{
	int status = 0;

	sscanf(a->text, "HTTP/1.1 %d ", &status);
	return status;
}

static const char *body_of(const struct answer *a)
{
	const char *body = strstr(a->text, "\r\n\r\n");

	return body != NULL ? body + 4 : "";
}

/* ---- tests ---- */

static void a_get_is_answered_with_json(void **state)
{
	struct answer *a = request("GET /v1/hello", "");

	(void)state;
	assert_int_equal(status_of(a), 200);
	assert_string_equal(body_of(a), "{\"hello\":\"world\"}");
	assert_non_null(strstr(a->text, "Content-Type: application/json\r\n"));
	a = request("GET /v1/hello?who=a%20b&x=1", "");
	assert_string_equal(body_of(a), "{\"hello\":\"a b\"}");
	assert_int_equal(api_counters(api)->n_requests, 2);
	assert_int_equal(api_counters(api)->n_bad, 0);
}

static const struct {
	const char *why, *head, *body;
	int status;
	const char *reply;
} posts[] = {
	{ "a body", "POST /v1/add", "{\"a\":3,\"b\":4}", 200, "{\"sum\":7}" },
	{ "a default", "POST /v1/add", "{\"a\":3}", 200, "{\"sum\":10}" },
	{ "no body", "POST /v1/add", "", 200, "{\"sum\":7}" },
	{ "over the range", "POST /v1/add", "{\"a\":101}", 400,
	  "a: not a number in 0..100" },
	{ "negative", "POST /v1/add", "{\"a\":-1}", 400,
	  "a: not a number in 0..100" },
	{ "no number", "POST /v1/add", "{\"a\":\"1\"}", 400,
	  "a: not a number in 0..100" },
	{ "not JSON", "POST /v1/add", "{\"a\":", 400, "not JSON: " },
	{ "bytes after it", "POST /v1/add", "{} {}", 400, "not JSON: " },
	{ "a key twice", "POST /v1/add", "{\"a\":1,\"a\":2}", 400,
	  "not JSON: " },
	{ "no object", "POST /v1/add", "[1]", 400,
	  "the body is not a JSON object" },
	{ "no UTF-8", "POST /v1/add", "{\"\xff\":1}", 400, "not JSON: " },
	{ "an unknown path", "GET /v1/nothing", "", 404,
	  "there is no such path" },
	{ "a path with dots", "GET /v1/../v1/hello", "", 404,
	  "there is no such path" },
	{ "another method", "POST /v1/hello", "", 405,
	  "this path has no such method" },
	{ "a GET with effect", "GET /v1/add", "", 405,
	  "this path has no such method" },
	{ "an odd method", "BREW /v1/hello", "", 405,
	  "this path has no such method" },
};

static void requests_are_checked(void **state)
{
	uint64_t n_bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(posts); i++) {
		struct answer *a = request(posts[i].head, posts[i].body);

		if (status_of(a) != posts[i].status ||
		    strstr(body_of(a), posts[i].reply) == NULL)
			fail_msg("%s: %s", posts[i].why, a->text);
		if (posts[i].status != 200) {
			json_t *e = json_loads(body_of(a), 0, NULL);

			assert_non_null(json_object_get(
				json_object_get(e, "error"), "code"));
			json_decref(e);
			n_bad++;
		}
	}
	assert_int_equal(api_counters(api)->n_bad, n_bad);
}

static void bodies_are_bounded(void **state)
{
	static char body[API_BODY_BYTES_MAX + 2];
	struct answer *a;

	(void)state;
	memset(body, ' ', API_BODY_BYTES_MAX);
	memcpy(body, "{\"a\":3}", 7);
	a = request("POST /v1/add", body);
	assert_string_equal(body_of(a), "{\"sum\":10}");
	body[API_BODY_BYTES_MAX] = ' ';
	a = request("POST /v1/add", body);
	assert_int_equal(status_of(a), 413);
	assert_non_null(strstr(body_of(a), "too-large"));
}

static void a_chunked_body_is_bounded_too(void **state)
{
	static char text[2 * 1024 * 1024];
	const char *head = "POST /v1/add HTTP/1.1\r\nHost: q\r\n"
			   "Connection: close\r\n"
			   "Content-Type: application/json\r\n"
			   "Transfer-Encoding: chunked\r\n\r\n";
	size_t len = strlen(head);
	struct answer *a;

	(void)state;
	memcpy(text, head, len);
	while (len < API_BODY_BYTES_MAX + 8192) {
		memcpy(text + len, "1000\r\n", 6);
		memset(text + len + 6, ' ', 4096);
		memcpy(text + len + 6 + 4096, "\r\n", 2);
		len += 4096 + 8;
	}
	memcpy(text + len, "0\r\n\r\n", 5);
	a = talk(text, len + 5);
	assert_int_equal(status_of(a), 413);
	/* Without an end, it is cut off. */
	memset(text + len, 'x', sizeof text - len);
	memcpy(text + len, "180000\r\n", 8);
	a = talk(text, sizeof text);
	assert_int_not_equal(status_of(a), 200);
	assert_string_equal(body_of(request("GET /v1/hello", "")),
			    "{\"hello\":\"world\"}");
}

static void a_body_of_another_type_is_refused(void **state)
{
	static const char text[] = "POST /v1/add HTTP/1.1\r\nHost: q\r\n"
				   "Connection: close\r\n"
				   "Content-Type: text/plain\r\n"
				   "Content-Length: 2\r\n\r\n{}";
	struct answer *a = talk(text, strlen(text));

	(void)state;
	assert_int_equal(status_of(a), 415);
	assert_non_null(strstr(body_of(a), "bad-type"));
}

static void browsers_are_refused(void **state)
{
	static const char *const headers[] = { "Origin: http://localhost",
					       "Sec-Fetch-Site: same-origin" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		char text[256];
		int n = snprintf(text, sizeof text,
				 "GET /v1/hello HTTP/1.1\r\nHost: q\r\n"
				 "Connection: close\r\n%s\r\n\r\n",
				 headers[i]);
		struct answer *a = talk(text, (size_t)n);

		assert_int_equal(status_of(a), 403);
		assert_non_null(strstr(body_of(a), "not-allowed"));
	}
	assert_int_equal(api_counters(api)->n_refused, 2);
}

static void garbage_is_counted_and_hurts_nobody(void **state)
{
	uint8_t noise[3000];
	struct rng r;
	uint64_t n = 0;

	(void)state;
	rng_init(&r, 5);
	for (int i = 0; i < 50; i++) {
		size_t len = 1 + rng_below(&r, sizeof noise);
		struct answer a = { .fd = dial() };

		rng_fill(&r, noise, len);
		if (i % 3 == 0)
			memcpy(noise, "GET /v1/hello HTTP/1.1\r\n",
			       len < 24 ? len : 24);
		local_send(loop, a.fd, noise, len);
		local_run_some(loop);
		close(a.fd);
		n++;
	}
	/* One that says nothing at all. */
	close(dial());
	local_run_some(loop);
	assert_int_equal(api_counters(api)->n_connections, n + 1);
	assert_true(api_counters(api)->n_without_request > n / 2);
	assert_string_equal(body_of(request("GET /v1/hello", "")),
			    "{\"hello\":\"world\"}");
}

static bool is_waiting(void *ctx)
{
	(void)ctx;
	return waiting != 0;
}

static int ask_to_wait(void)
{
	static const char text[] = "POST /v1/wait HTTP/1.1\r\nHost: q\r\n"
				   "Connection: close\r\n\r\n";
	int fd = dial();

	waiting = 0;
	assert_true(local_send(loop, fd, text, strlen(text)));
	assert_true(local_run_until(loop, is_waiting, NULL));
	return fd;
}

static void a_reply_may_come_later(void **state)
{
	static struct answer one, two;
	api_call_no first;

	(void)state;
	memset(&one, 0, sizeof one);
	memset(&two, 0, sizeof two);
	one.fd = ask_to_wait();
	first = waiting;
	two.fd = ask_to_wait();
	local_run_some(loop);
	assert_false(answer_is_over(&one));
	assert_int_equal(one.len, 0);
	/* Others are served meanwhile, and in any order. */
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
	api_reply(api, waiting, 200, json_pack("{s:i}", "n", 2));
	api_reply(api, first, 404, json_pack("{s:i}", "n", 1));
	api_reply(api, first, 200, json_pack("{s:i}", "n", 3));
	assert_true(local_run_until(loop, answer_is_over, &one));
	assert_true(local_run_until(loop, answer_is_over, &two));
	assert_int_equal(status_of(&one), 404);
	assert_string_equal(body_of(&one), "{\"n\":1}");
	assert_string_equal(body_of(&two), "{\"n\":2}");
	close(one.fd);
	close(two.fd);
}

static void a_deferred_reply_may_come_at_once(void **state)
{
	struct answer *a = request("POST /v1/at-once", "");

	(void)state;
	assert_int_equal(status_of(a), 200);
	assert_string_equal(body_of(a), "{\"now\":true}");
}

static void a_reply_that_never_comes_is_a_time_out(void **state)
{
	static struct answer a;

	(void)state;
	memset(&a, 0, sizeof a);
	a.fd = ask_to_wait();
	assert_true(local_run_until(loop, answer_is_over, &a));
	assert_int_equal(status_of(&a), 504);
	assert_non_null(strstr(body_of(&a), "timed-out"));
	assert_int_equal(api_counters(api)->n_timed_out, 1);
	/* Too late. */
	api_reply(api, waiting, 200, json_object());
	close(a.fd);
}

static void a_client_that_leaves_is_forgotten(void **state)
{
	(void)state;
	close(ask_to_wait());
	local_run_some(loop);
	api_reply(api, waiting, 200, json_object());
	local_run_some(loop);
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
}

static void stopping_answers_those_who_wait(void **state)
{
	static struct answer a;

	(void)state;
	memset(&a, 0, sizeof a);
	a.fd = ask_to_wait();
	api_free(api);
	api = NULL;
	assert_true(local_run_until(loop, answer_is_over, &a));
	assert_int_equal(status_of(&a), 503);
	assert_int_equal(access(path, F_OK), -1);
	close(a.fd);
}

static void a_second_daemon_is_refused(void **state)
{
	struct api *first = api;

	(void)state;
	assert_int_equal(start(""), -EADDRINUSE);
	assert_non_null(strstr(why, "is in use by another qanatd"));
	api = first;
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
}

static void a_stale_socket_is_replaced(void **state)
{
	char copy[120];
	struct stat st;

	(void)state;
	/* A second name keeps the inode when the first daemon removes it. */
	snprintf(copy, sizeof copy, "%s.old", path);
	assert_int_equal(link(path, copy), 0);
	api_free(api);
	api = NULL;
	local_run_some(loop);
	assert_int_equal(rename(copy, path), 0);
	assert_int_equal(start(""), 0);
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
}

static void a_file_in_the_place_of_the_socket_stays(void **state)
{
	(void)state;
	api_free(api);
	api = NULL;
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(start(""), -EEXIST);
	assert_non_null(strstr(why, "exists, and is not a socket"));
	assert_int_equal(access(path, F_OK), 0);
}

static void an_unknown_group_is_told(void **state)
{
	(void)state;
	api_free(api);
	api = NULL;
	assert_int_equal(start("no-such-group"), -ENOENT);
	assert_non_null(strstr(why, "there is no group \"no-such-group\""));
}

/* Runs as another user: can it talk?  The socket's own mode is opened for all,
 * so that the second check is the one that is tested. */
static int status_for(gid_t primary, gid_t extra)
{
	static const char text[] = "GET /v1/hello HTTP/1.1\r\nHost: q\r\n"
				   "Connection: close\r\n\r\n";
	int fds[2], status = 0;
	struct answer a = { .fd = -1 };
	pid_t pid;

	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = -1, ok = setgroups(1, &extra) == 0 &&
				  setgid(primary) == 0 && setuid(NOBODY) == 0;
		struct msghdr m = { .msg_iov = &(struct iovec){ "x", 1 },
				    .msg_iovlen = 1 };
		union {
			char buf[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} u;

		if (ok)
			fd = dial();
		memset(&u, 0, sizeof u);
		m.msg_control = u.buf;
		m.msg_controllen = sizeof u.buf;
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
		_exit(sendmsg(fds[1], &m, 0) == 1 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	{
		char x;
		union {
			char buf[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} u;
		struct msghdr m = { .msg_iov = &(struct iovec){ &x, 1 },
				    .msg_iovlen = 1,
				    .msg_control = u.buf,
				    .msg_controllen = sizeof u.buf };

		assert_int_equal(recvmsg(fds[0], &m, 0), 1);
		memcpy(&a.fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof a.fd);
	}
	close(fds[0]);
	close(fds[1]);
	assert_true(local_send(loop, a.fd, text, strlen(text)));
	assert_true(local_run_until(loop, answer_is_over, &a));
	close(a.fd);
	return status_of(&a);
}

static void only_root_us_and_the_group_may_talk(void **state)
{
	const gid_t ours = 54321, other = 54322;
	const struct group *g = getgrnam("adm");

	(void)state;
	if (geteuid() != 0 || g == NULL) {
		print_message("not root, or no group adm: ");
		skip();
	}
	assert_int_equal(status_for(ours, other), 403);
	assert_int_equal(api_counters(api)->n_refused, 1);
	api_free(api);
	api = NULL;
	local_run_some(loop);
	assert_int_equal(start("adm"), 0);
	assert_int_equal(status_for(ours, other), 403);
	assert_int_equal(status_for(g->gr_gid, other), 200);
	assert_int_equal(status_for(ours, g->gr_gid), 200);
}

static void many_connections_are_bounded(void **state)
{
	int fds[API_CONNECTIONS_MAX + 10]; /* ten wait in the kernel */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (i % 10 == 0)
			local_run_some(loop);
		fds[i] = dial();
	}
	local_run_some(loop);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	local_run_some(loop);
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
}

static void unknown_keys_of_a_body_are_told(void **state)
{
	static const char *const known[] = { "dst", "count", NULL };
	static const struct {
		const char *body, *message;
	} rows[] = {
		{ "{}", NULL },
		{ "{\"dst\":\"a\",\"count\":1}", NULL },
		{ "{\"dts\":\"a\"}", "dts: unknown key" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *error = NULL;
		json_t *body = api_body_parse(rows[i].body,
					      strlen(rows[i].body), &error);

		assert_non_null(body);
		api_only(body, known, &error);
		if (rows[i].message == NULL) {
			assert_null(error);
		} else {
			assert_string_equal(
				json_string_value(json_object_get(
					json_object_get(error, "error"),
					"message")),
				rows[i].message);
		}
		json_decref(error);
		json_decref(body);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_get_is_answered_with_json),
		TEST(requests_are_checked),
		TEST(bodies_are_bounded),
		TEST(a_chunked_body_is_bounded_too),
		TEST(a_body_of_another_type_is_refused),
		TEST(browsers_are_refused),
		TEST(garbage_is_counted_and_hurts_nobody),
		TEST(a_reply_may_come_later),
		TEST(a_deferred_reply_may_come_at_once),
		TEST(a_reply_that_never_comes_is_a_time_out),
		TEST(a_client_that_leaves_is_forgotten),
		TEST(stopping_answers_those_who_wait),
		TEST(a_second_daemon_is_refused),
		TEST(a_stale_socket_is_replaced),
		TEST(a_file_in_the_place_of_the_socket_stays),
		TEST(an_unknown_group_is_told),
		TEST(only_root_us_and_the_group_may_talk),
		TEST(many_connections_are_bounded),
		cmocka_unit_test(unknown_keys_of_a_body_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
