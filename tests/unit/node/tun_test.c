#include "node/tun/tun.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config/config.h"
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
	int app; /* the kernel's side of the device */
	struct addr self, far;
	uint8_t packet[IP6_TEST_BYTES];
	uint8_t got[IP6_TEST_BYTES];
};

static const struct identity *nobody(void *ctx, const struct node_id *id)
{
	(void)ctx;
	(void)id;
	return NULL;
}

/* A pair of sockets that keep packets apart stands for the device. */
static int set_up(void **state)
{
	struct fixture *f = mem_new(f);
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	f->app = fds[0];
	f->loop = loop_new();
	f->dests = fake_dests_new();
	f->self = addr_of(&net, &us);
	f->far = addr_of(&net, &peer);
	f->config = mem_new(f->config);
	f->config->n_services = 1;
	f->config->services[0] = (struct config_service){
		.name = "web", .port = 80, .proto = IPPROTO_TCP
	};
	f->config->services[0].allow.n = 1;
	text_copy(f->config->services[0].allow.item[0], 2, "*");
	f->services = services_new(f->loop, f->config, &f->self, nobody, f);
	f->tun = tun_new(f->loop, fds[1], false, f->dests, f->services, &net,
			 &us);
	assert_non_null(f->tun);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tun_free(f->tun);
	services_free(f->services);
	loop_free(f->loop);
	fake_dests_free(f->dests);
	free(f->config);
	close(f->app);
	free(f);
	return 0;
}

static void app_sends(struct fixture *f, size_t len)
{
	assert_int_equal(send(f->app, f->packet, len, 0), len);
	local_run_some(f->loop);
}

/* What the app gets: its length, 0 if nothing. */
static size_t app_gets(struct fixture *f)
{
	ssize_t n;

	local_run_some(f->loop);
	n = recv(f->app, f->got, sizeof f->got, MSG_DONTWAIT);
	return n > 0 ? (size_t)n : 0;
}

static void peer_sends(struct fixture *f, size_t len)
{
	f->dests->ev->packet(f->dests->ctx, &peer, f->packet, len, false);
}

static void peer_sends_marked(struct fixture *f, size_t len)
{
	f->dests->ev->packet(f->dests->ctx, &peer, f->packet, len, true);
}

static void packets_go_out_to_their_node(void **state)
{
	struct fixture *f = *state;

	app_sends(f, ip6_packet_icmp(f->packet, &f->self, &f->far, 128));
	assert_int_equal(f->dests->n_packets, 1);
	assert_true(id_equal(&f->dests->packets[0].id, &peer));
	f->packet[7]--;
	assert_memory_equal(f->dests->packets[0].data, f->packet, 48);
	app_sends(f, ip6_packet_icmp(f->packet, &f->far, &f->self, 128));
	assert_int_equal(f->dests->n_packets, 1);
	assert_int_equal(tun_checks(f->tun)->n[TUN_OUT][TUN_SOURCE], 1);
}

static void packets_come_in_as_they_are(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->far, &f->self, 129);

	peer_sends(f, len);
	assert_int_equal(app_gets(f), len);
	assert_memory_equal(f->got, f->packet, len);
	assert_int_equal(tun_counts(f->tun)->n_written, 1);
}

/* RFC 6040 4.2: the app that understands ECN is told by a mark. */
static void what_met_congestion_comes_in_marked(void **state)
{
	static const struct {
		uint8_t before, after;
		uint64_t n_marked;
	} cases[] = {
		{ 0x10, 0x30, 1 },
		{ 0x20, 0x30, 2 },
		{ 0x30, 0x30, 3 },
	};
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->far, &f->self, 129);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		f->packet[1] = cases[i].before;
		peer_sends(f, len);
		assert_int_equal(app_gets(f), len);
		assert_memory_equal(f->got, f->packet, len);
		peer_sends_marked(f, len);
		assert_int_equal(app_gets(f), len);
		/* What came is somebody else's. */
		assert_int_equal(f->packet[1], cases[i].before);
		f->packet[1] = cases[i].after;
		assert_memory_equal(f->got, f->packet, len);
		assert_int_equal(tun_counts(f->tun)->n_marked,
				 cases[i].n_marked);
	}
	/* What may not come in does not, marked or not. */
	len = ip6_packet_icmp(f->packet, &f->self, &f->self, 129);
	peer_sends_marked(f, len);
	assert_int_equal(app_gets(f), 0);
}

