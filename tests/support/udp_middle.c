#include "tests/support/udp_middle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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
};

static void ready(struct watch *w, int events)
{
	struct side *s = (struct side *)w;
	struct udp_middle *m = s->m;
	bool is_forth = s == m->inner;
	uint8_t data[PACKET_MAX];
	union endpoint from;
	socklen_t from_len = sizeof from;
	ssize_t n;

	(void)events;
	while ((n = recvfrom(s->fd, data, sizeof data, MSG_DONTWAIT, &from.sa,
			     &from_len)) >= 0) {
		const union endpoint *to = is_forth ? &m->to : &m->dialler;

		if (is_forth)
			m->dialler = from;
		if (m->judge == NULL ||
		    m->judge(m->ctx, is_forth, data, (size_t)n))
			sendto(is_forth ? m->outer->fd : m->inner->fd, data,
			       (size_t)n, 0, &to->sa, endpoint_len(to));
		from_len = sizeof from;
	}
}

static struct side *side_new(struct udp_middle *m, uint16_t *port)
{
	static const int bytes = 4 << 20;
	struct side *s = mem_new(s);

	s->m = m;
	s->fd = local_udp(port);
	s->watch.ready = ready;
	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
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
