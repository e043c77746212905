/* Three real nodes on the loopback, a - b - c, in one thread, asked through
 * their control sockets. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <jansson.h>
#include <sodium.h>

#include "node/node.h"
#include "node/node_parts.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "tests/support/certs.h"

enum {
	A,
	B,
	C,
	N_NODES,
	WAIT_MS = 20000,
};

static const char *const names[N_NODES] = { "alice", "bob", "carol" };
static struct test_cert ca;
static struct node *nodes[N_NODES];
static char dirs[N_NODES][TEST_PATH_MAX];
static char ids[N_NODES][NAME_ID_TEXT_MAX];
static char addresses[N_NODES][ADDR_TEXT_MAX];

/* ---- three nodes ---- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void spin(void)
{
	for (size_t i = 0; i < N_NODES; i++) {
		if (nodes[i] != NULL)
			uv_run(loop_uv(nodes[i]->loop), UV_RUN_NOWAIT);
	}
	usleep(200);
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	close(fd);
	return ntohs(at.sin_port);
}

static void write_config(size_t i, uint16_t port, uint16_t peer,
			 const char *more)
{
	char text[1024], at[64] = "";

	if (peer != 0)
		snprintf(at, sizeof at, "[peer bob]\naddress = 127.0.0.1:%u\n",
			 peer);
	snprintf(text, sizeof text,
		 "[node]\nname = %s\nlisten = 127.0.0.1:%u\nstate = %s\n"
		 "log = error\n[discovery]\nlan = off\n[tun]\nenabled = off\n"
		 "[socks]\nlisten = off\n[admin]\nsocket = %s/q.sock\n%s%s",
		 names[i], port, dirs[i], dirs[i], at, more);
	test_file_write(dirs[i], "q.conf", 0600, text);
}

static void start(size_t i)
{
	struct config *config = mem_new(config);
	char path[TEST_PATH_MAX + 16], why[512];
	struct addr self;

	snprintf(path, sizeof path, "%s/q.conf", dirs[i]);
	if (config_load(config, path, why, sizeof why) != 0 ||
	    node_new(&nodes[i], config, path, why, sizeof why) != 0)
		fail_msg("%s", why);
	free(config);
	name_of_id(ids[i], &nodes[i]->credentials.self.id);
	self = addr_of(&nodes[i]->credentials.net,
		       &nodes[i]->credentials.self.id);
	addr_text(addresses[i], &self);
}

static uint16_t ports[N_NODES];

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	if (sodium_init() < 0 || gnutls_global_init() < 0)
		return -1;
	test_cert_make(&ca, NULL,
		       &(struct test_spec){ .cn = "home",
					    .role = TEST_CA,
					    .around_s = time(NULL) });
	for (size_t i = 0; i < N_NODES; i++) {
		char san[32];
		struct test_cert leaf;

		snprintf(san, sizeof san, "%s.fuse", names[i]);
		test_cert_make(&leaf, &ca,
			       &(struct test_spec){ .cn = names[i],
						    .around_s = time(NULL),
						    .names = { san } });
		test_dir_make(dirs[i]);
		test_dir_credentials(dirs[i], &ca, &leaf, NULL);
		test_cert_free(&leaf);
		ports[i] = free_port();
	}
	for (size_t i = 0; i < N_NODES; i++) {
		write_config(i, ports[i], i != B ? ports[B] : 0, "");
		start(i);
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_NODES; i++) {
		node_free(nodes[i]);
		nftw(dirs[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	test_cert_free(&ca);
	return 0;
}

/* ---- asking ---- */

static int dial(size_t i)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%.90s/q.sock", dirs[i]);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

