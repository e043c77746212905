/* Two network namespaces of our own with a wire between them; skipped where
 * the system does not let us make them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/peers/lan.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

#define PATIENCE_MS 10000

extern char **environ;

struct side {
	int ns;
	struct loop *loop;
	struct lan *lan;
	unsigned n_received, n_v6, n_v4, n_changed, n_new;
	size_t len;
	uint8_t data[BEACON_BYTES_MAX + 1];
	union endpoint from;
	uint32_t ifindex;
};

/* a and b are the ends of the wire; c is a second node beside b. */
struct world {
	struct side a, b, c;
};

static bool run(const char *arg, ...)
{
	char *argv[24] = { (char *)(uintptr_t) "ip" };
	size_t n = 1;
	pid_t pid;
	int status;
	va_list ap;

	va_start(ap, arg);
	for (; arg != NULL && n < ARRAY_LEN(argv) - 1;
	     arg = va_arg(ap, const char *))
		argv[n++] = (char *)(uintptr_t)arg;
	va_end(ap);
	if (posix_spawnp(&pid, "ip", NULL, NULL, argv, environ) != 0)
		return false;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static void enter(const struct side *s)
{
	assert_int_equal(setns(s->ns, CLONE_NEWNET), 0);
}

static void received(void *ctx, const uint8_t *data, size_t len,
		     const union endpoint *from, uint32_t ifindex)
{
	struct side *s = ctx;

	s->n_received++;
	s->n_v6 += from->sa.sa_family == AF_INET6;
	s->n_v4 += from->sa.sa_family == AF_INET;
	s->len = len;
	memcpy(s->data, data, len);
	s->from = *from;
	s->ifindex = ifindex;
}

static void changed(void *ctx, bool is_new)
{
	struct side *s = ctx;

	s->n_changed++;
	s->n_new += is_new;
}

static const struct lan_events events = { received, changed };

static bool ns_new(struct side *s)
{
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	s->ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return s->ns >= 0 && run("link", "set", "lo", "up", NULL);
}

static void open_lan(struct side *s, const char *pattern, const char *tun)
{
	struct config_list interfaces = { .n = pattern != NULL };

	if (pattern != NULL)
		snprintf(interfaces.item[0], sizeof interfaces.item[0], "%s",
			 pattern);
	enter(s);
	if (s->loop == NULL)
		s->loop = loop_new();
	loop_turn(s->loop);
	assert_int_equal(
		lan_open(&s->lan, s->loop, &interfaces, tun, &events, s), 0);
}

/* A wire from a to b whose ends have this name, with IPv4 addresses. */
static bool wire_new(struct world *w, const char *name, const char *net)
{
	char path[64], at_a[32], at_b[32];

	snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), w->a.ns);
	snprintf(at_a, sizeof at_a, "%s.1/24", net);
	snprintf(at_b, sizeof at_b, "%s.2/24", net);
	enter(&w->b);
	if (!run("link", "add", name, "type", "veth", "peer", "name", "far",
		 NULL) ||
	    !run("link", "set", "far", "netns", path, "name", name, NULL) ||
	    !run("addr", "add", at_b, "dev", name, NULL) ||
	    !run("link", "set", name, "up", NULL))
		return false;
	enter(&w->a);
	return run("addr", "add", at_a, "dev", name, NULL) &&
	       run("link", "set", name, "up", NULL);
}

static int set_up(void **state)
{
	struct world *w = mem_new(w);

	w->a.ns = w->b.ns = -1;
	*state = w;
	return 0;
}

/* Not in set_up(): a test skips itself. */
static void make_wire(struct world *w)
{
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		skip();
	if (!ns_new(&w->a) || !ns_new(&w->b) || !wire_new(w, "w0", "10.9.0")) {
		print_message("no namespaces, veth or ip(8) here\n");
		skip();
	}
	w->c.ns = w->b.ns;
}

static void turn(struct side *s)
{
	if (s->loop == NULL)
		return;
	enter(s);
	uv_run(loop_uv(s->loop), UV_RUN_NOWAIT);
}

static void side_close(struct side *s)
{
	if (s->loop == NULL)
		return;
	enter(s);
	lan_close(s->lan);
	loop_free(s->loop);
}

