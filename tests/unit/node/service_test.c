#include "node/service/service.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config/config.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/limits.h"
#include "tests/support/fake_stream.h"
#include "tests/support/local_io.h"

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id us = { { 1, 1, 1 } };
static const struct node_id alice = { { 2, 2, 2 } }; /* has the name */
static const struct node_id bob = { { 3, 3, 3 } };

/* The certificates; the keys' hashes are the ids and then zeros. */
static const struct identity known[] = {
	{ .id = { { 1, 1, 1 } }, .hash = { { 1, 1, 1 } } },
	{ .id = { { 2, 2, 2 } },
	  .hash = { { 2, 2, 2 } },
	  .n_names = 1,
	  .names = { "alice" } },
	{ .id = { { 3, 3, 3 } }, .hash = { { 3, 3, 3 } } },
};

struct fixture {
	struct loop *loop;
	struct config *config;
	struct services *services;
	struct addr self;
	int server; /* 127.0.0.1, `port` */
	uint16_t port;
	struct stream *stream;
};

static const struct identity *identity_of(void *ctx, const struct node_id *peer)
{
	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (id_equal(&known[i].id, peer))
			return &known[i];
	}
	return NULL;
}

/* The key's hash; or with `last` 1 that of another key with the same id. */
static void hash_text(char out[64], const struct node_id *id, uint8_t last)
{
	struct node_hash h = { { 0 } };

	memcpy(h.b, id->b, sizeof id->b);
	h.b[HASH_LEN - 1] = last;
	text_base32(out, h.b, sizeof h.b);
}

static struct config_service *publish(struct fixture *f, const char *name,
				      uint16_t port, uint8_t proto,
				      const char *allow)
{
	struct config_service *s = &f->config->services[f->config->n_services];

	f->config->n_services++;
	text_copy(s->name, sizeof s->name, name);
	s->port = port;
	s->proto = proto;
	s->allow.n = 1;
	text_copy(s->allow.item[0], sizeof s->allow.item[0], allow);
	return s;
}

static void begin(struct fixture *f)
{
	f->services =
		services_new(f->loop, f->config, &f->self, identity_of, f);
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(f);

	f->loop = loop_new();
	f->config = mem_new(f->config);
	text_copy(f->config->node.name, sizeof f->config->node.name, "home");
	f->self = addr_of(&net, &us);
	f->server = local_server(&f->port);
	assert_true(f->server >= 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	services_free(f->services);
	loop_free(f->loop);
	fake_stream_free(f->stream);
	free(f->config);
	if (f->server >= 0)
		close(f->server);
	free(f);
	return 0;
}

static struct stream *ask(struct fixture *f, enum stream_kind kind,
			  const struct node_id *peer, const char *host,
			  uint16_t port)
{
	fake_stream_free(f->stream);
	f->stream = fake_stream_new(kind, peer, host, port);
	services_stream(f->services, f->stream);
	return f->stream;
}

static bool is_answered(void *ctx)
{
	const struct stream *s = ctx;

	return s->accepted || s->refused || s->gone;
}

static bool is_gone(void *ctx)
{
	const struct stream *s = ctx;

	return s->gone;
}

/* ---- policy ---- */

static void who_may_reach_what(void **state)
{
	struct fixture *f = *state;
	struct config_service *mixed;
	char bob_id[TEXT_BASE32_LEN(ID_LEN) + 1];
	char hash[64];
	const uint8_t tcp = IPPROTO_TCP, udp = IPPROTO_UDP;
	const struct {
		const char *why;
		const struct node_id *peer;
		uint8_t proto;
		uint16_t port;
		bool want;
	} cases[] = {
		{ "to all", &bob, tcp, 80, true },
		{ "to all, by the other protocol", &bob, udp, 80, false },
		{ "to a name", &alice, tcp, 81, true },
		{ "to another's name", &bob, tcp, 81, false },
		{ "to an id", &bob, tcp, 82, true },
		{ "to another's id", &alice, tcp, 82, false },
		{ "both protocols", &bob, udp, 83, true },
		{ "both protocols", &bob, tcp, 83, true },
		{ "UDP alone", &bob, tcp, 84, false },
		{ "UDP alone", &bob, udp, 84, true },
		{ "not published", &alice, tcp, 85, false },
		{ "an entry that means nothing", &alice, tcp, 86, false },
		{ "one of several, an id", &bob, tcp, 87, true },
		{ "one of several, a name with .fuse", &alice, tcp, 87, true },
		{ "to a key", &bob, tcp, 88, true },
		{ "to another's key", &alice, tcp, 88, false },
		{ "to another key with the same id", &bob, tcp, 89, false },
		{ "ourselves", &us, tcp, 81, true },
		{ "port 0", &alice, tcp, 0, false },
	};

	text_base32(bob_id, bob.b, sizeof bob.b);
	publish(f, "all", 80, tcp, "*");
	publish(f, "name", 81, tcp, "alice");
	publish(f, "id", 82, tcp, bob_id);
	publish(f, "both", 83, 0, "*");
	publish(f, "udp", 84, udp, "*");
	publish(f, "odd", 86, tcp, "not a name");
	hash_text(hash, &bob, 0);
	publish(f, "key", 88, tcp, hash);
	hash_text(hash, &bob, 1);
	publish(f, "other key", 89, tcp, hash);
	mixed = publish(f, "mixed", 87, tcp, "alice.fuse");
	mixed->allow.n = 2;
	snprintf(mixed->allow.item[1], sizeof mixed->allow.item[1], "%s.fuse",
		 bob_id);
	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (services_allow(f->services, cases[i].peer, cases[i].proto,
				   cases[i].port) != cases[i].want)
			fail_msg("%s: port %u", cases[i].why, cases[i].port);
	}
}

