#include "node/io/udp.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "node/io/udp_error.h"
#include "node/io/udp_option.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	SOCKETS_MAX = 8,
	READ_MESSAGES = 8,
	READ_BYTES = 65536,
	READ_ROUNDS = 4, /* per wake-up, so that timers are served too */
	ERRORS_READ = 16,
	CONTROL_BYTES = 256,
	BATCH_BYTES = 65000,
	BATCH_SEGMENTS = 60,
	BATCHES_KEPT = 16,
};

struct udp_socket {
	struct watch watch; /* first: handed to the callback */
	struct udp *udp;
	int fd;
	int family;
	bool tells_errors; /* of ICMP */
	uint16_t port;     /* network order */
	union endpoint bound;
};

struct udp_batch {
	struct udp_batch *next;
	struct udp_path path;
	uint8_t ecn;
	size_t len;     /* of the run, without the space */
	size_t segment; /* size of its packets */
	size_t n;
	bool is_ended; /* a shorter packet closed the run */
	int error;     /* the last one; 0 */
	uint8_t data[BATCH_BYTES + UDP_PAYLOAD_MAX];
};

struct udp {
	struct loop *loop;
	udp_received *received;
	udp_failed *failed;
	void *ctx;
	struct udp_socket *sockets[SOCKETS_MAX];
	size_t n_sockets;
	struct udp_batch *spare;
	size_t n_spare;
	struct udp_counters counters;
	uint8_t *read_data;
	struct mmsghdr messages[READ_MESSAGES];
	struct iovec vecs[READ_MESSAGES];
	union endpoint from[READ_MESSAGES];
	_Alignas(struct cmsghdr) uint8_t control[READ_MESSAGES][CONTROL_BYTES];
};

struct udp *udp_new(struct loop *l, udp_received *received, udp_failed *failed,
		    void *ctx)
{
	struct udp *u = mem_new(u);

	u->loop = l;
	u->received = received;
	u->failed = failed;
	u->ctx = ctx;
	u->counters.has_gso = true;
	u->read_data = mem_calloc(READ_MESSAGES, READ_BYTES);
	return u;
}

static void socket_closed(uv_handle_t *h)
{
	struct udp_socket *s = h->data;

	free(s);
}

void udp_free(struct udp *u)
{
	if (u == NULL)
		return;
	for (size_t i = 0; i < u->n_sockets; i++) {
		struct udp_socket *s = u->sockets[i];

		watch_stop(&s->watch, socket_closed);
		close(s->fd);
	}
	while (u->spare != NULL) {
		struct udp_batch *b = u->spare;

		u->spare = b->next;
		free(b);
	}
	free(u->read_data);
	free(u);
}

const struct udp_counters *udp_counters(const struct udp *u)
{
	return &u->counters;
}

void udp_disable_offload(struct udp *u)
{
	u->counters.has_gso = false;
}

/* ---- sockets ---- */

static void socket_ready(struct watch *w, int events);

