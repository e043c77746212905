#include "node/service_rule.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/base/text.h"
#include "proto/name.h"

/* "*", an id or a hash, or a short name; `.fuse` may follow. */
static struct service_allow allow_parse(const char *text)
{
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
	if (name.kind == NAME_SHORT) {
		a.kind = ALLOW_NAME;
		text_copy(a.name, sizeof a.name, name.shortname);
	} else {
		a.kind = ALLOW_ID;
		a.id = name.id;
	}
	return a;
}

void service_rules_init(struct service_rules *r, const struct config *c,
			const struct addr *self,
			service_peer_has_name *has_name, void *ctx)
{
	struct addr own = *self; /* may lie in `r` */

	memset(r, 0, sizeof *r);
	r->self = own;
	r->has_name = has_name;
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

static bool is_allowed(const struct service_rules *r,
		       const struct service_rule *rule,
		       const struct node_id *peer)
{
	struct node_id self = addr_id(&r->self);

	/* Our own apps, which come to our overlay address. */
	if (id_equal(peer, &self))
		return true;
	for (size_t i = 0; i < rule->n_allow; i++) {
		const struct service_allow *a = &rule->allow[i];

		if (a->kind == ALLOW_ALL ||
		    (a->kind == ALLOW_ID && id_equal(&a->id, peer)) ||
		    (a->kind == ALLOW_NAME &&
		     r->has_name(r->ctx, peer, a->name)))
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

	if (name->kind != NAME_SHORT)
		return id_equal(&name->id, &self);
	return strcasecmp(name->shortname, r->node_name) == 0 ||
	       r->has_name(r->ctx, &self, name->shortname);
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