static void which_hosts_mean_us(void **state)
{
	struct fixture *f = *state;
	char own_id[64], own_web[80], own_addr[ADDR_TEXT_MAX];
	char own_key[80], other_key[80];
	const struct {
		const char *host;
		bool want;
	} cases[] = {
		{ own_id, true },
		{ own_web, true },
		{ own_addr, true },
		{ own_key, true },
		{ other_key, false },
		{ "localhost", true },
		{ "web", true },
		{ "home.fuse", true },
		{ "other", false },
		{ "other.fuse", false },
		{ "aaaaaaaaaaaaaaaa.fuse", false },
		{ "fdcc::1", false },
		{ "127.0.0.1", false },
		{ "example.org", false },
		{ "", false },
	};

	text_base32(own_id, us.b, sizeof us.b);
	strcat(own_id, ".fuse");
	hash_text(own_key, &us, 0);
	strcat(own_key, ".fuse");
	hash_text(other_key, &us, 1);
	strcat(other_key, ".fuse");
	snprintf(own_web, sizeof own_web, "web.%s", own_id);
	addr_text(own_addr, &f->self);
	/* A port that nobody listens on: known hosts get as far as that. */
	publish(f, "web", 1, IPPROTO_TCP, "*");
	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stream *s = ask(f, STREAM_TCP, &bob, cases[i].host, 1);

		assert_true(local_run_until(f->loop, is_answered, s));
		if (s->why !=
		    (cases[i].want ? STREAM_REFUSED : STREAM_HOST_UNKNOWN))
			fail_msg("%s: %d", cases[i].host, (int)s->why);
	}
}

static void what_is_not_published_is_not_allowed(void **state)
{
	struct fixture *f = *state;

	publish(f, "web", f->port, IPPROTO_TCP, "alice");
	begin(f);
	assert_int_equal(ask(f, STREAM_TCP, &bob, "localhost", f->port)->why,
			 STREAM_NOT_ALLOWED);
	assert_true(f->stream->refused);
	assert_int_equal(ask(f, STREAM_UDP, &alice, "localhost", f->port)->why,
			 STREAM_NOT_ALLOWED);
	assert_int_equal(services_counts(f->services)->n_not_allowed, 2);
}

/* ---- TCP ---- */

static void a_stream_is_joined_with_the_service(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	char in[8];
	int c;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	s = ask(f, STREAM_TCP, &bob, "localhost", f->port);
	assert_false(s->accepted);
	assert_true(local_run_until(f->loop, is_answered, s));
	assert_true(s->accepted);
	c = local_server_accept(f->loop, f->server);
	fake_stream_feed(s, "request", 7);
	assert_true(local_recv(f->loop, c, in, 7));
	assert_memory_equal(in, "request", 7);
	assert_true(local_send(f->loop, c, "answer", 6));
	local_run_some(f->loop);
	assert_memory_equal(s->sent, "answer", 6);
	close(c);
	local_run_some(f->loop);
	assert_true(s->end_sent);
	fake_stream_end(s);
	fake_stream_closed(s, STREAM_OK);
	assert_int_equal(services_counts(f->services)->bridges.n_clean, 1);
}

