#include "node/io/netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int netlink_open(void)
{
	const struct timeval limit = { .tv_sec = 2 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags,
		   const void *body, size_t len)
{
	*r = (struct netlink_request){ 0 };
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->head.nlmsg_seq = 1;
	r->head.nlmsg_len = NLMSG_LENGTH((uint32_t)len);
	memcpy(NLMSG_DATA(&r->head), body, len);
}

struct rtattr *netlink_add(struct netlink_request *r, uint16_t type,
			   const void *data, size_t len)
{
	uint32_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	struct rtattr *a = (struct rtattr *)(void *)(r->bytes + at);

	if (at + RTA_SPACE(len) > sizeof r->bytes)
		abort();
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = at + RTA_ALIGN(a->rta_len);
	return a;
}

void netlink_nest_end(struct netlink_request *r, struct rtattr *a)
{
	a->rta_len = (uint16_t)(r->bytes + r->head.nlmsg_len - (uint8_t *)a);
}

int netlink_ask(int fd, const struct netlink_request *r,
		struct netlink_reply *reply, size_t len)
{
	const struct nlmsgerr *e = NLMSG_DATA(&reply->head);
	ssize_t n;

	if (send(fd, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, reply, sizeof *reply, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof *e))
		return -EPROTO;
	if (reply->head.nlmsg_type == NLMSG_ERROR)
		return e->error;
	return (size_t)n < NLMSG_LENGTH(len) ? -EPROTO : 0;
}

int netlink_send(int fd, const struct netlink_request *r)
{
	struct netlink_reply reply;

	return netlink_ask(fd, r, &reply, 0);
}
