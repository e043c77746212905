#include "cmd/qanat/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/qanat/daemon.h"
#include "cmd/qanat/say.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"

#define DEFAULT_SOCKET  "/run/qanat/qanat.sock"
#define REPLY_BYTES_MAX (64 << 20)
#define TIMEOUT_MS      120000L

struct reply {
	char *data;
	size_t len;
	long status;
};

static size_t gather(char *data, size_t size, size_t n, void *ctx)
{
	struct reply *r = ctx;
	size_t len = size * n;

	if (r->len + len > REPLY_BYTES_MAX)
		return 0;
	r->data = mem_realloc(r->data, r->len + len + 1, 1);
	memcpy(r->data + r->len, data, len);
	r->len += len;
	return len;
}

/* ---- which socket, and is anybody there ---- */

static int find_socket(char *out, size_t cap, const struct options *o)
{
	const char *path = o->socket;

	if (path == NULL && o->config != NULL)
		return daemon_config_value(out, cap, o->config, "admin",
					   "socket");
	if (path == NULL)
		path = getenv("QANAT_SOCKET");
	if (path == NULL || *path == '\0')
		path = DEFAULT_SOCKET;
	if (!text_copy(out, cap, path))
		return say_error(EXIT_WRONG_USE, "%s: too long for a socket",
				 path);
	return EXIT_DONE;
}

/* Why a connection cannot be made: libcurl does not tell. */
static int connect_error(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rv = 0;

	text_copy(at.sun_path, sizeof at.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
		rv = errno;
	if (fd >= 0)
		close(fd);
	return rv;
}

static int say_not_running(const char *path)
{
	int rv = connect_error(path);

	if (rv == EACCES || rv == EPERM)
		return say_error(EXIT_WRONG_USE,
				 "%s: permission denied. Run it as root, or "
				 "join the group of [admin]",
				 path);
	if (rv == ENOENT || rv == ENOTDIR)
		return say_error(EXIT_WRONG_USE,
				 "qanatd is not running (no %s). Start it: "
				 "systemctl start qanat",
				 path);
	if (rv == ECONNREFUSED)
		return say_error(EXIT_WRONG_USE,
				 "qanatd is not running (nobody listens on "
				 "%s). Start it: systemctl start qanat",
				 path);
	return say_error(EXIT_WRONG_USE, "%s: %s", path,
			 rv != 0 ? strerror(rv) : "no answer");
}

/* ---- one request ---- */

static CURLcode perform(CURL *curl, const char *socket, const char *url,
			const char *body, struct reply *r)
{
	struct curl_slist *type =
		curl_slist_append(NULL, "Content-Type: application/json");
	CURLcode rv;

	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
	if (body != NULL) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, type);
	}
	rv = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r->status);
	curl_slist_free_all(type);
	return rv;
}

static int say_refusal(long status, json_t *body)
{
	json_t *e = json_object_get(body, "error");
	const char *message = json_string_value(json_object_get(e, "message"));
	const char *hint = json_string_value(json_object_get(e, "hint"));
	int code = status == 400 ? EXIT_WRONG_USE : EXIT_NO;

	if (message == NULL)
		return say_error(code, "qanatd answers with status %ld",
				 status);
	return say_error(code, "%s%s%s", message,
			 hint != NULL ? ". Hint: " : "",
			 hint != NULL ? hint : "");
}

static int judge(const struct reply *r, json_t **out)
{
	json_t *body =
		json_loadb(r->data != NULL ? r->data : "", r->len, 0, NULL);
	int rv;

	if (r->status == 200 && body != NULL) {
		*out = body;
		return EXIT_DONE;
	}
	rv = r->status == 200
		     ? say_error(EXIT_NO, "qanatd's answer is not JSON")
		     : say_refusal(r->status, body);
	json_decref(body);
	return rv;
}

static int request(const struct options *o, const char *path, const char *body,
		   bool is_silent, json_t **out)
{
	char socket[256], url[1024];
	struct reply r = { .data = NULL };
	CURL *curl;
	CURLcode failed;
	int rv = find_socket(socket, sizeof socket, o);

	if (rv != EXIT_DONE)
		return rv;
	curl = curl_easy_init();
	if (curl == NULL)
		return say_error(EXIT_NO, "libcurl does not start");
	snprintf(url, sizeof url, "http://qanat%s", path);
	failed = perform(curl, socket, url, body, &r);
	curl_easy_cleanup(curl);
	if (failed == CURLE_OK)
		rv = judge(&r, out);
	else if (is_silent)
		rv = EXIT_WRONG_USE;
	else if (failed == CURLE_COULDNT_CONNECT)
		rv = say_not_running(socket);
	else
		rv = say_error(EXIT_NO, "%s: %s", socket,
			       curl_easy_strerror(failed));
	free(r.data);
	return rv;
}

int client_get(const struct options *o, const char *path, json_t **out)
{
	return request(o, path, NULL, false, out);
}

int client_try(const struct options *o, const char *path, json_t **out)
{
	return request(o, path, NULL, true, out);
}

int client_get_with(const struct options *o, const char *path, const char *key,
		    const char *value, json_t **out)
{
	char full[1024];
	char *escaped;

	if (value == NULL)
		return client_get(o, path, out);
	escaped = curl_easy_escape(NULL, value, 0);
	if (escaped == NULL || strlen(escaped) > 512) {
		curl_free(escaped);
		return say_error(EXIT_WRONG_USE, "%.64s…: too long", value);
	}
	snprintf(full, sizeof full, "%s?%s=%s", path, key, escaped);
	curl_free(escaped);
	return client_get(o, full, out);
}

int client_post(const struct options *o, const char *path, json_t *body,
		json_t **out)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	int rv = request(o, path, text != NULL ? text : "", false, out);

	free(text);
	json_decref(body);
	return rv;
}

int client_print_json(json_t *body)
{
	json_dumpf(body, stdout,
		   JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(10));
	putchar('\n');
	json_decref(body);
	return EXIT_DONE;
}
