/* The SOCKS5 server: how apps reach `.fuse` names without a TUN.  RFC 1928,
 * RFC 1929.
 *
 * Names go out as they are; nothing is resolved locally, and nothing but our
 * cluster is reachable (exits are another matter).  Each user and password has
 * channels of its own (protocol.md 7.2); with a file they must match it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/splice/bridge.h"
#include "node/channel/dest.h"
#include "node/io/loop.h"
#include "proto/addr.h"

#define SOCKS_REQUEST_NS   (10 * NS_PER_S) /* to make the request */
#define SOCKS_OPEN_NS      (60 * NS_PER_S) /* for the stream to open */
#define SOCKS_CLOSING_NS   (5 * NS_PER_S)  /* after a refusal */
#define SOCKS_CONNS_MAX    4096
#define SOCKS_EARLY_MAX    65536 /* sent before the reply */
#define SOCKS_FLOWS_MAX    64    /* of one UDP association */
#define SOCKS_FLOW_IDLE_NS (120 * NS_PER_S)
/* A flow that failed is not asked for again at once. */
#define SOCKS_FLOW_DEAD_NS  (2 * NS_PER_S)
#define SOCKS_FLOW_WAIT_MAX 16 /* datagrams, until it opens */

struct config;
struct socks;

/* The node that asserts a short name; false: unknown. */
typedef bool socks_lookup(void *ctx, const char *shortname,
			  struct node_id *out);

struct socks_counts {
	uint64_t n_accepted;
	uint64_t n_open;
	uint64_t n_over_limit;
	uint64_t n_not_socks; /* HTTP or garbage */
	uint64_t n_malformed;
	uint64_t n_too_slow;
	uint64_t n_auth_failed;
	uint64_t n_connect;
	uint64_t n_associate;
	uint64_t n_refused[9]; /* by reply code */
	uint64_t n_datagrams_out;
	uint64_t n_datagrams_in;
	uint64_t n_datagrams_dropped; /* no room, or too long */
	uint64_t n_datagrams_refused; /* malformed, fragment, target */
	uint64_t n_datagrams_strange; /* not from the client */
	struct bridge_set bridges;
};

struct socks *socks_new(struct loop *l, struct dests *d,
			const struct overlay_net *net, socks_lookup *lookup,
			void *ctx);
/* Reads the passwords and opens the listeners.  0, or -errno and a text. */
int socks_start(struct socks *s, const struct config *c, char *why, size_t cap);
/* Reads the passwords anew; on failure nothing changes. */
int socks_reload(struct socks *s, const struct config *c, char *why,
		 size_t cap);
/* Resets what is open. */
void socks_free(struct socks *s); /* NULL is allowed */

const struct socks_counts *socks_counts(const struct socks *s);
/* The n-th listener's address, as bound; false: there are fewer. */
bool socks_listens_at(const struct socks *s, size_t n, union endpoint *out);
