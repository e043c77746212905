#include "tests/support/udp_middle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/local_io.h"

enum {
	PACKET_MAX = 65536,
};

struct side {
	struct watch watch; /* first */
	struct udp_middle *m;
	int fd;
};

struct udp_middle {
	struct loop *loop;
	union endpoint at, to, dialler;
	struct side *inner, *outer;
	int elsewhere;
	udp_middle_judge *judge;
	void *ctx;
	uint8_t ecn;
	bool is_congested;
};

/* The next packet, with its mark in m->ecn; negative: there is none. */
static ssize_t receive(struct side *s, uint8_t data[PACKET_MAX],
		       union endpoint *from)
{
	_Alignas(struct cmsghdr) uint8_t control[64];
	struct iovec vec = { data, PACKET_MAX };
	struct msghdr h = { .msg_name = &from->sa,
			    .msg_namelen = sizeof *from,
			    .msg_iov = &vec,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof control };
	ssize_t n = recvmsg(s->fd, &h, MSG_DONTWAIT);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&h) : NULL;

	s->m->ecn = c != NULL && c->cmsg_type == IP_TOS ? *CMSG_DATA(c) & 3 : 0;
	return n;
}

static void pass(struct side *s, const uint8_t *data, size_t len,
		 const union endpoint *to)
{
	int ecn = s->m->is_congested ? 3 : s->m->ecn;

	setsockopt(s->fd, IPPROTO_IP, IP_TOS, &ecn, sizeof ecn);
	sendto(s->fd, data, len, 0, &to->sa, endpoint_len(to));
}

static void ready(struct watch *w, int events)
{
	struct side *s = (struct side *)w;
	struct udp_middle *m = s->m;
	bool is_forth = s == m->inner;
	uint8_t data[PACKET_MAX];
	union endpoint from;
	ssize_t n;

	(void)events;
	while ((n = receive(s, data, &from)) >= 0) {
		if (is_forth)
			m->dialler = from;
		if (m->judge == NULL ||
		    m->judge(m->ctx, is_forth, data, (size_t)n))
			pass(is_forth ? m->outer : m->inner, data, (size_t)n,
			     is_forth ? &m->to : &m->dialler);
	}
}

static struct side *side_new(struct udp_middle *m, uint16_t *port)
{
	static const int bytes = 4 << 20, on = 1;
	struct side *s = mem_new(s);

	s->m = m;
	s->fd = local_udp(port);
	s->watch.ready = ready;
	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	setsockopt(s->fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
	assert_int_equal(watch_start(m->loop, &s->watch, s->fd, UV_READABLE),
			 0);
	return s;
}

static void closed(uv_handle_t *h)
{
	free(h->data);
}

static void side_free(struct side *s)
{
	watch_stop(&s->watch, closed);
	close(s->fd);
}

struct udp_middle *udp_middle_new(struct loop *l, const union endpoint *to)
{
	struct udp_middle *m = mem_new(m);
	uint16_t port;

	m->loop = l;
	m->to = *to;
	m->inner = side_new(m, &port);
	m->at = local_at(port);
	m->outer = side_new(m, &port);
	m->elsewhere = local_udp(&port);
	return m;
}

void udp_middle_free(struct udp_middle *m)
{
	side_free(m->inner);
	side_free(m->outer);
	close(m->elsewhere);
	free(m);
}

const union endpoint *udp_middle_at(const struct udp_middle *m)
{
	return &m->at;
}

void udp_middle_watch(struct udp_middle *m, udp_middle_judge *judge, void *ctx)
{
	m->judge = judge;
	m->ctx = ctx;
}

uint8_t udp_middle_ecn(const struct udp_middle *m)
{
	return m->ecn;
}

void udp_middle_congest(struct udp_middle *m, bool is_congested)
{
	m->is_congested = is_congested;
}

void udp_middle_inject(struct udp_middle *m, bool is_elsewhere,
		       const uint8_t *data, size_t len)
{
	assert_int_equal(sendto(is_elsewhere ? m->elsewhere : m->outer->fd,
				data, len, 0, &m->to.sa, endpoint_len(&m->to)),
			 len);
}

void udp_middle_move(struct udp_middle *m)
{
	uint16_t port;

	side_free(m->outer);
	m->outer = side_new(m, &port);
}
