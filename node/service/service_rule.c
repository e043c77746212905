#include "node/service/service_rule.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/base/text.h"
#include "proto/name.h"

/* "*", an id or a hash, or a short name; `.fuse` may follow. */
static struct service_allow allow_parse(const char *text)
{
	static const enum service_allow_kind kind_of[] = {
		[NAME_ID] = ALLOW_ID,
		[NAME_HASH] = ALLOW_KEY,
		[NAME_SHORT] = ALLOW_NAME,
	};
	struct service_allow a = { .kind = ALLOW_NOBODY };
	char with_suffix[CONFIG_TEXT_MAX + 8];
	struct name name;
	enum name_verdict verdict;

	if (strcmp(text, "*") == 0) {
		a.kind = ALLOW_ALL;
		return a;
	}
	verdict = name_parse(&name, text, strlen(text));
	if (verdict == NAME_NOT_FUSE) {
		snprintf(with_suffix, sizeof with_suffix, "%s.fuse", text);
		verdict = name_parse(&name, with_suffix, strlen(with_suffix));
	}
	if (verdict != NAME_OK || name.label[0] != '\0')
		return a;
	a.id = name.id;
	a.hash = name.hash;
	text_copy(a.name, sizeof a.name, name.shortname);
	a.kind = kind_of[name.kind];
	return a;
}

void service_rules_init(struct service_rules *r, const struct config *c,
			const struct addr *self, service_identity *identity,
			void *ctx)
{
	struct addr own = *self; /* may lie in `r` */

	memset(r, 0, sizeof *r);
	r->self = own;
	r->identity = identity;
	r->ctx = ctx;
	r->n = c->n_services;
	text_copy(r->node_name, sizeof r->node_name, c->node.name);
	for (size_t i = 0; i < r->n; i++) {
		const struct config_service *s = &c->services[i];
		struct service_rule *rule = &r->rule[i];

		text_copy(rule->name, sizeof rule->name, s->name);
		rule->port = s->port;
		rule->proto = s->proto;
		rule->has_to = s->has_to;
		rule->to = s->to;
		rule->n_allow = s->allow.n;
		for (size_t k = 0; k < s->allow.n; k++)
			rule->allow[k] = allow_parse(s->allow.item[k]);
	}
}

static bool has_name(const struct identity *who, const char *name)
{
	for (size_t i = 0; who != NULL && i < who->n_names; i++) {
		if (strcmp(who->names[i], name) == 0)
			return true;
	}
	return false;
}

static bool has_key(const struct identity *who, const struct node_hash *hash)
{
	return who != NULL && hash_equal(&who->hash, hash);
}

static bool is_meant(const struct service_allow *a, const struct node_id *peer,
		     const struct identity *who)
{
	switch (a->kind) {
	case ALLOW_ALL:
		return true;
	case ALLOW_ID:
		return id_equal(&a->id, peer);
	case ALLOW_KEY:
		return has_key(who, &a->hash);
	case ALLOW_NAME:
		return has_name(who, a->name);
	case ALLOW_NOBODY:
		break;
	}
	return false;
}

static bool is_allowed(const struct service_rules *r,
		       const struct service_rule *rule,
		       const struct node_id *peer)
{
	const struct identity *who = r->identity(r->ctx, peer);
	struct node_id self = addr_id(&r->self);

	/* Our own apps, which come to our overlay address. */
	if (id_equal(peer, &self))
		return true;
	for (size_t i = 0; i < rule->n_allow; i++) {
		if (is_meant(&rule->allow[i], peer, who))
			return true;
	}
	return false;
}

const struct service_rule *service_rules_find(const struct service_rules *r,
					      const struct node_id *peer,
					      uint8_t proto, uint16_t port)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct service_rule *rule = &r->rule[i];

		if (rule->port == port &&
		    (rule->proto == 0 || rule->proto == proto) &&
		    is_allowed(r, rule, peer))
			return rule;
	}
	return NULL;
}

static bool is_our_name(const struct service_rules *r, const struct name *name)
{
	struct node_id self = addr_id(&r->self);
	const struct identity *who = r->identity(r->ctx, &self);

	if (name->kind == NAME_ID)
		return id_equal(&name->id, &self);
	if (name->kind == NAME_HASH)
		return has_key(who, &name->hash);
	return strcasecmp(name->shortname, r->node_name) == 0 ||
	       has_name(who, name->shortname);
}

bool service_rules_host(const struct service_rules *r, const char *host,
			uint16_t port)
{
	struct name name;
	struct addr a;

	if (addr_parse(&a, host))
		return addr_equal(&a, &r->self);
	if (name_parse(&name, host, strlen(host)) == NAME_OK)
		return is_our_name(r, &name);
	if (strcasecmp(host, "localhost") == 0)
		return true;
	for (size_t i = 0; i < r->n; i++) {
		if (r->rule[i].port == port &&
		    strcasecmp(host, r->rule[i].name) == 0)
			return true;
	}
	return false;
}
