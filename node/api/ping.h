/* Measures the way to a node, end to end: connects if need be, then sends
 * datagrams to its echo (echo.h) and times what comes back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "node/channel/stream.h"
#include "proto/base/time.h"
#include "proto/id.h"

#define PING_COUNT_MAX 100
#define PING_BYTES     56

struct ping;
struct dests;
struct loop;

struct ping_config {
	struct node_id id;
	unsigned count; /* 1..PING_COUNT_MAX */
	nsec interval;
	nsec timeout; /* for each reply, after the last was sent */
};

struct ping_result {
	bool is_up;     /* there is a channel to the node */
	bool is_proved; /* there is none, and every copy of the probe is back */
	enum stream_error why; /* is_up, but its echo did not answer */
	nsec connect;          /* 0: it was connected before */
	unsigned n_sent, n_received;
	nsec rtt[PING_COUNT_MAX]; /* TIME_NEVER: lost */
};

/* Called once, from the loop; the ping is gone then. */
typedef void ping_done(void *ctx, const struct ping_result *r);

struct ping *ping_new(struct loop *l, struct dests *d,
		      const struct ping_config *config, ping_done *done,
		      void *ctx);
/* No callback follows. */
void ping_cancel(struct ping *p);
