/* A real TUN device, in a network namespace of the test's own (with a user
 * namespace where that takes no root).  Skipped where neither is allowed. */
#include "node/tun/tun_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config/config.h"
#include "node/tun/tun.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "tests/support/fake_stream.h"
#include "tests/support/ip6_packet.h"
#include "tests/support/local_io.h"

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id peer = { { 2, 2, 2 } };

struct fixture {
	struct loop *loop;
	struct dests *dests;
	struct config *config;
	struct services *services;
	struct tun *tun;
	struct tun_link link;
	struct addr self, far;
	int rv; /* of opening it, and what was said */
	char why[256];
};

static const struct identity *nobody(void *ctx, const struct node_id *id)
{
	(void)ctx;
	(void)id;
	return NULL;
}

static bool own_namespace(void)
{
	if (geteuid() == 0)
		return unshare(CLONE_NEWNET) == 0;
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);
	*state = f;
	f->link.fd = -1;
	f->self = addr_of(&net, &us);
	f->far = addr_of(&net, &peer);
	if (!own_namespace())
		return 0;
	f->rv = tun_link_open(&f->link, "qnt0", &f->self, 1400, true, f->why,
			      sizeof f->why);
	if (f->rv < 0)
		return 0;
	f->loop = loop_new();
	f->dests = fake_dests_new();
	f->config = mem_new(f->config);
	f->services = services_new(f->loop, f->config, &f->self, nobody, f);
	f->tun = tun_new(f->loop, f->link.fd, f->link.has_vnet, f->dests,
			 f->services, &net, &us);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->loop != NULL) {
		tun_free(f->tun);
		services_free(f->services);
		loop_free(f->loop);
		fake_dests_free(f->dests);
		free(f->config);
	}
	free(f);
	return 0;
}

static struct sockaddr_in6 at(const struct addr *a, uint16_t port)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port) };

	memcpy(&sa.sin6_addr, a->b, sizeof a->b);
	return sa;
}

static int udp_to(const struct addr *a, uint16_t port)
{
	struct sockaddr_in6 sa = at(a, port);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static int error_of(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

static void the_device_is_usable_at_once(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 own = at(&f->self, 0);
	struct ifreq req = { .ifr_name = "qnt0" };
	int fd;

	if (f->tun == NULL)
		skip();
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	/* A tentative address could not be bound to. */
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &req), 0);
	assert_int_equal(req.ifr_mtu, 1400);
	close(fd);
}

/* The kernel's own packets pass the checks: addresses, lengths, all. */
static void what_the_kernel_sends_goes_out(void **state)
{
	struct fixture *f = *state;
	int fd;

	if (f->tun == NULL)
		skip();
	fd = udp_to(&f->far, 7);
	assert_int_equal(send(fd, "ping", 4, 0), 4);
	local_run_some(f->loop);
	assert_int_equal(f->dests->n_packets, 1);
	assert_true(id_equal(&f->dests->packets[0].id, &peer));
	assert_int_equal(f->dests->packets[0].len, 40 + 8 + 4);
	assert_memory_equal(f->dests->packets[0].data + 48, "ping", 4);
	close(fd);
}

static void no_link_local_address_is_made(void **state)
{
	struct fixture *f = *state;
	char line[256];
	size_t n = 0;
	FILE *file;

	if (f->tun == NULL)
		skip();
	file = fopen("/proc/net/if_inet6", "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL) {
		if (strstr(line, "qnt0") == NULL)
			continue;
		n++;
		assert_memory_equal(line, "fdcc", 4);
	}
	fclose(file);
	assert_int_equal(n, 1);
}

static void an_app_learns_that_a_node_is_unreachable(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 sa = at(&f->far, 80);
	const int on = 1;
	int fd;

	if (f->tun == NULL)
		skip();
	f->dests->verdict = DEST_UNREACHABLE;
	fd = udp_to(&f->far, 7);
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
	assert_int_equal(send(fd, "ping", 4, 0), 4);
	local_run_some(f->loop);
	assert_int_equal(error_of(fd), EHOSTUNREACH);
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), -1);
	local_run_some(f->loop);
	assert_int_equal(error_of(fd), EHOSTUNREACH);
	close(fd);
}

static void an_app_learns_the_mtu_of_the_path(void **state)
{
	struct fixture *f = *state;
	static const char big[1300];
	int fd, mtu = 0;
	socklen_t len = sizeof mtu;

	if (f->tun == NULL)
		skip();
	f->dests->verdict = DEST_TOO_BIG;
	f->dests->mtu = 1300;
	fd = udp_to(&f->far, 7);
	assert_int_equal(send(fd, big, sizeof big, 0), sizeof big);
	local_run_some(f->loop);
	assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &len), 0);
	assert_int_equal(mtu, 1300);
	close(fd);
}

