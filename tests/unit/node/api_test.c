#include "tests/unit/node/api_help.h"

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

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_get_is_answered_with_json),
		CASE(requests_are_checked),
		CASE(bodies_are_bounded),
		CASE(a_chunked_body_is_bounded_too),
		CASE(a_body_of_another_type_is_refused),
		CASE(browsers_are_refused),
		CASE(garbage_is_counted_and_hurts_nobody),
		CASE(a_reply_may_come_later),
		CASE(a_deferred_reply_may_come_at_once),
		CASE(a_reply_that_never_comes_is_a_time_out),
		CASE(a_client_that_leaves_is_forgotten),
		CASE(stopping_answers_those_who_wait),
		cmocka_unit_test(unknown_keys_of_a_body_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