/* And any other by a loss. */
static void what_met_congestion_and_cannot_be_marked_is_dropped(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->far, &f->self, 129);

	peer_sends_marked(f, len);
	assert_int_equal(app_gets(f), 0);
	assert_int_equal(tun_counts(f->tun)->n_unmarkable, 1);
	peer_sends(f, len);
	assert_int_equal(app_gets(f), len);
	assert_int_equal(tun_counts(f->tun)->n_unmarkable, 1);
	assert_int_equal(tun_counts(f->tun)->n_marked, 0);
}

static void a_blocked_packet_stops_the_reading_and_is_not_lost(void **state)
{
	struct fixture *f = *state;
	size_t len;

	f->dests->verdict = DEST_BLOCKED;
	for (uint16_t port = 1; port <= 3; port++) {
		len = ip6_packet_udp(f->packet, &f->self, &f->far, port, 9);
		app_sends(f, len);
	}
	assert_int_equal(tun_counts(f->tun)->n_read, 1);
	/* Still no room. */
	f->dests->ev->unblocked(f->dests->ctx);
	local_run_some(f->loop);
	assert_int_equal(tun_counts(f->tun)->n_read, 1);
	f->dests->verdict = DEST_SENT;
	f->dests->ev->unblocked(f->dests->ctx);
	local_run_some(f->loop);
	assert_int_equal(f->dests->n_packets, 3);
	for (uint8_t i = 0; i < 3; i++)
		assert_int_equal(f->dests->packets[i].data[41], i + 1);
	f->dests->ev->unblocked(f->dests->ctx);
	local_run_some(f->loop);
	assert_int_equal(f->dests->n_packets, 3);
}

static bool has_sent_some(void *ctx)
{
	return ((struct dests *)ctx)->n_packets > 0;
}

/* A node whose path is lost must not hold up the others. */
static void a_stuck_node_loses_its_packets_alone(void **state)
{
	struct fixture *f = *state;
	const struct node_id other = { { 9 } };
	const struct tun_counts *n = tun_counts(f->tun);
	struct addr there = addr_of(&net, &other);
	size_t len;

	f->dests->blocked = &peer;
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &f->far, 1, 9));
	len = ip6_packet_udp(f->packet, &f->self, &there, 2, 9);
	app_sends(f, len);
	assert_int_equal(f->dests->n_packets, 0);
	f->dests->ev->unblocked(f->dests->ctx); /* of somebody else */
	assert_true(local_run_until(f->loop, has_sent_some, f->dests));
	assert_int_equal(n->n_stuck, 1);
	/* From now on it does not even hold them up. */
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &f->far, 3, 9));
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &there, 4, 9));
	assert_int_equal(f->dests->n_packets, 2);
	assert_int_equal(n->n_stuck, 2);
	/* Until it takes one. */
	f->dests->blocked = NULL;
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &f->far, 5, 9));
	assert_int_equal(f->dests->n_packets, 3);
	f->dests->blocked = &peer;
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &f->far, 6, 9));
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &there, 7, 9));
	assert_int_equal(f->dests->n_packets, 3);
	assert_int_equal(n->n_stuck, 2);
}

static void many_stuck_nodes_take_turns(void **state)
{
	struct fixture *f = *state;
	const struct tun_counts *n = tun_counts(f->tun);

	f->dests->verdict = DEST_BLOCKED;
	for (uint8_t i = 0; i <= TUN_STUCK_MAX; i++) {
		const struct node_id id = { { 100, i } };
		struct addr there = addr_of(&net, &id);

		app_sends(f, ip6_packet_udp(f->packet, &f->self, &there, 1, 9));
		for (int k = 0; k < 100 && n->n_stuck <= i; k++)
			local_run_some(f->loop);
		assert_int_equal(n->n_stuck, i + 1);
	}
}

static void a_held_packet_may_be_left_behind(void **state)
{
	struct fixture *f = *state;

	f->dests->verdict = DEST_BLOCKED;
	app_sends(f, ip6_packet_udp(f->packet, &f->self, &f->far, 1, 9));
	assert_int_equal(tun_counts(f->tun)->n_blocked, 1);
	tun_free(f->tun);
	f->tun = NULL;
	local_run_some(f->loop);
}

