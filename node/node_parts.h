/* What a node is made of; for node.c and the control API only. */
#pragma once

#include "circuit/router.h"
#include "node/channel.h"
#include "node/config.h"
#include "node/dest.h"
#include "node/keep.h"
#include "node/loop.h"
#include "node/neighbours.h"
#include "node/node.h"
#include "node/overlay.h"
#include "node/protect.h"
#include "node/quic_tls.h"
#include "node/service.h"
#include "node/session.h"
#include "node/socks.h"
#include "node/store.h"
#include "node/tun.h"
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
