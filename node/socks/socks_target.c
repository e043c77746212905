/* Whom a SOCKS address means. */
#include <stdio.h>
#include <string.h>

#include "node/socks/socks_impl.h"
#include "proto/base/log.h"

/* An overlay prefix that is not ours is likely a mistake worth a line. */
static enum socks_reply other_cluster(struct socks_env *env,
				      const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	if (bucket_take(&env->log_limit, loop_now(env->loop))) {
		addr_text(text, a);
		log_info("socks: address of another cluster: addr=%s", text);
	}
	return SOCKS_REPLY_NET_UNREACHABLE;
}

static enum socks_reply of_ip6(struct socks_target *out, struct socks_env *env,
			       const struct addr *a)
{
	if (addr_in_net(a, &env->net)) {
		out->id = addr_id(a);
		name_of_id(out->host, &out->id);
		return SOCKS_REPLY_OK;
	}
	if (a->b[0] == env->net.prefix[0] && a->b[1] == env->net.prefix[1])
		return other_cluster(env, a);
	return SOCKS_REPLY_NOT_ALLOWED;
}

static enum socks_reply of_name(struct socks_target *out, struct socks_env *env,
				const struct name *name)
{
	char id[NAME_ID_TEXT_MAX];

	out->id = name->id;
	out->has_hash = name->kind == NAME_HASH;
	if (out->has_hash)
		out->hash = name->hash;
	if (name->kind == NAME_SHORT &&
	    !env->lookup(env->ctx, name->shortname, &out->id))
		return SOCKS_REPLY_HOST_UNREACHABLE;
	name_of_id(id, &out->id);
	snprintf(out->host, sizeof out->host, "%s%s%s", name->label,
		 name->label[0] != '\0' ? "." : "", id);
	return SOCKS_REPLY_OK;
}

/* Some clients send an address as a name. */
static enum socks_reply of_domain(struct socks_target *out,
				  struct socks_env *env, const char *domain)
{
	struct name name;
	struct addr a;

	if (addr_parse(&a, domain))
		return of_ip6(out, env, &a);
	switch (name_parse(&name, domain, strlen(domain))) {
	case NAME_OK:
		return of_name(out, env, &name);
	case NAME_MALFORMED:
		return SOCKS_REPLY_HOST_UNREACHABLE;
	case NAME_NOT_FUSE:
		break;
	}
	return SOCKS_REPLY_NOT_ALLOWED;
}

enum socks_reply socks_target_of(struct socks_target *out,
				 struct socks_env *env,
				 const struct socks_address *a)
{
	struct addr ip;

	*out = (struct socks_target){ .port = a->port };
	switch (a->type) {
	case SOCKS_DOMAIN:
		return of_domain(out, env, a->domain);
	case SOCKS_IPV6:
		memcpy(ip.b, a->ip, sizeof ip.b);
		return of_ip6(out, env, &ip);
	case SOCKS_IPV4:
		break;
	}
	return SOCKS_REPLY_NOT_ALLOWED;
}

struct stream *socks_target_stream(struct socks_env *env,
				   const struct socks_target *t,
				   const struct dest_tag *tag,
				   enum stream_kind kind,
				   const struct stream_events *ev, void *ctx)
{
	struct stream *s = dest_stream_apart(env->dests, tag, &t->id, kind,
					     t->host, t->port, ev, ctx);

	if (t->has_hash)
		stream_expect(s, &t->hash);
	return s;
}