static int send_request(size_t i, const char *head, const char *body)
{
	char text[2048];
	int fd = dial(i);
	int n = snprintf(text, sizeof text,
			 "%s HTTP/1.1\r\nHost: q\r\nConnection: close\r\n"
			 "Content-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 head, strlen(body), body);

	assert_int_equal(send(fd, text, (size_t)n, 0), n);
	return fd;
}

/* The body; *status is 0 if nothing came. */
static json_t *read_reply(int fd, int *status)
{
	static char text[262144];
	uint64_t end = now_ms() + WAIT_MS;
	size_t len = 0;
	const char *body;
	json_t *o;
	ssize_t n;

	*status = 0;
	do {
		spin();
		n = recv(fd, text + len, sizeof text - 1 - len, 0);
		if (n > 0)
			len += (size_t)n;
	} while (n != 0 && (n > 0 || errno == EAGAIN) && now_ms() < end);
	close(fd);
	text[len] = '\0';
	sscanf(text, "HTTP/1.1 %d ", status);
	body = strstr(text, "\r\n\r\n");
	o = json_loads(body != NULL ? body : "", 0, NULL);
	if (o == NULL)
		fail_msg("not JSON: %s", text);
	return o;
}

static json_t *ask(size_t i, const char *head, const char *body, int want)
{
	int status;
	json_t *o = read_reply(send_request(i, head, body), &status);

	if (status != want) {
		char *text = json_dumps(o, 0);

		fail_msg("%s %s: %d %s", head, body, status, text);
	}
	return o;
}

/* "a.0.b" */
static const json_t *at(const json_t *o, const char *path)
{
	char key[64];

	while (*path != '\0' && o != NULL) {
		size_t len = strcspn(path, ".");

		snprintf(key, sizeof key, "%.*s", (int)len, path);
		o = json_is_array(o) ? json_array_get(o, (size_t)atol(key))
				     : json_object_get(o, key);
		path += len + (path[len] == '.');
	}
	return o;
}

static void assert_text(const json_t *o, const char *path, const char *want)
{
	const char *got = json_string_value(at(o, path));

	if (got == NULL || strcmp(got, want) != 0)
		fail_msg("%s: got %s, want %s", path,
			 got != NULL ? got : "nothing", want);
}

static void assert_number(const json_t *o, const char *path, json_int_t want)
{
	const json_t *x = at(o, path);

	if (!json_is_integer(x) || json_integer_value(x) != want)
		fail_msg("%s: got %lld, want %lld", path,
			 (long long)json_integer_value(x), (long long)want);
}

static void wait_for_sessions(size_t i, json_int_t n)
{
	uint64_t end = now_ms() + WAIT_MS;
	json_int_t got;

	do {
		json_t *o = ask(i, "GET /v1/status", "", 200);

		got = json_integer_value(at(o, "sessions.up"));
		json_decref(o);
	} while (got < n && now_ms() < end);
	assert_int_equal(got, n);
}

/* ---- tests ---- */

static void status_tells_who_the_node_is(void **state)
{
	json_t *o;
	char net[64];

	(void)state;
	wait_for_sessions(B, 2);
	o = ask(B, "GET /v1/status", "", 200);
	assert_text(o, "node.name", "bob");
	assert_text(o, "node.id", ids[B]);
	assert_text(o, "node.address", addresses[B]);
	assert_text(o, "display_name", "bob");
	assert_number(o, "pid", getpid());
	addr_net_text(net, &nodes[B]->credentials.net);
	assert_text(o, "cluster.prefix", net);
	assert_true(json_integer_value(at(o, "certificate.expires_in_s")) >
		    150 * TEST_DAY_S);
	assert_text(o, "transit", "on");
	assert_text(o, "store.state", "ok");
	assert_number(o, "peers.connected", 2);
	assert_true(json_is_false(at(o, "tun.up")));
	json_decref(o);
}

static void peers_and_links_show_the_neighbours(void **state)
{
	char remote[64];
	json_t *o;

	(void)state;
	wait_for_sessions(A, 1);
	o = ask(A, "GET /v1/peers", "", 200);
	assert_text(o, "peers.0.node.name", "bob");
	assert_text(o, "peers.0.configured", "bob");
	assert_text(o, "peers.0.path", "direct");
	assert_true(json_is_true(at(o, "peers.0.is_verified")));
	json_decref(o);
	o = ask(A, "GET /v1/links", "", 200);
	snprintf(remote, sizeof remote, "127.0.0.1:%u", ports[B]);
	assert_number(o, "links.0.mtu_bytes", 1440);
	assert_text(o, "links.0.node.id", ids[B]);
	assert_text(o, "links.0.remote", remote);
	assert_text(o, "links.0.state", "up");
	assert_text(o, "links.0.interface", "lo");
	json_decref(o);
}

static void ping_crosses_the_overlay(void **state)
{
	const char *const dsts[] = { ids[C], addresses[C], "carol",
				     "carol.fuse", "CAROL" };
	int n_echoed = 0;
	json_t *o;

	(void)state;
	wait_for_sessions(B, 2);
	for (size_t i = 0; i < ARRAY_LEN(dsts); i++) {
		char body[128];

		snprintf(body, sizeof body,
			 "{\"dst\":\"%s\",\"count\":3,\"interval_ms\":10}",
			 dsts[i]);
		o = ask(A, "POST /v1/ping", body, 200);
		assert_text(o, "node.id", ids[C]);
		assert_text(o, "node.name", "carol");
		assert_number(o, "n_hops", 2);
		assert_number(o, "sent", 3);
		assert_number(o, "received", 3);
		assert_int_equal(json_array_size(at(o, "rtt_ms")), 3);
		assert_true(json_is_number(at(o, "rtt_ms.2")));
		assert_true(json_real_value(at(o, "rtt_max_ms")) >=
			    json_real_value(at(o, "rtt_min_ms")));
		assert_int_equal(json_is_number(at(o, "connect_ms")), i == 0);
		n_echoed += 3;
		json_decref(o);
	}
	o = ask(C, "GET /v1/counters", "", 200);
	assert_number(o, "echo.echoed", n_echoed);
	assert_number(o, "echo.flows", ARRAY_LEN(dsts));
	json_decref(o);
}

static void trace_names_every_hop(void **state)
{
	json_t *o;

	(void)state;
	wait_for_sessions(B, 2);
	o = ask(A, "POST /v1/trace", "{\"dst\":\"carol\"}", 200);
	assert_text(o, "node.id", ids[C]);
	assert_int_equal(json_array_size(at(o, "hops")), 2);
	assert_text(o, "hops.0.node.id", ids[B]);
	assert_text(o, "hops.1.node.id", ids[C]);
	assert_number(o, "hops.1.hop", 2);
	assert_true(json_is_number(at(o, "hops.0.rtt_ms")));
	assert_true(json_is_number(at(o, "hops.1.rtt_ms")));
	assert_true(json_is_true(at(o, "hops.0.is_signed")));
	json_decref(o);
}

static void circuits_and_routes_are_shown_at_every_node(void **state)
{
	char head[128];
	json_t *o;

	(void)state;
	o = ask(A, "GET /v1/circuits", "", 200);
	assert_text(o, "circuits.0.role", "origin");
	assert_text(o, "circuits.0.state", "established");
	assert_text(o, "circuits.0.target.id", ids[C]);
	assert_int_equal(json_array_size(at(o, "circuits.0.hops")), 2);
	assert_true(json_is_number(at(o, "circuits.0.channel.rtt_ms")));
	json_decref(o);
	o = ask(B, "GET /v1/circuits", "", 200);
	assert_text(o, "circuits.0.role", "transit");
	assert_true(json_is_null(at(o, "circuits.0.channel")));
	assert_true(json_integer_value(
			    at(o, "circuits.0.toward_target.packets")) > 5);
	json_decref(o);
	o = ask(C, "GET /v1/circuits", "", 200);
	assert_text(o, "circuits.0.role", "target");
	assert_text(o, "circuits.0.origin.id", ids[A]);
	json_decref(o);

	snprintf(head, sizeof head, "GET /v1/routes?dst=%s", ids[C]);
	o = ask(A, head, "", 200);
	assert_int_equal(json_array_size(at(o, "routes")), 1);
	assert_text(o, "routes.0.hops.0.node.name", "bob");
	assert_text(o, "routes.0.target.name", "carol");
	json_decref(o);
	o = ask(A, "GET /v1/routes?dst=alice", "", 200);
	assert_int_equal(json_array_size(at(o, "routes")), 0);
	json_decref(o);
	o = ask(A, "GET /v1/peers", "", 200);
	assert_text(o, "peers.1.node.name", "carol");
	assert_text(o, "peers.1.path", "circuit");
	assert_text(o, "peers.1.via.name", "bob");
	json_decref(o);
}

static const struct {
	const char *why, *head, *body;
	int status;
	const char *code, *message;
} refused[] = {
	{ "no dst", "POST /v1/ping", "{}", 400, "bad-request", "dst: missing" },
	{ "dst is no text", "POST /v1/ping", "{\"dst\":7}", 400, "bad-request",
	  "dst: not a text" },
	{ "an unknown key", "POST /v1/ping", "{\"dst\":\"bob\",\"n\":1}", 400,
	  "bad-request", "n: unknown key" },
	{ "too many", "POST /v1/ping", "{\"dst\":\"bob\",\"count\":101}", 400,
	  "bad-request", "count: not a number in 1..100" },
	{ "none", "POST /v1/ping", "{\"dst\":\"bob\",\"count\":0}", 400,
	  "bad-request", "count: not a number in 1..100" },
	{ "ourselves", "POST /v1/ping", "{\"dst\":\"alice\"}", 400, "self",
	  "that is this node itself" },
	{ "a name that nobody has", "POST /v1/trace", "{\"dst\":\"dave\"}", 404,
	  "unknown-name",
	  "\"dave\" is the name of no node that is known here" },
	{ "a malformed name", "POST /v1/trace", "{\"dst\":\"da ve\"}", 400,
	  "bad-name", "\"da ve\" is neither a name, an id nor an address" },
	{ "another domain", "POST /v1/ping", "{\"dst\":\"www.example.net\"}",
	  400, "bad-name",
	  "\"www.example.net\" is neither a name, an id nor an address" },
	{ "an address of another cluster", "POST /v1/ping",
	  "{\"dst\":\"fdcc:1:2::1\"}", 400, "other-cluster",
	  "\"fdcc:1:2::1\" is not an address of this cluster" },
	{ "routes to nobody", "GET /v1/routes?dst=dave", "", 404,
	  "unknown-name",
	  "\"dave\" is the name of no node that is known here" },
	{ "an id that nobody has", "POST /v1/ping",
	  "{\"dst\":\"aaaaaaaaaaaaaaaa\"}", 502, "unreachable",
	  "no path to aaaaaaaaaaaaaaaa.fuse: every way was tried" },
};

static void what_cannot_be_done_is_told(void **state)
{
	(void)state;
	wait_for_sessions(B, 2);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		json_t *o = ask(A, refused[i].head, refused[i].body,
				refused[i].status);

		assert_text(o, "error.code", refused[i].code);
		assert_text(o, "error.message", refused[i].message);
		json_decref(o);
	}
}

