/* A SOCKS server on the loopback, and a client of it; what stands behind the
 * server is fake_stream.h. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config/config.h"
#include "node/socks/socks.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "proto/socks5.h"
#include "tests/support/fake_stream.h"
#include "tests/support/local_io.h"

static const struct overlay_net net = { { 0xfd, 0xcc, 1, 2, 3, 4 } };
static const struct node_id peer = { { 2, 2, 2 } };
static const struct node_id alice = { { 5, 5, 5 } };

struct fixture {
	struct loop *loop;
	struct dests *dests;
	struct config *config;
	struct socks *socks;
	uint16_t port;
	int fd; /* a client */
	char host[NAME_ID_TEXT_MAX];
	char why[512];
};

static inline bool lookup(void *ctx, const char *shortname, struct node_id *out)
{
	(void)ctx;
	if (strcmp(shortname, "alice") != 0)
		return false;
	*out = alice;
	return true;
}

static inline void begin(struct fixture *f)
{
	union endpoint at;

	assert_int_equal(
		socks_start(f->socks, f->config, f->why, sizeof f->why), 0);
	assert_true(socks_listens_at(f->socks, 0, &at));
	f->port = ntohs(at.in.sin_port);
	f->fd = local_client(f->loop, f->port);
}

static inline int set_up(void **state)
{
	struct fixture *f = mem_new(f);

	f->loop = loop_new();
	f->dests = fake_dests_new();
	f->config = mem_new(f->config);
	f->config->socks.enabled = true;
	f->config->socks.listen.n = 1;
	f->config->socks.listen.at[0] = local_at(0);
	f->socks = socks_new(f->loop, f->dests, &net, lookup, NULL);
	name_of_id(f->host, &peer);
	f->fd = -1;
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	socks_free(f->socks);
	loop_free(f->loop);
	fake_dests_free(f->dests);
	free(f->config);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
	return 0;
}

static inline void client_sends(struct fixture *f, const void *data, size_t len)
{
	assert_true(local_send(f->loop, f->fd, data, len));
}

static inline void client_gets(struct fixture *f, const void *want, size_t len)
{
	uint8_t got[512];

	assert_true(local_recv(f->loop, f->fd, got, len));
	assert_memory_equal(got, want, len);
}

static inline void greet(struct fixture *f)
{
	client_sends(f, "\5\1\0", 3);
	client_gets(f, "\5\0", 2);
}

static inline size_t request(uint8_t *out, uint8_t command, const char *host,
			     uint16_t port)
{
	size_t n = strlen(host);

	memcpy(out, (const uint8_t[]){ 5, command, 0, 3, (uint8_t)n }, 5);
	memcpy(out + 5, host, n);
	out[5 + n] = (uint8_t)(port >> 8);
	out[6 + n] = (uint8_t)port;
	return 7 + n;
}

static inline void ask(struct fixture *f, uint8_t command, const char *host,
		       uint16_t port)
{
	uint8_t out[300];

	client_sends(f, out, request(out, command, host, port));
}

/* The reply's code; -1: none. */
static inline int reply(struct fixture *f)
{
	uint8_t got[10];

	if (!local_recv(f->loop, f->fd, got, sizeof got))
		return -1;
	assert_int_equal(got[0], 5);
	return got[1];
}

static inline struct stream *asked(struct fixture *f)
{
	assert_true(f->dests->n_streams > 0);
	return f->dests->streams[f->dests->n_streams - 1];
}

static inline void reconnect(struct fixture *f)
{
	close(f->fd);
	f->fd = local_client(f->loop, f->port);
}

static inline uint16_t associate(struct fixture *f)
{
	uint8_t got[10];

	greet(f);
	client_sends(f, "\5\3\0\1\0\0\0\0\0\0", 10);
	assert_true(local_recv(f->loop, f->fd, got, sizeof got));
	assert_memory_equal(got, "\5\0\0\1\177\0\0\1", 8);
	return (uint16_t)(got[8] << 8 | got[9]);
}

static inline size_t datagram(uint8_t *out, const char *host, uint16_t port,
			      const char *payload)
{
	size_t n = request(out, 0, host, port);

	out[0] = 0;
	memcpy(out + n, payload, strlen(payload));
	return n + strlen(payload);
}

static inline void udp_sends(struct fixture *f, int udp, uint16_t to,
			     const void *data, size_t len)
{
	union endpoint e = local_at(to);

	sendto(udp, data, len, 0, &e.sa, sizeof e.in);
	local_run_some(f->loop);
}
