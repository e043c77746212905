/* Who may reach which local port, as the configuration says.  Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/config/config.h"
#include "node/service/service.h"
#include "node/channel/stream.h"
#include "proto/addr.h"

enum service_allow_kind {
	ALLOW_ALL,
	ALLOW_ID,
	ALLOW_KEY,
	ALLOW_NAME,
	ALLOW_NOBODY, /* an entry that means nothing */
};

struct service_allow {
	enum service_allow_kind kind;
	struct node_id id;
	struct node_hash hash;
	char name[NAME_BYTES_MAX + 1];
};

struct service_rule {
	char name[64];
	uint16_t port;
	uint8_t proto; /* 0: both */
	bool has_to;
	union endpoint to;
	size_t n_allow;
	struct service_allow allow[CONFIG_LIST_MAX];
};

struct service_rules {
	struct addr self;
	char node_name[64];
	service_identity *identity;
	void *ctx;
	size_t n;
	struct service_rule rule[CONFIG_SERVICES_MAX];
};

void service_rules_init(struct service_rules *r, const struct config *c,
			const struct addr *self, service_identity *identity,
			void *ctx);

/* The rule that lets `peer` in; NULL: not published, or not for it. */
const struct service_rule *service_rules_find(const struct service_rules *r,
					      const struct node_id *peer,
					      uint8_t proto, uint16_t port);

/* Whether `host` means us, for a request to `port`. */
bool service_rules_host(const struct service_rules *r, const char *host,
			uint16_t port);