static void a_reload_takes_all_or_nothing(void **state)
{
	char message[TEST_PATH_MAX + 64];
	json_t *o;

	(void)state;
	write_config(B, ports[B], 0, "[service web]\nport = 80x\n");
	o = ask(B, "POST /v1/reload", "", 422);
	snprintf(message, sizeof message,
		 "%s/q.conf:15: [service web] port = 80x: not in 1..65535",
		 dirs[B]);
	assert_text(o, "error.code", "bad-config");
	assert_text(o, "error.message", message);
	json_decref(o);
	o = ask(B, "GET /v1/status", "", 200);
	assert_int_equal(json_array_size(at(o, "services")), 0);
	json_decref(o);

	write_config(B, (uint16_t)(ports[B] + 1), 0,
		     "[service web]\nport = 80\nallow = carol\n");
	o = ask(B, "POST /v1/reload", "", 200);
	assert_text(o, "needs_restart", "[node] listen");
	json_decref(o);
	o = ask(B, "GET /v1/status", "", 200);
	assert_text(o, "services.0.name", "web");
	assert_text(o, "services.0.allow.0", "carol");
	json_decref(o);
}

/* Last: it ends a node. */
static void a_node_that_stops_answers_those_who_wait(void **state)
{
	int fds[2], status;
	json_t *o;

	(void)state;
	fds[0] = send_request(A, "POST /v1/ping",
			      "{\"dst\":\"carol\",\"count\":100,"
			      "\"interval_ms\":1000}");
	fds[1] = send_request(A, "POST /v1/trace", "{\"dst\":\"carol\"}");
	for (int i = 0; i < 20; i++)
		spin();
	node_free(nodes[A]);
	nodes[A] = NULL;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		o = read_reply(fds[i], &status);
		assert_int_equal(status, 503);
		assert_text(o, "error.code", "stopping");
		json_decref(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_tells_who_the_node_is),
		cmocka_unit_test(peers_and_links_show_the_neighbours),
		cmocka_unit_test(ping_crosses_the_overlay),
		cmocka_unit_test(trace_names_every_hop),
		cmocka_unit_test(circuits_and_routes_are_shown_at_every_node),
		cmocka_unit_test(what_cannot_be_done_is_told),
		cmocka_unit_test(a_reload_takes_all_or_nothing),
		cmocka_unit_test(a_node_that_stops_answers_those_who_wait),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
