/* What the parts of the SOCKS server share: socks.c (connections),
 * socks_target.c (whom an address means), socks_udp.c (associations). */
#pragma once

#include "node/channel/dgram.h"
#include "node/socks/socks.h"
#include "proto/base/bucket.h"
#include "proto/name.h"
#include "proto/socks5.h"

struct socks_env {
	struct loop *loop;
	struct dests *dests;
	struct overlay_net net;
	socks_lookup *lookup;
	void *ctx;
	struct bucket log_limit;
	uint8_t tag_key[32]; /* so that tags tell nothing of passwords */
	struct socks_counts counts;
};

/* A label, a dot, and the id with its suffix. */
#define SOCKS_HOST_MAX (NAME_BYTES_MAX + 1 + NAME_ID_TEXT_MAX)

struct socks_target {
	struct node_id id;
	bool has_hash; /* the name has all of the key's hash */
	struct node_hash hash;
	char host[SOCKS_HOST_MAX]; /* what the far end is asked for */
	uint16_t port;
};

/* SOCKS_REPLY_OK, or why not. */
enum socks_reply socks_target_of(struct socks_target *out,
				 struct socks_env *env,
				 const struct socks_address *a);

/* Asks that node, apart from users with other tags. */
struct stream *socks_target_stream(struct socks_env *env,
				   const struct socks_target *t,
				   const struct dest_tag *tag,
				   enum stream_kind kind,
				   const struct stream_events *ev, void *ctx);

/* ---- UDP ASSOCIATE ---- */

struct socks_udp;

/* Bound beside the control connection, for the client at its other end. */
struct socks_udp *socks_udp_new(struct socks_env *env, const struct tcp *tcp,
				const struct dest_tag *tag);
bool socks_udp_local(const struct socks_udp *u, struct socks_address *out);
void socks_udp_free(struct socks_udp *u);
