/* A real TUN device with the program at it, in a network namespace of the
 * test's own.  Skipped where that, or BPF, is not allowed. */
#include "node/splice/tun_bpf.h"

#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/tun/tun_link.h"
#include "proto/base/be.h"
#include "proto/base/mem.h"
#include "tests/support/ip6_packet.h"
#include "tests/unit/node/tun_offload_help.h"

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_RST 0x04

enum {
	APP = 4000, /* us:APP to them:SERVICE */
	SERVICE = 80,
	OURS = 5000, /* is turned to them:THEIRS to us:OURS */
	THEIRS = 6000,
	SUM_AT = 16,
};

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id peer = { { 2, 2, 2 } };

struct fixture {
	struct tun_link link;
	struct tun_bpf *bpf;
	struct addr self, far;
	struct tun_bpf_key key;
	int out, in; /* raw sockets: whole packets; TCP that comes in */
};

static int set_up(void **state)
{
	const int on = 1;
	struct fixture *f = mem_new(f);
	char why[256];

	*state = f;
	f->link.fd = f->out = f->in = -1;
	f->self = addr_of(&net, &us);
	f->far = addr_of(&net, &peer);
	f->key = (struct tun_bpf_key){ .src = f->self,
				       .dst = f->far,
				       .src_port = htons(APP),
				       .dst_port = htons(SERVICE) };
	if (unshare(CLONE_NEWNET) < 0 ||
	    tun_link_open(&f->link, "qnt0", &f->self, 1400, false, why,
			  sizeof why) < 0)
		return 0;
	if (tun_bpf_open(&f->bpf, f->link.index) < 0)
		return 0;
	f->out = socket(AF_INET6, SOCK_RAW, IPPROTO_TCP);
	f->in = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP);
	setsockopt(f->out, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof on);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tun_bpf_close(f->bpf);
	tun_link_close(&f->link);
	if (f->out >= 0)
		close(f->out);
	if (f->in >= 0)
		close(f->in);
	free(f);
	return 0;
}

static void add(struct fixture *f)
{
	tun_bpf_add(f->bpf, &f->key, htons(THEIRS), htons(OURS));
}

static void send_from(struct fixture *f, const struct addr *src,
		      uint16_t src_port, uint16_t dst_port, uint8_t flags)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	uint8_t packet[IP6_TEST_BYTES];
	uint8_t *tcp = packet + IP6;
	size_t len =
		ip6_packet_tcp(packet, src, &f->far, src_port, dst_port, flags);

	be16_put(tcp + SUM_AT, 0);
	be16_put(tcp + SUM_AT, (uint16_t)~fold(add_words(pseudo(packet, len),
							 tcp, len - IP6)));
	memcpy(&to.sin6_addr, f->far.b, sizeof f->far.b);
	assert_int_equal(sendto(f->out, packet, len, 0, (struct sockaddr *)&to,
				sizeof to),
			 len);
}

static void send_segment(struct fixture *f, uint8_t flags)
{
	send_from(f, &f->self, APP, SERVICE, flags);
}

/* Whether it came up to us. */
static bool came_up(struct fixture *f)
{
	uint8_t packet[IP6_TEST_BYTES];

	return read(f->link.fd, packet, sizeof packet) > 0;
}

/* Whether a packet came out of the device: it is right, and from them. */
static bool came_back(struct fixture *f)
{
	/* Of the header the kernel tells the addresses alone. */
	uint8_t packet[IP6_TEST_BYTES] = { 0 };
	uint8_t *tcp = packet + IP6;
	struct sockaddr_in6 from = { 0 };
	socklen_t from_len = sizeof from;
	ssize_t n = recvfrom(f->in, tcp, sizeof packet - IP6, 0,
			     (struct sockaddr *)&from, &from_len);

	if (n < 0)
		return false;
	assert_memory_equal(&from.sin6_addr, f->far.b, sizeof f->far.b);
	assert_int_equal(be16_get(tcp), THEIRS);
	assert_int_equal(be16_get(tcp + 2), OURS);
	packet[6] = IPPROTO_TCP;
	memcpy(packet + 8, f->far.b, sizeof f->far.b);
	memcpy(packet + 24, f->self.b, sizeof f->self.b);
	assert_true(sum_is_good(packet, IP6 + (size_t)n));
	return true;
}

static void packets_of_a_flow_come_back(void **state)
{
	struct fixture *f = *state;

	if (f->bpf == NULL)
		skip();
	add(f);
	send_segment(f, TCP_FLAG_ACK);
	assert_true(came_back(f));
	/* Nobody is there: the kernel refuses it, and we see it do so. */
	assert_true(came_up(f));
	assert_false(came_up(f));
}

static void what_begins_or_ends_it_comes_up(void **state)
{
	static const uint8_t flags[] = { TCP_FLAG_SYN,
					 TCP_FLAG_SYN | TCP_FLAG_ACK,
					 TCP_FLAG_FIN | TCP_FLAG_ACK,
					 TCP_FLAG_RST };
	struct fixture *f = *state;

	if (f->bpf == NULL)
		skip();
	add(f);
	for (size_t i = 0; i < sizeof flags; i++) {
		send_segment(f, flags[i]);
		assert_false(came_back(f));
		assert_true(came_up(f));
	}
}

static void other_packets_come_up(void **state)
{
	struct fixture *f = *state;
	struct addr other = f->self;

	if (f->bpf == NULL)
		skip();
	add(f);
	other.b[15] ^= 1;
	send_from(f, &f->self, APP + 1, SERVICE, TCP_FLAG_ACK);
	assert_true(came_up(f));
	send_from(f, &f->self, APP, SERVICE + 1, TCP_FLAG_ACK);
	assert_true(came_up(f));
	send_from(f, &other, APP, SERVICE, TCP_FLAG_ACK);
	assert_true(came_up(f));
	assert_false(came_back(f));
}

static void a_flow_that_was_removed_comes_up(void **state)
{
	struct fixture *f = *state;

	if (f->bpf == NULL)
		skip();
	add(f);
	tun_bpf_remove(f->bpf, &f->key);
	send_segment(f, TCP_FLAG_ACK);
	assert_false(came_back(f));
	assert_true(came_up(f));
}

static void none_there_is_told(void **state)
{
	struct fixture *f = *state;
	struct tun_bpf *b = NULL;

	assert_true(tun_bpf_open(&b, 1 << 20) < 0);
	assert_null(b);
	/* As if it did nothing. */
	tun_bpf_add(NULL, &f->key, 1, 2);
	tun_bpf_remove(NULL, &f->key);
	tun_bpf_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets_of_a_flow_come_back),
		TEST(what_begins_or_ends_it_comes_up),
		TEST(other_packets_come_up),
		TEST(a_flow_that_was_removed_comes_up),
		TEST(none_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
