#include "tests/support/local_io.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	SPIN_US = 200,
	SOME_SPINS = 20
};

static nsec clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (nsec)ts.tv_sec * NS_PER_S + (nsec)ts.tv_nsec;
}

static void spin(struct loop *l)
{
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	usleep(SPIN_US);
}

bool local_run_until(struct loop *l, bool (*cond)(void *ctx), void *ctx)
{
	nsec end = clock_now() + WAIT_S * NS_PER_S;

	while (!cond(ctx)) {
		if (clock_now() > end)
			return false;
		spin(l);
	}
	return true;
}

struct guard {
	uv_timer_t timer;
	struct loop *loop;
	bool is_late;
};

static void too_late(uv_timer_t *t)
{
	struct guard *g = t->data;

	g->is_late = true;
	loop_stop(g->loop);
}

bool local_run(struct loop *l)
{
	struct guard g = { .loop = l };

	uv_timer_init(loop_uv(l), &g.timer);
	g.timer.data = &g;
	uv_timer_start(&g.timer, too_late, RUN_S * 1000, 0);
	loop_run(l);
	uv_close((uv_handle_t *)&g.timer, NULL);
	uv_run(loop_uv(l), UV_RUN_NOWAIT);
	loop_turn(l);
	return !g.is_late;
}

void local_run_some(struct loop *l)
{
	for (int i = 0; i < SOME_SPINS; i++)
		spin(l);
}

union endpoint local_at(uint16_t port)
{
	union endpoint e = { .in = { .sin_family = AF_INET,
				     .sin_port = htons(port) } };

	e.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return e;
}

static int socket_new(int type)
{
	return socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static uint16_t port_of(int fd)
{
	union endpoint e;
	socklen_t len = sizeof e;

	getsockname(fd, &e.sa, &len);
	return ntohs(e.in.sin_port);
}

int local_client(struct loop *l, uint16_t port)
{
	union endpoint to = local_at(port);
	int fd = socket_new(SOCK_STREAM);
	const int on = 1;

	/* What a test sends in pieces is to arrive in pieces. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* On loopback the handshake ends inside the call or very soon. */
	if (connect(fd, &to.sa, sizeof to.in) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	local_run_some(l);
	return fd;
}

int local_server(uint16_t *port)
{
	union endpoint at = local_at(0);
	int fd = socket_new(SOCK_STREAM);

	if (bind(fd, &at.sa, sizeof at.in) < 0 || listen(fd, 64) < 0) {
		close(fd);
		return -1;
	}
	*port = port_of(fd);
	return fd;
}

int local_server_accept(struct loop *l, int fd)
{
	nsec end = clock_now() + WAIT_S * NS_PER_S;

	while (clock_now() < end) {
		int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (c >= 0)
			return c;
		spin(l);
	}
	return -1;
}

int local_udp(uint16_t *port)
{
	union endpoint at = local_at(0);
	int fd = socket_new(SOCK_DGRAM);

	if (bind(fd, &at.sa, sizeof at.in) < 0) {
		close(fd);
		return -1;
	}
	*port = port_of(fd);
	return fd;
}

union endpoint local_udp_free(void)
{
	uint16_t port = 0;

	close(local_udp(&port));
	return local_at(port);
}

bool local_send(struct loop *l, int fd, const void *data, size_t len)
{
	nsec end = clock_now() + WAIT_S * NS_PER_S;
	const uint8_t *p = data;

	while (len > 0 && clock_now() < end) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN) {
			return false;
		}
		spin(l);
	}
	return len == 0;
}

bool local_recv(struct loop *l, int fd, void *data, size_t len)
{
	nsec end = clock_now() + WAIT_S * NS_PER_S;
	uint8_t *p = data;

	while (len > 0 && clock_now() < end) {
		ssize_t n = recv(fd, p, len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			spin(l);
		}
	}
	return len == 0;
}

ssize_t local_recv_datagram(struct loop *l, int fd, void *data, size_t cap,
			    union endpoint *from)
{
	nsec end = clock_now() + WAIT_S * NS_PER_S;

	while (clock_now() < end) {
		socklen_t len = sizeof *from;
		ssize_t n =
			recvfrom(fd, data, cap, MSG_DONTWAIT, &from->sa, &len);

		if (n >= 0)
			return n;
		spin(l);
	}
	return -1;
}

enum local_end local_next(struct loop *l, int fd)
{
	nsec end = clock_now() + WAIT_S * NS_PER_S;
	uint8_t byte;

	while (clock_now() < end) {
		ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

		if (n > 0)
			return LOCAL_DATA;
		if (n == 0)
			return LOCAL_EOF;
		if (errno != EAGAIN)
			return LOCAL_RESET;
		spin(l);
	}
	return LOCAL_NOTHING;
}