static int tear_down(void **state)
{
	struct world *w = *state;

	side_close(&w->a);
	side_close(&w->b);
	side_close(&w->c);
	if (w->a.ns >= 0)
		close(w->a.ns);
	if (w->b.ns >= 0)
		close(w->b.ns);
	free(w);
	return 0;
}

/* A tenth of a second later; false when patience is at its end. */
static bool wait_more(struct world *w, int *waited_ms)
{
	for (int i = 0; i < 20; i++) {
		turn(&w->a);
		turn(&w->b);
		turn(&w->c);
		uv_sleep(5);
	}
	*waited_ms += 100;
	return *waited_ms < PATIENCE_MS;
}

static bool has_places(const struct side *s, size_t n)
{
	return lan_n_places(s->lan) == n;
}

static void wait_for_places(struct world *w, struct side *s, size_t n)
{
	int waited = 0;

	while (!has_places(s, n) && wait_more(w, &waited))
		continue;
	assert_int_equal(lan_n_places(s->lan), n);
}

/* An IPv6 address may be used a second after the interface is up: as the
 * beacons, this is said again. */
static void send_until_heard(struct world *w, struct side *s, struct side *to)
{
	int waited = 0;

	while (to->n_v6 == 0 || to->n_v4 == 0) {
		enter(s);
		for (size_t i = 0; i < lan_n_places(s->lan); i++)
			lan_send(s->lan, i, "hello", 5);
		if (!wait_more(w, &waited))
			break;
	}
	assert_true(to->n_v6 > 0);
	assert_true(to->n_v4 > 0);
}

static void everybody_on_the_wire_hears_us_in_both_families(void **state)
{
	struct world *w = *state;

	make_wire(w);
	open_lan(&w->a, NULL, "");
	open_lan(&w->b, NULL, "");
	open_lan(&w->c, NULL, "");
	wait_for_places(w, &w->a, 2);
	wait_for_places(w, &w->b, 2);
	wait_for_places(w, &w->c, 2);
	send_until_heard(w, &w->a, &w->b);
	assert_int_equal(w->b.len, 5);
	assert_memory_equal(w->b.data, "hello", 5);
	assert_int_equal(w->b.ifindex, lan_place(w->b.lan, 0)->ifindex);
	if (w->b.from.sa.sa_family == AF_INET)
		assert_int_equal(w->b.from.in.sin_addr.s_addr,
				 inet_addr("10.9.0.1"));
	else
		assert_int_equal(w->b.from.in6.sin6_scope_id, w->b.ifindex);
	/* The second node on that machine, too. */
	assert_true(w->c.n_v6 > 0 && w->c.n_v4 > 0);
	assert_int_equal(lan_counters(w->b.lan)->n_unicast, 0);
}

static void a_wire_that_comes_and_goes_is_noticed(void **state)
{
	struct world *w = *state;
	unsigned n_new;

	make_wire(w);
	open_lan(&w->a, NULL, "");
	wait_for_places(w, &w->a, 2);
	n_new = w->a.n_new;
	assert_true(wire_new(w, "w1", "10.9.1"));
	wait_for_places(w, &w->a, 4);
	assert_true(w->a.n_new > n_new);
	n_new = w->a.n_new;
	/* The far end loses its cable. */
	enter(&w->b);
	assert_true(run("link", "set", "w0", "down", NULL));
	wait_for_places(w, &w->a, 2);
	assert_string_equal(lan_place(w->a.lan, 0)->name, "w1");
	assert_int_equal(w->a.n_new, n_new);
	enter(&w->b);
	assert_true(run("link", "set", "w0", "up", NULL));
	wait_for_places(w, &w->a, 4);
	assert_true(w->a.n_new > n_new);
	/* And it works as before. */
	open_lan(&w->b, NULL, "");
	wait_for_places(w, &w->b, 4);
	send_until_heard(w, &w->a, &w->b);
	enter(&w->a);
	assert_true(run("link", "del", "w1", NULL));
	wait_for_places(w, &w->a, 2);
}

