/* Short connections through a SOCKS5 port, for the bench: so many a second are
 * begun, each asks the bench's web server for a few bytes and ends.
 *
 *   conns PROXY PORT HOST PORT RATE SECONDS BYTES
 *
 * PROXY is an IPv4 or IPv6 address, or "none" with HOST an address; HOST may be
 * a name for the proxy.  Prints a line of JSON: how many were done, failed, a
 * second; median and 99th percentile of the time from connect() to the first
 * byte of the answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/bench_tool.h"

#define IN_FLIGHT_MAX 1000
#define EVENTS_MAX    64
#define LATE_NS       (5 * BENCH_NS_PER_S) /* what is not done by then has failed */

enum step {
	CONNECTING,
	GREETED,
	ASKED,
	REQUESTED,
	ANSWERED
};

struct conn {
	int fd;
	enum step step;
	int64_t started, took; /* until the first byte */
	struct conn *next;     /* while unused */
};

static struct {
	struct sockaddr_in6 proxy;
	bool is_direct;
	uint8_t ask[300]; /* the CONNECT of SOCKS5 */
	size_t n_ask;
	char request[128];
} opt;

static struct conn conns[IN_FLIGHT_MAX], *unused;
static size_t n_in_flight;
static uint64_t n_done, n_failed;
static int64_t *took; /* of those that were done */
static int loop;

/* RFC 1928 4: an address as such, else a name. */
static void ask_write(const char *host, const char *port)
{
	uint8_t *p = opt.ask;
	size_t len = strlen(host);
	uint16_t n = htons((uint16_t)atoi(port));

	*p++ = 5;
	*p++ = 1;
	*p++ = 0;
	if (inet_pton(AF_INET, host, p + 1) == 1) {
		*p = 1;
		p += 5;
	} else if (inet_pton(AF_INET6, host, p + 1) == 1) {
		*p = 4;
		p += 17;
	} else {
		*p++ = 3;
		*p++ = (uint8_t)len;
		memcpy(p, host, len & 255);
		p += len & 255;
	}
	memcpy(p, &n, sizeof n);
	opt.n_ask = (size_t)(p + sizeof n - opt.ask);
}

static void conn_end(struct conn *c, bool is_done)
{
	close(c->fd);
	if (is_done)
		took[n_done++] = c->took;
	else
		n_failed++;
	c->fd = -1;
	c->next = unused;
	unused = c;
	n_in_flight--;
}

static void conn_begin(int64_t now)
{
	struct epoll_event ev = { .events = EPOLLOUT };
	struct conn *c = unused;

	unused = c->next;
	n_in_flight++;
	c->started = now;
	c->step = CONNECTING;
	c->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ev.data.ptr = c;
	if (c->fd < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &ev) != 0 ||
	    (connect(c->fd, (struct sockaddr *)&opt.proxy, sizeof opt.proxy) !=
		     0 &&
	     errno != EINPROGRESS))
		conn_end(c, false);
}

static bool say(struct conn *c, const void *data, size_t len, enum step next)
{
	c->step = next;
	return send(c->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool request(struct conn *c)
{
	return say(c, opt.request, strlen(opt.request), REQUESTED);
}

/* One step of what came in; false: it has failed. */
static bool conn_step(struct conn *c, const uint8_t *in, ssize_t n)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	switch (c->step) {
	case CONNECTING:
		epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &ev);
		return opt.is_direct ? request(c) : say(c, "\5\1", 3, GREETED);
	case GREETED:
		return n == 2 && in[1] == 0 &&
		       say(c, opt.ask, opt.n_ask, ASKED);
	case ASKED:
		return n >= 10 && in[1] == 0 && request(c);
	case REQUESTED:
		c->took = bench_now_ns() - c->started;
		c->step = ANSWERED;
		return n > 0;
	case ANSWERED:
		break;
	}
	return true;
}

static void conn_handle(struct conn *c, uint32_t events)
{
	uint8_t in[65536];
	ssize_t n = 0;

	if (c->step == CONNECTING && (events & (EPOLLERR | EPOLLHUP)) != 0) {
		conn_end(c, false);
		return;
	}
	if (c->step != CONNECTING) {
		n = read(c->fd, in, sizeof in);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_end(c, c->step == ANSWERED && n == 0);
			return;
		}
	}
	if (!conn_step(c, in, n))
		conn_end(c, false);
}

static void end_late(int64_t now)
{
	for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
		if (conns[i].fd >= 0 && now - conns[i].started > LATE_NS)
			conn_end(&conns[i], false);
}

/* Begins `total` of them at their times; returns how long all took. */
static int64_t run(uint64_t total, double rate)
{
	struct epoll_event evs[EVENTS_MAX];
	int64_t start = bench_now_ns(), now = start, due;
	uint64_t n_begun = 0;
	int n;

	while (n_done + n_failed < total) {
		now = bench_now_ns();
		due = start + (int64_t)((double)n_begun * 1e9 / rate);
		if (n_begun < total && n_in_flight < IN_FLIGHT_MAX &&
		    now >= due) {
			n_begun++;
			conn_begin(now);
			continue;
		}
		n = epoll_wait(loop, evs, EVENTS_MAX, 1);
		for (int i = 0; i < n; i++)
			conn_handle(evs[i].data.ptr, evs[i].events);
		end_late(now);
	}
	return bench_now_ns() - start;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint64_t total;
	double rate;
	int64_t ns;

	if (argc != 8) {
		fprintf(stderr, "usage: conns PROXY PORT HOST PORT RATE "
				"SECONDS BYTES\n");
		return 2;
	}
	opt.is_direct = strcmp(argv[1], "none") == 0;
	opt.proxy = opt.is_direct ? bench_address(argv[3], argv[4])
				  : bench_address(argv[1], argv[2]);
	ask_write(argv[3], argv[4]);
	snprintf(opt.request, sizeof opt.request,
		 "GET /%d HTTP/1.0\r\nHost: bench\r\n\r\n", atoi(argv[7]));
	rate = atof(argv[5]);
	total = (uint64_t)(rate * atof(argv[6]));
	took = calloc(total + 1, sizeof *took);
	loop = epoll_create1(0);
	if (took == NULL || loop < 0)
		return 1;
	for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
		conns[i] = (struct conn){ .fd = -1, .next = unused };
		unused = &conns[i];
	}
	ns = run(total, rate);
	qsort(took, n_done, sizeof *took, by_size);
	printf("{\"done\": %llu, \"failed\": %llu, \"per_s\": %.1f, "
	       "\"median_ms\": %.4f, \"p99_ms\": %.4f}\n",
	       (unsigned long long)n_done, (unsigned long long)n_failed,
	       (double)n_done * 1e9 / (double)ns,
	       (double)took[n_done / 2] / 1e6,
	       (double)took[n_done * 99 / 100] / 1e6);
	return 0;
}