int udp_listen(struct udp *u, const union endpoint *at)
{
	struct udp_socket *s;
	socklen_t len = sizeof s->bound;
	int events = UV_READABLE;
	int fd, rv;

	if (u->n_sockets == SOCKETS_MAX)
		return -ENOSPC;
	fd = socket(at->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -errno;
	rv = udp_option_set(fd, at->sa.sa_family);
	if (rv == 0 && bind(fd, &at->sa, endpoint_len(at)) < 0)
		rv = -errno;
	if (rv < 0) {
		close(fd);
		return rv;
	}
	s = mem_new(s);
	s->udp = u;
	s->fd = fd;
	s->family = at->sa.sa_family;
	getsockname(fd, &s->bound.sa, &len);
	s->port = s->family == AF_INET6 ? s->bound.in6.sin6_port
					: s->bound.in.sin_port;
	s->watch.ready = socket_ready;
	u->counters.has_gro = udp_option_gro(fd);
	s->tells_errors = udp_error_enable(fd, s->family);
	if (s->tells_errors)
		events |= UV_PRIORITIZED;
	rv = watch_start(u->loop, &s->watch, fd, events);
	if (rv < 0) {
		close(fd);
		free(s);
		return rv;
	}
	u->sockets[u->n_sockets++] = s;
	return 0;
}

static struct udp_socket *socket_for(struct udp *u, const union endpoint *local)
{
	struct udp_socket *found = NULL;
	uint16_t port = local->sa.sa_family == AF_INET6 ? local->in6.sin6_port
							: local->in.sin_port;

	for (size_t i = 0; i < u->n_sockets; i++) {
		if (u->sockets[i]->family != local->sa.sa_family)
			continue;
		if (u->sockets[i]->port == port)
			return u->sockets[i];
		if (found == NULL)
			found = u->sockets[i];
	}
	return found;
}

int udp_route(struct udp *u, const union endpoint *remote, struct udp_path *out,
	      unsigned *mtu)
{
	struct udp_path path = { .remote = *remote };
	struct udp_socket *s;
	socklen_t len = sizeof path.local;
	int value = 0, rv = 0;
	socklen_t value_len = sizeof value;
	int fd;

	path.local.sa.sa_family = remote->sa.sa_family;
	s = socket_for(u, &path.local);
	if (s == NULL)
		return -EAFNOSUPPORT;
	fd = socket(remote->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &remote->sa, endpoint_len(remote)) < 0 ||
	    getsockname(fd, &path.local.sa, &len) < 0)
		rv = -errno;
	else if (remote->sa.sa_family == AF_INET6)
		getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &value, &value_len);
	else
		getsockopt(fd, IPPROTO_IP, IP_MTU, &value, &value_len);
	close(fd);
	if (rv < 0)
		return rv;
	if (remote->sa.sa_family == AF_INET6) {
		path.local.in6.sin6_port = s->port;
		path.local.in6.sin6_flowinfo = 0;
		path.ifindex = remote->in6.sin6_scope_id;
	} else {
		path.local.in.sin_port = s->port;
	}
	*out = path;
	*mtu = value > 0 ? (unsigned)value : 1500;
	return 0;
}

bool udp_interface_is_up(struct udp *u, unsigned ifindex)
{
	const short up = IFF_UP | IFF_RUNNING;
	struct ifreq req = { 0 };

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (u->sockets[i] == NULL)
			continue;
		return if_indextoname(ifindex, req.ifr_name) != NULL &&
		       ioctl(u->sockets[i]->fd, SIOCGIFFLAGS, &req) == 0 &&
		       (req.ifr_flags & up) == up;
	}
	return true;
}

/* ---- reading ---- */

static size_t read_control(struct msghdr *h, struct udp_path *path,
			   uint8_t *ecn)
{
	size_t segment = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL;
	     c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			path->local.in.sin_addr = info.ipi_addr;
			path->ifindex = (unsigned)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 &&
			   c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			path->local.in6.sin6_addr = info.ipi6_addr;
			path->ifindex = info.ipi6_ifindex;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				path->local.in6.sin6_scope_id =
					info.ipi6_ifindex;
		} else if ((c->cmsg_level == IPPROTO_IP &&
			    c->cmsg_type == IP_TOS) ||
			   (c->cmsg_level == IPPROTO_IPV6 &&
			    c->cmsg_type == IPV6_TCLASS)) {
			*ecn = *CMSG_DATA(c) & 3;
		} else if (c->cmsg_level == IPPROTO_UDP &&
			   c->cmsg_type == UDP_GRO) {
			uint16_t value;

			memcpy(&value, CMSG_DATA(c), sizeof value);
			segment = value;
		}
	}
	return segment;
}

static void deliver(struct udp_socket *s, size_t i, size_t len)
{
	struct udp *u = s->udp;
	struct msghdr *h = &u->messages[i].msg_hdr;
	struct udp_path path = { .local = s->bound, .remote = u->from[i] };
	const uint8_t *data = u->vecs[i].iov_base;
	uint8_t ecn = 0;
	size_t segment;

	if (h->msg_flags & MSG_TRUNC) {
		u->counters.n_truncated++;
		return;
	}
	if (path.remote.sa.sa_family == AF_INET6)
		path.remote.in6.sin6_flowinfo = 0;
	segment = read_control(h, &path, &ecn);
	if (segment == 0 || segment > len)
		segment = len;
	u->counters.n_bytes_received += len;
	while (len > 0) {
		size_t n = len < segment ? len : segment;

		u->counters.n_received++;
		u->received(u->ctx, &path, ecn, data, n);
		data += n;
		len -= n;
	}
}