static void patterns_and_our_own_tun_choose_the_wires(void **state)
{
	static const struct {
		const char *pattern;
		const char *tun;
		size_t n_places;
	} cases[] = {
		{ NULL, "", 4 },       { "w*", "", 4 },  { "w1", "", 2 },
		{ "eth*", "", 0 },     { "lo", "", 0 },  { NULL, "w0", 2 },
		{ "w[0-9]", "w1", 2 }, { "w?x", "", 0 },
	};
	struct world *w = *state;

	make_wire(w);
	assert_true(wire_new(w, "w1", "10.9.1"));
	open_lan(&w->a, NULL, "");
	wait_for_places(w, &w->a, 4);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		lan_close(w->a.lan);
		open_lan(&w->a, cases[i].pattern, cases[i].tun);
		assert_int_equal(lan_n_places(w->a.lan), cases[i].n_places);
	}
	/* A reload. */
	{
		struct config_list list = { .n = 1, .item = { "w0" } };

		lan_set_interfaces(w->a.lan, &list);
		wait_for_places(w, &w->a, 2);
		assert_string_equal(lan_place(w->a.lan, 0)->name, "w0");
	}
}

static int bare_socket(const char *from)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = inet_addr(from) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&in, sizeof in), 0);
	return fd;
}

static void what_is_not_for_all_or_of_another_wire_is_dropped(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(BEACON_PORT),
				  .sin_addr.s_addr = inet_addr("10.9.0.2") };
	struct world *w = *state;
	const struct lan_counters *n;
	const int on = 1;
	int fd, waited = 0;

	make_wire(w);
	open_lan(&w->b, "nothing*", "");
	assert_int_equal(lan_n_places(w->b.lan), 0);
	n = lan_counters(w->b.lan);
	enter(&w->a);
	fd = bare_socket("10.9.0.1");
	assert_int_equal(
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "w0", 3);
	to.sin_addr.s_addr = htonl(INADDR_BROADCAST);
	assert_int_equal(
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	close(fd);
	while ((n->n_unicast == 0 || n->n_other_wire == 0) &&
	       wait_more(w, &waited))
		continue;
	assert_int_equal(n->n_unicast, 1);
	assert_int_equal(n->n_other_wire, 1);
	assert_int_equal(w->b.n_received, 0);
}

static void a_datagram_too_long_is_cut_and_seen_to_be(void **state)
{
	struct world *w = *state;
	uint8_t data[1000] = { 0 };
	int waited = 0;

	make_wire(w);
	open_lan(&w->a, NULL, "");
	open_lan(&w->b, NULL, "");
	wait_for_places(w, &w->a, 2);
	wait_for_places(w, &w->b, 2);
	do {
		enter(&w->a);
		for (size_t i = 0; i < lan_n_places(w->a.lan); i++)
			lan_send(w->a.lan, i, data, sizeof data);
	} while (w->b.n_received == 0 && wait_more(w, &waited));
	assert_int_equal(w->b.len, BEACON_BYTES_MAX + 1);
}

/* Needs no privilege and sends nothing. */
static void without_a_wire_it_opens_and_is_silent(void **state)
{
	struct config_list none = { .n = 1, .item = { "no-such-wire" } };
	struct world *w = *state;

	w->a.ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	w->a.loop = loop_new();
	loop_turn(w->a.loop);
	assert_int_equal(
		lan_open(&w->a.lan, w->a.loop, &none, "", &events, &w->a), 0);
	assert_int_equal(lan_n_places(w->a.lan), 0);
	assert_int_equal(lan_counters(w->a.lan)->n_scans, 1);
	uv_run(loop_uv(w->a.loop), UV_RUN_NOWAIT);
	assert_int_equal(w->a.n_changed, 0);
	lan_close(w->a.lan);
	loop_free(w->a.loop);
	w->a.loop = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			without_a_wire_it_opens_and_is_silent, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			everybody_on_the_wire_hears_us_in_both_families, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_wire_that_comes_and_goes_is_noticed, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			patterns_and_our_own_tun_choose_the_wires, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_not_for_all_or_of_another_wire_is_dropped,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_datagram_too_long_is_cut_and_seen_to_be, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
