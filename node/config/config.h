/* The configuration: one schema table (section, key, type, default, range,
 * help) from which the parser, --check, --print-config and the reference come.
 *
 * INI as in WireGuard; everything is optional.  Messages read
 * `FILE:LINE: …`, and unknown keys name the nearest known one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "node/quic/protect.h"
#include "node/quic/seal.h"
#include "proto/base/log.h"
#include "proto/endpoint.h"

#define CONFIG_LIST_MAX     16
#define CONFIG_PEERS_MAX    256
#define CONFIG_SERVICES_MAX 64
#define CONFIG_TEXT_MAX     256

struct config_list {
	size_t n;
	char item[CONFIG_LIST_MAX][CONFIG_TEXT_MAX];
};

struct config_endpoints {
	size_t n;
	union endpoint at[CONFIG_LIST_MAX];
};

struct config_peer {
	char name[64];              /* of the section */
	struct config_list address; /* host:port, IPs or DNS names */
};

struct config_service {
	char name[64];
	uint16_t port;
	uint8_t proto; /* IPPROTO_TCP (default) or IPPROTO_UDP; 0: both */
	bool has_to;   /* `to` is given: else [own overlay address]:port */
	union endpoint to;
	struct config_list allow; /* "*", short names, ids */
};

enum transit {
	TRANSIT_ON,
	TRANSIT_LAST_RESORT,
	TRANSIT_OFF,
};

struct config {
	struct {
		char name[64];
		struct config_endpoints listen; /* default [::]:4433, which
						   adds 0.0.0.0:4433 */
		char state[CONFIG_TEXT_MAX];    /* default /var/lib/qanat */
		enum transit transit;
		bool direct, gso;
		enum seal_use sealed;
		uint16_t flood_below; /* nodes */
		enum protect_choice packet_protection;
		uint16_t memory; /* MiB */
		uint16_t spin;   /* us */
		enum log_level log;
	} node;
	struct {
		bool lan;
		struct config_list interfaces; /* glob patterns; default: all
						  real ones */
	} discovery;
	struct {
		bool enabled;
		char name[16]; /* default qanat0 */
		uint16_t mtu;  /* 0: auto */
		bool offload;
		bool splice, bpf;
	} tun;
	struct {
		bool enabled;                    /* false with `listen = off` */
		struct config_endpoints listen;  /* default 127.0.0.1:1080 */
		char passwords[CONFIG_TEXT_MAX]; /* file of user:password lines,
						    mode 0600; "": any */
	} socks;
	struct {
		char socket[CONFIG_TEXT_MAX]; /* default /run/qanat/qanat.sock
					       */
		char group[64];
	} admin;
	/* The last, and a megabyte: what is not used is never touched, so that
	 * it takes no memory. */
	size_t n_peers, n_services;
	struct config_peer peers[CONFIG_PEERS_MAX];
	struct config_service services[CONFIG_SERVICES_MAX];
};

void config_defaults(struct config *c);
void config_copy(struct config *to, const struct config *from);

/* Reads a file over the defaults.  On failure `c` is unchanged, and `why` says
 * what and where; -errno or -EINVAL. */
int config_load(struct config *c, const char *path, char *why, size_t why_cap);
int config_parse(struct config *c, const char *text, size_t len,
		 const char *file, char *why, size_t why_cap);
/* What is in force, as a file that config_load() reads back. */
void config_print(FILE *f, const struct config *c);
/* Every key with its help, form and default: docs/qanat.conf.example. */
void config_print_reference(FILE *f);
/* Which changed keys need a restart; "" if none do. */
void config_needs_restart(char *out, size_t cap, const struct config *was,
			  const struct config *now);