static void read_packets(struct udp_socket *s)
{
	struct udp *u = s->udp;

	for (int round = 0; round < READ_ROUNDS; round++) {
		int n;

		for (size_t i = 0; i < READ_MESSAGES; i++) {
			u->vecs[i] = (struct iovec){ .iov_base = u->read_data +
								 i * READ_BYTES,
						     .iov_len = READ_BYTES };
			u->messages[i].msg_hdr = (struct msghdr){
				.msg_name = &u->from[i],
				.msg_namelen = sizeof u->from[i],
				.msg_iov = &u->vecs[i],
				.msg_iovlen = 1,
				.msg_control = u->control[i],
				.msg_controllen = CONTROL_BYTES,
			};
		}
		n = recvmmsg(s->fd, u->messages, READ_MESSAGES, MSG_DONTWAIT,
			     NULL);
		if (n <= 0)
			return;
		loop_turn(u->loop);
		for (int i = 0; i < n; i++)
			deliver(s, (size_t)i, u->messages[i].msg_len);
		if (n < READ_MESSAGES)
			return;
	}
}

static void read_errors(struct udp_socket *s)
{
	struct udp_error e;

	for (int i = 0; i < ERRORS_READ && udp_error_next(s->fd, &e); i++)
		s->udp->failed(s->udp->ctx, &e);
}

/* The packets first: a peer that has answered since is alive. */
static void socket_ready(struct watch *w, int events)
{
	struct udp_socket *s = (struct udp_socket *)w;

	read_packets(s);
	if (events & UV_PRIORITIZED)
		read_errors(s);
}

/* ---- writing ---- */

static void put_control(struct msghdr *h, int level, int type, const void *data,
			size_t len)
{
	struct cmsghdr *c;

	c = (struct cmsghdr *)((uint8_t *)h->msg_control + h->msg_controllen);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	h->msg_controllen += CMSG_SPACE(len);
}