static void bytes_before_the_accept_are_kept(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	char in[5];
	int c;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	s = ask(f, STREAM_TCP, &bob, "localhost", f->port);
	fake_stream_feed(s, "ea", 2);
	fake_stream_feed(s, "rly", 3);
	assert_int_equal(s->n_consumed, 0);
	fake_stream_end(s);
	c = local_server_accept(f->loop, f->server);
	assert_true(local_recv(f->loop, c, in, 5));
	assert_memory_equal(in, "early", 5);
	assert_int_equal(local_next(f->loop, c), LOCAL_EOF);
	assert_int_equal(s->n_consumed, 5);
	close(c);
}

static void too_much_before_the_accept_is_a_reset(void **state)
{
	struct fixture *f = *state;
	static uint8_t big[65537];
	struct stream *s;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	s = ask(f, STREAM_TCP, &bob, "localhost", f->port);
	fake_stream_feed(s, big, sizeof big);
	assert_true(s->closed_by_user);
	assert_int_equal(s->why, STREAM_RESET);
}

static void a_refused_port_is_told_apart(void **state)
{
	struct fixture *f = *state;
	struct stream *s;

	close(f->server);
	f->server = -1;
	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	s = ask(f, STREAM_TCP, &bob, "localhost", f->port);
	assert_true(local_run_until(f->loop, is_answered, s));
	assert_true(s->refused);
	assert_int_equal(s->why, STREAM_REFUSED);
}

static void an_unreachable_target_is_told_apart(void **state)
{
	struct fixture *f = *state;
	struct config_service *c = publish(f, "web", 80, IPPROTO_TCP, "*");
	struct stream *s;

	c->has_to = true;
	/* TCP has no multicast. */
	assert_true(endpoint_parse(&c->to, "[ff02::1]:80", 0));
	begin(f);
	s = ask(f, STREAM_TCP, &bob, "localhost", 80);
	assert_true(local_run_until(f->loop, is_answered, s));
	assert_true(s->refused);
	assert_int_equal(s->why, STREAM_NET_UNREACHABLE);
}

static void another_target_can_be_given(void **state)
{
	struct fixture *f = *state;
	struct config_service *c = publish(f, "web", 80, IPPROTO_TCP, "*");
	struct stream *s;

	c->has_to = true;
	c->to = local_at(f->port);
	begin(f);
	s = ask(f, STREAM_TCP, &bob, "web", 80);
	assert_true(local_run_until(f->loop, is_answered, s));
	assert_true(s->accepted);
}

static void a_peer_has_its_limit_of_streams(void **state)
{
	struct fixture *f = *state;
	struct stream *all[STREAMS_PER_CHANNEL_MAX], *other;
	uint16_t port;
	int udp = local_udp(&port);

	publish(f, "echo", port, IPPROTO_UDP, "*");
	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = fake_stream_new(STREAM_UDP, &bob, "localhost", port);
		services_stream(f->services, all[i]);
		/* Fewer descriptors than streams is a limit as well. */
		if (!all[i]->accepted)
			skip();
	}
	ask(f, STREAM_UDP, &bob, "localhost", port);
	assert_true(f->stream->refused);
	assert_int_equal(f->stream->why, STREAM_LIMIT);
	other = fake_stream_new(STREAM_UDP, &alice, "localhost", port);
	services_stream(f->services, other);
	assert_true(other->accepted);
	fake_stream_closed(all[7], STREAM_OK);
	ask(f, STREAM_UDP, &bob, "localhost", port);
	assert_true(f->stream->accepted);
	services_free(f->services);
	f->services = NULL;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		fake_stream_free(all[i]);
	fake_stream_free(other);
	close(udp);
}

/* ---- closing in every state ---- */

static void it_can_be_freed_while_connecting(void **state)
{
	struct fixture *f = *state;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	ask(f, STREAM_TCP, &bob, "localhost", f->port);
	fake_stream_feed(f->stream, "early", 5);
	services_free(f->services);
	f->services = NULL;
	assert_true(f->stream->closed_by_user);
}

static void it_can_be_freed_while_bridged(void **state)
{
	struct fixture *f = *state;
	int c;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	ask(f, STREAM_TCP, &bob, "localhost", f->port);
	assert_true(local_run_until(f->loop, is_answered, f->stream));
	c = local_server_accept(f->loop, f->server);
	services_free(f->services);
	f->services = NULL;
	assert_true(f->stream->closed_by_user);
	assert_int_equal(local_next(f->loop, c), LOCAL_RESET);
	close(c);
}

