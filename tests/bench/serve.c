/* The web server of the bench: GET /N is answered with N bytes, and costs next
 * to nothing, so that what is measured is the way there.
 *
 *   serve PORT       on every address, IPv4 and IPv6
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/bench_tool.h"

#define REQUEST_MAX 4096
#define EVENTS_MAX  64
#define BLOCK_BYTES (256 * 1024)

struct conn {
	int fd;
	size_t n_request;
	char request[REQUEST_MAX + 1];
	uint64_t left; /* of the body */
	bool is_answered;
};

static uint8_t block[BLOCK_BYTES];
static int loop;

static int listen_on(const char *port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6,
				  .sin6_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int yes = 1, no = 0;

	if (fd < 0)
		bench_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	/* As in all the bench; connections inherit it. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
	    listen(fd, 4096) != 0)
		bench_die("listen");
	return fd;
}

static void conn_close(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void accept_all(int listener)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct conn *c;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		c = calloc(1, sizeof *c);
		if (c == NULL)
			bench_die("memory");
		c->fd = fd;
		ev.data.ptr = c;
		epoll_ctl(loop, EPOLL_CTL_ADD, fd, &ev);
	}
}

/* False: not yet, or never. */
static bool request_whole(struct conn *c)
{
	ssize_t n = read(c->fd, c->request + c->n_request,
			 REQUEST_MAX - c->n_request);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			shutdown(c->fd, SHUT_RDWR);
		return false;
	}
	c->n_request += (size_t)n;
	return strstr(c->request, "\r\n\r\n") != NULL;
}

static void answer_start(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };
	char head[128];
	int len;

	c->left = strncmp(c->request, "GET /", 5) == 0
			  ? strtoull(c->request + 5, NULL, 10)
			  : 0;
	len = snprintf(head, sizeof head,
		       "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n"
		       "Connection: close\r\n\r\n",
		       (unsigned long long)c->left);
	c->is_answered = true;
	/* MSG_MORE: a short body goes with it. */
	if (send(c->fd, head, (size_t)len, c->left != 0 ? MSG_MORE : 0) < 0)
		c->left = 0;
	epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &ev);
}

/* False: all is written, or nobody wants it. */
static bool body_more(struct conn *c)
{
	ssize_t n;

	while (c->left != 0) {
		n = write(c->fd, block,
			  c->left < BLOCK_BYTES ? c->left : BLOCK_BYTES);
		if (n < 0)
			return errno == EAGAIN;
		c->left -= (uint64_t)n;
	}
	return false;
}

static void conn_handle(struct conn *c, uint32_t events)
{
	if (!c->is_answered && (events & (EPOLLERR | EPOLLHUP)) == 0) {
		if (request_whole(c))
			answer_start(c);
		else if (c->n_request == REQUEST_MAX)
			conn_close(c);
		return;
	}
	if ((events & (EPOLLERR | EPOLLHUP)) != 0 || !body_more(c))
		conn_close(c);
}

int main(int argc, char **argv)
{
	struct epoll_event evs[EVENTS_MAX] = { { .events = EPOLLIN } };
	int listener, n;

	if (argc != 2) {
		fprintf(stderr, "usage: serve PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	listener = listen_on(argv[1]);
	loop = epoll_create1(0);
	if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, evs) != 0)
		bench_die("epoll");
	puts("ready");
	fflush(stdout);
	for (;;) {
		n = epoll_wait(loop, evs, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr == NULL)
				accept_all(listener);
			else
				conn_handle(evs[i].data.ptr, evs[i].events);
		}
	}
}
