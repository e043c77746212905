/* What a node is made of; for node.c and the control API only. */
#pragma once

#include "circuit/router.h"
#include "node/channel/channel.h"
#include "node/config/config.h"
#include "node/channel/dest.h"
#include "node/peers/keep.h"
#include "node/io/loop.h"
#include "node/peers/neighbours.h"
#include "node/node.h"
#include "node/overlay.h"
#include "node/quic/protect.h"
#include "node/quic/quic_tls.h"
#include "node/service/service.h"
#include "node/session/session.h"
#include "node/socks/socks.h"
#include "node/store/store.h"
#include "node/tun/tun.h"
#include "proto/base/text.h"
#include "proto/key.h"
#include "proto/name.h"

struct node {
	struct config config;
	char *config_path; /* NULL: defaults */
	struct loop *loop;
	bool has_credentials;
	struct credentials credentials;
	struct store *store;
	struct protect *protect;
	struct overlay *overlay;
	struct neighbours *neighbours;
	struct services *services;
	struct echo *echo;
	struct api_handlers *api;
	struct tun *tun;         /* NULL: SOCKS only */
	struct splicer *splicer; /* NULL: no TUN */
	struct socks *socks;     /* NULL: off */
	struct timer minute, drain;
	nsec stop_at; /* 0: not stopping */
	uv_signal_t signals[3];
	nsec started;
};