static void a_connect_through_it_is_refused_by_a_closed_port(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 sa = at(&f->far, 80);
	uint8_t answer[ICMP6_ERROR_BYTES_MAX];
	size_t n;
	int fd;

	if (f->tun == NULL)
		skip();
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), -1);
	local_run_some(f->loop);
	assert_int_equal(f->dests->n_packets, 1);
	/* What the peer's node would answer to this SYN. */
	n = icmp6_error_write(answer, ICMP6_PROHIBITED, 0, &f->far,
			      f->dests->packets[0].data,
			      f->dests->packets[0].len);
	f->dests->ev->packet(f->dests->ctx, &peer, answer, n, false);
	local_run_some(f->loop);
	assert_int_equal(error_of(fd), EACCES);
	close(fd);
}

/* Whatever this machine permits, what is not permitted is explained. */
static void a_refusal_says_what_to_do(void **state)
{
	struct fixture *f = *state;

	if (f->rv == -EACCES)
		assert_string_equal(
			f->why,
			"cannot open /dev/net/tun: permission denied. Run with "
			"CAP_NET_ADMIN, or set enabled = off in [tun] to use "
			"SOCKS only");
	else if (f->rv == -EPERM)
		assert_non_null(strstr(f->why, "Run with CAP_NET_ADMIN"));
	else if (f->rv < 0)
		assert_non_null(strstr(f->why, "modprobe tun"));
	else
		assert_string_equal(f->why, "");
}

static void a_name_that_is_too_long_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tun_link link;
	char why[256];

	assert_int_equal(tun_link_open(&link, "a-name-of-16-chr", &f->self,
				       1400, true, why, sizeof why),
			 -ENAMETOOLONG);
	assert_string_equal(why, "TUN name a-name-of-16-chr is too long (at "
				 "most 15)");
}

static void double_use_is_explained(void **state)
{
	struct fixture *f = *state;
	struct tun_link link;
	char why[256];

	if (f->tun == NULL)
		skip();
	assert_int_equal(tun_link_open(&link, "qnt0", &f->self, 1400, true, why,
				       sizeof why),
			 -EBUSY);
	assert_string_equal(why,
			    "cannot make the TUN qnt0: in use. Set another "
			    "name in [tun], or set enabled = off in [tun] "
			    "to use SOCKS only");
}

/* ---- services on the overlay address ---- */

static bool is_established(void *ctx)
{
	const int *fd = ctx;
	struct sockaddr_in6 sa;
	socklen_t len = sizeof sa;

	return getpeername(*fd, (struct sockaddr *)&sa, &len) == 0;
}

/* Loopback is down in a new namespace. */
static void loopback_up(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &req), 0);
	close(fd);
}

static void a_service_is_forwarded_from_our_address(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 sa = at(&f->self, 80);
	struct config_service *s;
	uint16_t port;
	char in[5];
	int server, c, app;

	if (f->tun == NULL)
		skip();
	s = &f->config->services[0];
	loopback_up();
	server = local_server(&port);
	f->config->n_services = 1;
	s->port = 80;
	s->proto = IPPROTO_TCP;
	s->has_to = true;
	s->to = local_at(port);
	services_reload(f->services, f->config);
	services_tun_up(f->services);

	app = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(app, (struct sockaddr *)&sa, sizeof sa);
	assert_true(local_run_until(f->loop, is_established, &app));
	c = local_server_accept(f->loop, server);
	assert_true(local_send(f->loop, app, "hello", 5));
	assert_true(local_recv(f->loop, c, in, 5));
	assert_memory_equal(in, "hello", 5);
	/* The rule goes: what stands is kept, nothing new comes. */
	f->config->n_services = 0;
	services_reload(f->services, f->config);
	assert_true(local_send(f->loop, c, "still", 5));
	assert_true(local_recv(f->loop, app, in, 5));
	close(app);
	app = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(app, (struct sockaddr *)&sa, sizeof sa);
	local_run_some(f->loop);
	assert_int_equal(error_of(app), ECONNREFUSED);
	close(app);
	close(c);
	close(server);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(the_device_is_usable_at_once),
		CASE(what_the_kernel_sends_goes_out),
		CASE(no_link_local_address_is_made),
		CASE(an_app_learns_that_a_node_is_unreachable),
		CASE(an_app_learns_the_mtu_of_the_path),
		CASE(a_connect_through_it_is_refused_by_a_closed_port),
		CASE(a_refusal_says_what_to_do),
		CASE(a_name_that_is_too_long_is_refused),
		CASE(double_use_is_explained),
		CASE(a_service_is_forwarded_from_our_address),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