static void put_source(struct msghdr *h, const struct udp_path *path)
{
	if (path->local.sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = {
			.ipi6_addr = path->local.in6.sin6_addr,
			.ipi6_ifindex = path->local.in6.sin6_scope_id,
		};

		put_control(h, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
	} else {
		struct in_pktinfo info = { .ipi_spec_dst =
						   path->local.in.sin_addr };

		put_control(h, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
	}
}

static int send_run(struct udp *u, const struct udp_path *path, uint8_t ecn,
		    const uint8_t *data, size_t len, size_t segment)
{
	struct udp_socket *s = socket_for(u, &path->local);
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES] = { 0 };
	struct iovec vec = { .iov_base = (void *)(uintptr_t)data,
			     .iov_len = len };
	struct msghdr h = {
		.msg_name = (void *)(uintptr_t)&path->remote,
		.msg_namelen = endpoint_len(&path->remote),
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = control,
	};
	int mark = ecn;

	if (s == NULL)
		return -EAFNOSUPPORT;
	put_source(&h, path);
	if (ecn != 0 && path->local.sa.sa_family == AF_INET6)
		put_control(&h, IPPROTO_IPV6, IPV6_TCLASS, &mark, sizeof mark);
	else if (ecn != 0)
		put_control(&h, IPPROTO_IP, IP_TOS, &mark, sizeof mark);
	if (segment < len) {
		uint16_t value = (uint16_t)segment;

		put_control(&h, IPPROTO_UDP, UDP_SEGMENT, &value, sizeof value);
	}
	if (sendmsg(s->fd, &h, 0) >= 0)
		return 0;
	/* It may be that of an earlier datagram, to whomever, that is told here
	 * once. */
	if (s->tells_errors && errno != EAGAIN && errno != ENOBUFS &&
	    sendmsg(s->fd, &h, 0) >= 0)
		return 0;
	return -errno;
}

static void count_failure(struct udp *u, int rv)
{
	if (rv == -EAGAIN || rv == -ENOBUFS)
		u->counters.n_blocked++;
	else if (rv == -EMSGSIZE)
		u->counters.n_too_big++;
	else
		u->counters.n_errors++;
}

/* 0 if one of them at least went out. */
static int send_each(struct udp *u, const struct udp_path *path, uint8_t ecn,
		     const uint8_t *data, size_t len, size_t segment)
{
	bool is_sent = false;
	int error = 0;

	while (len > 0) {
		size_t n = len < segment ? len : segment;
		int rv = send_run(u, path, ecn, data, n, n);

		if (rv < 0)
			count_failure(u, error = rv);
		else
			is_sent = true;
		data += n;
		len -= n;
	}
	return is_sent ? 0 : error;
}

/* 0 if anything went out. */
static int send_all(struct udp *u, const struct udp_path *path, uint8_t ecn,
		    const uint8_t *data, size_t len, size_t segment)
{
	int rv, error;

	u->counters.n_sent += (len + segment - 1) / segment;
	u->counters.n_bytes_sent += len;
	if (segment < len && !u->counters.has_gso) {
		return send_each(u, path, ecn, data, len, segment);
	}
	rv = send_run(u, path, ecn, data, len, segment);
	if (rv == 0)
		return 0;
	if (segment == len) {
		count_failure(u, rv);
		return rv;
	}
	/* EIO, EINVAL: the device or kernel cannot segment, if only the whole
	 * was refused; an address that is gone gives EINVAL too.  EMSGSIZE: a
	 * segment is over the MTU, which the single sends sort out. */
	error = send_each(u, path, ecn, data, len, segment);
	if (error < 0)
		return error;
	if (rv == -EIO || rv == -EINVAL || rv == -EOPNOTSUPP) {
		log_warn("kernel refuses UDP segmentation, sending singly: "
			 "error=%s",
			 strerror(-rv));
		u->counters.has_gso = false;
	}
	return 0;
}

void udp_send(struct udp *u, const struct udp_path *path, uint8_t ecn,
	      const uint8_t *data, size_t len)
{
	send_all(u, path, ecn, data, len, len);
}

struct udp_batch *udp_batch_get(struct udp *u)
{
	struct udp_batch *b = u->spare;

	if (b != NULL) {
		u->spare = b->next;
		u->n_spare--;
	} else {
		b = malloc(sizeof *b);
		if (b == NULL)
			abort();
	}
	b->len = 0;
	b->n = 0;
	b->is_ended = false;
	b->error = 0;
	return b;
}

static void batch_flush(struct udp *u, struct udp_batch *b)
{
	int rv = 0;

	if (b->len > 0)
		rv = send_all(u, &b->path, b->ecn, b->data, b->len, b->segment);
	if (rv < 0)
		b->error = rv;
	b->len = 0;
	b->n = 0;
	b->is_ended = false;
}

int udp_batch_put(struct udp *u, struct udp_batch *b)
{
	int error;

	batch_flush(u, b);
	error = b->error;
	if (u->n_spare >= BATCHES_KEPT) {
		free(b);
		return error;
	}
	b->next = u->spare;
	u->spare = b;
	u->n_spare++;
	return error;
}

uint8_t *udp_batch_space(struct udp_batch *b)
{
	return b->data + b->len;
}

static bool path_equal(const struct udp_path *a, const struct udp_path *b)
{
	return endpoint_equal(&a->remote, &b->remote) &&
	       endpoint_equal(&a->local, &b->local);
}

void udp_batch_add(struct udp *u, struct udp_batch *b,
		   const struct udp_path *path, uint8_t ecn, size_t len)
{
	if (b->n > 0 && (b->is_ended || len > b->segment || ecn != b->ecn ||
			 !path_equal(path, &b->path))) {
		const uint8_t *packet = b->data + b->len;

		batch_flush(u, b);
		memmove(b->data, packet, len);
	}
	if (b->n == 0) {
		b->path = *path;
		b->ecn = ecn;
		b->segment = len;
	}
	b->is_ended = len < b->segment;
	b->len += len;
	b->n++;
	if (b->n >= BATCH_SEGMENTS || b->len + UDP_PAYLOAD_MAX > BATCH_BYTES)
		batch_flush(u, b);
}