static void the_app_is_told_why_a_packet_cannot_go(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet(f->packet, &f->self, &f->far, IPPROTO_UDP, 64,
				NULL, 1400);

	f->dests->verdict = DEST_UNREACHABLE;
	app_sends(f, len);
	assert_true(app_gets(f) > 48);
	assert_memory_equal(f->got + 40, "\1\3", 2);

	f->dests->verdict = DEST_TOO_BIG;
	f->dests->mtu = 1390;
	app_sends(f, len);
	assert_true(app_gets(f) > 48);
	assert_memory_equal(f->got + 40, "\2\0", 2);
	assert_int_equal(f->got[46] << 8 | f->got[47], 1390);

	f->dests->ev->unreachable(f->dests->ctx, f->packet, len);
	assert_true(app_gets(f) > 48);
	assert_memory_equal(f->got + 40, "\1\3", 2);
	assert_int_equal(tun_counts(f->tun)->n_unreachable, 2);

	f->dests->ev->too_big(f->dests->ctx, f->packet, len, 1200);
	assert_true(app_gets(f) > 48);
	assert_memory_equal(f->got + 40, "\2\0", 2);
	assert_int_equal(f->got[46] << 8 | f->got[47], 1280);

	f->packet[7] = 1;
	f->dests->verdict = DEST_SENT;
	app_sends(f, len);
	assert_true(app_gets(f) > 48);
	assert_memory_equal(f->got + 40, "\3\0", 2);
	assert_int_equal(f->dests->n_packets, 0);
}

static void the_peer_is_told_that_a_port_is_closed(void **state)
{
	struct fixture *f = *state;
	const uint8_t *answer = f->dests->packets[0].data;

	peer_sends(f, ip6_packet_tcp(f->packet, &f->far, &f->self, 4000, 81,
				     TCP_FLAG_SYN));
	assert_int_equal(app_gets(f), 0);
	assert_int_equal(f->dests->n_packets, 1);
	assert_true(id_equal(&f->dests->packets[0].id, &peer));
	assert_memory_equal(answer + 24, f->far.b, 16);
	assert_memory_equal(answer + 40, "\1\1", 2);
	peer_sends(f, ip6_packet_tcp(f->packet, &f->far, &f->self, 4000, 80,
				     TCP_FLAG_SYN));
	assert_int_equal(app_gets(f), 60);
}

static void a_spoofed_source_is_dropped_in_silence(void **state)
{
	struct fixture *f = *state;
	const struct node_id other = { { 9 } };
	struct addr from = addr_of(&net, &other);

	peer_sends(f, ip6_packet_icmp(f->packet, &from, &f->self, 128));
	assert_int_equal(app_gets(f), 0);
	assert_int_equal(f->dests->n_packets, 0);
	assert_int_equal(tun_checks(f->tun)->n[TUN_IN][TUN_SOURCE], 1);
}

static void what_the_device_does_not_take_is_counted(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->far, &f->self, 128);

	for (int i = 0; i < 10000; i++)
		peer_sends(f, len);
	assert_true(tun_counts(f->tun)->n_write_failed > 0);
	assert_int_equal(tun_counts(f->tun)->n_write_failed +
				 tun_counts(f->tun)->n_written,
			 10000);
}

static void a_batch_is_bounded(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->self, &f->far, 128);
	unsigned n = 0;

	while (n < 2 * TUN_BATCH && send(f->app, f->packet, len, 0) > 0)
		n++;
	assert_true(n > TUN_BATCH);
	uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
	assert_int_equal(tun_counts(f->tun)->n_read, TUN_BATCH);
	local_run_some(f->loop);
	assert_int_equal(tun_counts(f->tun)->n_read, n);
}

static void after_its_end_packets_go_nowhere(void **state)
{
	struct fixture *f = *state;
	size_t len = ip6_packet_icmp(f->packet, &f->far, &f->self, 128);

	tun_free(f->tun);
	f->tun = NULL;
	peer_sends(f, len);
	f->dests->ev->unreachable(f->dests->ctx, f->packet, len);
	f->dests->ev->unblocked(f->dests->ctx);
	local_run_some(f->loop);
	assert_int_equal(app_gets(f), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(packets_go_out_to_their_node),
		CASE(packets_come_in_as_they_are),
		CASE(what_met_congestion_comes_in_marked),
		CASE(what_met_congestion_and_cannot_be_marked_is_dropped),
		CASE(a_blocked_packet_stops_the_reading_and_is_not_lost),
		CASE(a_stuck_node_loses_its_packets_alone),
		CASE(many_stuck_nodes_take_turns),
		CASE(a_held_packet_may_be_left_behind),
		CASE(the_app_is_told_why_a_packet_cannot_go),
		CASE(the_peer_is_told_that_a_port_is_closed),
		CASE(a_spoofed_source_is_dropped_in_silence),
		CASE(what_the_device_does_not_take_is_counted),
		CASE(a_batch_is_bounded),
		CASE(after_its_end_packets_go_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
