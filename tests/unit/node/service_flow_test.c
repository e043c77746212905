/* UDP that apps send to our overlay address, forwarded to where the service
 * listens.  ::1 stands for that address: all who have it are we. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config/config.h"
#include "node/service/service.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "tests/support/fake_stream.h"
#include "tests/support/local_io.h"

struct fixture {
	struct loop *loop;
	struct config *config;
	struct services *services;
	int server; /* the service */
	uint16_t server_port;
	uint16_t port; /* published on ::1 */
	int app;
};

static const struct identity *nobody(void *ctx, const struct node_id *id)
{
	(void)ctx;
	(void)id;
	return NULL;
}

static struct sockaddr_in6 own(uint16_t port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6,
				      .sin6_port = htons(port),
				      .sin6_addr = in6addr_loopback };
}

/* A socket on ::1; its port, too. */
static int own_udp(uint16_t *port)
{
	struct sockaddr_in6 sa = own(0);
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin6_port);
	return fd;
}

static int own_client(uint16_t to)
{
	struct sockaddr_in6 sa = own(to);
	uint16_t port;
	int fd = own_udp(&port);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static int set_up(void **state)
{
	const struct addr self = { .b = { [15] = 1 } };
	struct fixture *f = mem_new(f);
	struct config_service *s;

	close(own_udp(&f->port));
	f->loop = loop_new();
	f->server = local_udp(&f->server_port);
	f->config = mem_new(f->config);
	f->config->n_services = 1;
	s = &f->config->services[0];
	*s = (struct config_service){ .name = "dns",
				      .port = f->port,
				      .proto = IPPROTO_UDP,
				      .has_to = true,
				      .to = local_at(f->server_port) };
	s->allow.n = 1;
	text_copy(s->allow.item[0], 2, "*");
	f->services = services_new(f->loop, f->config, &self, nobody, NULL);
	services_tun_up(f->services);
	f->app = own_client(f->port);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	services_free(f->services);
	loop_free(f->loop);
	free(f->config);
	close(f->server);
	close(f->app);
	free(f);
	return 0;
}

static void app_sends(struct fixture *f, int app, const char *text)
{
	assert_int_equal(send(app, text, strlen(text), 0), strlen(text));
	local_run_some(f->loop);
}

static union endpoint server_gets(struct fixture *f, const char *text)
{
	union endpoint from;
	char got[64];
	ssize_t n =
		local_recv_datagram(f->loop, f->server, got, sizeof got, &from);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
	return from;
}

static void server_sends(struct fixture *f, const union endpoint *to,
			 const char *text)
{
	assert_int_equal(sendto(f->server, text, strlen(text), 0, &to->sa,
				sizeof to->in),
			 strlen(text));
}

static void app_gets(struct fixture *f, int app, const char *text)
{
	union endpoint from;
	char got[64];
	ssize_t n = local_recv_datagram(f->loop, app, got, sizeof got, &from);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void datagrams_go_there_and_back(void **state)
{
	struct fixture *f = *state;
	union endpoint from, again;

	app_sends(f, f->app, "question");
	from = server_gets(f, "question");
	server_sends(f, &from, "answer");
	app_gets(f, f->app, "answer");
	app_sends(f, f->app, "next");
	again = server_gets(f, "next");
	assert_true(endpoint_equal(&again, &from));
	assert_int_equal(services_counts(f->services)->n_datagrams_in, 2);
	assert_int_equal(services_counts(f->services)->n_datagrams_out, 1);
}

static void two_apps_are_kept_apart(void **state)
{
	struct fixture *f = *state;
	int other = own_client(f->port);
	union endpoint from_app, from_other;

	app_sends(f, f->app, "one");
	from_app = server_gets(f, "one");
	app_sends(f, other, "two");
	from_other = server_gets(f, "two");
	assert_false(endpoint_equal(&from_app, &from_other));
	server_sends(f, &from_other, "to two");
	server_sends(f, &from_app, "to one");
	app_gets(f, f->app, "to one");
	app_gets(f, other, "to two");
	close(other);
}

static void a_service_that_refuses_is_tried_again(void **state)
{
	struct fixture *f = *state;
	union endpoint at = local_at(f->server_port);

	close(f->server);
	app_sends(f, f->app, "nobody there");
	assert_int_equal(services_counts(f->services)->n_connect_failed, 1);
	f->server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->server, &at.sa, sizeof at.in), 0);
	app_sends(f, f->app, "now");
	server_gets(f, "now");
}

static int error_of_send(struct fixture *f)
{
	send(f->app, "x", 1, 0);
	local_run_some(f->loop);
	return send(f->app, "x", 1, 0) < 0 ? errno : 0;
}

static void a_reload_keeps_what_stands(void **state)
{
	struct fixture *f = *state;
	union endpoint from, again;

	app_sends(f, f->app, "before");
	from = server_gets(f, "before");
	services_reload(f->services, f->config);
	app_sends(f, f->app, "after");
	again = server_gets(f, "after");
	assert_true(endpoint_equal(&again, &from));

	f->config->services[0].port++;
	services_reload(f->services, f->config);
	assert_int_equal(error_of_send(f), ECONNREFUSED);
}

static void both_protocols_are_forwarded(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 sa = own(f->port);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), -1);
	close(fd);
	f->config->services[0].proto = 0;
	services_reload(f->services, f->config);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	close(fd);
	app_sends(f, f->app, "and UDP");
	server_gets(f, "and UDP");
}

static void nothing_is_bound_where_the_service_itself_is(void **state)
{
	struct fixture *f = *state;
	struct config_service *s = &f->config->services[0];

	s->has_to = false;
	services_reload(f->services, f->config);
	assert_int_equal(error_of_send(f), ECONNREFUSED);
	s->has_to = true;
	s->to.in6 = own(f->port);
	services_reload(f->services, f->config);
	assert_int_equal(error_of_send(f), ECONNREFUSED);
}

/* Both ends of each are sockets of ours. */
static bool has_files_for(rlim_t n)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
	if (r.rlim_cur >= n)
		return true;
	r.rlim_cur = n;
	return setrlimit(RLIMIT_NOFILE, &r) == 0;
}

static void one_node_has_a_limit_of_flows(void **state)
{
	enum {
		MAX = STREAMS_PER_CHANNEL_MAX
	};
	struct fixture *f = *state;
	const struct service_counts *n = services_counts(f->services);
	int apps[MAX + 1];

	if (!has_files_for(2 * MAX + 100))
		skip();
	for (int i = 0; i <= MAX; i++) {
		apps[i] = own_client(f->port);
		assert_int_equal(send(apps[i], "x", 1, 0), 1);
		uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
		if (i < MAX)
			assert_int_equal(n->n_over_limit, 0);
	}
	local_run_some(f->loop);
	assert_int_equal(n->n_datagrams_in, MAX);
	assert_int_equal(n->n_over_limit, 1);
	assert_int_equal(n->n_forward_refused, 1);
	for (int i = 0; i <= MAX; i++)
		close(apps[i]);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(datagrams_go_there_and_back),
		CASE(two_apps_are_kept_apart),
		CASE(a_service_that_refuses_is_tried_again),
		CASE(a_reload_keeps_what_stands),
		CASE(both_protocols_are_forwarded),
		CASE(nothing_is_bound_where_the_service_itself_is),
		CASE(one_node_has_a_limit_of_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
