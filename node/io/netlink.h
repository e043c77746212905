/* rtnetlink: one request, one answer.  rtnetlink(7). */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_REQUEST_BYTES 256
#define NETLINK_REPLY_BYTES   4096

struct netlink_request {
	union {
		struct nlmsghdr head;
		uint8_t bytes[NETLINK_REQUEST_BYTES];
	};
};

struct netlink_reply {
	union {
		struct nlmsghdr head;
		uint8_t bytes[NETLINK_REPLY_BYTES];
	};
};

/* A socket that waits 2 s at most, to be closed by the caller; or -errno. */
int netlink_open(void);

/* `flags` besides NLM_F_REQUEST and NLM_F_ACK. */
void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags,
		   const void *body, size_t len);
/* Requests are far under NETLINK_REQUEST_BYTES: what is over it aborts.
 * Returns the attribute, to be passed to netlink_nest_end() if it is to hold
 * those that follow. */
struct rtattr *netlink_add(struct netlink_request *r, uint16_t type,
			   const void *data, size_t len);
void netlink_nest_end(struct netlink_request *r, struct rtattr *a);

/* The answer has a body of `len` bytes at least; -errno: the kernel's refusal,
 * too. */
int netlink_ask(int fd, const struct netlink_request *r,
		struct netlink_reply *reply, size_t len);
int netlink_send(int fd, const struct netlink_request *r);