static void the_peer_may_give_up_while_we_connect(void **state)
{
	struct fixture *f = *state;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	ask(f, STREAM_TCP, &bob, "localhost", f->port);
	fake_stream_closed(f->stream, STREAM_RESET);
	local_run_some(f->loop);
	assert_false(f->stream->accepted);
}

static void a_reload_keeps_what_stands(void **state)
{
	struct fixture *f = *state;
	char in[5];
	int c;

	publish(f, "web", f->port, IPPROTO_TCP, "*");
	begin(f);
	ask(f, STREAM_TCP, &bob, "localhost", f->port);
	assert_true(local_run_until(f->loop, is_answered, f->stream));
	f->config->n_services = 0;
	services_reload(f->services, f->config);
	assert_false(services_allow(f->services, &bob, IPPROTO_TCP, f->port));
	c = local_server_accept(f->loop, f->server);
	fake_stream_feed(f->stream, "still", 5);
	assert_true(local_recv(f->loop, c, in, 5));
	close(c);
}

/* ---- UDP ---- */

static void datagrams_go_both_ways(void **state)
{
	struct fixture *f = *state;
	union endpoint from;
	uint16_t port;
	char in[64];
	int udp = local_udp(&port);
	struct stream *s;

	publish(f, "echo", port, IPPROTO_UDP, "*");
	begin(f);
	s = ask(f, STREAM_UDP, &bob, "localhost", port);
	assert_true(s->accepted);
	fake_stream_feed(s, "ping", 4);
	assert_int_equal(
		local_recv_datagram(f->loop, udp, in, sizeof in, &from), 4);
	sendto(udp, "pong", 4, 0, &from.sa, sizeof from.in);
	sendto(udp, "", 0, 0, &from.sa, sizeof from.in);
	local_run_some(f->loop);
	assert_int_equal(s->n_datagrams, 2);
	assert_int_equal(s->n_sent, 0);
	sendto(udp, "pong", 4, 0, &from.sa, sizeof from.in);
	local_run_some(f->loop);
	assert_memory_equal(s->sent, "pong", 4);
	fake_stream_closed(s, STREAM_OK);
	close(udp);
}

static void a_datagram_that_does_not_fit_is_counted(void **state)
{
	struct fixture *f = *state;
	static const char big[1201];
	union endpoint from;
	uint16_t port;
	char in[64];
	int udp = local_udp(&port);
	struct stream *s;

	publish(f, "echo", port, IPPROTO_UDP, "*");
	begin(f);
	s = ask(f, STREAM_UDP, &bob, "localhost", port);
	fake_stream_feed(s, "ping", 4);
	local_recv_datagram(f->loop, udp, in, sizeof in, &from);
	sendto(udp, big, sizeof big, 0, &from.sa, sizeof from.in);
	local_run_some(f->loop);
	assert_int_equal(s->n_datagrams, 0);
	assert_int_equal(services_counts(f->services)->n_datagrams_dropped, 1);
	close(udp);
}

static void a_udp_port_that_refuses_ends_the_flow(void **state)
{
	struct fixture *f = *state;
	uint16_t port;
	int udp = local_udp(&port);
	struct stream *s;

	close(udp);
	publish(f, "echo", port, IPPROTO_UDP, "*");
	begin(f);
	s = ask(f, STREAM_UDP, &bob, "localhost", port);
	fake_stream_feed(s, "ping", 4);
	assert_true(local_run_until(f->loop, is_gone, s));
	assert_int_equal(s->why, STREAM_REFUSED);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(who_may_reach_what),
		CASE(which_hosts_mean_us),
		CASE(what_is_not_published_is_not_allowed),
		CASE(a_stream_is_joined_with_the_service),
		CASE(bytes_before_the_accept_are_kept),
		CASE(too_much_before_the_accept_is_a_reset),
		CASE(a_refused_port_is_told_apart),
		CASE(an_unreachable_target_is_told_apart),
		CASE(another_target_can_be_given),
		CASE(a_peer_has_its_limit_of_streams),
		CASE(it_can_be_freed_while_connecting),
		CASE(it_can_be_freed_while_bridged),
		CASE(the_peer_may_give_up_while_we_connect),
		CASE(a_reload_keeps_what_stands),
		CASE(datagrams_go_both_ways),
		CASE(a_datagram_that_does_not_fit_is_counted),
		CASE(a_udp_port_that_refuses_ends_the_flow),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
